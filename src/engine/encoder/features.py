"""Log-mel features of clips, normalised per clip, as NeMo's `FilterbankFeatures` computes them in evaluation mode.

`Features` gives the same numbers in fewer operations and without a wait for the device; NeMo asks a GPU in each call
whether a clip has a single frame. This file loads torch; it is imported when a model is loaded.
"""

from typing import Any

import torch

Tensor = torch.Tensor

MIN_STD = 1e-5
"""Added to a band's standard deviation before the division by it (`CONSTANT` of NeMo's features.py)."""


def unsupported_reason(featurizer: Any) -> str | None:
    """Return why `Features` cannot replace a NeMo featurizer, None if it can."""
    supported = {
        "normalize": "per_feature",
        "log": True,
        "log_zero_guard_type": "add",
        "exact_pad": False,
        "mag_power": 2.0,
        "frame_splicing": 1,
        "pad_value": 0,
        "use_grads": False,
    }
    if type(featurizer).__name__ != "FilterbankFeatures":
        return f"its features are made by {type(featurizer).__name__}"
    for name, value in supported.items():
        if getattr(featurizer, name) != value:
            return f"its features have {name} {getattr(featurizer, name)}"
    if featurizer.n_fft % 2 or featurizer.preemph is None or featurizer.window is None:
        return "its features have an odd n_fft, no preemphasis or no window"
    return None


class Features:
    """The features of a NeMo featurizer that `unsupported_reason` accepts, computed in float32 on `device`."""

    def __init__(self, featurizer: Any, device: torch.device) -> None:
        self._window = featurizer.window.to(device, torch.float32)
        self._filters = featurizer.fb[0].to(device, torch.float32)
        self._n_fft, self._win_length = featurizer.n_fft, featurizer.win_length
        self._preemphasis = featurizer.preemph
        self._zero_guard = featurizer.log_zero_guard_value_fn(self._filters)
        self.hop_samples: int = featurizer.hop_length
        """Samples from one frame of features to the next."""

    def __call__(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (clips, mels, samples // hop + 1), float32, and the number of real frames, (clips,) int64.

        `samples` is (clips, samples) float32, `lengths` (clips,) int64 in samples. Samples beyond a clip's length have
        no effect. Features beyond a clip's real frames are 0.
        """
        mels = self._log_mels(samples, lengths)
        counts = lengths // self.hop_samples
        is_padding = _is_beyond(counts, mels.shape[2])[:, None]
        number = counts[:, None, None].clamp(min=1)  # a clip too short for one frame is all padding
        mean = mels.masked_fill(is_padding, 0.0).sum(2, keepdim=True).div_(number)
        mels = mels.sub_(mean).masked_fill_(is_padding, 0.0)
        deviation = mels.square().sum(2, keepdim=True).div_((number - 1).clamp_(min=1)).sqrt_().add_(MIN_STD)
        return mels.div_(deviation), counts

    def _log_mels(self, samples: Tensor, lengths: Tensor) -> Tensor:
        emphasised = torch.cat((samples[:, :1], samples[:, 1:] - self._preemphasis * samples[:, :-1]), dim=1)
        emphasised = emphasised.masked_fill_(_is_beyond(lengths, samples.shape[1]), 0.0)
        spectrum = torch.stft(
            emphasised,
            self._n_fft,
            self.hop_samples,
            self._win_length,
            self._window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square_().sum(-1)
        return torch.matmul(self._filters, power).add_(self._zero_guard).log_()


def _is_beyond(lengths: Tensor, size: int) -> Tensor:
    """Return which of `size` positions are beyond each length, (lengths, size) bool."""
    return torch.arange(size, device=lengths.device) >= lengths[:, None]
