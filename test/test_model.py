"""The engine on the bundled checkpoint: NeMo's own texts, one at a time and in batches, by either attention."""

import itertools
import random

import numpy as np
import pytest
import soundfile
import torch
from conftest import CLIPS

from src.asr.checkpoint import find_checkpoint
from src.asr.model import NemoModel
from src.errors import ModelUnavailable
from src.settings import Settings

LOCAL_REACH_FRAMES = 129
"""Up to here every frame is within local attention's 128 frames of every other."""


@pytest.fixture(scope="module")
def full() -> NemoModel:
    return NemoModel.load(Settings(model_id="tiny", use_local_attention=False))


@pytest.fixture(params=["full", "local"])
def model(request, full, tiny) -> NemoModel:
    return {"full": full, "local": tiny}[request.param]


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path, dtype="float32")[0] for path in sorted(CLIPS.glob("*.flac"))}


def texts(model: NemoModel, clips) -> list[str]:
    return [transcript.text for transcript in model.transcribe(model.collate(list(clips)))]


def nemos_texts(model: NemoModel, clips) -> list[str]:
    """What NeMo's own `transcribe()` makes of the same network; it leaves layers in training mode behind it."""
    network = model._network
    hypotheses = network.transcribe(list(clips), batch_size=1, verbose=False)
    network.eval()
    return [hypothesis.text for hypothesis in hypotheses]


def test_the_text_of_every_clip_is_that_of_nemos_transcribe_alone_and_in_mixed_batches(model, full, clips):
    order = list(clips)
    random.Random(0).shuffle(order)  # so that every batch mixes short and long
    if model is full:
        order.sort(key=lambda name: name == "long-120s.flac")  # alone: eight of its length take half a minute
    expected = nemos_texts(model, (clips[name] for name in order))
    assert [texts(model, [clips[name]])[0] for name in order] == expected
    batches = (texts(model, [clips[name] for name in order[at : at + 8]]) for at in range(0, len(order), 8))
    assert list(itertools.chain(*batches)) == expected


def test_most_clips_are_heard_word_for_word(tiny, clips, transcripts):
    exact = sum(texts(tiny, [clips[name]]) == [text] for name, text in transcripts.items())
    assert exact >= 40, "of 49; the checkpoint's README says 88 of 98"


def test_silence_and_noise_have_no_text(tiny, clips, transcripts):
    names = [name for name, text in transcripts.items() if not text]
    assert len(names) == 4
    assert texts(tiny, [clips[name] for name in names]) == [""] * 4


def test_two_loads_with_local_attention_give_the_same_encoder_output(tiny, clips):
    again = NemoModel.load(Settings(model_id="tiny"))
    batch = tiny.collate([clips["long-30s.flac"], clips["piper-joe-1.flac"]])
    for first, second in zip(tiny.encode(batch), again.encode(batch), strict=True):
        assert torch.equal(first, second)


def test_the_local_layers_themselves_are_undamaged(tiny, full, clips):
    # They serve longer clips only; on one within their reach they may differ from full attention by rounding, while the
    # random biases that NeMo adds would move the output by tenths.
    batch = tiny.collate([clips["rhvoice-slt-1.flac"]])
    features, lengths = tiny._network.preprocessor(input_signal=batch.samples, length=batch.lengths)
    local_output, _ = tiny._network.encoder(audio_signal=features, length=lengths)
    assert tiny._network.encoder.self_attention_model == "rel_pos_local_attn"
    assert torch.allclose(local_output, full.encode(batch)[0], atol=1e-4)


def test_local_attention_is_full_attention_bit_for_bit_where_it_reaches_everything(tiny, full, clips):
    seconds = LOCAL_REACH_FRAMES * 0.08 - 0.04
    batch = tiny.collate([clips["long-30s.flac"][: int(seconds * 16_000)], clips["piper-joe-1.flac"]])
    (local_output, lengths), (full_output, _) = tiny.encode(batch), full.encode(batch)
    assert lengths.tolist()[0] == LOCAL_REACH_FRAMES
    assert torch.equal(local_output, full_output)


def test_beyond_its_reach_local_attention_differs(tiny, full, clips):
    batch = tiny.collate([clips["long-60s.flac"]])
    assert not torch.equal(tiny.encode(batch)[0], full.encode(batch)[0])


@pytest.mark.parametrize(
    ("model_id", "says"),
    [
        ("/no/such/model.nemo", "is not there"),
        ("parakeet", "is not there"),
        (str(CLIPS), "is a folder"),
        (str(CLIPS / "transcripts.tsv"), "is no checkpoint that NeMo can load"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_in_one_sentence(model_id, says):
    with pytest.raises(ModelUnavailable) as error:
        NemoModel.load(Settings(model_id=model_id))
    assert says in str(error.value)
    assert model_id in str(error.value)
    assert "\n" not in str(error.value)


def test_a_gpu_that_is_not_there_is_told_in_one_sentence():
    with pytest.raises(ModelUnavailable, match=r"PARAKEET_DEVICE=cuda:99, but torch sees \d+ GPUs"):
        NemoModel.load(Settings(model_id="tiny", device="cuda:99"))


def test_the_bundled_checkpoint_is_found_by_its_name():
    assert find_checkpoint("tiny").is_file()


def test_a_path_is_found_with_its_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.nemo").touch()
    assert find_checkpoint("~/model.nemo") == tmp_path / "model.nemo"
