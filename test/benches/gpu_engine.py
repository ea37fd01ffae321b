"""The part of `gpu_check.py` for the engine: batches of one clip to many, in each way to run them.

A figure is the median of several runs, from samples in memory to texts. The stages are from one more run, in which each
waits for the GPU, so their sum may exceed the whole. Features in one graph with the encoder count as encoder, and are
also timed by themselves, in one padded batch. The share is the rate of the encoder's matrix products, counted for the
seconds of audio, relative to that of a large matrix product; the rest is lost to padding, attention and all else.
"""

import gc
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any
from unittest.mock import patch

import search_path
import client
import engine_bench
import numpy as np
from bench_model import checkpoint
from columns import Cell
from engine_bench import Bench, Way, random_clips
from gpu_machine import matrix_flops
from gpu_part import Clock, Rows, arguments, median_s, print_log, put, say

from src.audio.samples import SAMPLE_RATE
from src.engine.device_errors import MemoryExhausted, is_out_of_memory, one_line
from src.engine.frames import FRAME_SECONDS
from src.engine.nemo_model import NemoModel
from src.settings import Settings

WARM_UPS, RUNS = 2, 5
NEMO = "NeMo's transcribe()"


@dataclass(frozen=True)
class Setup:
    """A way to run the engine."""

    name: str
    settings: dict[str, Any]
    kernels: bool = True
    """Whether Triton's kernels are allowed."""


NO_LONGER = {"chunk_seconds": 30}
"""For the ways that are only compared: graphs cover the clips of the batches, not longer ones."""
SETUPS = (
    Setup("engine", {}),
    Setup("no kernels", NO_LONGER, kernels=False),
    Setup("no kernels, no graphs", NO_LONGER | {"cuda_graphs": "off"}, kernels=False),
    Setup("NeMo's encoder", NO_LONGER | {"encoder": "nemo"}),
)
"""The first is the default."""


@dataclass(frozen=True)
class Figures:
    """The figures of one way for one batch. Times in milliseconds, None for a stage that it does not have."""

    features_ms: float | None
    encoder_ms: float | None
    decoder_ms: float | None
    text_ms: float | None
    whole_ms: float
    audio_s_per_s: float
    share_percent: float


NAMES = ("features", "encoder", "decoder", "text", "whole ms", "audio s/s", "share %")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    import torch

    options = arguments("Measure the engine.", argv)
    print_log()
    model = checkpoint(options.model)
    batches = cases(quick=options.quick)
    flops = matrix_flops(torch.device(options.device))
    clock, took_s = Clock(options.limit), 0.0
    for setup in SETUPS[:1] if options.quick else SETUPS:
        if not clock.allows(took_s, setup.name):
            break
        started_s = time.monotonic()
        run_setup(setup, Settings(model_id=model, device=options.device, **setup.settings), batches, flops)
        gc.collect()  # frees its memory for the next one
        took_s = time.monotonic() - started_s
    return 0


def run_setup(setup: Setup, settings: Settings, batches: dict[str, list[np.ndarray]], flops: float) -> None:
    """Report the figures of one way for each batch, and after the first way those of NeMo's `transcribe()`."""
    say(f"{setup.name}: {setup.settings or 'default settings'}")
    with nullcontext() if setup.kernels else without_kernels():
        bench = Bench(settings, [])
    stages = engine_bench.engine_stages(bench.engine)
    report(bench, Way(setup.name, [], bench.run_engine, stages), batches, flops)
    if setup is SETUPS[0]:
        nemo = Way(NEMO, [], bench.running_nemo(bench.full), engine_bench.nemo_stages(bench.full))
        report(bench, nemo, batches, flops)


def without_kernels() -> AbstractContextManager[object]:
    """Load models as on a machine that cannot compile Triton's kernels."""
    return patch("src.engine.toolchain.missing", lambda: "left out, for comparison")


def cases(*, quick: bool) -> dict[str, list[np.ndarray]]:
    """Return the batches by name, with their clips in order of length."""
    if quick:
        return {"1 x 2 s": random_clips(1, 2.0, 2.0), "3 x 1-3 s": by_length(random_clips(3, 1.0, 3.0))}
    return {
        "1 x 8 s": random_clips(1, 8.0, 8.0),
        "8 x 8 s": random_clips(8, 8.0, 8.0),
        "32 x 2-30 s": by_length(random_clips(32, 2.0, 30.0)),
        "128 x 2-30 s": by_length(random_clips(128, 2.0, 30.0)),
        "128 x 15 s": random_clips(128, 15.0, 15.0),
    }


def by_length(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return clips sorted by length, the longest first."""
    return sorted(clips, key=len, reverse=True)


def report(bench: Bench, way: Way, batches: dict[str, list[np.ndarray]], flops: float) -> None:
    """Report the figures of one way for each batch that fits into memory; a large matrix product runs at `flops`."""
    rows = Rows(way.name, NAMES, 20)
    for name, clips in batches.items():
        try:
            figures = measured(bench, way, clips, flops)
        except Exception as error:
            if not isinstance(error, MemoryExhausted) and not is_out_of_memory(error):
                raise
            say(f"{name}: {one_line(error)}")
            continue
        rows.add(name, cells(figures))
        put(**{f"{way.name}, {name}": asdict(figures)})


def measured(bench: Bench, way: Way, clips: list[np.ndarray], flops: float) -> Figures:
    """Return the figures of one way for clips in one batch."""
    bench.clips = clips
    batch = Way(way.name, [list(range(len(clips)))], way.run, way.stages)
    spent_s = sorted([bench.timed(batch)[1] for _ in range(WARM_UPS + RUNS)][WARM_UPS:])
    whole_s = spent_s[len(spent_s) // 2]
    stages_s = bench.stages(batch)
    audio_s = sum(map(len, clips)) / SAMPLE_RATE
    stages_ms = {
        f"{stage}_ms": stages_s[stage] * 1000 if stage in way.stages else None
        for stage in ("features", "encoder", "decoder", "text")
    }
    if "features" not in way.stages:
        stages_ms["features_ms"] = features_ms(bench.engine, clips)
    needed = audio_s * flop_per_audio_s(bench.engine._network.cfg.encoder)
    share = needed / whole_s / flops
    return Figures(**stages_ms, whole_ms=whole_s * 1000, audio_s_per_s=audio_s / whole_s, share_percent=share * 100)


def features_ms(engine: NemoModel, clips: Sequence[np.ndarray]) -> float:
    """Return how long the features of clips take in one padded batch, without a graph."""
    import torch

    lengths = torch.tensor([len(clip) for clip in clips])
    audio = torch.zeros(len(clips), int(lengths.max()))
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    audio, lengths = audio.to(engine._device), lengths.to(engine._device)
    with torch.inference_mode():
        graphed: Any = engine._encoder
        return median_s(lambda: graphed._features(audio, lengths), engine._device) * 1000


def flop_per_audio_s(encoder: Any) -> float:
    """Return the operations of the matrix products in an encoder's layers per second of audio, by NeMo's configuration.

    For each frame a layer has two feed-forward modules of two matrices, four matrices in its attention, and two, of
    which one is twice as large, around its convolution.
    """
    squares = 4 * encoder.ff_expansion_factor + 4 + 3
    return float(2 * encoder.n_layers * squares * encoder.d_model**2 / FRAME_SECONDS)


def cells(figures: Figures) -> list[Cell]:
    """Return a row of the table."""
    return list(asdict(figures).values())


if __name__ == "__main__":
    sys.exit(client.run(main))
