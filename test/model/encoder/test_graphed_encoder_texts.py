"""A clip's text does not depend on its bucket, on its sub-batch, or on the other clips of the batch.

The bundled checkpoint with its encoder in the graphs of a fake GPU is compared with the same without graphs.
"""

import itertools
import logging
import random
import re
from collections.abc import Iterator

import pytest
import soundfile
from fake_gpu import FakeGpu
from media import CLIPS

from src.engine.encoder.nemo_encoder import NemoEncoder
from src.engine.encoder.selection import new_batch_encoder
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.settings import Settings

LIVE = Windowing.from_settings(Settings())


@pytest.fixture(scope="module")
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture(scope="module")
def started() -> list[str]:
    """The log lines of the engine's start."""
    return []


@pytest.fixture(scope="module")
def graphed(gpu, started) -> Iterator[NemoModel]:
    """The engine on a machine with a GPU that has graphs for one and two clips of up to 30 s."""
    log, lines = logging.getLogger("src.engine.nemo_model"), logging.Handler()
    lines.emit = lambda record: started.append(record.getMessage())
    level = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield NemoModel.load(Settings(model_id="tiny", chunk_seconds=30, microbatch_max_batch=2), gpu)
    finally:
        log.removeHandler(lines)
        log.setLevel(level)


@pytest.fixture(scope="module")
def clips():
    return {path.name: soundfile.read(path, dtype="float32")[0] for path in sorted(CLIPS.glob("*.flac"))}


def texts(model: NemoModel, clips) -> list[str]:
    return [transcript.text for transcript in model.transcribe(model.collate(clips))]


@pytest.fixture(scope="module")
def plain(tiny, clips) -> dict[str, str]:
    """The text of each clip without graphs."""
    return dict(zip(clips, texts(tiny, list(clips.values())), strict=True))


def test_the_log_has_the_encoder_and_its_graphs(graphed, started):
    [line] = [line for line in started if line.startswith("Encoder")]
    assert re.fullmatch(
        r"Encoder: own, plain PyTorch, 32 CUDA graphs of features and encoder \(\d+\.\d GB, \d+\.\d s\)", line
    )


def test_nothing_is_captured_if_the_settings_turn_graphs_off(tiny):
    gpu = FakeGpu()
    settings = Settings(model_id="tiny", cuda_graphs="off", chunk_seconds=10, microbatch_max_batch=1)
    assert new_batch_encoder(tiny._encoder.encode_audio, tiny._device, gpu, 1, settings).describe() == "CUDA graphs off"
    assert gpu.captured == 0


def test_nothing_is_captured_of_nemos_encoder(tiny):
    gpu = FakeGpu()
    nemos = NemoEncoder.__new__(NemoEncoder)
    assert new_batch_encoder(nemos, tiny._device, gpu, 1, Settings(model_id="tiny")).describe() == "CUDA graphs off"
    assert gpu.captured == 0


def test_every_clip_alone_has_its_text(graphed, clips, plain, gpu):
    gpu.replays.clear()
    assert {name: texts(graphed, [clip])[0] for name, clip in clips.items()} == plain
    assert len(gpu.replays) == len(clips) - 2  # all but those of one and two minutes


def test_every_clip_in_mixed_batches_has_its_text(graphed, clips, plain, gpu):
    order = random.Random(0).sample(sorted(clips), len(clips))
    gpu.replays.clear()
    found = [texts(graphed, [clips[name] for name in order[at : at + 16]]) for at in range(0, len(order), 16)]
    assert list(itertools.chain(*found)) == [plain[name] for name in order]
    assert len(gpu.replays) >= (len(order) - 2) / 2


def test_keywords_stay_with_their_clips(tiny, graphed, clips):
    names = ["piper-joe-1.flac", "long-30s.flac", "flite-slt-1.flac", "rhvoice-slt-1.flac", "rhvoice-bdl-2.flac"]
    batch = [clips[name] for name in names]
    keywords = [(), ("Denver",), (), ("bicycle", "window"), ()]
    expected, found = (model.transcribe(model.collate(batch, keywords)) for model in (tiny, graphed))
    for one, other in zip(expected, found, strict=True):
        assert other.text == one.text
        assert [token.id for token in other.tokens] == [token.id for token in one.tokens]
        assert [token.start_s for token in other.tokens] == [token.start_s for token in one.tokens]
        assert [token.logprob for token in other.tokens] == pytest.approx(
            [token.logprob for token in one.tokens], abs=1e-3
        )


def live_texts(model: NemoModel, streams) -> list[str]:
    """The live text of each stream, all of which are decoded together, step by step, each beginning a step later."""
    lives = [LiveTranscript(LIVE) for _ in streams]
    waiting = list(range(len(streams)))
    begun = 0
    while waiting:
        begun += 1
        windows = {number: lives[number].next_window(len(streams[number]), ended=True) for number in waiting[:begun]}
        waiting = [number for number in waiting if windows.get(number, True)]
        steps = [
            (lives[number], lives[number].begin_step(window, streams[number][window.start : window.stop]))
            for number, window in windows.items()
            if window
        ]
        if steps:
            found = model.advance(model.collate_steps([step for _, step in steps]))
            for (live, _), each in zip(steps, found, strict=True):
                live.finish_step(each)
    for live in lives:
        live.finish()
    return [live.text for live in lives]


def test_live_text_is_the_same_alone_and_together(tiny, graphed, clips):
    names = ["long-30s.flac", "piper-joe-1.flac", "rhvoice-slt-1.flac", "flite-slt-1.flac", "espeak-mix-1.flac"]
    streams = [clips[name] for name in names]
    expected = [live_texts(tiny, [stream])[0] for stream in streams]
    assert all(expected)
    assert [live_texts(graphed, [stream])[0] for stream in streams] == expected
    assert live_texts(graphed, streams) == expected
