"""A NeMo Sortformer: an end-to-end network that says which of its four speakers talk in each frame of 80 ms.

It is a streaming one, such as nvidia/diar_streaming_sortformer_4spk-v2.1: it takes audio in parts and remembers what
each speaker sounds like in a cache of embeddings, so a speaker has the same number in all of a recording.
"""

import logging
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.checkpoint import find_checkpoint
from src.engine.device_errors import one_line
from src.engine.network import quiet_nemo
from src.errors import ModelUnavailable, SpeakersUnavailable

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SETTING = "PARAKEET_DIARIZER"
STREAMING = {"chunk_len": 340, "chunk_right_context": 40, "fifo_len": 40, "spkcache_update_period": 300}
"""NVIDIA's most accurate way of streaming ("very high latency" on the card of diar_streaming_sortformer_4spk-v2.1), in
frames of 80 ms. Here a part of audio is complete when it comes, so the latency costs nothing."""

Activities = NDArray[np.float32]
"""The probability that each speaker talks in each frame (frames, speakers)."""


class Sortformer:
    """The network on one device. Any number of threads may use it, one at a time.

    Args:
        network: NeMo's `SortformerEncLabelModel`.
        device: where it computes.

    Attributes:
        speakers: the most speakers that it tells apart.
        frame_s: seconds of audio in a frame.
    """

    def __init__(self, network: Any, device: "torch.device") -> None:
        self._network = network.eval().requires_grad_(False).to(device)
        self._network.preprocessor.featurizer.dither = 0.0
        self._network.preprocessor.featurizer.pad_to = 0
        self._device = device
        self._running = threading.Lock()  # its encoder makes its table of positions longer when it has to
        modules = network.sortformer_modules
        for name, frames in STREAMING.items():
            setattr(modules, name, frames)
        self.speakers = int(modules.n_spk)
        self.frame_s = float(modules.subsampling_factor * network.cfg.preprocessor.window_stride)

    @classmethod
    def load(cls, name: str, device: "torch.device") -> "Sortformer":
        """Return the Sortformer of a hub id or a `.nemo` file, after it has run once.

        Raises:
            SpeakersUnavailable: there is none, or NeMo cannot load or run it.
        """
        try:
            path = find_checkpoint(name, SETTING)
            with quiet_nemo():
                from nemo.collections.asr.models import SortformerEncLabelModel

                network = SortformerEncLabelModel.restore_from(str(path), map_location="cpu")
                if not network.cfg.get("streaming_mode", False):
                    raise ModelUnavailable(f"{SETTING}={name} is no streaming Sortformer.")
                sortformer = cls(network, device)
                sortformer.activities(np.zeros(SAMPLE_RATE, np.float32), sortformer.start())
        except Exception as error:  # whatever tar, YAML, torch or NeMo raise on a file that is no Sortformer
            reason = str(error) if isinstance(error, ModelUnavailable) else f"{SETTING}={name}: {one_line(error)}."
            log.error("Speakers cannot be told apart. %s", reason)
            raise SpeakersUnavailable(f"This server cannot tell speakers apart. {reason}") from error
        log.info("Speakers: %s on %s", name, device)
        return sortformer

    def start(self) -> Any:
        """Return the state of a new recording."""
        return self._network.sortformer_modules.init_streaming_state(batch_size=1, device=self._device)

    def activities(self, samples: Samples, state: Any) -> Activities:
        """Return who talks in the next 16 kHz samples (samples,) of a recording, and change its state."""
        import torch

        network = self._network
        with self._running, torch.inference_mode():
            signal = torch.from_numpy(samples)[None].to(self._device)
            length = torch.tensor([len(samples)], device=self._device)
            features, lengths = network.preprocessor(input_signal=signal, length=length)
            features = features[:, :, : int(lengths.max())]
            found = torch.zeros((1, 0, self.speakers), device=self._device)
            loader = network.sortformer_modules.streaming_feat_loader(features, lengths, torch.zeros_like(lengths))
            for _, chunk, chunk_lengths, left, right in loader:
                state, found = network.forward_streaming_step(
                    chunk, chunk_lengths, state, found, left_offset=left, right_offset=right
                )
            activities: Activities = found[0].float().cpu().numpy()
            return activities
