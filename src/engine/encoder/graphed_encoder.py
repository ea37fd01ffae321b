"""The encoder on a GPU: a batch in one copy to the device, and one launch for each of its parts.

An encoder's pass is hundreds of kernels. Python launches them one by one, slower than the GPU does those of a few
clips, and each launch may wait for the interpreter's lock. A CUDA graph launches all at once, but for one shape, at
fixed addresses. So there is a graph for each bucket; all read their input in one place and leave their output in one.
A batch is dealt out to parts that each fit a bucket closely.

How `NemoModel` uses it: `make_ready` once, in the model's thread; for each batch `stage`, in the thread that collates,
which begins its way to the device while the model runs another, and then `encode`, in the model's thread, which waits
for nothing. What fits no bucket, and everything where graphs do not work, is encoded without.

This file loads torch; it is imported when a model is loaded.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from src.audio.samples import Samples
from src.engine.cuda import Capture, Gpu, Work
from src.engine.device_errors import MemoryExhausted, classify_device_errors, one_line
from src.engine.encoder.buckets import Bucket, Buckets
from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.features import Features
from src.engine.encoder.selfcheck import MAX_ERRORS, EncoderMismatch, relative_error
from src.engine.encoder.staging import EMPTY_ROW_SAMPLES, Staged, stage
from src.engine.encoder.sub_batches import Cost, split_batch
from src.engine.frames import frames_in
from src.errors import DeviceLost

log = logging.getLogger(__name__)

MIN_FREE_BYTES = 2 << 30
"""Free memory that capturing leaves to the decoder and to what is encoded without graphs."""
MAX_CAPTURE_S = 40.0
"""For all graphs together. One is expected to take less than 0.1 s, so all are captured unless something is wrong."""
CHECKED = Bucket(8, 128)
"""What is checked beside the smallest and the largest graph: eight clips of 10 s."""
MEASUREMENTS = 3
"""Of what a part costs; the least counts."""


@dataclass(slots=True)
class _Buffers:
    """Where every graph reads its input and leaves its output; a bucket uses the beginning of each."""

    audio: torch.Tensor
    """(samples,) float32."""
    lengths: torch.Tensor
    """(rows,) int64."""
    encoded: torch.Tensor
    """(frames, width)."""
    counts: torch.Tensor
    """(rows,) int64."""
    mels: torch.Tensor | None = None
    """(numbers,) float32: features, where they are not computed in the graphs."""

    @classmethod
    def of(cls, buckets: Buckets, encoder: FastConformerEncoder) -> "_Buffers":
        rows = max(bucket.clips for bucket in buckets)
        samples = max(bucket.clips * bucket.samples for bucket in buckets)
        device = encoder.device
        return cls(
            torch.zeros(samples, device=device),
            torch.full((rows,), EMPTY_ROW_SAMPLES, device=device),
            torch.zeros(max(bucket.size for bucket in buckets), encoder.width, dtype=encoder.dtype, device=device),
            torch.zeros(rows, dtype=torch.int64, device=device),
        )

    def input(self, bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where audio (rows, samples) and lengths (rows,) of a bucket are."""
        audio = self.audio[: bucket.clips * bucket.samples].view(bucket.clips, bucket.samples)
        return audio, self.lengths[: bucket.clips]

    def output(self, bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where what is encoded, (rows, frames, width), and counts (rows,) of a bucket are."""
        encoded = self.encoded[: bucket.size].view(bucket.clips, bucket.frames, -1)
        return encoded, self.counts[: bucket.clips]


_Record = Callable[[_Buffers, Bucket, Capture], Work]


class GraphedEncoder:
    """Features and encoder, replayed where there is a graph for the shape.

    Args:
        features: on the device, as the encoder.
        encoder: what is captured. It pads to no more than a multiple of `buckets.ALIGNMENT` frames.
        gpu: the device.
        buckets: the shapes to be captured.
    """

    def __init__(self, features: Features, encoder: FastConformerEncoder, gpu: Gpu, buckets: Buckets) -> None:
        self._features = features
        self._encoder = encoder
        self._gpu = gpu
        self._wished = self._buckets = buckets
        self._cost = Cost()
        self._graphs: dict[Bucket, Work] = {}
        self._buffers: _Buffers | None = None
        self._captured = ""
        self._taken_bytes = 0
        self._took_s = 0.0

    def describe(self) -> str:
        """Say for the log how many graphs there are, of what, and what they took."""
        if not self._graphs:
            return "CUDA graphs off"
        cost = f"{self._taken_bytes / 1e9:.1f} GB, {self._took_s:.1f} s"
        return f"{len(self._graphs)} CUDA graphs of {self._captured} ({cost})"

    def make_ready(self, *, graphs: bool = True) -> None:
        """Capture the graphs, compare them with the encoder, and measure what a part costs.

        Where that fails, the features are left out of the graphs; where that fails too, or graphs differ, there are
        none. Each is a warning.

        Raises:
            DeviceLost: the device answers to nothing any more.
        """
        started, free_bytes = time.monotonic(), self._gpu.free_bytes
        with torch.inference_mode():
            if graphs:
                self._make_graphs()
            self._measure()
        self._taken_bytes = free_bytes - self._gpu.free_bytes
        self._took_s = time.monotonic() - started

    def stage(self, clips: Sequence[Samples]) -> Staged:
        """Deal out clips of 16 kHz samples and begin to copy them to the device; any thread may do so.

        Raises:
            MemoryExhausted: a smaller batch may do.
            DeviceLost: nothing will do any more.
        """
        parts = split_batch([len(clip) for clip in clips], self._buckets, self._cost)
        with classify_device_errors(self._encoder.device):
            return stage(clips, parts, self._gpu)

    def encode(self, staged: Staged) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is encoded, (clips, frames, width), and each clip's number of frames, (clips,) int64.

        The frames are those of the longest clip. What lies behind a clip's own is any finite number.
        """
        clips, frames = len(staged.lengths), max(1, *map(frames_in, staged.lengths))
        device, dtype = self._encoder.device, self._encoder.dtype
        with torch.inference_mode():
            staged.block.wait()
            joined = torch.zeros(clips, frames, self._encoder.width, dtype=dtype, device=device)
            counts = torch.zeros(clips, dtype=torch.int64, device=device)
            for part, padded in staged.padded():
                encoded, lasts = self._encode(part.bucket, padded.audio, padded.lengths)
                filled, width = len(part.clips), min(frames, part.bucket.frames)
                joined[:, :width].index_copy_(0, padded.numbers, encoded[:filled, :width])
                counts.index_copy_(0, padded.numbers, lasts[:filled])
        return joined, counts

    def _encode(self, bucket: Bucket, audio: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode what is padded to a bucket; the next call overwrites the result."""
        replay = self._graphs.get(bucket)
        if replay is None or self._buffers is None:
            return self._run(audio, lengths)
        for target, source in zip(self._buffers.input(bucket), (audio, lengths), strict=True):
            target.copy_(source)
        replay()
        return self._buffers.output(bucket)

    def _run(self, audio: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode without a graph."""
        return self._encoder(*self._features(audio, lengths))

    def _make_graphs(self) -> None:
        try:
            self._capture()
            with classify_device_errors(self._encoder.device):
                self._check()
        except DeviceLost:
            raise
        except Exception as error:
            self._graphs.clear()
            self._buffers = None
            self._buckets = self._wished
            log.warning("The encoder runs without CUDA graphs, slower: %s", one_line(error))

    def _capture(self) -> None:
        """Capture the graphs, with the features in them if that can be done.

        Raises:
            MemoryExhausted: there is no memory for any of them.
            DeviceLost: the device answers to nothing any more.
            Exception: whatever torch raises where nothing can be captured.
        """
        deadline = time.monotonic() + MAX_CAPTURE_S
        with classify_device_errors(self._encoder.device):
            buffers = self._buffers = _Buffers.of(self._wished, self._encoder)
        try:
            self._use(self._capture_all(buffers, self._record_both, deadline), "features and encoder")
            return
        except (DeviceLost, MemoryExhausted):
            raise
        except Exception as error:
            log.warning("Features cannot be captured in CUDA graphs; the encoder alone is: %s", one_line(error))
        # Not in the clause above, which would keep the memory of what had been captured so far.
        self._use(self._capture_all(buffers, self._record_encoder, deadline), "the encoder")

    def _use(self, graphs: dict[Bucket, Work], captured: str) -> None:
        self._graphs, self._captured = graphs, captured
        self._buckets = Buckets(graphs)

    def _capture_all(self, buffers: _Buffers, record: _Record, deadline: float) -> dict[Bucket, Work]:
        """Capture the largest first, as the others find room in the memory that it takes."""
        graphs: dict[Bucket, Work] = {}
        reason = "GPU memory is short"
        with self._gpu.capturing() as capture:
            for bucket in self._wished:
                if self._gpu.free_bytes < MIN_FREE_BYTES:
                    break
                if time.monotonic() > deadline:
                    reason = f"all would take longer than {MAX_CAPTURE_S:.0f} s"
                    break
                # A smaller graph may still find memory.
                with suppress(MemoryExhausted), classify_device_errors(self._encoder.device):
                    graphs[bucket] = record(buffers, bucket, capture)
        if not graphs:
            raise MemoryExhausted("there is no memory for any CUDA graph")
        if len(graphs) < len(self._wished):
            log.warning("The encoder has %d of %d CUDA graphs: %s.", len(graphs), len(self._wished), reason)
        return graphs

    def _record_both(self, buffers: _Buffers, bucket: Bucket, capture: Capture) -> Work:
        """Return what replays features and encoder."""
        audio, lengths = buffers.input(bucket)
        return _recorded(lambda: self._run(audio, lengths), buffers.output(bucket), capture)

    def _record_encoder(self, buffers: _Buffers, bucket: Bucket, capture: Capture) -> Work:
        """Return what computes features and replays the encoder."""
        audio, lengths = buffers.input(bucket)
        mels, counts = self._features(audio, lengths)
        if buffers.mels is None or buffers.mels.numel() < mels.numel():
            buffers.mels = mels.flatten()  # the first graph's, as that is the largest
        mels = buffers.mels[: mels.numel()].view(mels.shape)
        replay = _recorded(lambda: self._encoder(mels, counts), buffers.output(bucket), capture)

        def replay_on_features() -> None:
            _copy(self._features(audio, lengths), (mels, counts))
            replay()

        return replay_on_features

    def _check(self) -> None:
        """Compare the smallest, a middle and the largest graph with the encoder itself, on noise.

        Raises:
            EncodersDiffer: one of them gives something else.
        """
        buckets = list(self._buckets)
        middle = min(buckets, key=lambda bucket: (abs(bucket.size - CHECKED.size), abs(bucket.clips - CHECKED.clips)))
        noise = {bucket: self._noise(bucket) for bucket in (buckets[-1], middle, buckets[0])}
        # All are replayed before any is compared, so that one that writes to another's memory shows.
        replayed = {bucket: [each.clone() for each in self._encode(bucket, *noise[bucket])] for bucket in noise}
        for bucket, (encoded, counts) in replayed.items():
            expected, expected_counts = self._run(*noise[bucket])
            name = f"the graph of {bucket.clips} x {bucket.frames} frames"
            if not torch.equal(counts, expected_counts):
                raise EncoderMismatch(f"{name} counts other frames")
            error = relative_error(encoded, expected, counts)
            if not error < MAX_ERRORS[self._encoder.dtype]:  # nor is NaN
                raise EncoderMismatch(f"{name} has an error of {error:.1g}")

    def _measure(self) -> None:
        """Measure what the smallest and the largest part cost; without memory for that the estimate stays."""
        buckets = list(self._buckets)
        small, large = buckets[-1], buckets[0]
        if small.size < large.size:
            with suppress(MemoryExhausted), classify_device_errors(self._encoder.device):
                self._cost = Cost.fit((small.size, self._seconds(small)), (large.size, self._seconds(large)))

    def _seconds(self, bucket: Bucket) -> float:
        noise = self._noise(bucket)
        return min(self._gpu.measure_s(lambda: self._encode(bucket, *noise)) for _ in range(MEASUREMENTS))

    def _noise(self, bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
        """Return audio (rows, samples) and lengths (rows,), from a half of the bucket's to all of it."""
        device = self._encoder.device
        chance = torch.Generator(device).manual_seed(0)
        audio = torch.randn(bucket.clips, bucket.samples, generator=chance, device=device).mul_(0.1)
        return audio, torch.linspace(bucket.samples, bucket.samples // 2, bucket.clips, device=device).to(torch.int64)


def _recorded(
    work: Callable[[], tuple[torch.Tensor, torch.Tensor]], output: tuple[torch.Tensor, torch.Tensor], capture: Capture
) -> Work:
    """Capture work that leaves its result in `output`.

    It is done once before, as torch's libraries make plans for a shape, which cannot be captured.
    """

    def work_and_leave() -> None:
        _copy(work(), output)

    work_and_leave()
    return capture(work_and_leave)


def _copy(sources: tuple[torch.Tensor, torch.Tensor], targets: tuple[torch.Tensor, torch.Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
