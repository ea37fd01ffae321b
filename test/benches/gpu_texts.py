"""The part of `gpu_check.py` for texts: whether half precision, in graphs and in any batch, gives those of float32.

Every bundled clip is transcribed alone and in mixed batches, and each text is compared with the stored one: that of the
bundled checkpoint, and of those widened from it, in float32 on a CPU. For other checkpoints, which have no stored
texts, the reference is each clip alone in float32, with NeMo's encoder and without graphs.

Each number format is also timed on one large batch, because the two may differ in speed.
"""

import argparse
import csv
import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import chain

import search_path
import client
import numpy as np
from bench_model import WIDE, checkpoint
from engine_bench import random_clips
from gpu_part import DIFFERENT, arguments, median_s, print_log, put, say

from src.engine.nemo_model import NemoModel
from src.settings import Settings

BATCH, ROUNDS = 64, 4
SHOWN = 20
"""Number of differing texts that are printed; the figures have all."""

Samples = np.ndarray


@dataclass(frozen=True)
class Difference:
    """A text that differs from the expected one."""

    file: str
    words: str
    """The differing words as `expected -> transcribed`, separated by commas."""
    times: int
    """Number of occurrences."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments("Compare the texts of half precision with those of float32.", argv)
    print_log()
    started_s = time.perf_counter()
    model = checkpoint(options.model)
    built_s = time.perf_counter() - started_s
    say(f"{options.model}: there after {built_s:.1f} s")
    put(checkpoint_s=built_s)
    clips = bundled_clips(quick=options.quick)
    expected = stored_texts() if is_stored(options.model) else float32_texts(model, options.device, clips)
    dtypes = ("bfloat16", "float16") if options.device == "cuda" else ("float32",)
    found = [compare(dtype, model, options, clips, expected) for dtype in dtypes]
    return DIFFERENT if any(found) else 0


def bundled_clips(*, quick: bool) -> dict[str, Samples]:
    """Return the bundled clips by file name; only some short ones if `quick`."""
    paths = client.short_clips()[::4] if quick else sorted(client.CLIPS.glob("*.flac"))
    return {path.name: client.samples_of(path) for path in paths}


def is_stored(model: str) -> bool:
    """Whether the stored texts are those of a checkpoint."""
    return model == "tiny" or model in WIDE


def stored_texts() -> dict[str, str]:
    """Return the bundled checkpoint's text for each clip, by file name."""
    with (client.CLIPS / "transcripts.tsv").open() as file:
        return {row["file"]: row["heard"] for row in csv.DictReader(file, delimiter="\t")}


def float32_texts(model: str, device: str, clips: Mapping[str, Samples]) -> dict[str, str]:
    """Return a checkpoint's text for each clip alone, computed in the plainest way."""
    say("float32, NeMo's encoder, no graphs, as the reference:")
    engine = NemoModel.load(Settings(model_id=model, device=device, dtype="float32", encoder="nemo", cuda_graphs="off"))
    return {name: texts_of(engine, [clip])[0] for name, clip in clips.items()}


def compare(
    dtype: str, model: str, options: argparse.Namespace, clips: Mapping[str, Samples], expected: Mapping[str, str]
) -> list[Difference]:
    """Report and return the texts of one number format that differ from the expected ones."""
    say(f"{dtype}:")
    engine = NemoModel.load(Settings(model_id=model, device=options.device, dtype=dtype))
    alone = [(name, texts_of(engine, [clip])[0]) for name, clip in clips.items()]
    groups = mixed(list(clips), 8 if options.quick else BATCH, 1 if options.quick else ROUNDS)
    results = [texts_of(engine, [clips[name] for name in group]) for group in groups]
    together = list(chain.from_iterable(zip(*each, strict=True) for each in zip(groups, results, strict=True)))
    differences = []
    for how, texts in (("alone", alone), ("mixed", together)):
        found = differing(texts, expected)
        other = sum(each.times for each in found)
        say(f"  {how}: {len(texts) - other} of {len(texts)} texts are those of float32")
        for each in found[:SHOWN]:
            say(f"    {each.file}: {each.words} ({each.times} times)")
        put(
            **{f"{dtype}_{how}": {"texts": len(texts), "other": other, "differences": [asdict(each) for each in found]}}
        )
        differences += found
    ms = large_batch_ms(engine, quick=options.quick)
    say(f"  {'4 x 2' if options.quick else '128 x 15'} s in {ms:.1f} ms")
    put(**{f"{dtype}_large_batch_ms": ms})
    del engine
    gc.collect()  # frees its memory for the next one
    return differences


def large_batch_ms(engine: NemoModel, *, quick: bool) -> float:
    """Return the milliseconds that an engine takes for many equal clips."""
    clips = random_clips(4, 2.0, 2.0) if quick else random_clips(128, 15.0, 15.0)
    return median_s(lambda: texts_of(engine, clips), engine._device) * 1000


def mixed(names: Sequence[str], size: int, rounds: int) -> list[list[str]]:
    """Return random batches of `size` names, each name in at least one of them, the same in each run."""
    chance = random.Random(0)
    drawn: list[str] = []
    while len(drawn) < rounds * size or len(drawn) < len(names):
        drawn += chance.sample(names, len(names))
    return [drawn[start : start + size] for start in range(0, max(rounds * size, len(names)), size)]


def texts_of(engine: NemoModel, clips: Sequence[Samples]) -> list[str]:
    """Return an engine's texts for clips in one batch."""
    return [transcript.text for transcript in engine.transcribe(engine.collate(clips))]


def differing(texts: Sequence[tuple[str, str]], expected: Mapping[str, str]) -> list[Difference]:
    """Return those of `texts`, (file, text), that differ from the expected ones, the most frequent first."""
    others = Counter((file, text) for file, text in texts if text != expected[file])
    return [
        Difference(file, differing_words(expected[file], text), times) for (file, text), times in others.most_common()
    ]


def differing_words(expected: str, actual: str) -> str:
    """Return the words in which two texts differ, as `expected -> transcribed`."""
    before, after = expected.split(), actual.split()
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    pairs = [(before[i:j], after[k:m]) for tag, i, j, k, m in changes if tag != "equal"]
    return ", ".join(f"{' '.join(left) or '-'} -> {' '.join(right) or '-'}" for left, right in pairs)


if __name__ == "__main__":
    sys.exit(client.run(main))
