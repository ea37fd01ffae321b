"""Settings: what may be set, and what is said of a wrong value."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.settings import PREFIX, Settings, SettingsError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MICROBATCH_MAX_BATCH", "0", "PARAKEET_MICROBATCH_MAX_BATCH must be at least 1, not 0"),
        ("MICROBATCH_MAX_BATCH", "2.5", "PARAKEET_MICROBATCH_MAX_BATCH must be a whole number, not 2.5"),
        ("MAX_QUEUE_WAIT_S", "-1", "PARAKEET_MAX_QUEUE_WAIT_S must be more than 0, not -1"),
        ("MAX_QUEUE_WAIT_S", "nan", "PARAKEET_MAX_QUEUE_WAIT_S must be a number, not nan"),
        ("MAX_AUDIO_SECONDS", "ten", "PARAKEET_MAX_AUDIO_SECONDS must be a number, not ten"),
        ("PORT", "65536", "PARAKEET_PORT must be at most 65535, not 65536"),
        ("USE_LOCAL_ATTENTION", "maybe", "PARAKEET_USE_LOCAL_ATTENTION must be 1 or 0, not maybe"),
        ("DEVICE", "tpu", "PARAKEET_DEVICE must be auto, cpu, cuda or cuda:N, not tpu"),
        ("DTYPE", "int8", "PARAKEET_DTYPE must be one of 'auto', 'float32', 'bfloat16' or 'float16', not int8"),
        ("LOCAL_ATTENTION_CONTEXT", "1", "PARAKEET_LOCAL_ATTENTION_CONTEXT must be at least 2, not 1"),
        ("STRICT_MODEL", "2", "PARAKEET_STRICT_MODEL must be one of 'auto', '1' or '0', not 2"),
        (
            "REPLICA_NAME",
            "pod 1",
            "PARAKEET_REPLICA_NAME must be at most 100 printable ASCII characters without spaces, not pod 1",
        ),
        (
            "SUBSAMPLING_CHUNKING_FACTOR",
            "3",
            "PARAKEET_SUBSAMPLING_CHUNKING_FACTOR must be -1, 1 or a power of two, not 3",
        ),
    ],
)
def test_the_error_about_an_invalid_value_is_one_line_that_names_the_variable(monkeypatch, name, value, sentence):
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as error:
        Settings()
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("/stt", "/stt"),
        ("/stt/", "/stt"),
        ("/a/b-c_d.e~1//", "/a/b-c_d.e~1"),
        ("/openai", "/openai"),
    ],
)
def test_a_prefix_has_no_slash_at_its_end(written, prefix):
    assert Settings(root_path=written).root_path == prefix


@pytest.mark.parametrize(
    "wrong", ["stt", "http://a/b", "/a b", "/a//b", "/../a", "/a/.", "/ä", "/a%20b", "/a?b", "/v1", "/v1/"]
)
def test_an_invalid_prefix_is_an_error(wrong):
    with pytest.raises(SettingsError, match=r"^PARAKEET_ROOT_PATH must be a path before /v1, such as /stt, not "):
        Settings(root_path=wrong)


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("[::]", "::"),
        ("[::1]", "::1"),
        (" 127.0.0.1 ", "127.0.0.1"),
        ("::", "::"),
        ("[::0]", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("fe80::", "fe80::"),
        ("0:0", "0:0"),  # no address, so that nothing listens
    ],
)
def test_a_host_may_be_in_the_brackets_of_a_url(written, host):
    assert Settings(host=written).host == host


def test_all_invalid_values_are_in_one_error(monkeypatch):
    monkeypatch.setenv("PARAKEET_PORT", "0")
    monkeypatch.setenv("PARAKEET_LANES", "0")
    with pytest.raises(SettingsError) as error:
        Settings()
    assert len(str(error.value).splitlines()) == 2


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("PARAKEET_PORT", "")
    assert Settings().port == 8000


@pytest.mark.parametrize(("written", "secret"), [("", ""), (" \n", ""), (" a b\n", "a b")])
def test_a_secret_has_no_space_around_it_and_is_not_shown(monkeypatch, written, secret):
    monkeypatch.setenv("PARAKEET_SECRET_KEY", written)
    settings = Settings()
    assert settings.secret_key.get_secret_value() == secret
    assert "a b" not in repr(settings)


@pytest.mark.parametrize(
    ("value", "meant"), [("auto", "auto"), ("1", "1"), ("0", "0"), ("true", "1"), ("False", "0"), ("", "auto")]
)
def test_the_strictness_about_models_takes_the_words_for_yes_and_no_too(monkeypatch, value, meant):
    monkeypatch.setenv("PARAKEET_STRICT_MODEL", value)
    assert Settings().strict_model == meant


def test_a_relative_log_folder_starts_at_the_top_level(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings().log_dir == ROOT / "logs"
    assert Settings(log_dir=tmp_path).log_dir == tmp_path


def test_env_example_lists_every_setting_with_its_default():
    listed = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line.startswith(PREFIX)
    )  # fmt: skip
    assert set(listed) == {PREFIX + name.upper() for name in Settings.model_fields}
    example = Settings(**{name.removeprefix(PREFIX).lower(): value for name, value in listed.items()})
    assert example == Settings()


@pytest.mark.parametrize("module", ["src.settings", "src.metrics"])
def test_light_modules_import_neither_torch_nor_nemo(module):
    program = f"import sys, {module}; print([name for name in ('torch', 'nemo', 'librosa') if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (printed.stdout.strip(), printed.stderr) == ("[]", "")
