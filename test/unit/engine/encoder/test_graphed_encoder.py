"""The encoder's CUDA graphs on a fake GPU: what is captured, what replaces it if that fails, and equal results."""

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_gpu import FakeGpu

from src.engine.device_errors import MemoryExhausted
from src.engine.encoder import graphed_encoder
from src.engine.encoder.buckets import Bucket, Buckets
from src.engine.encoder.graphed_encoder import GraphedEncoder
from src.engine.encoder.sub_batches import Cost, split_batch
from src.errors import DeviceLost

CPU = torch.device("cpu")
SMALL = Buckets([Bucket(clips, frames) for clips in (1, 2, 4) for frames in (8, 16, 32)])


class Means:
    """Toy features: the mean of each 160 samples, without an incomplete rest."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, audio, lengths):
        self.runs += 1
        counts = lengths // 160
        kept = audio.masked_fill(torch.arange(audio.shape[1]) >= 160 * counts[:, None], 0.0)
        return F.pad(kept, (0, 160)).unfold(1, 160, 160).mean(2)[:, None], counts


class Toy:
    """A toy encoder: each frame is the sum of eight features, and twice that sum."""

    device, width = CPU, 2

    def __init__(self, dtype=torch.float32) -> None:
        self.dtype = dtype
        self.runs = 0

    def __call__(self, mels, counts):
        self.runs += 1
        sums = F.pad(mels[:, 0], (0, -mels.shape[2] % 8)).unfold(1, 8, 8).sum(2)
        return torch.stack((sums, 2 * sums), dim=2).to(self.dtype), (counts + 7) // 8


def graphed(gpu: FakeGpu, buckets: Buckets = SMALL, dtype=torch.float32) -> GraphedEncoder:
    batch_encoder = GraphedEncoder(Means(), Toy(dtype), gpu, buckets)
    batch_encoder.warm_up()
    gpu.replays.clear()
    return batch_encoder


def clips_of(*seconds: float) -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [chance.normal(size=round(each * 16_000)).astype(np.float32) for each in seconds]


def alone(clip: np.ndarray) -> torch.Tensor:
    """The toy's frames of one clip, (frames, 2)."""
    encoded, counts = Toy()(*Means()(torch.from_numpy(clip)[None], torch.tensor([len(clip)])))
    return encoded[0, : counts[0]]


def assert_encodes(batch_encoder: GraphedEncoder, clips: list[np.ndarray]) -> None:
    encoded, counts = batch_encoder.encode(batch_encoder.stage(clips))
    assert len(encoded) == len(clips)
    assert bool(encoded.isfinite().all())
    for frames, count, clip in zip(encoded, counts.tolist(), clips, strict=True):
        expected = alone(clip)
        assert count == len(expected)
        assert torch.allclose(frames[:count].float(), expected, atol=1e-5)


MIXED = clips_of(0.3, 2.4, 1.0, 0.005, 0.6, 2.5, 1.2)


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def raising(error: Exception, *numbers: int):
    """Make the captures with these numbers fail; without numbers, all captures."""

    def fail(number: int) -> None:
        if not numbers or number in numbers:
            raise error

    return fail


def test_all_buckets_are_captured_the_largest_first_and_the_log_has_their_memory_and_time():
    gpu = FakeGpu(free_gb=(60, *[55] * len(SMALL), 56.5))
    batch_encoder = graphed(gpu)
    assert gpu.captured == len(SMALL)
    assert batch_encoder.describe().startswith("9 CUDA graphs of features and encoder (3.5 GB, ")


def test_each_shape_runs_once_before_it_is_captured():
    features, encoder = Means(), Toy()
    runs = []
    gpu = FakeGpu(fail=lambda _: runs.append((features.runs, encoder.runs)))
    GraphedEncoder(features, encoder, gpu, SMALL).warm_up()
    assert runs == [(number, number) for number in range(1, len(SMALL) + 1)]


def test_a_batch_is_one_copy_and_one_replay_for_each_sub_batch():
    gpu = FakeGpu()
    batch_encoder = graphed(gpu)
    staged = batch_encoder.stage(MIXED)
    assert len(gpu.copied) == 1
    batch_encoder.encode(staged)
    assert len(gpu.replays) == len(staged.sub_batches) > 1


def test_clips_come_back_in_their_order_whatever_their_sub_batches_alone_and_together():
    batch_encoder = graphed(FakeGpu())
    for clip in MIXED:
        assert_encodes(batch_encoder, [clip])
    assert_encodes(batch_encoder, MIXED)
    assert_encodes(batch_encoder, MIXED[::-1] * 3)


def test_the_result_of_a_batch_outlives_the_next_one():
    batch_encoder = graphed(FakeGpu())
    first, _ = batch_encoder.encode(batch_encoder.stage(MIXED[1:2]))
    kept = first.clone()
    batch_encoder.encode(batch_encoder.stage(MIXED[5:6]))
    assert torch.equal(first, kept)


def test_a_batch_may_be_staged_while_another_one_waits():
    batch_encoder = graphed(FakeGpu())
    staged = [batch_encoder.stage([clip]) for clip in MIXED]
    for each, clip in reversed(list(zip(staged, MIXED, strict=True))):
        encoded, counts = batch_encoder.encode(each)
        assert torch.allclose(encoded[0, : counts[0]], alone(clip), atol=1e-5)


def test_a_clip_that_fits_no_bucket_is_encoded_without_a_graph_beside_those_that_do():
    gpu = FakeGpu()
    batch_encoder = graphed(gpu)
    assert_encodes(batch_encoder, [*clips_of(7.3), *MIXED])
    assert len(gpu.replays) == len(split_batch([len(clip) for clip in MIXED], SMALL, Cost()))


def test_without_graphs_the_same_sub_batches_are_encoded_one_by_one():
    gpu = FakeGpu()
    batch_encoder = GraphedEncoder(Means(), Toy(), gpu, SMALL)
    batch_encoder.warm_up(graphs=False)
    assert_encodes(batch_encoder, MIXED)
    assert gpu.captured == 0
    assert batch_encoder.describe() == "CUDA graphs off"


def test_where_features_cannot_be_captured_the_encoder_alone_is(caplog):
    gpu = FakeGpu(fail=raising(RuntimeError("cuFFT cannot be captured"), 0))
    features, encoder = Means(), Toy()
    batch_encoder = GraphedEncoder(features, encoder, gpu, SMALL)
    batch_encoder.warm_up()
    assert batch_encoder.describe().startswith("9 CUDA graphs of the encoder (")
    assert [text for text in warnings(caplog) if "cuFFT cannot be captured" in text and "encoder alone" in text]
    assert len(warnings(caplog)) == 1
    assert_encodes(batch_encoder, MIXED)
    assert_encodes(batch_encoder, MIXED[::-1])


def test_where_nothing_can_be_captured_it_is_encoded_without_graphs(caplog):
    gpu = FakeGpu(fail=raising(RuntimeError("operation not permitted when stream is capturing")))
    batch_encoder = graphed(gpu)
    assert batch_encoder.describe() == "CUDA graphs off"
    assert ["encoder alone" in text or "without CUDA graphs" in text for text in warnings(caplog)] == [True, True]
    assert_encodes(batch_encoder, MIXED)
    assert gpu.replays == []


def test_a_shape_that_finds_no_memory_is_left_out_and_the_smaller_ones_are_captured(caplog):
    gpu = FakeGpu(fail=raising(torch.OutOfMemoryError("CUDA out of memory"), 0, 1))
    batch_encoder = graphed(gpu)
    assert batch_encoder.describe().startswith("7 CUDA graphs of features and encoder")
    assert warnings(caplog) == ["The encoder has 7 of 9 CUDA graphs: GPU memory is short."]
    assert_encodes(batch_encoder, MIXED)


def test_where_no_shape_finds_memory_it_is_encoded_without_graphs(caplog):
    batch_encoder = graphed(FakeGpu(fail=raising(torch.OutOfMemoryError("CUDA out of memory"))))
    assert batch_encoder.describe() == "CUDA graphs off"
    [warning] = warnings(caplog)
    assert "without CUDA graphs" in warning
    assert "memory" in warning
    assert_encodes(batch_encoder, MIXED)


def test_capturing_stops_while_there_is_memory_left_for_others(caplog):
    gpu = FakeGpu(free_gb=(60, 4, 3, 2.2, 2.1))
    batch_encoder = graphed(gpu)
    assert gpu.captured == 3
    assert warnings(caplog) == ["The encoder has 3 of 9 CUDA graphs: GPU memory is short."]
    assert_encodes(batch_encoder, MIXED)


def test_capturing_stops_when_it_takes_too_long(caplog, monkeypatch):
    now = [0.0]

    def pass_time(_: int) -> None:
        now[0] += graphed_encoder.MAX_CAPTURE_S / 3.5

    monkeypatch.setattr(graphed_encoder.time, "monotonic", lambda: now[0])
    gpu = FakeGpu(fail=pass_time)
    batch_encoder = graphed(gpu)
    assert gpu.captured == 4
    [warning] = warnings(caplog)
    assert warning.startswith("The encoder has 4 of 9 CUDA graphs: all would take longer")
    assert_encodes(batch_encoder, MIXED)


@pytest.mark.parametrize("wrong", [0, len(SMALL) - 1], ids=["largest", "smallest"])
@pytest.mark.parametrize("how", ["a tenth more", "NaN", "a frame less"])
def test_a_graph_with_another_result_is_found_and_no_graph_is_used(wrong, how, caplog):
    batch_encoder = None

    def spoil(number: int) -> None:
        if number == wrong:
            buffers = batch_encoder._buffers
            if how == "a frame less":
                buffers.counts -= 1
            else:
                buffers.encoded *= 1.1 if how == "a tenth more" else float("nan")

    gpu = FakeGpu(spoil=spoil)
    batch_encoder = GraphedEncoder(Means(), Toy(), gpu, SMALL)
    batch_encoder.warm_up()
    assert batch_encoder.describe() == "CUDA graphs off"
    [warning] = warnings(caplog)
    assert "without CUDA graphs" in warning
    assert "the graph of " in warning
    gpu.replays.clear()
    assert_encodes(batch_encoder, MIXED)
    assert gpu.replays == []


@pytest.mark.parametrize(
    ("dtype", "error", "passes"),
    [
        (torch.float32, 5e-4, True),
        (torch.float32, 2e-3, False),
        (torch.float16, 5e-3, True),
        (torch.float16, 0.02, False),
        (torch.bfloat16, 0.03, True),
        (torch.bfloat16, 0.08, False),
    ],
)
def test_the_tolerance_for_a_graph_depends_on_the_dtype(dtype, error, passes):
    batch_encoder = None

    def spoil(_: int) -> None:
        batch_encoder._buffers.encoded *= 1 + error

    batch_encoder = GraphedEncoder(Means(), Toy(dtype), FakeGpu(spoil=spoil), SMALL)
    batch_encoder.warm_up()
    assert (batch_encoder.describe() != "CUDA graphs off") == passes


def test_a_device_lost_while_capturing_is_not_taken_for_one_that_cannot_capture(monkeypatch):
    monkeypatch.setattr("src.engine.device_errors._is_responding", lambda device: False)
    with pytest.raises(DeviceLost):
        graphed(FakeGpu(fail=raising(RuntimeError("an illegal memory access was encountered"))))


def test_a_device_lost_while_graphs_are_checked_is_not_taken_for_one_that_cannot_replay(monkeypatch):
    def lose(_: int) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr("src.engine.device_errors._is_responding", lambda device: False)
    with pytest.raises(DeviceLost):
        graphed(FakeGpu(spoil=lose))


def test_the_cost_of_a_sub_batch_is_measured_and_decides_how_a_batch_is_split():
    clips = clips_of(*[0.5] * 2, *[2.4] * 2)
    costly_sub_batches = graphed(FakeGpu(times_s=(1.0, 1.0, 1.0, 1.001)))
    assert len(costly_sub_batches.stage(clips).sub_batches) == 1
    costly_frames = graphed(FakeGpu(times_s=(1e-6, 1e-6, 1e-6, 1.0)))
    assert len(costly_frames.stage(clips).sub_batches) == 4


def test_where_there_is_no_memory_to_measure_the_estimate_stays(caplog):
    class Full(FakeGpu):
        def measure_s(self, work):
            raise torch.OutOfMemoryError("CUDA out of memory")

    batch_encoder = graphed(Full())
    assert batch_encoder.describe().startswith("9 CUDA graphs")
    assert_encodes(batch_encoder, MIXED)


def test_one_bucket_is_enough():
    batch_encoder = graphed(FakeGpu(), Buckets([Bucket(2, 32)]))
    assert_encodes(batch_encoder, MIXED)


def test_a_batch_that_finds_no_memory_to_be_staged_raises_that_a_smaller_one_may_fit():
    class Full(FakeGpu):
        def allocate_pinned(self, size):
            raise RuntimeError("cannot allocate memory")

    batch_encoder = graphed(Full())
    with pytest.raises(MemoryExhausted):
        batch_encoder.stage(MIXED)
