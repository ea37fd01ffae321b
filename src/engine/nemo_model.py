"""The engine: a NeMo transducer that turns batches of clips into transcripts.

It does not call NeMo's `transcribe()`, which flips shared state and builds a data loader at each call, but runs the
three parts itself: features and encoder, its own or NeMo's (`selection.py`), and the decoder. One thread owns a
`NemoModel`; only what puts batches together may be called from others. What leaves it is plain Python.
"""

import logging
import math
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import BatchLimits
from src.engine.checkpoint import find_checkpoint
from src.engine.decoder.decoder import Decoder
from src.engine.decoder.keyword_lists import MAX_REQUEST_LISTS
from src.engine.device_errors import MemoryExhausted, classify_device_errors, one_line
from src.engine.frames import FRAME_SECONDS
from src.engine.model import Batch, StepBatch, StepResult, StreamStep
from src.errors import DeviceLost, ModelUnavailable
from src.settings import Settings
from src.text.transcript import Transcript, text_of

if TYPE_CHECKING:
    import torch

    from src.engine.cuda import Gpu

log = logging.getLogger(__name__)


def torch_threads(cores: int, wished: int) -> int:
    """Return how many threads torch shall use for one operation, given how many it would (`OMP_NUM_THREADS`).

    One core is left to the event loop and to the decoding of audio. Torch's threads wait for each other after each
    operation, so that one of them without a core holds up all: on two cores a request took 54 ms with two threads and
    35 ms with one, and with 16 requests at a time 44 and 54 were done in a second (bundled model).
    """
    return max(1, min(wished, cores - 1))


class BatchEncoder(Protocol):
    """What the model asks of features and encoder."""

    def describe(self) -> str:
        """Say for the log how CUDA graphs are used."""

    def stage(self, clips: Sequence[Samples]) -> Any:
        """Make clips ready for `encode`; any thread may do so while the model runs a batch."""

    def encode(self, staged: Any) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return what is encoded, (clips, frames, width), and each clip's number of frames of 80 ms, (clips,) int64."""


class NemoModel:
    """A loaded checkpoint on its device. Make one with `load`."""

    def __init__(
        self, network: Any, device: "torch.device", encoder: BatchEncoder, decoder: Decoder, limits: BatchLimits
    ) -> None:
        self._network = network
        self._device = device
        self._encoder = encoder
        self._decoder = decoder
        self.limits = limits
        """How large its batches should be."""

    @classmethod
    def load(cls, settings: Settings, gpu: "Gpu | None" = None) -> "NemoModel":
        """Fetch, load, mend and warm up the model that `settings` names, and say on the log what is in use.

        Args:
            settings: what to load, and how it is to run.
            gpu: what the encoder's CUDA graphs are captured on; None for the device itself, if it is a GPU.

        Raises:
            ModelUnavailable: the checkpoint, the device or the dtype cannot be used; the message says what to do.
        """
        started = time.monotonic()
        path = find_checkpoint(settings.model_id)
        with _quiet():
            import torch
            from nemo.collections.asr.models import ASRModel

            from src.engine.cuda import Cuda, configure_device
            from src.engine.encoder.selection import new_batch_encoder, new_parakeet_encoder, select_encoder
        imported = time.monotonic()

        torch.set_num_threads(torch_threads(len(os.sched_getaffinity(0)), torch.get_num_threads()))
        device = _device(settings.device)
        if device.type == "cuda":
            with _quiet():  # torch warns of the name that it gives to a setting
                configure_device(device)
            gpu = gpu or Cuda(device)
        dtype = _dtype(settings.dtype, device)
        limits = BatchLimits.from_settings(settings, gpu.memory_bytes if gpu else None)
        with _quiet():
            network = _restore(ASRModel, path, settings.model_id)
            network.change_subsampling_conv_chunking_factor(settings.subsampling_chunking_factor)
            _freeze(network)
            millions = sum(weight.numel() for weight in network.parameters()) / 1e6
            ours = new_parakeet_encoder(network, device, dtype, settings)
            _place(network, device, dtype)
            decoder = Decoder(
                network,
                settings.boost_alpha,
                settings.cuda_graphs,
                keyword_lists=settings.max_sessions + MAX_REQUEST_LISTS,
            )
        loaded = time.monotonic()

        try:
            with _quiet():
                encoder = select_encoder(ours, network, settings)
            # Before the decoder captures graphs.
            batches = new_batch_encoder(encoder, device, gpu, limits.max_clips, settings)
            model = cls(network, device, batches, decoder, limits)
            model.warm_up(limits.max_clips, min(settings.chunk_seconds, settings.max_audio_seconds))
        except Exception as error:
            raise ModelUnavailable(
                f"{settings.model_id} loads but does not run on {device} in {settings.dtype}: {one_line(error)}."
            ) from error
        log.info("Model: %s (%s, %.1f million parameters)", settings.model_id, type(network).__name__, millions)
        log.info("Device: %s, %s", _describe(device), str(dtype).removeprefix("torch."))
        log.info("Encoder: %s, %s", encoder.name, batches.describe())
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
    def languages(self) -> Sequence[str]:
        """The languages of the checkpoint's tokenizer where it has one for each (NeMo's `agg`), English otherwise."""
        return tuple(self._network.cfg.tokenizer.get("langs") or ("en",))

    @property
    def decoder(self) -> str:
        """Which decoder runs, and whether CUDA graphs drive it."""
        decoding = self._network.decoding
        graphs = self._decoder.graphs if self._device.type == "cuda" else "off"
        return f"{decoding.cfg.strategy} {decoding.cfg.get('model_type', 'rnnt')}, CUDA graphs {graphs}"

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        """Whether these hot words are compiled, or hot words are off."""
        return self._decoder.has_compiled(keywords)

    def compile(self, keywords: tuple[str, ...]) -> None:
        """Compile hot words, unless they are."""
        self._decoder.compile(keywords)

    def collate(self, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> Batch:
        """Pad clips of 16 kHz mono float32 samples, none empty, to the longest.

        `keywords` has the hot words of each clip, in the clips' order; None means none for any.
        """
        audio = self._encoder.stage(clips)
        with classify_device_errors(self._device):  # hot words take memory for a GPU's own reading, too
            keyword_trees = self._decoder.pack_trees_for(keywords) if keywords else None
        return Batch(audio, tuple(len(clip) / SAMPLE_RATE for clip in clips), keyword_trees)

    def transcribe(self, batch: Batch) -> list[Transcript]:
        """Run the network over a batch and return one transcript for each of its clips."""
        with classify_device_errors(self._device):
            encoded, lengths = self.encode(batch)
            tokens = self._decoder.decode(encoded, lengths, batch.keyword_trees, batch.clips_s)
        return [Transcript(text_of(each), each) for each in tokens]

    def collate_steps(self, steps: Sequence[StreamStep]) -> StepBatch:
        """Pad the windows of steps, none empty, to the longest."""
        windows = self.collate([step.samples for step in steps], [step.keywords for step in steps])
        return StepBatch(windows, tuple(steps))

    def advance(self, batch: StepBatch) -> list[StepResult]:
        """Run the network over a batch of steps and return what each adds to its stream."""
        with classify_device_errors(self._device):
            encoded, lengths = self.encode(batch.windows)
            return self._decoder.advance(encoded, lengths, batch.windows.keyword_trees, batch.steps)

    def encode(self, batch: Batch) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the encoder's output, (clips, width, frames), and its length for each clip in frames of 80 ms."""
        encoded, lengths = self._encoder.encode(batch.audio)
        return encoded.transpose(1, 2), lengths

    def warm_up(self, max_batch: int, longest_s: float) -> None:
        """Warm up for `max_batch` clips at a time, and clips of up to `longest_s` seconds; without graphs if they fail.

        Raises:
            Exception: whatever torch or NeMo raise where the model does not run at all.
        """
        try:
            self._warm_up(max_batch, longest_s)
            return
        except DeviceLost:
            raise
        except Exception as error:
            if self._device.type != "cuda" or not self._decoder.disable_graphs():
                raise
            log.warning("The decoder does not run with CUDA graphs; it goes on, slower, without: %s", one_line(error))
        # Not in the clause above: the error would keep the memory of what has failed.
        self._warm_up(max_batch, longest_s)

    def _warm_up(self, max_batch: int, longest_s: float) -> None:
        """Run full batches of clips and steps, with and without hot words, and a long clip.

        So no request pays for first-call work.
        """
        second = np.random.default_rng(0).normal(scale=0.01, size=SAMPLE_RATE).astype(np.float32)
        if self._device.type == "cuda":
            with classify_device_errors(self._device):
                self._decoder.warm_up(max_batch, _frames_of(longest_s))
            clip_s = min(longest_s, self.limits.max_audio_s / max_batch)
            self._run_largest(np.resize(second, round(clip_s * SAMPLE_RATE)), max_batch)
        for hot_word in ((), ("a",)):
            self.transcribe(self.collate([second] * max_batch, [hot_word] * max_batch))
            memory = None
            for start_frame in (0, 6):  # a stream's first step and a later one
                step = StreamStep(second, 0, 6, start_frame, memory, hot_word)
                memory = self.advance(self.collate_steps([step] * max_batch))[0].decoder_state
        self.transcribe(self.collate([np.tile(second, 15)]))  # long enough for local attention

    def _run_largest(self, clip: Samples, clips: int) -> None:
        """Run the largest batch that fits, so that what it needs for that is there."""
        while clips:
            try:
                for hot_word in ((), ("a",)):
                    self.transcribe(self.collate([clip] * clips, [hot_word] * clips))
                return
            except MemoryExhausted:
                log.warning("%d clips of %.0f s do not fit into the GPU's memory.", clips, len(clip) / SAMPLE_RATE)
                clips //= 2


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep NeMo's, Lightning's and OneLogger's start-up messages off the log; errors still come through."""
    for name in ("nv_one_logger", "pytorch_lightning", "lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # A level would not last, as NeMo sets its own again; a filter does. Adding the same one twice changes nothing.
    logging.getLogger("nemo_logger").addFilter(_errors_only)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _restore(kind: Any, path: Path, model_id: str) -> Any:
    """Load a checkpoint file to the CPU, in float32."""
    try:
        network = kind.restore_from(str(path), map_location="cpu")
    except Exception as error:  # NeMo raises whatever tar, YAML, torch or its own code meet in a file that is none
        raise ModelUnavailable(
            f"PARAKEET_MODEL_ID={model_id} is no checkpoint that NeMo can load ({one_line(error)}); give the "
            ".nemo file of a Parakeet TDT model."
        ) from error
    if not hasattr(network, "joint") or network.cfg.preprocessor.sample_rate != SAMPLE_RATE:
        raise ModelUnavailable(
            f"PARAKEET_MODEL_ID={model_id} is a {type(network).__name__}; this service runs 16 kHz transducers "
            "such as Parakeet TDT."
        )
    return network


def _describe_attention(settings: Settings) -> str:
    chunking = f"subsampling chunking factor {settings.subsampling_chunking_factor}"
    if not settings.use_local_attention:
        return f"full, {chunking}"
    context = settings.local_attention_context
    return f"local, {context} frames ({context * FRAME_SECONDS:.1f} s) to each side, {chunking}"


def _freeze(network: Any) -> None:
    """Make the network a pure function of its input."""
    network.eval()
    network.requires_grad_(False)
    network.preprocessor.featurizer.dither = 0.0
    network.preprocessor.featurizer.pad_to = 0


def _place(network: Any, device: "torch.device", dtype: "torch.dtype") -> None:
    """Bring the network to its device, the weights in their dtype; features stay float32."""
    for part in (network.encoder, network.decoder, network.joint):
        part.to(device, dtype)
    network.to(device)


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if (device.index or 0) >= torch.cuda.device_count():
        raise ModelUnavailable(
            f"PARAKEET_DEVICE={name}, but torch sees {torch.cuda.device_count()} GPUs; check the driver, or set "
            "PARAKEET_DEVICE=auto."
        )
    return torch.device("cuda", device.index or 0)


def _frames_of(seconds: float) -> int:
    """Return how many frames a clip of so many seconds may have, a multiple of 8 as those of padded clips are."""
    return 8 * math.ceil((seconds / FRAME_SECONDS + 1) / 8)


def _dtype(name: str, device: "torch.device") -> "torch.dtype":
    import torch

    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def _describe(device: "torch.device") -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
