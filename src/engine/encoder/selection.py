"""Which encoder serves a checkpoint: the one of `fastconformer.py` where it knows the kind and gives what NeMo's gives.

This file loads torch; it is imported when a model is loaded.
"""

import logging
from typing import Any

import torch

from src.engine import toolchain
from src.engine.cuda import Gpu
from src.engine.device_errors import classify_device_errors, one_line
from src.engine.encoder import fastconformer as own
from src.engine.encoder import features, selfcheck
from src.engine.encoder.buckets import ALIGNMENT, choose_buckets, max_padded_frames
from src.engine.encoder.graphed_encoder import GraphedEncoder
from src.engine.encoder.nemo_encoder import NemoEncoder
from src.engine.encoder.operations import Operations, PlainOperations
from src.engine.encoder.padded_encoder import AudioEncoder, PaddedEncoder
from src.engine.windowing import Windowing
from src.errors import DeviceLost
from src.settings import Settings

log = logging.getLogger(__name__)

Tensor = torch.Tensor


class ParakeetEncoder:
    """Features and encoder of this project's own, on the device."""

    def __init__(self, features: features.Features, encoder: own.FastConformerEncoder) -> None:
        self.features = features
        self.encoder = encoder

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"own, {self.encoder.operations.name}"

    def __call__(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Do what `AudioEncoder` says."""
        return self.encoder(*self.features(samples, lengths))

    @classmethod
    def of(cls, network: Any, device: torch.device, dtype: torch.dtype, settings: Settings) -> "ParakeetEncoder | None":
        """Build one from a NeMo network in float32; None where the settings or the network's kind are against it."""
        if settings.encoder == "nemo":
            return None
        featurizer = network.preprocessor.featurizer
        reason = features.unsupported_reason(featurizer) or own.unsupported_reason(network.encoder)
        if reason:
            log.info("This checkpoint's encoder stays NeMo's, which is slower: %s.", reason)
            return None
        encoder = own.FastConformerEncoder(
            network.encoder,
            device,
            dtype,
            context=context_of(network, settings),
            longest=max_padded_frames(_longest_s(settings)),
            operations=select_operations(device),
            alignment=1 if device.type == "cpu" else ALIGNMENT,
            pieces=settings.subsampling_chunking_factor,
        )
        return cls(features.Features(featurizer, device), encoder)


def select_operations(device: torch.device) -> Operations:
    """Return what does the encoder's fused steps: on a GPU Triton's kernels, where they can be compiled."""
    if device.type != "cuda":
        return PlainOperations()
    problem = toolchain.missing()
    if problem is None:
        try:
            from src.engine.encoder.triton_operations import TritonOperations

            return TritonOperations()
        except Exception as error:  # such as a Triton that is not the one of this torch
            problem = one_line(error)
    log.warning("The encoder runs without Triton's kernels, slower: %s.", problem)
    return PlainOperations()


def context_of(network: Any, settings: Settings) -> int | None:
    """Return how many frames attention sees to each side, None for all."""
    if settings.use_local_attention:
        return settings.local_attention_context
    return own.context_of(network.encoder)


def select_encoder(ours: ParakeetEncoder | None, network: Any, settings: Settings) -> ParakeetEncoder | NemoEncoder:
    """Return the encoder that is to serve: ours if it gives what that of `network` gives, which then lets its own go.

    `network` is on its device and of its dtype.

    Raises:
        DeviceLost: the device answers to nothing any more.
    """
    nemos = NemoEncoder(network, settings.local_attention_context if settings.use_local_attention else None)
    if ours is None or not _is_right(ours, nemos):
        return nemos
    network.encoder = None  # as many weights as ours
    del nemos
    if ours.encoder.device.type == "cuda":
        torch.cuda.empty_cache()
    return ours


def new_batch_encoder(
    encoder: ParakeetEncoder | NemoEncoder, device: torch.device, gpu: Gpu | None, max_clips: int, settings: Settings
) -> PaddedEncoder | GraphedEncoder:
    """Return what encodes batches of up to `max_clips` clips on `device`: on a GPU, ours by buckets and CUDA graphs.

    Raises:
        DeviceLost: the device answers to nothing any more.
    """
    if gpu is None or isinstance(encoder, NemoEncoder):
        return PaddedEncoder(encoder, device)
    windows = Windowing.from_settings(settings).window_frames
    buckets = choose_buckets(_longest_s(settings), max_clips, gpu.free_bytes, windows)
    graphed = GraphedEncoder(encoder.features, encoder.encoder, gpu, buckets)
    graphed.make_ready(graphs=settings.cuda_graphs != "off")
    return graphed


def _is_right(ours: ParakeetEncoder, nemos: AudioEncoder) -> bool:
    """Whether our encoder gives what NeMo's gives, if need be without Triton's kernels."""
    problem = _problem(ours, nemos)
    if problem and not isinstance(ours.encoder.operations, PlainOperations):
        log.warning("The encoder runs without Triton's kernels, slower, as they fail its check: %s", problem)
        ours.encoder.operations = PlainOperations()
        problem = _problem(ours, nemos)
    if problem:
        log.warning("The encoder is NeMo's, which is slower, as our own fails its check: %s", problem)
    return problem is None


def _problem(ours: ParakeetEncoder, nemos: AudioEncoder) -> str | None:
    """Return how our encoder fails its check, None if it does not."""
    encoder = ours.encoder
    try:
        with classify_device_errors(encoder.device):
            selfcheck.check_attention(encoder)
            error = selfcheck.compare(ours, nemos, encoder.device, encoder.dtype, encoder.context)
    except DeviceLost:
        raise
    except Exception as problem:  # whatever it is, the next way may do
        return one_line(problem)
    log.debug("Our own encoder (%s) is %.1e of the norm from NeMo's.", encoder.operations.name, error)
    return None


def _longest_s(settings: Settings) -> float:
    """Return the length of the longest clip that the settings allow."""
    return min(settings.chunk_seconds, settings.max_audio_seconds)
