"""Resemblyzer's voice encoder (0.1.4, Apache 2.0): what a voice sounds like, as 256 numbers.

The network is that of "Generalized End-to-End Loss for Speaker Verification" (Wan et al., 2018), and the weights are
those in the wheel of `Resemblyzer`. The package itself is not imported: it needs webrtcvad, which needs a compiler.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import one_thread
from src.engine.device_errors import one_line
from src.errors import SpeakersUnavailable

if TYPE_CHECKING:
    import torch

Features = NDArray[np.float32]
"""The power of audio in each mel band every 10 ms (frames, 40)."""
Embeddings = NDArray[np.float32]
"""What voices sound like (voices, 256), each of length 1. The product of two is their likeness, 0 to 1."""

PACKAGE = "Resemblyzer==0.1.4"
WIDTH, HOP = 400, 160
"""The window and hop of its short-time Fourier transform in samples, 25 and 10 ms."""
FRAMES_PER_S = SAMPLE_RATE // HOP
MELS = 40
HIDDEN = 256
POWER = 3.0
"""The mean power, summed over the bands, that each window is brought to, as in speech of -24 dBFS. The network takes
powers and not their logarithms, so it is not indifferent to the level. With this one the equal error rate between the
bundled voices is 3.9 % for windows of 1.5 s; it is 6.4 % without, and 5.0 % with a tenth of the power."""


def weights_path() -> Path:
    """Return the file of the weights, which is in the package `Resemblyzer`.

    Raises:
        SpeakersUnavailable: the package is not installed.
    """
    try:
        path = Path(str(distribution("Resemblyzer").locate_file("resemblyzer/pretrained.pt")))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise SpeakersUnavailable(
            "This server cannot tell speakers apart, because the network for that is not installed. Its operator can "
            f"install it with: pip install --no-deps {PACKAGE}"
        )
    return path


class VoiceEncoder:
    """The network on one device. Any number of threads may use it.

    Args:
        device: where it computes.
        dtype: the number format of its weights.

    Raises:
        SpeakersUnavailable: its weights are not installed, or cannot be read.
    """

    def __init__(self, device: "torch.device", dtype: "torch.dtype | None" = None) -> None:
        import torch

        self._device = device
        self._dtype = dtype or torch.float32
        self._lstm = torch.nn.LSTM(MELS, HIDDEN, num_layers=3, batch_first=True)
        self._linear = torch.nn.Linear(HIDDEN, HIDDEN)
        path = weights_path()
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            for name, layer in (("lstm.", self._lstm), ("linear.", self._linear)):
                layer.load_state_dict({key.removeprefix(name): weights[key] for key in weights if key.startswith(name)})
                layer.requires_grad_(False).to(device, self._dtype)
        except Exception as error:  # an unreadable file raises errors of many kinds
            raise SpeakersUnavailable(
                f"This server cannot tell speakers apart, because {path.name} of {PACKAGE} cannot be loaded: "
                f"{one_line(error)}."
            ) from error
        self._window = torch.hann_window(WIDTH)
        self._filters = torch.from_numpy(mel_filters()).T.contiguous()

    def warm_up(self) -> None:
        """Run the network once, so that a device on which it does not run raises here."""
        self.embed(np.ones((1, 1, MELS), np.float32))

    def features(self, samples: Samples) -> Features:
        """Return the features (frames, 40) of 16 kHz samples (samples,); frame n is around 10 n ms."""
        import torch

        with one_thread(), torch.inference_mode():
            spectrum = torch.stft(
                torch.from_numpy(samples), WIDTH, HOP, window=self._window, pad_mode="constant", return_complex=True
            )
            features: Features = (spectrum.abs().square().T @ self._filters).numpy()
            return features

    def embed(self, windows: NDArray[np.float32]) -> Embeddings:
        """Return the embeddings (windows, 256) of windows of features (windows, frames, 40), whatever their level."""
        import torch

        power = windows.sum(axis=2).mean(axis=1)[:, None, None]
        levelled = windows * (POWER / np.maximum(power, np.finfo(np.float32).tiny))
        with one_thread(), torch.inference_mode():
            _, (hidden, _) = self._lstm(torch.from_numpy(levelled).to(self._device, self._dtype))
            embedded = torch.nn.functional.normalize(self._linear(hidden[-1]).relu().float(), dim=1)
            embeddings: Embeddings = embedded.cpu().numpy()
            return embeddings


def fastest_dtype(device: "torch.device") -> "torch.dtype":
    """Return the number format in which the network is fastest on a device.

    That is bfloat16 on a CPU that multiplies it: with tiles (Intel's AMX), a window takes 0.9 ms of a core, and 3.3 ms
    in float32; with AVX-512's instructions for bfloat16 it takes half the time of float32.
    """
    import torch

    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    multiplies = has.get("amx_bf16", False) or has.get("avx512_bf16", False)
    return torch.bfloat16 if multiplies else torch.float32


def mel_filters() -> NDArray[np.float32]:
    """Return Slaney's mel filters (40, 201), each of the same area, as `librosa.filters.mel` does."""
    # Slaney's mels are linear up to 1 kHz, which is mel 15, and from there on 27 of them are a factor of 6.4.
    top = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, top, MELS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.maximum(mels - 15, 0) * np.log(6.4) / 27))
    frequencies = np.linspace(0, SAMPLE_RATE / 2, WIDTH // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: NDArray[np.float32] = (triangles * 2 / (edges[2:] - edges[:-2])[:, None]).astype(np.float32)
    return filters
