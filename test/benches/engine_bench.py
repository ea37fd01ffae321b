"""The speed of the engine and of NeMo's own `transcribe()`, without HTTP: the same clips, in turns, in one run.

python3 test/benches/engine_bench.py [--model MODEL] [--clips N] [--seconds MIN MAX] [--batches N ...] [--rounds N]

`transcribe()` gets the clips as in the Open ASR leaderboard, sorted by length and in large batches, but from memory
rather than from files, which is faster; once with the checkpoint's full attention and once with the local attention of
the service's settings. The engine gets the same batches, and those that the scheduler forms from a full queue with the
clips in random order. Each round runs all of them in turn; a figure is that of the fastest round. The reference texts
are those of `transcribe()` on one clip at a time, with full attention and with local attention. The two may differ for
clips longer than the local context, and the engine must agree with the one that it is set to.

`--model` is `tiny`, a path, a hub id, or `wide-0.6b`: `tiny` widened to the published shape (`wide_parakeet.py`), made
on first use in the results folder. The clips are bundled clips joined to random lengths, the same in each run. The
table is also saved as `test/results/engine_bench.txt` and `.json`.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import search_path
import client
import client_report
import numpy as np
from bench_model import add_model_argument, checkpoint
from columns import Cell, columns

from src.audio.samples import SAMPLE_RATE
from src.engine.batch_limits import BatchLimits
from src.engine.checkpoint import find_checkpoint
from src.engine.decoder.cuda_graphs import set_up_graphs
from src.engine.encoder.attention import LocalAttention
from src.engine.encoder.nemo_encoder import NemoEncoder
from src.engine.model import Batch
from src.engine.nemo_model import NemoModel
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job, Slot
from src.settings import Settings

LATENCY_CLIP_S = 8.0
LATENCY_RUNS = 5
STAGES = ("features", "encoder", "decoder", "text", "rest")


class Stopwatch:
    """Adds up the time of named methods. On a GPU it waits for the end of each call, which costs some speed."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.spent_s: dict[str, float] = {}
        self._wait = wait

    @contextmanager
    def on(self, methods: dict[str, tuple[Any, str]]) -> Iterator[None]:
        """Time the given methods or attributes, (owner, name) under a name for each, while the block runs."""
        own = {stage: vars(owner).get(name) for stage, (owner, name) in methods.items()}
        for stage, (owner, name) in methods.items():
            setattr(owner, name, self._timed(stage, getattr(owner, name)))
        try:
            yield
        finally:
            for stage, (owner, name) in methods.items():
                delattr(owner, name)  # the class's own attribute becomes visible again
                if own[stage] is not None:
                    setattr(owner, name, own[stage])

    def _timed(self, stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._wait()
            started_s = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self._wait()
                self.spent_s[stage] = self.spent_s.get(stage, 0.0) + time.perf_counter() - started_s

        return timed


@dataclass(frozen=True)
class Way:
    """One way to transcribe: groups of clips, by number, and the function that transcribes them in that order."""

    name: str
    groups: list[list[int]]
    run: Callable[[list[list[int]]], list[str]]
    stages: dict[str, tuple[Any, str]]


@dataclass(frozen=True)
class Figures:
    """The figures of one way. Times in seconds; `other_than_*` count the texts that differ from the reference's."""

    way: str
    rtfx: float
    times: float
    """RTFx divided by that of the first way."""
    padding: float
    """Share of padding in the batches' samples."""
    other_than_full: int
    other_than_local: int
    stages_s: dict[str, float]
    gpu_peak_gb: float | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    clips = random_clips(options.clips, *options.seconds)
    settings = Settings(model_id=checkpoint(options.model), device=options.device, dtype=options.dtype)
    bench = Bench(settings, clips)
    figures = bench.compare(bench.ways(options.batches), options.rounds)
    text = client_report.table(head_rows(options, clips, bench)) + "\n" + table(figures) + "\n" + latency_table(bench)
    print(text, end="")
    client_report.save(options.results / "engine_bench.txt", text)
    saved = {"model": options.model, "device": bench.device, "ways": [asdict(each) for each in figures]}
    client_report.save(options.results / "engine_bench.json", json.dumps(saved, indent=2) + "\n")
    return 1 if any(each.other_than_local for each in figures if each.way.startswith("engine")) else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Compare the engine with NeMo's transcribe() on the same clips.")
    add_model_argument(parser)
    parser.add_argument("--clips", type=client.positive_int, default=128, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--seconds",
        type=client.positive,
        nargs=2,
        default=(2.0, 30.0),
        metavar=("MIN", "MAX"),
        help="lengths of the clips (default: 2 30)",
    )
    parser.add_argument(
        "--batches", type=client.positive_int, nargs="+", default=[32, 128], metavar="N", help="(default: 32 128)"
    )
    parser.add_argument("--rounds", type=client.positive_int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", help="PARAKEET_DEVICE (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="PARAKEET_DTYPE, for both (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def random_clips(count: int, min_s: float, max_s: float) -> list[np.ndarray]:
    """Return clips of 16 kHz mono float32 and random lengths: bundled speech, joined and cut."""
    chance = random.Random(0)
    spoken = [client.samples_of(path) for path in client.short_clips() if is_speech(path)]
    clips = []
    for _ in range(count):
        wanted = round(chance.uniform(min_s, max_s) * SAMPLE_RATE)
        pieces: list[np.ndarray] = []
        while sum(map(len, pieces)) < wanted:
            pieces.append(chance.choice(spoken))
        clips.append(np.concatenate(pieces)[:wanted])
    return clips


def is_speech(path: Path) -> bool:
    """Whether a bundled clip has speech, by its name."""
    return not path.name.startswith(("noise", "silence"))


class Bench:
    """The engine and two plain NeMo models, one with local attention, on the same clips."""

    def __init__(self, settings: Settings, clips: list[np.ndarray]) -> None:
        self.settings = settings
        self.clips = clips
        self.engine = NemoModel.load(settings)
        self._collator = ThreadPoolExecutor(1)

    @cached_property
    def full(self) -> Any:
        """A plain NeMo model, with the checkpoint's full attention."""
        return plain_model(self.settings, self.engine)

    @cached_property
    def local(self) -> Any:
        """The same with local attention."""
        network = plain_model(self.settings, self.engine)
        LocalAttention(network, self.settings.local_attention_context)
        return network

    @property
    def device(self) -> str:
        """The device of the network."""
        import torch

        device = self.engine._device
        return (
            torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        )

    def ways(self, batches: Sequence[int]) -> list[Way]:
        """Return the ways to compare; the first is the baseline."""
        sorted_groups = {size: by_length(self.clips, size) for size in batches}
        engine, ours = self.run_engine, engine_stages(self.engine)
        result = []
        for size, groups in sorted_groups.items():
            full, local = self.running_nemo(self.full), self.running_nemo(self.local)
            result.append(Way(f"transcribe() {size} sorted, full", groups, full, nemo_stages(self.full)))
            result.append(Way(f"transcribe() {size} sorted, local", groups, local, nemo_stages(self.local)))
            result.append(Way(f"engine {size} sorted", groups, engine, ours))
        result.append(Way("engine, scheduler's batches", scheduled(self.clips, self.engine.limits), engine, ours))
        return result

    def run_engine(self, groups: list[list[int]]) -> list[str]:
        """Transcribe groups of clips, collating each while the one before it runs, like the scheduler's lanes."""
        texts = []
        for batch in self._ahead(groups):
            texts += [transcript.text for transcript in self.engine.transcribe(batch)]
        return texts

    def _ahead(self, groups: list[list[int]]) -> Iterator[Batch]:
        joined = [self._collator.submit(self._collate, group) for group in groups[:2]]
        for group in [*groups[2:], None, None][: len(groups)]:
            yield joined.pop(0).result()
            if group is not None:
                joined.append(self._collator.submit(self._collate, group))

    def _collate(self, group: list[int]) -> Batch:
        return self.engine.collate([self.clips[number] for number in group])

    def running_nemo(self, network: Any) -> Callable[[list[list[int]]], list[str]]:
        """Return a function that transcribes groups, all but the last of one size, in one call of `transcribe()`."""

        def run(groups: list[list[int]]) -> list[str]:
            clips = [self.clips[number] for group in groups for number in group]
            results = network.transcribe(clips, batch_size=len(groups[0]), verbose=False)
            return [each.text for each in results]

        return run

    def reference(self, network: Any) -> list[str]:
        """Return the text of `transcribe()` for each clip alone."""
        return self.running_nemo(network)([[number] for number in range(len(self.clips))])

    def compare(self, ways: Sequence[Way], rounds: int) -> list[Figures]:
        """Run all ways in turns, then each once more with a stopwatch on its stages."""
        full, local = self.reference(self.full), self.reference(self.local)
        best_s = [float("inf")] * len(ways)
        texts: list[list[str]] = [[] for _ in ways]
        peaks: list[float | None] = [None] * len(ways)
        for number in range(rounds):
            for at, way in enumerate(ways):
                texts[at], wall_s, peaks[at] = self.timed(way)
                best_s[at] = min(best_s[at], wall_s)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
        audio_s = sum(map(len, self.clips)) / SAMPLE_RATE
        return [
            Figures(
                way.name,
                rtfx=audio_s / best_s[at],
                times=best_s[0] / best_s[at],
                padding=padding(self.clips, way.groups),
                other_than_full=others(way, texts[at], full),
                other_than_local=others(way, texts[at], local),
                stages_s=self.stages(way),
                gpu_peak_gb=peaks[at],
            )
            for at, way in enumerate(ways)
        ]

    def timed(self, way: Way) -> tuple[list[str], float, float | None]:
        """Return the texts, the seconds and, on a GPU, the peak memory in GB of one run."""
        import torch

        on_gpu = self.engine._device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self.wait()
        started_s = time.perf_counter()
        texts = way.run(way.groups)
        self.wait()
        wall_s = time.perf_counter() - started_s
        return texts, wall_s, torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None

    def stages(self, way: Way) -> dict[str, float]:
        """Return the seconds of each of `STAGES` in one run."""
        watch = Stopwatch(self.wait)
        with watch.on(way.stages):
            _, wall_s, _ = self.timed(way)
        spent_s = dict.fromkeys(STAGES, 0.0) | watch.spent_s
        # The method that makes the text contains other stages.
        spent_s["text"] -= sum(spent_s[stage] for stage in way.stages if stage in INSIDE_TEXT[way.stages["text"][1]])
        spent_s["rest"] = wall_s - sum(spent_s.values())
        return spent_s

    def wait(self) -> None:
        """Wait until the GPU, if there is one, is idle."""
        import torch

        if self.engine._device.type == "cuda":
            torch.cuda.synchronize()

    def latency_s(self, clips: int, run: Callable[[list[list[int]]], list[str]]) -> float:
        """Return the seconds of the fastest batch of `clips` equal clips."""
        kept, self.clips = self.clips, random_clips(clips, LATENCY_CLIP_S, LATENCY_CLIP_S)
        try:
            group = [list(range(clips))]
            return min(self.timed(Way("", group, run, {}))[1] for _ in range(LATENCY_RUNS))
        finally:
            self.clips = kept


INSIDE_TEXT = {
    "transcribe": ("features", "encoder", "decoder"),
    "rnnt_decoder_predictions_tensor": ("decoder",),
}
"""The stages inside the method whose remaining time is that of the text."""


def engine_stages(engine: NemoModel) -> dict[str, tuple[Any, str]]:
    """Return the methods of the engine's stages."""
    from src.engine.encoder.graphed_encoder import GraphedEncoder

    batches: Any = engine._encoder
    parts: dict[str, tuple[Any, str]]
    if isinstance(batches, GraphedEncoder):  # the features are in its graphs
        parts = {"encoder": (batches, "encode")}
    elif isinstance(encoder := batches.encode_audio, NemoEncoder):
        parts = {"features": (encoder._preprocessor, "forward"), "encoder": (encoder._encoder, "forward")}
    else:
        parts = {"features": (encoder, "features"), "encoder": (encoder, "encoder")}
    return parts | {"decoder": (engine._decoder, "_decode"), "text": (engine, "transcribe")}


def nemo_stages(network: Any) -> dict[str, tuple[Any, str]]:
    """Return the methods of the stages of NeMo's `transcribe()`."""
    return {
        "features": (network.preprocessor, "forward"),
        "encoder": (network.encoder, "forward"),
        "decoder": (network.decoding.decoding, "forward"),
        "text": (network.decoding, "rnnt_decoder_predictions_tensor"),
    }


def plain_model(settings: Settings, engine: NemoModel) -> Any:
    """Return the checkpoint as NeMo loads it, in evaluation mode, on the engine's device and in its dtype."""
    from nemo.collections.asr.models import ASRModel

    path = find_checkpoint(settings.model_id)
    network = ASRModel.restore_from(str(path), map_location=engine._device)
    network.eval()
    network.to(next(engine._network.joint.parameters()).dtype)  # as in the leaderboard
    set_up_graphs(network.decoding.decoding.decoding_computer, "full")  # so that our captures do not take its memory
    return network


def others(way: Way, texts: Sequence[str], expected: Sequence[str]) -> int:
    """Return how many texts, in the order of the way's groups, differ from the clips' expected ones."""
    order = [clip for group in way.groups for clip in group]
    return sum(text != expected[clip] for text, clip in zip(texts, order, strict=True))


def by_length(clips: Sequence[np.ndarray], size: int) -> list[list[int]]:
    """Return the numbers of clips in groups of `size`, the longest first."""
    order = sorted(range(len(clips)), key=lambda number: -len(clips[number]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def scheduled(clips: Sequence[np.ndarray], limits: BatchLimits) -> list[list[int]]:
    """Return the batches, as clip numbers, that the scheduler forms from a queue of all clips."""
    queue = JobQueue(
        slots=len(clips),
        max_batch=limits.max_clips,
        max_batch_audio_s=limits.max_audio_s,
        max_audio_s=float("inf"),
        preferred_sizes=limits.preferred_sizes,
    )
    jobs = [Job(Clip(clip), Slot(), enqueued_at=number / 1000) for number, clip in enumerate(clips)]
    numbers = {job: number for number, job in enumerate(jobs)}
    for job in jobs:
        queue.push(job)
    groups = []
    while len(queue):
        groups.append([numbers[job] for job in queue.pop_batch(0.0).batch])
    return groups


def padding(clips: Sequence[np.ndarray], groups: list[list[int]]) -> float:
    """Return the share of padding in the batches."""
    padded = sum(len(group) * max(len(clips[number]) for number in group) for group in groups)
    return 1 - sum(map(len, clips)) / padded


def head_rows(options: argparse.Namespace, clips: Sequence[np.ndarray], bench: Bench) -> list[client_report.Row]:
    """Return the table rows that describe the run."""
    audio_s = sum(map(len, clips)) / SAMPLE_RATE
    low, high = options.seconds
    return [
        ("model", options.model),
        ("device", bench.device),
        ("dtype", str(next(bench.engine._network.joint.parameters()).dtype).removeprefix("torch.")),
        ("clips", f"{len(clips)} of {low:g} to {high:g} s, {audio_s:.0f} s of audio"),
        ("rounds", f"{options.rounds}, the fastest of each counts"),
    ]


def table(figures: Sequence[Figures]) -> str:
    """Return figures as aligned columns; the stages are in seconds, from a separate run."""
    names = [
        "",
        "RTFx",
        "times",
        "padding %",
        "texts not full's",
        "not local's",
        *(f"{stage} s" for stage in STAGES),
        "GPU GB",
    ]
    lines: list[list[Cell]] = [
        [
            each.way,
            each.rtfx,
            each.times,
            each.padding * 100,
            each.other_than_full,
            each.other_than_local,
            *(each.stages_s[stage] for stage in STAGES),
            each.gpu_peak_gb,
        ]
        for each in figures
    ]
    return columns(names, lines)


def latency_table(bench: Bench) -> str:
    """Return how long one clip and eight at once take, in milliseconds."""
    runs = {"transcribe(), full": bench.running_nemo(bench.full), "engine": bench.run_engine}
    lines: list[list[Cell]] = [
        [name, *(bench.latency_s(clips, run) * 1000 for clips in (1, 8))] for name, run in runs.items()
    ]
    return columns([f"{LATENCY_CLIP_S:g} s clips, ms", "one", "eight at once"], lines)


if __name__ == "__main__":
    sys.exit(client.run(main))
