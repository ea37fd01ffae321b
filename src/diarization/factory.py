"""The diarizer that the settings name."""

import logging

from src.audio.vad import SpeechDetector
from src.diarization.diarizer import Diarizer
from src.diarization.sortformer_diarizer import SortformerDiarizer
from src.diarization.voice_diarizer import VoiceDiarizer
from src.engine.device import resolve_device
from src.engine.sortformer import Sortformer
from src.engine.voice_encoder import VoiceEncoder, fastest_dtype
from src.settings import Settings

log = logging.getLogger(__name__)

RESEMBLYZER = "resemblyzer"
"""The setting's name for the voice encoder and clustering."""


def diarizer_of(settings: Settings, detector: SpeechDetector) -> Diarizer:
    """Return the diarizer that `settings` name, which loads its network when it is first needed."""
    if settings.diarizer == RESEMBLYZER:
        return VoiceDiarizer(detector, lambda: voice_encoder(settings.device))
    return SortformerDiarizer(lambda: Sortformer.load(settings.diarizer, resolve_device(settings.device)))


def voice_encoder(device: str) -> VoiceEncoder:
    """Return the voice encoder on the device of that name, or on the CPU if it does not run there.

    Raises:
        SpeakersUnavailable: its weights are not installed, or cannot be read.
    """
    where = resolve_device(device)
    encoder = VoiceEncoder(where, fastest_dtype(where))
    try:
        encoder.warm_up()
    except RuntimeError as error:  # such as a GPU whose memory the model fills
        log.warning("The voice encoder does not run on %s, so it runs on the CPU: %s", device, error)
        encoder = VoiceEncoder(resolve_device("cpu"))
    return encoder
