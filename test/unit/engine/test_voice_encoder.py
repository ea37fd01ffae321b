"""The voice encoder computes what Resemblyzer's own code does, and tells voices apart."""

import tomllib
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import soundfile
import torch
from dialogues import CLIPS
from librosa.filters import mel

from src.engine import voice_encoder
from src.engine.voice_encoder import MELS, PACKAGE, WIDTH, VoiceEncoder, mel_filters, weights_path
from src.errors import SpeakersUnavailable

LARGEST = {44: 0.2503, 94: 0.2129, 160: 0.2069, 127: 0.1956, 218: 0.1873, 107: 0.1808, 199: 0.1771, 183: 0.1768}
"""The largest numbers in the embedding of the first 1.6 s of `piper-joe-1`, as Resemblyzer 0.1.4's own `VoiceEncoder`
computes it from its own spectrogram at this module's level. 96 of the 256 are not 0, and their sum is 8.16875."""


@pytest.fixture(scope="module")
def encoder():
    return VoiceEncoder(torch.device("cpu"))


def samples_of(name: str) -> np.ndarray:
    return soundfile.read(CLIPS / name, dtype="float32")[0]


def test_an_embedding_is_the_one_of_resemblyzers_own_code(encoder):
    (embedding,) = encoder.embed(encoder.features(samples_of("piper-joe-1.flac"))[None, :160])
    assert np.count_nonzero(embedding) == 96
    assert embedding.sum() == pytest.approx(8.16875, abs=1e-3)
    assert {index: round(float(embedding[index]), 4) for index in LARGEST} == pytest.approx(LARGEST, abs=1e-3)


def test_the_mel_filters_are_librosas():
    expected = mel(sr=16_000, n_fft=WIDTH, n_mels=MELS)
    assert np.allclose(mel_filters(), expected, atol=1e-7)


def test_an_embedding_does_not_depend_on_the_level_or_on_what_else_is_in_the_call(encoder):
    loud = encoder.features(samples_of("rhvoice-alan-1.flac"))[:160]
    quiet = encoder.features(0.01 * samples_of("rhvoice-alan-1.flac"))[:160]
    other = encoder.features(samples_of("rhvoice-clb-1.flac"))[:160]
    (alone,) = encoder.embed(loud[None])
    assert np.allclose(encoder.embed(np.stack([other, loud, quiet]))[1:], [alone, alone], atol=1e-4)


def test_two_sentences_of_a_voice_are_more_alike_than_two_voices(encoder):
    names = ["piper-joe-1", "piper-joe-2", "rhvoice-clb-1", "rhvoice-clb-2"]
    windows = [encoder.features(samples_of(f"{name}.flac"))[40:200] for name in names]
    embeddings = encoder.embed(np.stack(windows))
    likeness = embeddings @ embeddings.T
    assert np.diag(likeness) == pytest.approx(np.ones(4), abs=1e-5)
    assert min(likeness[0, 1], likeness[2, 3]) > likeness[:2, 2:].max() + 0.1


def test_digital_silence_has_an_embedding_too(encoder):
    assert np.isfinite(encoder.embed(np.zeros((1, 160, MELS), np.float32))).all()


def test_the_package_is_the_one_that_is_set_up():
    project = tomllib.loads((CLIPS.parents[1] / "pyproject.toml").read_text())
    assert project["tool"]["parakeet"]["without-dependencies"] == [PACKAGE]
    assert weights_path().is_file()


def test_weights_that_cannot_be_read_are_said_in_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "pretrained.pt").write_bytes(b"no weights")
    monkeypatch.setattr(voice_encoder, "weights_path", lambda: tmp_path / "pretrained.pt")
    with pytest.raises(SpeakersUnavailable, match=f"pretrained.pt of {PACKAGE} cannot be loaded"):
        VoiceEncoder(torch.device("cpu"))


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    def missing(name: str):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(voice_encoder, "distribution", missing)
    with pytest.raises(SpeakersUnavailable, match=f"pip install --no-deps {PACKAGE}"):
        VoiceEncoder(torch.device("cpu"))
