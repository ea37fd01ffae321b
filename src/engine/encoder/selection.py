"""Choice of the encoder for a checkpoint: `ParakeetEncoder` if it supports and reproduces NeMo's, else `NemoEncoder`.

This file loads torch; it is imported when a model is loaded.
"""

import logging
from typing import Any

import torch

from src.engine import toolchain
from src.engine.cuda import Gpu
from src.engine.device_errors import classify_device_errors, one_line
from src.engine.encoder import features, nemo_weights, selfcheck
from src.engine.encoder.attention import attention_context, local_context
from src.engine.encoder.buckets import ALIGNMENT, choose_buckets, max_padded_frames
from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.graphed_encoder import GraphedEncoder
from src.engine.encoder.nemo_encoder import NemoEncoder
from src.engine.encoder.operations import Operations, PlainOperations
from src.engine.encoder.padded_encoder import AudioEncoder, PaddedEncoder
from src.engine.encoder.parakeet_encoder import ParakeetEncoder
from src.engine.windowing import Windowing
from src.errors import DeviceLost
from src.settings import Settings

log = logging.getLogger(__name__)


def new_parakeet_encoder(
    network: Any, device: torch.device, dtype: torch.dtype, settings: Settings
) -> ParakeetEncoder | None:
    """Build a `ParakeetEncoder` from a NeMo network in float32.

    Returns None if the settings ask for NeMo's encoder, or, with a line in the log, if the checkpoint is of a kind that
    `ParakeetEncoder` does not support.
    """
    if settings.encoder == "nemo":
        return None
    featurizer = network.preprocessor.featurizer
    reason = features.unsupported_reason(featurizer) or nemo_weights.unsupported_reason(network.encoder)
    if reason:
        log.info("This checkpoint runs on NeMo's encoder, which is slower: %s.", reason)
        return None
    encoder = FastConformerEncoder(
        network.encoder,
        device,
        dtype,
        context=attention_context(network.encoder, settings),
        longest=max_padded_frames(_max_clip_s(settings)),
        operations=select_operations(device),
        alignment=1 if device.type == "cpu" else ALIGNMENT,
        pieces=settings.subsampling_chunking_factor,
    )
    return ParakeetEncoder(features.Features(featurizer, device), encoder)


def select_operations(device: torch.device) -> Operations:
    """Return Triton's kernels for a GPU on which they can be compiled, plain PyTorch otherwise."""
    if device.type != "cuda":
        return PlainOperations()
    problem = toolchain.missing()
    if problem is None:
        try:
            from src.engine.encoder.triton_operations import TritonOperations

            return TritonOperations()
        except Exception as error:  # for example, a Triton that does not match this torch
            problem = one_line(error)
    log.warning("The encoder runs without Triton's kernels, which is slower: %s.", problem)
    return PlainOperations()


def select_encoder(own: ParakeetEncoder | None, network: Any, settings: Settings) -> ParakeetEncoder | NemoEncoder:
    """Return `own` if it reproduces NeMo's encoder, NeMo's encoder otherwise.

    `network` is on its device and of its dtype. If `own` is selected, the network's encoder is removed from it.

    Raises:
        DeviceLost: the device no longer responds.
    """
    nemo = NemoEncoder(network, local_context(settings))
    if own is None or not _passes_check(own, nemo):
        return nemo
    network.encoder = None  # frees as many weights as `own` has
    del nemo
    if own.encoder.device.type == "cuda":
        torch.cuda.empty_cache()
    return own


def new_batch_encoder(
    encoder: ParakeetEncoder | NemoEncoder, device: torch.device, gpu: Gpu | None, max_clips: int, settings: Settings
) -> PaddedEncoder | GraphedEncoder:
    """Return the encoder of batches of up to `max_clips` clips: on a GPU, `ParakeetEncoder` runs in CUDA graphs.

    Raises:
        DeviceLost: the device no longer responds.
    """
    if gpu is None or isinstance(encoder, NemoEncoder):
        return PaddedEncoder(encoder, device)
    windows = Windowing.from_settings(settings).window_frames
    buckets = choose_buckets(_max_clip_s(settings), max_clips, gpu.free_bytes, windows)
    graphed = GraphedEncoder(encoder.features, encoder.encoder, gpu, buckets)
    graphed.warm_up(graphs=settings.cuda_graphs != "off")
    return graphed


def _passes_check(own: ParakeetEncoder, nemo: AudioEncoder) -> bool:
    """Return whether `own` reproduces NeMo's encoder; if it does not with Triton's kernels, try plain PyTorch."""
    problem = _check_failure(own, nemo)
    if problem and not isinstance(own.encoder.operations, PlainOperations):
        log.warning("The encoder runs without Triton's kernels, which is slower, as they fail the check: %s", problem)
        own.encoder.operations = PlainOperations()
        problem = _check_failure(own, nemo)
    if problem:
        log.warning("NeMo's encoder is used, which is slower, as the service's own fails the check: %s", problem)
    return problem is None


def _check_failure(own: ParakeetEncoder, nemo: AudioEncoder) -> str | None:
    """Return how `own` fails its check, None if it passes."""
    encoder = own.encoder
    try:
        with classify_device_errors(encoder.device):
            selfcheck.check_attention(encoder)
            error = selfcheck.compare(own, nemo, encoder.device, encoder.dtype, encoder.context)
    except DeviceLost:
        raise
    except Exception as problem:  # any error means that this encoder cannot be used
        return one_line(problem)
    log.debug("The encoder (%s) differs from NeMo's by %.1e of the norm.", encoder.operations.name, error)
    return None


def _max_clip_s(settings: Settings) -> float:
    """Return the length in seconds of the longest clip that the settings allow."""
    return min(settings.chunk_seconds, settings.max_audio_seconds)
