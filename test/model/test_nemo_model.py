"""The engine on the bundled checkpoint: the texts of NeMo's own `transcribe()`, with either encoder and attention."""

import itertools
import math
import random
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
import sentencepiece
import soundfile
import torch
from media import CLIPS

from src.engine.batch_limits import BatchLimits
from src.engine.decoder.decoder import Decoder
from src.engine.encoder.padded_encoder import CPU_GROUP_S
from src.engine.encoder.sub_batches import split_by_length
from src.engine.frames import FRAME_SECONDS
from src.engine.model import StepResult
from src.engine.nemo_model import NemoModel
from src.errors import ModelUnavailable
from src.settings import Settings
from src.text.transcript import Token, text_of

LOCAL_REACH_FRAMES = 129
"""Up to here every frame is within local attention's 128 frames of every other."""


@pytest.fixture(scope="module")
def full() -> NemoModel:
    return NemoModel.load(Settings(model_id="tiny", use_local_attention=False))


@pytest.fixture(scope="module")
def nemos_full() -> NemoModel:
    return NemoModel.load(Settings(model_id="tiny", encoder="nemo", use_local_attention=False))


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path, dtype="float32")[0] for path in sorted(CLIPS.glob("*.flac"))}


def texts(model: NemoModel, clips) -> list[str]:
    return [transcript.text for transcript in model.transcribe(model.collate(list(clips)))]


def nemos_texts(model: NemoModel, clips) -> list[str]:
    """What NeMo's own `transcribe()` makes of the same network; it leaves layers in training mode."""
    network = model._network
    hypotheses = network.transcribe(list(clips), batch_size=1, verbose=False)
    network.eval()
    return [hypothesis.text for hypothesis in hypotheses]


@dataclass(frozen=True)
class Engines:
    """The engine with its own encoder and with NeMo's, by the same attention."""

    own: NemoModel
    nemo: NemoModel
    expected: dict[str, str]
    """What NeMo's `transcribe()` makes of each clip alone, by file name in an order that mixes short and long ones."""


@pytest.fixture(scope="module", params=["full", "local"])
def engines(request, full, tiny, nemos_full, nemos, clips) -> Engines:
    order = list(clips)
    random.Random(0).shuffle(order)
    if request.param == "full":
        order.remove("long-120s.flac")  # eight of its length take half a minute
    own, nemo = (full, nemos_full) if request.param == "full" else (tiny, nemos)
    return Engines(own, nemo, dict(zip(order, nemos_texts(nemo, (clips[name] for name in order)), strict=True)))


def test_the_text_of_every_clip_alone_is_that_of_nemos_transcribe(engines, clips):
    assert {name: texts(engines.own, [clips[name]])[0] for name in engines.expected} == engines.expected


@pytest.mark.parametrize("encoder", ["own", "nemo"])
def test_the_text_of_every_clip_in_mixed_batches_is_that_of_nemos_transcribe(engines, encoder, clips):
    order, model = list(engines.expected), getattr(engines, encoder)
    batches = (texts(model, [clips[name] for name in order[at : at + 8]]) for at in range(0, len(order), 8))
    assert dict(zip(order, itertools.chain(*batches), strict=True)) == engines.expected


@pytest.fixture(scope="module")
def transcripts_of_all(tiny, clips):
    """The transcript of each clip of up to half a minute, by file name, out of batches of like length."""
    order = sorted(clips, key=lambda name: len(clips[name]))[:-2]
    batches = ([clips[name] for name in order[at : at + 8]] for at in range(0, len(order), 8))
    results = (tiny.transcribe(tiny.collate(batch)) for batch in batches)
    return dict(zip(order, itertools.chain(*results), strict=True))


def spelled(pieces) -> str:
    return text_of(Token(0, piece, 0.0, 0.0, 0.0) for piece in pieces)


def test_the_tokens_of_every_clip_spell_its_text(tiny, transcripts_of_all):
    for transcript in transcripts_of_all.values():
        ids = [token.id for token in transcript.tokens]
        assert tiny._network.decoding.decode_tokens_to_str_with_strip_punctuation(ids) == transcript.text
        assert text_of(transcript.tokens) == transcript.text
        assert tiny._network.tokenizer.ids_to_tokens(ids) == [token.piece for token in transcript.tokens]


def test_tokens_are_in_order_within_the_clip_and_do_not_overlap(clips, transcripts_of_all):
    for name, transcript in transcripts_of_all.items():
        times = [(token.start_s, token.end_s) for token in transcript.tokens]
        assert all(start_s <= end_s for start_s, end_s in times)
        assert all(end_s <= start_s for (_, end_s), (start_s, _) in itertools.pairwise(times))
        assert all(start_s >= 0 and end_s <= len(clips[name]) / 16_000 for start_s, end_s in times)


def test_no_token_ends_after_a_clip_that_is_cut_off(tiny, clips):
    lengths = range(20_000, 60_000, 5_111)
    transcripts = tiny.transcribe(tiny.collate([clips["rhvoice-slt-1.flac"][:length] for length in lengths]))
    ends_s = [
        (length / 16_000, transcript.tokens[-1].end_s) for length, transcript in zip(lengths, transcripts, strict=True)
    ]
    assert all(end_s <= clip_s for clip_s, end_s in ends_s)
    assert any(end_s == clip_s for clip_s, end_s in ends_s)


def test_times_and_probabilities_are_those_of_nemos_decoder(tiny, clips):
    # NeMo keeps the logits of every step here: too much memory for the service, but independent of the engine.
    network = tiny._network
    steps = type(tiny._decoder._plain.large)(
        network.decoder, network.joint, 256, network.cfg.decoding.durations, 10, preserve_alignments=True,
        include_duration=True,
    )  # fmt: skip
    batch = tiny.collate([clips[name] for name in ("piper-joe-1.flac", "noise-hum-2s.flac", "long-30s.flac")])
    encoded, lengths = tiny.encode(batch)
    with torch.inference_mode():
        found, _ = steps(encoded.transpose(1, 2), lengths)
    for row, transcript in enumerate(tiny.transcribe(batch)):
        emitted = (found.transcript[row] != 256).nonzero()[:, 0]
        emitted = emitted[emitted < found.current_lengths[row]]
        ids = found.transcript[row, emitted]
        logprobs = found.logits[row, emitted, :257].log_softmax(-1).gather(1, ids[:, None])[:, 0]
        starts = found.timestamps[row, emitted]
        assert [token.id for token in transcript.tokens] == ids.tolist()
        assert [token.logprob for token in transcript.tokens] == pytest.approx(logprobs.tolist(), abs=1e-4)
        assert [token.start_s for token in transcript.tokens] == pytest.approx((starts * FRAME_SECONDS).tolist())
        ends_s = (starts + found.token_durations[row, emitted]) * FRAME_SECONDS
        assert [token.end_s for token in transcript.tokens] == pytest.approx(
            ends_s.clamp(max=batch.clips_s[row]).tolist()
        )


def test_probabilities_are_finite_and_lower_where_the_sound_is_worse(tiny, clips):
    clear = clips["piper-joe-1.flac"]
    noise = np.random.default_rng(0).normal(scale=np.sqrt(np.mean(clear**2)), size=len(clear)).astype(np.float32)
    means = []
    for transcript in tiny.transcribe(tiny.collate([clear, clear + noise / 2])):
        logprobs = [token.logprob for token in transcript.tokens]
        assert all(math.isfinite(logprob) and logprob <= 0 for logprob in logprobs)
        means.append(sum(logprobs) / len(logprobs))
    assert means[1] < means[0] < 0


def test_what_leaves_the_model_is_plain_python(tiny, clips):
    [transcript] = tiny.transcribe(tiny.collate([clips["piper-joe-1.flac"]]))
    token = transcript.tokens[0]
    assert [type(value) for value in (transcript.text, token.id, token.piece)] == [str, int, str]
    assert {type(value) for value in (token.start_s, token.end_s, token.logprob)} == {float}


def test_any_pieces_are_spelled_as_nemo_spells_them(tiny):
    chance = random.Random(0)
    marks = [216, 232, 236, 248, 0, 204]  # . , ? ' <unk> and the mark of a word's start
    for _ in range(2000):
        ids = [chance.choice(marks) if chance.random() < 0.5 else chance.randrange(256) for _ in range(12)]
        expected = tiny._network.decoding.decode_tokens_to_str_with_strip_punctuation(ids)
        assert spelled(tiny._network.tokenizer.ids_to_tokens(ids)) == expected


def test_byte_pieces_are_joined_to_characters(tmp_path):
    sentences = iter(["a tokenizer of few letters spells all others in bytes"] * 10)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences, model_prefix=str(tmp_path / "bytes"), vocab_size=290, byte_fallback=True,
        model_type="bpe", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "bytes.model"))
    for text in ("a letter", "\u65e5\u672c \u00fc spells \u20ac 5", "\U0001f600"):
        pieces = tokenizer.encode(text, out_type=str)
        assert spelled(pieces) == tokenizer.decode_pieces(pieces) == text
    assert spelled(["\u2581a", "<0xE2>", "<0x82>"]).startswith("a\ufffd")


def test_most_clips_are_transcribed_word_for_word(tiny, clips, transcripts):
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


def test_nemos_local_layers_themselves_are_undamaged(nemos, nemos_full, clips):
    # They serve longer clips only; on one within their reach they may differ from full attention by rounding, while the
    # random biases that NeMo adds would move the output by tenths.
    batch = nemos.collate([clips["rhvoice-slt-1.flac"]])
    network = nemos._network
    features, lengths = network.preprocessor(input_signal=batch.audio.samples, length=batch.audio.lengths)
    local_output, _ = network.encoder(audio_signal=features, length=lengths)
    assert network.encoder.self_attention_model == "rel_pos_local_attn"
    assert torch.allclose(local_output, nemos_full.encode(batch)[0], atol=1e-4)


def test_local_attention_is_full_attention_bit_for_bit_where_it_reaches_everything(
    tiny, full, nemos, nemos_full, clips
):
    seconds = LOCAL_REACH_FRAMES * 0.08 - 0.04
    reached = [clips["long-30s.flac"][: int(seconds * 16_000)], clips["piper-joe-1.flac"]]
    for local, whole in ((tiny, full), (nemos, nemos_full)):
        batch = local.collate(reached)
        (local_output, lengths), (full_output, _) = local.encode(batch), whole.encode(batch)
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
def test_a_model_that_cannot_be_loaded_is_rejected_in_one_sentence(model_id, says):
    with pytest.raises(ModelUnavailable) as error:
        NemoModel.load(Settings(model_id=model_id))
    assert says in str(error.value)
    assert model_id in str(error.value)
    assert "\n" not in str(error.value)


def test_a_gpu_that_is_not_there_is_rejected_in_one_sentence():
    with pytest.raises(ModelUnavailable, match=r"PARAKEET_DEVICE=cuda:99, but torch sees \d+ GPUs"):
        NemoModel.load(Settings(model_id="tiny", device="cuda:99"))


def test_sub_batches_come_back_in_the_order_of_the_batch(tiny, clips):
    """Clips of 2 to 30 s are encoded in several sub-batches."""
    names = ("long-30s", "piper-joe-1", "long-30s", "flite-slt-1", "rhvoice-bdl-2")
    mixed = [clips[f"{name}.flac"] for name in names]
    assert len(split_by_length([len(clip) for clip in mixed], round(CPU_GROUP_S * 16_000))) > 1
    together = tiny.transcribe(tiny.collate(mixed))
    alone = [tiny.transcribe(tiny.collate([clip]))[0] for clip in mixed]
    assert [each.text for each in together] == [each.text for each in alone]
    assert [len(each.tokens) for each in together] == [len(each.tokens) for each in alone]


class Graphs:
    """A decoder on a GPU whose CUDA graphs do not work, as far as warming up uses it."""

    def __init__(self, *, fails_without: bool = False) -> None:
        self.used = True
        self._fails_without = fails_without

    def decode(self, *_: object) -> list[tuple[Token, ...]]:
        if self.used or self._fails_without:
            raise RuntimeError("CUDA failure! 35")
        return [()]

    def warm_up(self, clips: int, frames: int) -> None:
        self.ready_for = clips, frames

    def disable_graphs(self) -> bool:
        used, self.used = self.used, False
        return used


class OnGpu(NemoModel):
    """A model on a GPU that is not there; it only decodes."""

    def __init__(self, decoder: Graphs) -> None:
        super().__init__(None, torch.device("cuda"), None, cast(Decoder, decoder), BatchLimits())

    def collate(self, clips, keywords=None) -> None:
        pass

    def transcribe(self, batch) -> None:
        self._decoder.decode(None, None, None, None)

    def advance(self, batch) -> list[StepResult]:
        return [StepResult((), None)]


def test_where_cuda_graphs_fail_the_decoder_goes_on_without_them_and_says_so(caplog):
    decoder = Graphs()
    OnGpu(decoder).warm_up(8, 120)
    assert not decoder.used
    assert decoder.ready_for == (8, 1504), "the most clips and the longest ones, for which no batch is captured anew"
    assert "without" in caplog.text
    assert "CUDA failure! 35" in caplog.text


def test_a_model_that_does_not_run_without_cuda_graphs_either_fails_to_warm_up():
    with pytest.raises(RuntimeError, match="CUDA failure"):
        OnGpu(Graphs(fails_without=True)).warm_up(8, 120)


def test_warming_up_the_decoder_changes_no_transcript(tiny, clips):
    before = tiny.transcribe(tiny.collate([clips["piper-joe-1.flac"]]))
    tiny._decoder.warm_up(3, 40)
    assert tiny.transcribe(tiny.collate([clips["piper-joe-1.flac"]])) == before
