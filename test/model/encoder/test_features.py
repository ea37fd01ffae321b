"""Features are NeMo's, for clips of any length and with any padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nemo_parts import featurizer

from src.engine.encoder.features import Features, unsupported_reason

CPU = torch.device("cpu")


def noise(lengths: list[int], longest: int | None = None) -> torch.Tensor:
    """Random clips of these lengths; the samples beyond a clip are random too, and must have no effect."""
    chance = torch.Generator().manual_seed(len(lengths))
    return torch.randn(len(lengths), longest or max(lengths), generator=chance) * 0.1


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(st.sampled_from([0, 1, 159, 160, 161, 319, 320]), st.integers(1, 40_000)), min_size=1, max_size=4
    ),
    st.sampled_from([80, 128]),
)
def test_features_and_their_lengths_are_nemos(lengths, mels):
    samples, counts = noise(lengths, max(1, *lengths)), torch.tensor(lengths)
    theirs = featurizer(nfilt=mels)
    expected, expected_counts = theirs(samples.clone(), counts)
    found, found_counts = Features(theirs, CPU)(samples, counts)
    assert found_counts.tolist() == expected_counts.tolist()
    assert found.shape == expected.shape
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def test_padding_and_other_clips_change_nothing():
    lengths = [16_000, 159, 7_777]
    compute = Features(featurizer(), CPU)
    samples = noise(lengths)
    found, counts = compute(samples, torch.tensor(lengths))
    padded = torch.nn.functional.pad(samples, (0, 9_000, 0, 2), value=0.7)
    for row, length in enumerate(lengths):
        padded[row, length:] = -0.7
    wider, wider_counts = compute(padded, torch.tensor([*lengths, 0, 1]))
    assert wider_counts.tolist() == [*counts.tolist(), 0, 0]
    torch.testing.assert_close(wider[:3, :, : found.shape[2]], found)
    assert not wider[:3, :, found.shape[2] :].any()
    assert not wider[3:].any()


def test_the_samples_are_not_modified():
    samples = noise([5_000])
    kept = samples.clone()
    Features(featurizer(), CPU)(samples, torch.tensor([4_000]))
    assert torch.equal(samples, kept)


def test_the_published_checkpoints_features_are_supported():
    assert [unsupported_reason(featurizer(nfilt=mels)) for mels in (80, 128)] == [None, None]


@pytest.mark.parametrize(
    "changed",
    [
        {"normalize": "all_features"},
        {"log": False},
        {"log_zero_guard_type": "clamp"},
        {"exact_pad": True},
        {"mag_power": 1.0},
        {"frame_splicing": 2},
        {"pad_value": -1.0},
        {"preemph": None},
        {"n_fft": 513},
        {"window": "none"},
    ],
    ids=str,
)
def test_unsupported_features_are_named(changed):
    reason = unsupported_reason(featurizer(**changed))
    assert reason is not None
    assert reason.startswith("its features have")
