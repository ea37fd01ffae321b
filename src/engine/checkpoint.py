"""The checkpoint file that `PARAKEET_MODEL_ID` names, downloaded from the Hugging Face hub if necessary."""

import errno
import logging
import re
from pathlib import Path

from src.engine.device_errors import one_line
from src.errors import ModelUnavailable

TINY = Path(__file__).parent.parent / "assets" / "parakeet-tdt-tiny.nemo"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that takes nothing, or no more."""
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_checkpoint(model_id: str, setting: str = "PARAKEET_MODEL_ID") -> Path:
    """Return the path of a `.nemo` file on this machine.

    Args:
        model_id: a path, a hub id (`owner/name`; NeMo publishes the file as `name.nemo`), or `tiny` for the bundled
            checkpoint. A path that exists takes precedence over a hub id with the same spelling.
        setting: the variable that names it, for the errors.

    Raises:
        ModelUnavailable: there is no such file, or it could not be downloaded.
    """
    if model_id == "tiny":
        return TINY
    path = Path(model_id).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise ModelUnavailable(f"{setting}={model_id} is a folder; name the .nemo file in it.")
    if path.suffix != ".nemo" and HUB_ID.fullmatch(model_id):
        return _fetch(model_id, setting)
    raise ModelUnavailable(
        f"{setting}={model_id} is not there: give the path of a .nemo file, a hub id such as "
        "nvidia/parakeet-tdt-0.6b-v2, or tiny."
    )


def _fetch(hub_id: str, setting: str) -> Path:
    """Return the cached file of a hub model; download it if it is not cached."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs a paragraph for each failed attempt
    filename = hub_id.split("/")[1] + ".nemo"
    try:
        # The cache comes first: a download call waits for the network even if the file is cached.
        cached = try_to_load_from_cache(hub_id, filename)
        return Path(cached if isinstance(cached, str) else hf_hub_download(hub_id, filename))
    except GatedRepoError:
        problem = "its owner asks for a login: accept the terms on its page and set HF_TOKEN"
    except RepositoryNotFoundError:
        problem = f"the hub has no such model, or it is private: check {setting} and HF_TOKEN"
    except LocalEntryNotFoundError:
        problem = (
            f"the hub cannot be reached and the file is not cached: connect this machine, or set {setting} to the path "
            "of a .nemo file copied here"
        )
    except Exception as error:  # the hub client raises a dozen kinds of error
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise ModelUnavailable(
                f"{filename} of {hub_id} cannot be kept in the cache of the Hugging Face hub ({one_line(error)}): set "
                "HF_HOME to a folder that may be written and has room for it."
            ) from None
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    raise ModelUnavailable(f"{filename} of {hub_id} could not be fetched from the Hugging Face hub: {problem}.")
