"""The names that stand for the served model, whichever way a client comes."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from src.errors import ModelNotFound
from src.text.unset import none_if_unset

OPENAI_MODELS = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
)
"""Names that clients have built in; each stands for the served model, also with a date at its end."""
DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")

FAMILIES = frozenset(
    {
        *("whisper", "whisperx", "whisperkit", "crisperwhisper", "parakeet", "canary", "fastconformer", "moonshine"),
        *("voxtral", "sensevoice", "sensevoicesmall", "paraformer", "wav2vec2", "vosk"),
    }
)
"""Kinds of speech-to-text models, as a word of their names."""
TASKS = frozenset({"asr", "stt", "transcribe"})
"""What speech-to-text models do, as a word of their names: `qwen3-asr`, `stt_en_fastconformer`."""
WHISPER_SIZE = re.compile(
    r"(ggml-|faster-)?(distil-)?(tiny|base|small|medium|large|turbo)"
    r"([-._](en|v\d|turbo|q\d|\d|k|int8|fp16|ct2|mlx|bin))*"
)
"""Whisper's models by their size alone, as in `large-v3`, `distil-large-v3.5`, `base.en`, `ggml-small-q5_1.bin`."""

Strictness = Literal["auto", "1", "0"]
"""Which names stand for the served model: `auto`, those of speech-to-text models; `1`, its own and OpenAI's; `0`,
any."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that answers, as clients may name it."""

    name: str
    strict: Strictness

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are worth telling a client, the model's own first."""
        return tuple(dict.fromkeys((self.name, self.name.rpartition("/")[2], *OPENAI_MODELS)))

    def stands_for(self, name: str) -> bool:
        """Return whether a name, in letters of either case, stands for the model."""
        name = name.strip().lower()
        if self.strict == "0" or {name, DATE.sub("", name)} & {each.lower() for each in self.names}:
            return True
        return self.strict == "auto" and _is_speech_to_text(name)

    def check(self, name: str | None) -> None:
        """Accept a model name; one that is not given is the served one's.

        Raises:
            ModelNotFound: the name is another model's.
        """
        if (name := none_if_unset(name)) is not None and not self.stands_for(name):
            raise self.not_found(name)

    @property
    def by_any_name(self) -> "ServedModel":
        """The same model where every name stands for it, such as that of a deployment."""
        return replace(self, strict="0")

    def not_found(self, name: str, hint: str = "") -> ModelNotFound:
        """Return the error for a name that stands for another model; `hint` is what else its sender may have meant."""
        message = (
            f"The model `{name[:100]}` is not served here; this server has `{self.name}`. Name it, or no model at all. "
            f"With PARAKEET_STRICT_MODEL=0 the server takes any name.{hint}"
        )
        return ModelNotFound(message, param="model")


def _is_speech_to_text(name: str) -> bool:
    """Return whether a name in lower case is that of a known kind of speech-to-text model."""
    words = set(re.split(r"[^a-z0-9]+", name[:256]))
    return not words.isdisjoint(FAMILIES | TASKS) or bool(WHISPER_SIZE.fullmatch(name[:256].rpartition("/")[2]))
