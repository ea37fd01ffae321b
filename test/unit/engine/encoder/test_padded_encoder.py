"""Batches without CUDA graphs, with a toy encoder."""

import numpy as np
import torch

from src.engine.encoder.padded_encoder import CPU_GROUP_S, PaddedEncoder

SECOND = 16_000


class Seconds:
    """An encoder whose frames are the means of whole seconds, and their negatives."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, samples, lengths):
        self.shapes.append(tuple(samples.shape))
        means = samples[:, : samples.shape[1] // SECOND * SECOND].view(len(samples), -1, SECOND).mean(2)
        return torch.stack((means, -means), dim=2), lengths // SECOND


def clips_of(*seconds: int) -> list[np.ndarray]:
    return [np.full(each * SECOND, each, dtype=np.float32) for each in seconds]


def test_clips_are_padded_with_silence_to_the_longest():
    batch = PaddedEncoder(Seconds(), torch.device("cpu")).stage(clips_of(1, 3))
    assert batch.samples.shape == (2, 3 * SECOND)
    assert batch.lengths.tolist() == [SECOND, 3 * SECOND]
    assert batch.samples[0, :SECOND].unique().tolist() == [1]
    assert not batch.samples[0, SECOND:].any()


def test_a_small_batch_is_one_pass():
    encode_audio = Seconds()
    encoder = PaddedEncoder(encode_audio, torch.device("cpu"))
    frames, counts = encoder.encode(encoder.stage(clips_of(2, 3)))
    assert encode_audio.shapes == [(2, 3 * SECOND)]
    assert frames[:, 0].tolist() == [[2, -2], [3, -3]]
    assert counts.tolist() == [2, 3]


def test_on_a_cpu_a_large_batch_is_encoded_in_groups_of_similar_length_and_comes_back_in_its_order():
    encode_audio = Seconds()
    encoder = PaddedEncoder(encode_audio, torch.device("cpu"))
    lengths = [30, 2, 28, 3, 40]
    frames, counts = encoder.encode(encoder.stage(clips_of(*lengths)))
    assert len(encode_audio.shapes) > 1
    assert all(clips == 1 or clips * samples <= CPU_GROUP_S * SECOND for clips, samples in encode_audio.shapes)
    assert counts.tolist() == lengths
    assert frames.shape == (5, 40, 2)
    for row, length in zip(frames, lengths, strict=True):
        assert row[:length, 0].unique().tolist() == [length]
        assert not row[length:].any()


def test_the_log_says_that_there_are_no_graphs():
    assert PaddedEncoder(Seconds(), torch.device("cpu")).describe() == "CUDA graphs off"
