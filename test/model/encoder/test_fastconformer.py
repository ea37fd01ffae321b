"""The encoder gives NeMo's results: any size of the family, full and local attention, any lengths and padding."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from media import clip
from nemo_parts import conformer, featurizer, with_attention

from src.engine.encoder.fastconformer import MAX_CONVOLVED, FastConformerEncoder
from src.engine.encoder.features import Features
from src.engine.encoder.nemo_weights import unsupported_reason
from src.engine.encoder.operations import QUERY_BLOCK
from src.engine.frames import FEATURES_PER_FRAME

CPU = torch.device("cpu")
MAX_ERROR = 1e-4
"""Of the norm, in float32."""

sizes = st.fixed_dictionaries(
    {
        "feat_in": st.sampled_from([80, 128]),
        "n_layers": st.integers(1, 2),
        "n_heads": st.sampled_from([1, 2, 4]),
        "d_model": st.sampled_from([16, 32, 64]),
        "subsampling_conv_channels": st.sampled_from([4, 8, 16]),
        "ff_expansion_factor": st.sampled_from([2, 4]),
        "conv_kernel_size": st.sampled_from([5, 9, 31]),
        "use_bias": st.booleans(),
        "xscaling": st.booleans(),
        "untie_biases": st.booleans(),
    }
)
contexts = st.sampled_from([None, None, 2, 5, 16, 128])
frames = st.one_of(st.sampled_from([1, 2, 8, 128, 129, 130]), st.integers(1, 150))
"""Frames of the encoder; the default local context reaches 129."""


def mels(counts: list[int], bands: int, longest: int | None = None) -> torch.Tensor:
    """Random features (clips, bands, frames), 0 beyond each clip's count."""
    longest = longest or max(counts)
    chance = torch.Generator().manual_seed(sum(counts))
    noise = torch.randn(len(counts), bands, longest, generator=chance)
    return noise * (torch.arange(longest) < torch.tensor(counts)[:, None])[:, None]


def error(found: torch.Tensor, expected: torch.Tensor, counts: list[int]) -> float:
    """The largest difference of a clip from the expected one, (clips, width, frames), relative to its norm."""
    errors = []
    for row, count in enumerate(counts):
        ours, theirs = found[row, :count], expected[row, :, :count].T
        errors.append(float((ours - theirs).norm() / theirs.norm()) if count else 0.0)
    return max(errors)


def assert_equal(nemos, own, counts: list[int], bands: int) -> None:
    """Assert that an encoder gives NeMo's result for random features of `counts` frames."""
    features, lengths = mels(counts, bands), torch.tensor(counts)
    with torch.inference_mode():
        expected, expected_counts = nemos(audio_signal=features, length=lengths)
        found, found_counts = own(features, lengths)
    assert found_counts.tolist() == expected_counts.tolist()
    assert found.isfinite().all()
    assert error(found, expected, found_counts.tolist()) < MAX_ERROR


@settings(max_examples=10)
@given(sizes, contexts, st.lists(frames, min_size=1, max_size=3), st.integers(0, 7), st.sampled_from([1, 8]))
def test_any_size_of_the_family_gives_nemos_result(size, context, encoder_frames, fewer, alignment):
    nemos = conformer(**size | with_attention(context))
    assert unsupported_reason(nemos) is None
    own = FastConformerEncoder(nemos, CPU, torch.float32, context=context, longest=160, alignment=alignment)
    counts = [max(1, count * FEATURES_PER_FRAME - fewer) for count in encoder_frames]
    assert_equal(nemos, own, counts, size["feat_in"])


@pytest.mark.parametrize(
    ("size", "context"),
    [
        (QUERY_BLOCK + 1, None),
        (QUERY_BLOCK + 1, 16),
        (2 * QUERY_BLOCK + 256, 16),
        (2 * QUERY_BLOCK + 256, 128),
        (1504, None),
        (1504, 128),
    ],
)
def test_long_clips_beside_short_ones_give_nemos_result(size, context):
    nemos = conformer(**with_attention(context))
    own = FastConformerEncoder(nemos, CPU, torch.float32, context=context)
    assert_equal(nemos, own, [size * FEATURES_PER_FRAME, 77, size * FEATURES_PER_FRAME // 2], 128)


@pytest.mark.parametrize("context", [None, 40])
def test_a_clip_longer_than_expected_gives_nemos_result(context):
    nemos = conformer(**with_attention(context))
    own = FastConformerEncoder(nemos, CPU, torch.float32, context=context, longest=30)
    assert_equal(nemos, own, [500 * FEATURES_PER_FRAME, 30 * FEATURES_PER_FRAME], 128)


def test_a_checkpoint_with_a_context_of_its_own_keeps_it():
    nemos = conformer(att_context_size=[12, 12])
    assert unsupported_reason(nemos) is None
    own = FastConformerEncoder(nemos, CPU, torch.float32, context=12)
    assert_equal(nemos, own, [800, 333], 128)


@pytest.mark.parametrize("pieces", [-1, 2, 8])
@pytest.mark.parametrize("counts", [[1, 1600], [803, 407, 801], [7]])
def test_the_convolutions_give_the_same_in_pieces(pieces, counts):
    nemos = conformer()
    own = FastConformerEncoder(nemos, CPU, torch.float32, pieces=pieces)
    assert_equal(nemos, own, counts, 128)


def test_the_first_convolution_has_its_channels_last_so_that_its_output_is_not_copied():
    weights = FastConformerEncoder(conformer(), CPU, torch.float32)._subsampling
    out = torch.nn.functional.conv2d(torch.zeros(2, 1, 80, 128), weights.first.weight, weights.first.bias, stride=2)
    assert out.permute(0, 2, 3, 1).is_contiguous()


def test_a_batch_too_large_for_one_convolution_is_split_into_pieces(monkeypatch):
    monkeypatch.setitem(MAX_CONVOLVED, "cpu", 200_000)
    nemos = conformer()
    assert_equal(nemos, FastConformerEncoder(nemos, CPU, torch.float32), [1600, 900], 128)


@settings(max_examples=10)
@given(contexts, st.integers(0, 70), st.integers(0, 3))
def test_padding_changes_no_real_frame(context, more_frames, more_clips):
    """A batch padded to a bucket has more frames than its longest clip, and rows without a clip."""
    counts = [555, 1, 160]
    own = FastConformerEncoder(conformer(), CPU, torch.float32, context=context)
    features = mels(counts, 128)
    padded = torch.nn.functional.pad(features, (0, more_frames * FEATURES_PER_FRAME, 0, 0, 0, more_clips))
    with torch.inference_mode():
        alone, real = own(features, torch.tensor(counts))
        found, padded_counts = own(padded, torch.tensor(counts + [0] * more_clips))
    assert padded_counts.tolist() == real.tolist() + [0] * more_clips
    assert found.isfinite().all()
    assert error(found, alone.transpose(1, 2), real.tolist()) < 1e-5


@pytest.mark.parametrize("context", [None, 16])
def test_clips_too_short_for_a_frame_are_finite_and_counted_as_nemo_does(context):
    nemos, theirs = conformer(**with_attention(context)), featurizer()
    own, features = FastConformerEncoder(nemos, CPU, torch.float32, context=context), Features(theirs, CPU)
    for lengths in ([0, 1, 159, 16_000, 160], [0], [159, 1]):
        samples, counts = torch.randn(len(lengths), max(160, *lengths)), torch.tensor(lengths)
        with torch.inference_mode():
            found, found_counts = own(*features(samples, counts))
            mels, mel_counts = theirs(samples, counts)
            _, expected = nemos(audio_signal=mels, length=mel_counts)
        assert found.isfinite().all()
        assert found_counts.tolist() == expected.tolist()


@pytest.fixture(scope="module")
def spoken(nemos) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of bundled clips of 1.4 to 10 s, and their lengths."""
    names = ["fsdd-theo-2", "piper-joe-1", "rhvoice-slt-1", "flite-slt-1"]
    clips = [torch.from_numpy(clip(name)) for name in names]
    lengths = torch.tensor([len(each) for each in clips])
    samples = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    return Features(nemos._network.preprocessor.featurizer, CPU)(samples, lengths)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_is_closer_to_float32_than_nemos(nemos, spoken, dtype):
    features, lengths = spoken
    whole = nemos._network.encoder
    half = copy.deepcopy(whole).to(dtype)
    with torch.inference_mode():
        expected, counts = whole(audio_signal=features, length=lengths)
        theirs, _ = half(audio_signal=features.to(dtype), length=lengths)
        ours, _ = FastConformerEncoder(whole, CPU, dtype)(features, lengths)
    assert ours.dtype == dtype
    of_theirs = error(theirs.float().mT, expected, counts.tolist())
    assert 1e-6 < error(ours.float(), expected, counts.tolist()) < of_theirs


PUBLISHED = {
    "0.6b-v2 and v3": {"feat_in": 128},
    "1.1b": {"feat_in": 80, "use_bias": True, "xscaling": True, "conv_kernel_size": 5},
}
"""Shapes of one layer of each; they have 24 and 42 layers, and v3 differs from v2 in its vocabulary."""


@pytest.mark.parametrize("published", PUBLISHED)
def test_a_layer_of_the_published_shapes_gives_nemos_result(published):
    shape = {"d_model": 1024, "n_heads": 8, "n_layers": 1, "subsampling_conv_channels": 256} | PUBLISHED[published]
    nemos = conformer(**shape)
    assert unsupported_reason(nemos) is None
    assert_equal(nemos, FastConformerEncoder(nemos, CPU, torch.float32), [200, 130], shape["feat_in"])
