"""The engine: a NeMo transducer that turns batches of clips into transcripts.

It does not call NeMo's `transcribe()`, which changes shared state and builds a data loader at each call. It runs the
parts itself: features and encoder (the project's own or NeMo's, see `encoder/selection.py`), then the decoder.

One thread owns a `NemoModel`. Other threads may call only `collate`, `collate_steps`, `compile` and `has_compiled`.
"""

import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine import nemo_contract
from src.engine.batch_limits import BatchLimits
from src.engine.cache_folders import prepare_cache_folders
from src.engine.checkpoint import find_checkpoint
from src.engine.decoder.decoder import Decoder
from src.engine.decoder.keyword_lists import MAX_REQUEST_LISTS
from src.engine.device import describe_device, limit_torch_threads, resolve_device, resolve_dtype
from src.engine.device_errors import MemoryExhausted, classify_device_errors, one_line
from src.engine.frames import FRAME_SECONDS
from src.engine.model import Batch, StepBatch, StepResult, StreamStep
from src.engine.model_languages import languages_of
from src.engine.network import freeze, move_to_device, quiet_nemo, restore_network
from src.errors import DeviceLost, ModelUnavailable
from src.memory.process import gc_paused
from src.settings import Settings
from src.text.transcript import Transcript, text_of

if TYPE_CHECKING:
    import torch

    from src.engine.cuda import Gpu
    from src.engine.encoder.parakeet_encoder import ParakeetEncoder

log = logging.getLogger(__name__)


class BatchEncoder(Protocol):
    """Features and encoder, as the model uses them."""

    def describe(self) -> str:
        """Return for the log how CUDA graphs are used."""

    def stage(self, clips: Sequence[Samples]) -> Any:
        """Return clips in the form that `encode` takes; any thread may call this while the model runs a batch."""

    def encode(self, staged: Any) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the encoder's output, (clips, frames, width), and each clip's number of frames, (clips,) int64."""


class NemoModel:
    """A loaded checkpoint on its device; `load` returns one.

    Args:
        network: NeMo's network; without its encoder if the project's own serves.
        device: where it is.
        encoder: features and encoder for batches.
        decoder: the decoder of `network`.
        limits: how large batches should be.
        languages: ISO 639-1 codes of the languages that it transcribes, the one to assume first.
    """

    def __init__(
        self,
        network: Any,
        device: "torch.device",
        encoder: BatchEncoder,
        decoder: Decoder,
        limits: BatchLimits,
        languages: Sequence[str] = ("en",),
    ) -> None:
        self._network = network
        self._device = device
        self._encoder = encoder
        self._decoder = decoder
        self.limits = limits
        """How large its batches should be."""
        self.languages = languages
        """ISO 639-1 codes of the languages that it transcribes, the one to assume first."""

    @classmethod
    def load(cls, settings: Settings, gpu: "Gpu | None" = None) -> "NemoModel":
        """Return the model that `settings` name, fetched, loaded and warmed up, and log what is in use.

        Args:
            settings: what to load, and how to run it.
            gpu: captures the encoder's CUDA graphs; None for the device itself, if it is a GPU.

        Raises:
            ModelUnavailable: NeMo, the checkpoint, the device or the number format cannot be used; the message is one
                sentence that says what to do.
        """
        started = time.monotonic()
        prepare_cache_folders()
        path = find_checkpoint(settings.model_id)
        with quiet_nemo(), gc_paused():
            nemo_contract.check()
            from src.engine.encoder.selection import new_batch_encoder, select_encoder
        imported = time.monotonic()

        limit_torch_threads()
        device, gpu = _open_device(settings.device, gpu)
        dtype = resolve_dtype(settings.dtype, device)
        limits = BatchLimits.from_settings(settings, gpu.memory_bytes if gpu else None)
        with quiet_nemo():
            network = restore_network(path, settings.model_id)
        languages = _languages(network, settings)
        millions = sum(weight.numel() for weight in network.parameters()) / 1e6
        try:
            with quiet_nemo():
                own_encoder, decoder = _set_up(network, device, dtype, settings)
            loaded = time.monotonic()
            with quiet_nemo():
                encoder = select_encoder(own_encoder, network, settings)
            # The encoder captures its CUDA graphs before the decoder does.
            batch_encoder = new_batch_encoder(encoder, device, gpu, limits.max_clips, settings)
            model = cls(network, device, batch_encoder, decoder, limits, languages)
            model.warm_up(limits.max_clips, min(settings.chunk_seconds, settings.max_audio_seconds))
        except Exception as error:
            raise ModelUnavailable(
                f"{settings.model_id} loads but does not run on {device} in {settings.dtype}: {one_line(error)}."
            ) from error

        log.info("Model: %s (%s, %.1f million parameters)", settings.model_id, type(network).__name__, millions)
        log.info("Languages: %s", ", ".join(languages))
        log.info("Device: %s, %s", describe_device(device), str(dtype).removeprefix("torch."))
        log.info("Encoder: %s, %s", encoder.name, batch_encoder.describe())
        log.info("Attention: %s", _describe_attention(settings))
        log.info("Decoder: %s", model.decoder)
        log.info(
            "Loaded in %.1f s (%.1f s of it importing NeMo), warmed up in %.1f s",
            loaded - started,
            imported - started,
            time.monotonic() - loaded,
        )
        return model

    @property
    def decoder(self) -> str:
        """The kind of decoder, its search, and how it uses CUDA graphs, for the log."""
        decoding = self._network.decoding
        graphs = self._decoder.graphs if self._device.type == "cuda" else "off"
        kind = f"{decoding.cfg.strategy} {decoding.cfg.get('model_type', 'rnnt')}"
        return f"{kind}, {self._decoder.search}, CUDA graphs {graphs}"

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        """Whether `compile` has nothing to do for these keywords."""
        return self._decoder.has_compiled(keywords)

    def compile(self, keywords: tuple[str, ...]) -> None:
        """Compile a list of keywords, unless it is compiled already or keywords are off."""
        self._decoder.compile(keywords)

    def collate(self, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> Batch:
        """Return a batch of clips, each padded to the longest.

        Args:
            clips: 16 kHz mono float32 samples; none is empty.
            keywords: those of each clip, in the order of `clips`; None if no clip has any.
        """
        audio = self._encoder.stage(clips)
        with classify_device_errors(self._device):  # for a GPU, packed trees take pinned memory
            keyword_trees = self._decoder.pack_trees_for(keywords) if keywords else None
        return Batch(audio, tuple(len(clip) / SAMPLE_RATE for clip in clips), keyword_trees)

    def transcribe(self, batch: Batch) -> list[Transcript]:
        """Run the network over a batch and return the transcript of each clip, in order."""
        with classify_device_errors(self._device):
            encoded, lengths = self.encode(batch)
            tokens = self._decoder.decode(encoded, lengths, batch.keyword_trees, batch.clips_s)
        return [Transcript(text_of(each), each) for each in tokens]

    def collate_steps(self, steps: Sequence[StreamStep]) -> StepBatch:
        """Return a batch of steps, their windows padded to the longest; no window is empty."""
        windows = self.collate([step.samples for step in steps], [step.keywords for step in steps])
        return StepBatch(windows, tuple(steps))

    def advance(self, batch: StepBatch) -> list[StepResult]:
        """Run the network over a batch of steps and return the result of each, in order."""
        with classify_device_errors(self._device):
            encoded, lengths = self.encode(batch.windows)
            return self._decoder.advance(encoded, lengths, batch.windows.keyword_trees, batch.steps)

    def encode(self, batch: Batch) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the encoder's output, (clips, width, frames), and its length for each clip in frames of 80 ms."""
        encoded, lengths = self._encoder.encode(batch.audio)
        return encoded.transpose(1, 2), lengths

    def warm_up(self, max_clips: int, max_clip_s: float) -> None:
        """Run batches of every kind once, so that no request pays for first-call work.

        If the decoder fails with CUDA graphs, it runs without them from here on.

        Args:
            max_clips: the largest batch to come.
            max_clip_s: the longest clip to come, in seconds.

        Raises:
            Exception: what torch or NeMo raise if the model does not run at all.
        """
        try:
            self._run_each_kind(max_clips, max_clip_s)
            return
        except DeviceLost:
            raise
        except Exception as error:
            if self._device.type != "cuda" or not self._decoder.disable_graphs():
                raise
            log.warning("The decoder fails with CUDA graphs and runs without them, slower: %s", one_line(error))
        # Outside the handler: the error holds the memory of the failed run.
        self._run_each_kind(max_clips, max_clip_s)

    def _run_each_kind(self, max_clips: int, max_clip_s: float) -> None:
        """Run full batches of clips and of steps, with and without keywords, and one long clip."""
        second = np.random.default_rng(0).normal(scale=0.01, size=SAMPLE_RATE).astype(np.float32)
        if self._device.type == "cuda":
            with classify_device_errors(self._device):
                self._decoder.warm_up(max_clips, _padded_frames(max_clip_s))
            clip_s = min(max_clip_s, self.limits.max_audio_s / max_clips)
            self._run_largest(np.resize(second, round(clip_s * SAMPLE_RATE)), max_clips)
        for keywords in ((), ("a",)):
            self.transcribe(self.collate([second] * max_clips, [keywords] * max_clips))
            decoder_state = None
            for start_frame in (0, 6):  # an utterance's first step and a later one
                step = StreamStep(second, 0, 6, start_frame, decoder_state, keywords, lookahead=True)
                decoder_state = self.advance(self.collate_steps([step] * max_clips))[0].decoder_state
        self.transcribe(self.collate([np.tile(second, 15)]))  # long enough for local attention

    def _run_largest(self, clip: Samples, clips: int) -> None:
        """Run the largest batch of this clip that fits into memory, so that torch holds the memory for it."""
        while clips:
            try:
                for keywords in ((), ("a",)):
                    self.transcribe(self.collate([clip] * clips, [keywords] * clips))
                return
            except MemoryExhausted:
                log.warning("%d clips of %.0f s do not fit into the GPU's memory.", clips, len(clip) / SAMPLE_RATE)
                clips //= 2


def _open_device(name: str, gpu: "Gpu | None") -> tuple["torch.device", "Gpu | None"]:
    """Return the device of that name, ready for use, and its GPU: `gpu` if there is one, None on a CPU without."""
    from src.engine.cuda import Cuda, configure_device

    device = resolve_device(name)
    if device.type == "cuda":
        with quiet_nemo():  # torch warns about the name of a setting
            configure_device(device)
        gpu = gpu or Cuda(device)
    return device, gpu


def _languages(network: Any, settings: Settings) -> tuple[str, ...]:
    """Return the languages of a checkpoint; see `languages_of`."""
    named = network.cfg.tokenizer.get("langs") or ()  # only a tokenizer with a part for each language has them
    return languages_of(settings.model_id, settings.languages, named, network.tokenizer.vocab_size)


def _set_up(
    network: Any, device: "torch.device", dtype: "torch.dtype", settings: Settings
) -> tuple["ParakeetEncoder | None", Decoder]:
    """Freeze a network and move it to its device; return the project's own encoder for it, if any, and its decoder."""
    from src.engine.encoder.selection import new_parakeet_encoder

    freeze(network, settings.subsampling_chunking_factor)
    encoder = new_parakeet_encoder(network, device, dtype, settings)  # from the weights in float32
    move_to_device(network, device, dtype)
    max_keyword_lists = settings.max_sessions + MAX_REQUEST_LISTS
    return encoder, Decoder(network, settings.boost_alpha, settings.cuda_graphs, max_keyword_lists)


def _describe_attention(settings: Settings) -> str:
    chunking = f"subsampling chunking factor {settings.subsampling_chunking_factor}"
    if not settings.use_local_attention:
        return f"full, {chunking}"
    context = settings.local_attention_context
    return f"local, {context} frames ({context * FRAME_SECONDS:.1f} s) to each side, {chunking}"


def _padded_frames(seconds: float) -> int:
    """Return the most frames that a padded clip of this length may have; padding rounds up to a multiple of 8."""
    return 8 * math.ceil((seconds / FRAME_SECONDS + 1) / 8)
