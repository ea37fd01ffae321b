"""Which file a model's name means."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from src.engine.checkpoint import find_checkpoint
from src.errors import ModelUnavailable


def test_the_bundled_checkpoint_is_found_by_its_name():
    assert find_checkpoint("tiny").is_file()


def test_a_path_is_found_with_its_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.nemo").touch()
    assert find_checkpoint("~/model.nemo") == tmp_path / "model.nemo"


def test_a_path_that_is_there_comes_before_a_hub_id_of_the_same_spelling(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "model").touch()
    assert find_checkpoint("owner/model").samefile(tmp_path / "owner" / "model")


@pytest.mark.parametrize(
    ("model_id", "says"), [("parakeet", "is not there"), ("no/such.nemo", "is not there"), (".", "is a folder")]
)
def test_what_is_no_file_and_no_hub_id_is_rejected_in_one_sentence(model_id, says):
    with pytest.raises(ModelUnavailable) as error:
        find_checkpoint(model_id)
    assert str(error.value).startswith(f"PARAKEET_MODEL_ID={model_id} {says}")
    assert "\n" not in str(error.value)


@pytest.fixture
def hub(monkeypatch):
    """A hub of which the test says what is cached and what a download does."""
    errors = {name: type(name, (Exception,), {}) for name in ("GatedRepoError", "RepositoryNotFoundError")}
    errors["LocalEntryNotFoundError"] = type("LocalEntryNotFoundError", (Exception,), {})
    played = SimpleNamespace(cached=None, asked=[], error=None, errors=errors)

    def download(*wanted: str) -> str:
        played.asked.append(wanted)
        if played.error:
            raise played.error
        return "/downloaded/name.nemo"

    module = SimpleNamespace(hf_hub_download=download, try_to_load_from_cache=lambda *_: played.cached)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", SimpleNamespace(**errors))
    return played


def test_a_hub_id_is_downloaded_once(hub):
    assert str(find_checkpoint("owner/name")) == "/downloaded/name.nemo"
    assert hub.asked == [("owner/name", "name.nemo")]
    hub.cached = "/cached/name.nemo"
    assert str(find_checkpoint("owner/name")) == "/cached/name.nemo"
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("GatedRepoError", "accept the terms on its page and set HF_TOKEN"),
        ("RepositoryNotFoundError", "check PARAKEET_MODEL_ID and HF_TOKEN"),
        ("LocalEntryNotFoundError", "set PARAKEET_MODEL_ID to the path of a .nemo file"),
        ("OSError", "OSError: no space left"),
    ],
)
def test_a_download_that_fails_says_what_to_do_in_one_sentence(hub, error, says):
    hub.error = hub.errors.get(error, OSError)("no space\nleft")
    with pytest.raises(ModelUnavailable) as raised:
        find_checkpoint("owner/name")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_cache_that_cannot_be_written_is_told_with_the_variable_to_set(hub, number):
    hub.error = OSError(number, os.strerror(number), "/.cache")
    with pytest.raises(ModelUnavailable, match=r"set HF_HOME to a folder") as raised:
        find_checkpoint("owner/name")
    assert os.strerror(number) in str(raised.value)
