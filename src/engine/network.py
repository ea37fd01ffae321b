"""A checkpoint's NeMo network: restored from its file, set up for inference, and moved to its device."""

import errno
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.audio.samples import SAMPLE_RATE
from src.engine.device_errors import one_line
from src.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a disk that takes no more."""


@contextmanager
def quiet_nemo() -> Iterator[None]:
    """Keep the start-up messages of NeMo, Lightning and OneLogger off the log, and Python's warnings; errors stay."""
    for name in ("nv_one_logger", "pytorch_lightning", "lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # NeMo sets its logger's level again, so a level would not last, but a filter does. A second `addFilter` of the same
    # function changes nothing.
    logging.getLogger("nemo_logger").addFilter(_is_error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def restore_network(path: Path, model_id: str) -> Any:
    """Return the network of a `.nemo` file, on the CPU, in float32 and evaluation mode.

    Raises:
        ModelUnavailable: NeMo cannot load the file, or it is not a transducer for 16 kHz audio. The message names
            `model_id`.
    """
    from nemo.collections.asr.models import ASRModel

    try:
        network = ASRModel.restore_from(str(path), map_location="cpu")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise _no_checkpoint(model_id, error) from error
        raise ModelUnavailable(
            f"{model_id} cannot be unpacked into {tempfile.gettempdir()} ({one_line(error)}); make room there, or set "
            "TMPDIR to another folder."
        ) from error
    except Exception as error:  # whatever tar, YAML, torch or NeMo raise on a file that is not a checkpoint
        raise _no_checkpoint(model_id, error) from error
    if not hasattr(network, "joint") or network.cfg.preprocessor.sample_rate != SAMPLE_RATE:
        raise ModelUnavailable(
            f"PARAKEET_MODEL_ID={model_id} is a {type(network).__name__}; this service runs 16 kHz transducers "
            "such as Parakeet TDT."
        )
    return network


def _no_checkpoint(model_id: str, error: Exception) -> ModelUnavailable:
    return ModelUnavailable(
        f"PARAKEET_MODEL_ID={model_id} is no checkpoint that NeMo can load ({one_line(error)}); give the "
        ".nemo file of a Parakeet TDT model."
    )


def freeze(network: Any, subsampling_chunking_factor: int) -> None:
    """Make a network a pure function of its input: no dropout, no dither, no gradients.

    `subsampling_chunking_factor` says how NeMo's convolutional front end splits a batch (see `Settings`).
    """
    network.change_subsampling_conv_chunking_factor(subsampling_chunking_factor)
    network.eval()
    network.requires_grad_(False)
    network.preprocessor.featurizer.dither = 0.0
    network.preprocessor.featurizer.pad_to = 0


def move_to_device(network: Any, device: "torch.device", dtype: "torch.dtype") -> None:
    """Move a network to its device, and its weights to their number format; features stay float32."""
    for part in (network.encoder, network.decoder, network.joint):
        part.to(device, dtype)
    network.to(device)
