"""A clip in which keywords matter, and models that differ in how they treat keywords."""

import io
from collections.abc import Sequence

import soundfile
import soxr
from media import clip, resampled, wav

from src.audio.samples import Samples
from src.engine.decoder.decoder import Decoder
from src.engine.nemo_model import NemoModel
from src.settings import Settings

ANNA = "Anna and Thomas are going to the station on Saturday."
HENRY = "Henry and Thomas are going to the station on Saturday."


def phoned_clip() -> Samples:
    """A clip whose speaker says Anna; the telephone's mu-law makes the bundled model write Henry."""
    telephone, rate = soundfile.read(io.BytesIO(wav(resampled(clip("rhvoice-slt-1"), 8000), 8000, subtype="ULAW")))
    samples: Samples = soxr.resample(telephone, rate, 16_000, quality="VHQ").astype("float32")
    return samples


def with_decoder(model: NemoModel, decoder: Decoder) -> NemoModel:
    """The same network with another decoder."""
    return NemoModel(model._network, model._device, model._encoder, decoder, model.limits)


def with_alpha(model: NemoModel, alpha: float) -> NemoModel:
    """The same network with another `PARAKEET_BOOST_ALPHA`."""
    return with_decoder(model, Decoder(model._network, alpha))


def with_max_lists(model: NemoModel, lists: int) -> NemoModel:
    """The same network with another limit of compiled lists of keywords."""
    return with_decoder(model, Decoder(model._network, Settings().boost_alpha, max_keyword_lists=lists))


def texts(model: NemoModel, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> list[str]:
    """The text of each clip, all in one batch."""
    return [transcript.text for transcript in model.transcribe(model.collate(clips, keywords))]
