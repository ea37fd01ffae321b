"""Which file a model's name means."""

from src.engine.checkpoint import find_checkpoint


def test_the_bundled_checkpoint_is_found_by_its_name():
    assert find_checkpoint("tiny").is_file()


def test_a_path_is_found_with_its_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.nemo").touch()
    assert find_checkpoint("~/model.nemo") == tmp_path / "model.nemo"
