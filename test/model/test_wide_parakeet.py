"""The widened checkpoint: what `tiny` hears, in another shape, and how benchmarks come by it."""

import random
from dataclasses import replace
from pathlib import Path

import bench_model
import client
import numpy as np
import pytest
import torch
import wide_parakeet
from media import CLIPS

from src.audio.decode import decode
from src.engine.encoder import selfcheck
from src.engine.nemo_model import NemoModel
from src.settings import Settings
from src.text.transcript import Token, Transcript

SMALL = wide_parakeet.SHAPES["small"]
TINYS_TOKENS = 256


@pytest.fixture(scope="module")
def path(tiny, tmp_path_factory):
    """The small shape's checkpoint."""
    path = tmp_path_factory.mktemp("wide") / "small.nemo"
    assert wide_parakeet.main(["--size", "small", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def wide(path) -> NemoModel:
    return NemoModel.load(Settings(model_id=str(path)))


@pytest.fixture(scope="module")
def nemos_wide(path) -> NemoModel:
    """The same on NeMo's own encoder, with the whole of NeMo's network."""
    return NemoModel.load(Settings(model_id=str(path), encoder="nemo"))


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    return {path.name: decode(path.read_bytes()) for path in sorted(CLIPS.glob("*.flac"))}


def texts(model: NemoModel, clips, keywords=None) -> list[str]:
    return [transcript.text for transcript in model.transcribe(model.collate(clips, keywords))]


def times(tokens: tuple[Token, ...]) -> list[tuple[int, float, float]]:
    return [(token.id, token.start_s, token.end_s) for token in tokens]


def test_the_stored_texts_are_those_of_tiny(tiny, clips, stored_texts):
    assert {name: texts(tiny, [clip])[0] for name, clip in clips.items()} == stored_texts


def shorter(clips) -> list[str]:
    """The names of the clips of up to half a minute."""
    return [name for name in clips if not name.startswith(("long-60", "long-120"))]


def test_the_texts_of_the_widened_checkpoint_are_those_of_tiny(wide, clips, stored_texts):
    assert all(texts(wide, [clips[name]]) == [stored_texts[name]] for name in shorter(clips))


def test_they_are_so_in_mixed_batches(wide, clips, stored_texts):
    names = shorter(clips)
    random.Random(0).shuffle(names)
    for at in range(0, len(names), 16):
        batch = names[at : at + 16]
        assert texts(wide, [clips[name] for name in batch]) == [stored_texts[name] for name in batch]


def test_tokens_times_and_probabilities_are_those_of_tiny(tiny, wide, clips):
    for name in ("piper-joe-1.flac", "fsdd-jackson-5.flac", "long-30s.flac"):
        [expected], [got] = (model.transcribe(model.collate([clips[name]])) for model in (tiny, wide))
        assert times(got.tokens) == times(expected.tokens)
        logprobs = [token.logprob for token in expected.tokens]
        assert [token.logprob for token in got.tokens] == pytest.approx(logprobs, abs=0.03)  # weights are in float16


def test_the_services_own_encoder_gives_what_nemos_gives(wide, nemos_wide):
    ours, theirs = wide._encoder.encode_audio, nemos_wide._encoder.encode_audio
    assert selfcheck.compare(ours, theirs, torch.device("cpu"), torch.float32, context=128) < 1e-4


def test_with_full_attention_a_long_clip_has_the_text_of_tiny_too(path, clips):
    """The small shape has the positions of `tiny` at any distance."""
    full, tiny = (NemoModel.load(Settings(model_id=each, use_local_attention=False)) for each in (str(path), "tiny"))
    assert texts(full, [clips["long-30s.flac"]]) == texts(tiny, [clips["long-30s.flac"]])


def test_the_shape_is_the_one_that_is_asked_for(nemos_wide):
    network = nemos_wide._network
    first = network.encoder.layers[0]
    assert (network.encoder.d_model, len(network.encoder.layers), first.self_attn.h) == (288, 12, 8)
    assert first.feed_forward1.linear1.weight.shape == (4 * 288, 288)
    assert network.encoder.pre_encode.conv[0].out_channels == 64
    assert (network.decoder.pred_hidden, network.decoder.pred_rnn_layers, network.joint.joint_hidden) == (192, 2, 256)
    assert network.tokenizer.vocab_size == 1024
    assert network.joint.joint_net[-1].out_features == 1024 + 1 + 5


def test_no_part_of_the_network_is_empty(nemos_wide):
    """A GPU that multiplies by zeros runs cooler and faster."""
    for layer in nemos_wide._network.encoder.layers:
        for name, weight in layer.named_parameters():
            if name.endswith("weight") and weight.ndim > 1:
                assert (weight == 0).float().mean() < 0.5, name


def test_added_tokens_never_win(wide):
    joint = wide._network.joint
    chance = torch.Generator().manual_seed(0)
    encoded = 3 * torch.randn(1, 200, joint.encoder_hidden, generator=chance)
    predicted = 3 * torch.randn(1, 5, joint.pred_hidden, generator=chance)
    with torch.inference_mode():
        scores = joint.joint(encoded, predicted)[0]
    others = torch.cat((scores[..., :TINYS_TOKENS], scores[..., 1024:1025]), dim=-1)
    assert (others.amax(dim=-1) - scores[..., TINYS_TOKENS:1024].amax(dim=-1)).min() > 500


def test_added_tokens_come_out_of_no_text_and_no_keyword(wide, clips, stored_texts):
    tokenizer = wide._network.tokenizer
    for text in ("<never300>", "never", "It costs <never1023> dollars."):
        assert max(tokenizer.text_to_ids(text)) < TINYS_TOKENS
    name = "piper-joe-1.flac"
    assert texts(wide, [clips[name]], [("<never300>",)]) == [stored_texts[name]]


@pytest.mark.parametrize("width", [288, 1024])
def test_positions_are_those_of_tiny_within_the_reach_of_local_attention(tiny, width):
    from nemo.collections.asr.parts.submodules.multi_head_attention import RelPositionalEncoding  # `tiny` has loaded it

    def embeddings(wide):
        encoding = RelPositionalEncoding(wide, dropout_rate=0.0)
        encoding.extend_pe(wide_parakeet.REACH + 1, "cpu", torch.float32)
        return encoding.pe[0].double()

    combined = embeddings(width) @ wide_parakeet.combined_sinusoids(144, width).T
    assert (combined - embeddings(144)).abs().max() < 5e-5


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"layers": 11}, "layers at least 12"),
        ({"width": 280}, "width at least 288"),
        ({"width": 432, "heads": 16}, "width at least 36 for each head"),
        ({"heads": 2}, "heads at least 4"),
        ({"channels": 32}, "channels at least 48"),
        ({"predictor": 128, "joint": 128}, "predictor at least 160, joint at least 192"),
        ({"predictor_layers": 1}, "predictor_layers 2"),
        ({"vocabulary": 200}, "vocabulary at least 256"),
    ],
)
def test_a_shape_that_is_too_small_is_refused_with_what_is_wrong(nemos, wrong, says):
    with pytest.raises(ValueError, match=says):
        wide_parakeet.require_room(replace(SMALL, **wrong), nemos._network)


@pytest.mark.parametrize("shape", wide_parakeet.SHAPES.values(), ids=list(wide_parakeet.SHAPES))
def test_the_shapes_hold_tiny(nemos, shape):
    wide_parakeet.require_room(shape, nemos._network)


def test_every_size_has_a_name_that_benchmarks_take():
    assert list(bench_model.WIDE.values()) == list(wide_parakeet.SHAPES)
    assert all(name == f"wide-{size}" for name, size in bench_model.WIDE.items())


@pytest.mark.parametrize("model", ["tiny", "/models/some.nemo", "nvidia/parakeet-tdt-0.6b-v2"])
def test_other_models_of_a_benchmark_are_taken_as_they_are(model, tmp_path):
    assert bench_model.checkpoint(model, tmp_path) == model
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_makes_the_wide_checkpoint_once(monkeypatch, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys\nopen(sys.argv[4], 'a').write(' '.join(sys.argv[1:]))\n")
    monkeypatch.setattr(bench_model, "WIDENING", program)
    made = tmp_path / "wide-0.6b.nemo"
    assert [bench_model.checkpoint("wide-0.6b", tmp_path) for _ in range(2)] == [str(made)] * 2
    assert made.read_text() == f"--size 0.6b --out {made}"


def test_a_wide_checkpoint_that_cannot_be_made_is_told_in_one_sentence(monkeypatch, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys\nsys.exit('out of luck')\n")
    monkeypatch.setattr(bench_model, "WIDENING", program)
    with pytest.raises(client.Failure, match=r"wide-small\.nemo could not be made: out of luck"):
        bench_model.checkpoint("wide-small", tmp_path)


class DeafModel:
    def collate(self, clips):
        return clips

    def transcribe(self, clips):
        return [Transcript("", ())] * len(clips)


def test_the_check_tells_a_text_that_is_not_tinys_by_its_exit_code(tiny, wide, monkeypatch, capsys):
    models = {"tiny": tiny, "wide": wide, "deaf": DeafModel()}
    monkeypatch.setattr(client, "short_clips", lambda: [CLIPS / "piper-joe-1.flac"])
    monkeypatch.setattr(NemoModel, "load", lambda settings: models[settings.model_id])
    assert wide_parakeet.check(Path("wide")) == 0
    assert capsys.readouterr().out.endswith("0 of 1 texts differ from tiny's\n")
    assert wide_parakeet.check(Path("deaf")) == 1
    assert "tiny: The black bicycle is under the tree." in capsys.readouterr().out
