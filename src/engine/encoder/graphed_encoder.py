"""The encoder in CUDA graphs: a batch is one copy to the device and one launch for each of its sub-batches.

One pass of the encoder is hundreds of kernels. Python launches them one by one, which takes longer than the GPU needs
for a few clips, and each launch may wait for the interpreter's lock. A CUDA graph launches them all at once, but for
one shape and at fixed addresses. So there is one graph for each bucket (`buckets`); all graphs read their input from
one set of buffers and write their output to another. A batch is split into sub-batches that fit buckets closely.

`NemoModel` calls `warm_up` once, in the model's thread. For each batch it calls `stage`, in the collating thread, which
starts the copy to the device while the model runs another batch; then `encode`, in the model's thread, which waits for
nothing. Clips that fit no bucket are encoded without a graph, as are all clips if graphs do not work.

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
from src.engine.encoder.staging import EMPTY_ROW_SAMPLES, StagedBatch, stage
from src.engine.encoder.sub_batches import Cost, split_batch
from src.engine.frames import frames_in
from src.errors import DeviceLost

log = logging.getLogger(__name__)

MIN_FREE_BYTES = 2 << 30
"""Free memory that capturing leaves for the decoder and for encoding without graphs."""
MAX_CAPTURE_S = 40.0
"""Limit in seconds for capturing all graphs. One takes less than 0.1 s by estimate, so the limit is reached only if
something is wrong."""
MIDDLE = Bucket(8, 128)
"""The graph nearest to this shape, eight clips of 10 s, is checked as well as the smallest and the largest one."""
MEASUREMENTS = 3
"""Measurements of a sub-batch's cost, of which the least counts."""


@dataclass(slots=True)
class _Buffers:
    """The input and output of all graphs; a bucket uses the beginning of each tensor."""

    audio: torch.Tensor
    """(samples,) float32."""
    lengths: torch.Tensor
    """(rows,) int64."""
    encoded: torch.Tensor
    """(frames, width)."""
    counts: torch.Tensor
    """(rows,) int64."""
    mels: torch.Tensor | None = None
    """(numbers,) float32: features, if they are not computed in the graphs."""

    @classmethod
    def for_buckets(cls, buckets: Buckets, encoder: FastConformerEncoder) -> "_Buffers":
        """Allocate buffers that hold the largest bucket."""
        rows = max(bucket.clips for bucket in buckets)
        samples = max(bucket.clips * bucket.samples for bucket in buckets)
        frames = max(bucket.total_frames for bucket in buckets)
        device = encoder.device
        return cls(
            torch.zeros(samples, device=device),
            torch.full((rows,), EMPTY_ROW_SAMPLES, device=device),
            torch.zeros(frames, encoder.width, dtype=encoder.dtype, device=device),
            torch.zeros(rows, dtype=torch.int64, device=device),
        )

    def input(self, bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a bucket's audio (rows, samples) and lengths (rows,)."""
        audio = self.audio[: bucket.clips * bucket.samples].view(bucket.clips, bucket.samples)
        return audio, self.lengths[: bucket.clips]

    def output(self, bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a bucket's encoded frames (rows, frames, width) and their counts (rows,)."""
        encoded = self.encoded[: bucket.total_frames].view(bucket.clips, bucket.frames, -1)
        return encoded, self.counts[: bucket.clips]


_CaptureBucket = Callable[[_Buffers, Bucket, Capture], Work]


class GraphedEncoder:
    """A `BatchEncoder` that replays a CUDA graph for each sub-batch whose shape has one.

    Args:
        features: on the device, as the encoder.
        encoder: the encoder to capture. It may pad the frames up to the next multiple of `buckets.ALIGNMENT`.
        gpu: the device.
        buckets: the shapes to capture.
    """

    def __init__(self, features: Features, encoder: FastConformerEncoder, gpu: Gpu, buckets: Buckets) -> None:
        self._features = features
        self._encoder = encoder
        self._gpu = gpu
        self._requested_buckets = self._buckets = buckets
        self._cost = Cost()
        self._graphs: dict[Bucket, Work] = {}
        self._buffers: _Buffers | None = None
        self._captured_parts = ""
        self._graph_bytes = 0
        self._warm_up_s = 0.0

    def describe(self) -> str:
        """Describe for the log how many graphs there are, what they contain, and their memory and time."""
        if not self._graphs:
            return "CUDA graphs off"
        cost = f"{self._graph_bytes / 1e9:.1f} GB, {self._warm_up_s:.1f} s"
        return f"{len(self._graphs)} CUDA graphs of {self._captured_parts} ({cost})"

    def warm_up(self, *, graphs: bool = True) -> None:
        """Capture the graphs, compare them with the encoder, and measure the cost of sub-batches.

        If capturing fails, the encoder is captured without the features. If that fails too, or if graphs give other
        results than the encoder, there are no graphs. Each failure is logged as a warning.

        Raises:
            DeviceLost: the device no longer responds.
        """
        started, free_bytes = time.monotonic(), self._gpu.free_bytes
        with torch.inference_mode():
            if graphs:
                self._make_graphs()
            self._measure()
        self._graph_bytes = free_bytes - self._gpu.free_bytes
        self._warm_up_s = time.monotonic() - started

    def stage(self, clips: Sequence[Samples]) -> StagedBatch:
        """Split clips of 16 kHz samples into sub-batches and start their copy to the device; any thread may call it.

        Raises:
            MemoryExhausted: a smaller batch may fit.
            DeviceLost: the device no longer responds.
        """
        sub_batches = split_batch([len(clip) for clip in clips], self._buckets, self._cost)
        with classify_device_errors(self._encoder.device):
            return stage(clips, sub_batches, self._gpu)

    def encode(self, staged: StagedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoded frames, (clips, frames, width), and each clip's number of frames, (clips,) int64.

        `frames` is that of the longest clip. Frames beyond a clip's own number have any finite values.
        """
        clips, longest = len(staged.lengths), max(1, *map(frames_in, staged.lengths))
        device, dtype = self._encoder.device, self._encoder.dtype
        with torch.inference_mode():
            staged.block.wait()
            all_frames = torch.zeros(clips, longest, self._encoder.width, dtype=dtype, device=device)
            all_counts = torch.zeros(clips, dtype=torch.int64, device=device)
            for sub_batch, padded in staged.on_device():
                frames, counts = self._encode(sub_batch.bucket, padded.audio, padded.lengths)
                filled, width = len(sub_batch.clips), min(longest, sub_batch.bucket.frames)
                all_frames[:, :width].index_copy_(0, padded.indices, frames[:filled, :width])
                all_counts.index_copy_(0, padded.indices, counts[:filled])
        return all_frames, all_counts

    def _encode(self, bucket: Bucket, audio: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode audio that is padded to a bucket; the next call may overwrite the result."""
        replay = self._graphs.get(bucket)
        if replay is None or self._buffers is None:
            return self._encode_eagerly(audio, lengths)
        for target, source in zip(self._buffers.input(bucket), (audio, lengths), strict=True):
            target.copy_(source)
        replay()
        return self._buffers.output(bucket)

    def _encode_eagerly(self, audio: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode without a graph."""
        return self._encoder(*self._features(audio, lengths))

    def _make_graphs(self) -> None:
        """Capture and check the graphs; if that fails, do without and log a warning."""
        try:
            self._capture()
            with classify_device_errors(self._encoder.device):
                self._check()
        except DeviceLost:
            raise
        except Exception as error:
            self._graphs.clear()
            self._buffers = None
            self._buckets = self._requested_buckets
            log.warning("The encoder runs without CUDA graphs, which is slower: %s", one_line(error))

    def _capture(self) -> None:
        """Capture graphs of features and encoder, or of the encoder alone if features cannot be captured.

        Raises:
            MemoryExhausted: memory does not suffice for any graph.
            DeviceLost: the device no longer responds.
            Exception: whatever torch raises if nothing can be captured.
        """
        deadline = time.monotonic() + MAX_CAPTURE_S
        with classify_device_errors(self._encoder.device):
            buffers = self._buffers = _Buffers.for_buckets(self._requested_buckets, self._encoder)
        try:
            self._use(self._capture_all(buffers, self._capture_both, deadline), "features and encoder")
            return
        except (DeviceLost, MemoryExhausted):
            raise
        except Exception as error:
            log.warning("Features cannot be captured in CUDA graphs; the encoder alone is: %s", one_line(error))
        # Outside the except clause, in which the error would keep the memory of the graphs captured so far.
        self._use(self._capture_all(buffers, self._capture_encoder, deadline), "the encoder")

    def _use(self, graphs: dict[Bucket, Work], captured_parts: str) -> None:
        self._graphs, self._captured_parts = graphs, captured_parts
        self._buckets = Buckets(graphs)

    def _capture_all(self, buffers: _Buffers, capture_bucket: _CaptureBucket, deadline: float) -> dict[Bucket, Work]:
        """Capture a graph for each bucket, the largest first, as the others fit into the memory that it takes."""
        graphs: dict[Bucket, Work] = {}
        reason = "GPU memory is short"
        with self._gpu.capturing() as capture:
            for bucket in self._requested_buckets:
                if self._gpu.free_bytes < MIN_FREE_BYTES:
                    break
                if time.monotonic() > deadline:
                    reason = f"all would take longer than {MAX_CAPTURE_S:.0f} s"
                    break
                # A smaller graph may still find memory.
                with suppress(MemoryExhausted), classify_device_errors(self._encoder.device):
                    graphs[bucket] = capture_bucket(buffers, bucket, capture)
        if not graphs:
            raise MemoryExhausted("there is no memory for any CUDA graph")
        if len(graphs) < len(self._requested_buckets):
            log.warning("The encoder has %d of %d CUDA graphs: %s.", len(graphs), len(self._requested_buckets), reason)
        return graphs

    def _capture_both(self, buffers: _Buffers, bucket: Bucket, capture: Capture) -> Work:
        """Capture features and encoder, and return their replay."""
        audio, lengths = buffers.input(bucket)
        return _capture_into(lambda: self._encode_eagerly(audio, lengths), buffers.output(bucket), capture)

    def _capture_encoder(self, buffers: _Buffers, bucket: Bucket, capture: Capture) -> Work:
        """Capture the encoder, and return a function that computes features and replays it."""
        audio, lengths = buffers.input(bucket)
        mels, counts = self._features(audio, lengths)
        if buffers.mels is None or buffers.mels.numel() < mels.numel():
            buffers.mels = mels.flatten()  # the first bucket's, which is the largest
        mels = buffers.mels[: mels.numel()].view(mels.shape)
        replay_encoder = _capture_into(lambda: self._encoder(mels, counts), buffers.output(bucket), capture)

        def replay() -> None:
            _copy(self._features(audio, lengths), (mels, counts))
            replay_encoder()

        return replay

    def _check(self) -> None:
        """Compare the smallest, a middle and the largest graph with the encoder itself, on noise.

        Raises:
            EncoderMismatch: a graph gives another result.
        """
        buckets = list(self._buckets)
        middle = min(
            buckets,
            key=lambda bucket: (abs(bucket.total_frames - MIDDLE.total_frames), abs(bucket.clips - MIDDLE.clips)),
        )
        noise = {bucket: self._noise(bucket) for bucket in (buckets[-1], middle, buckets[0])}
        # All are replayed before any is compared, so that a graph that writes to another graph's memory is found.
        replayed = {bucket: [each.clone() for each in self._encode(bucket, *noise[bucket])] for bucket in noise}
        for bucket, (encoded, counts) in replayed.items():
            expected, expected_counts = self._encode_eagerly(*noise[bucket])
            name = f"the graph of {bucket.clips} x {bucket.frames} frames"
            if not torch.equal(counts, expected_counts):
                raise EncoderMismatch(f"{name} counts other frames")
            error = relative_error(encoded, expected, counts)
            if not error < MAX_ERRORS[self._encoder.dtype]:  # also if it is NaN
                raise EncoderMismatch(f"{name} has an error of {error:.1g}")

    def _measure(self) -> None:
        """Measure the cost of the smallest and the largest sub-batch; if memory does not suffice, keep the estimate."""
        buckets = list(self._buckets)
        small, large = buckets[-1], buckets[0]
        if small.total_frames < large.total_frames:
            with suppress(MemoryExhausted), classify_device_errors(self._encoder.device):
                self._cost = Cost.fit(
                    (small.total_frames, self._measure_s(small)), (large.total_frames, self._measure_s(large))
                )

    def _measure_s(self, bucket: Bucket) -> float:
        noise = self._noise(bucket)
        return min(self._gpu.measure_s(lambda: self._encode(bucket, *noise)) for _ in range(MEASUREMENTS))

    def _noise(self, bucket: Bucket) -> tuple[torch.Tensor, torch.Tensor]:
        """Return random audio (rows, samples) and lengths (rows,), from the bucket's length down to half of it."""
        device = self._encoder.device
        generator = torch.Generator(device).manual_seed(0)
        audio = torch.randn(bucket.clips, bucket.samples, generator=generator, device=device).mul_(0.1)
        return audio, torch.linspace(bucket.samples, bucket.samples // 2, bucket.clips, device=device).to(torch.int64)


def _capture_into(
    work: Callable[[], tuple[torch.Tensor, torch.Tensor]], output: tuple[torch.Tensor, torch.Tensor], capture: Capture
) -> Work:
    """Capture work together with a copy of its result into `output`, and return the replay.

    The work runs once before, because torch's libraries plan for a new shape, and planning cannot be captured.
    """

    def work_and_copy() -> None:
        _copy(work(), output)

    work_and_copy()
    return capture(work_and_copy)


def _copy(sources: tuple[torch.Tensor, torch.Tensor], targets: tuple[torch.Tensor, torch.Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
