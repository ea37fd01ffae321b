"""The names by which clients may request the served model."""

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
"""OpenAI's model names, which many clients have built in. Each means the served model, also with a date at its end."""
SPEAKERS_MODEL = "gpt-4o-transcribe-diarize"
"""The one of these that says who speaks."""
DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")

FAMILIES = frozenset(
    {
        *("whisper", "whisperx", "whisperkit", "crisperwhisper", "parakeet", "canary", "fastconformer", "moonshine"),
        *("whisper1", "whispercpp", "fasterwhisper", "voxtral", "sensevoice", "sensevoicesmall", "paraformer"),
        *("wav2vec2", "vosk", "gigaam", "fireredasr", "seamless", "zipformer", "citrinet", "quartznet15x5"),
        "reazonspeech",
    }
)
"""Families of speech-to-text models, as a word in their names."""
MIXED_FAMILIES = frozenset({"granite", "nemotron"})
"""Families that have language models too. The names of those for speech have the word `speech`, somewhere."""
TASKS = frozenset({"asr", "stt", "transcribe"})
"""Words for speech-to-text in model names: `qwen3-asr`, `stt_en_fastconformer`."""
WHISPER_SIZE = re.compile(
    r"(ggml-|faster-)?(distil-)?(tiny|base|small|medium|large|turbo)"
    r"([-._](en|v\d|turbo|q\d|\d|k|int(8|16)|b?float(16|32)|fp16|ct2|mlx|bin))*"
)
"""Whisper models named by their size alone: `large-v3`, `distil-large-v3.5`, `base.en`, `ggml-small-q5_1.bin`."""

Strictness = Literal["auto", "1", "0"]
"""Names that mean the served model. `auto`: those of all speech-to-text models; `1`: its own and OpenAI's; `0`: all."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The served model, and which names clients may use for it."""

    name: str
    strict: Strictness

    @property
    def names(self) -> tuple[str, ...]:
        """The names to list for clients, the model's own first."""
        return tuple(dict.fromkeys((self.name, self.name.rpartition("/")[2], *OPENAI_MODELS)))

    def stands_for(self, name: str) -> bool:
        """Return whether a name means the served model, ignoring case."""
        name = name.strip().lower()
        if self.strict == "0" or {name, DATE.sub("", name)} & {each.lower() for each in self.names}:
            return True
        return self.strict == "auto" and _is_speech_to_text(name)

    def check(self, name: str | None) -> None:
        """Check the name of a requested model. An unset name (`none_if_unset`) means the served model.

        Raises:
            ModelNotFound: the name means another model.
        """
        if (name := none_if_unset(name)) is not None and not self.stands_for(name):
            raise self.not_found(name)

    @property
    def by_any_name(self) -> "ServedModel":
        """The same model, for a client that may use any name, such as that of an Azure deployment."""
        return replace(self, strict="0")

    def not_found(self, name: str, hint: str = "") -> ModelNotFound:
        """Return the error for a name of another model. `hint` is appended to its message."""
        message = (
            f"The model `{name[:100]}` is not served here; this server has `{self.name}`. Name it, or no model at all. "
            f"With PARAKEET_STRICT_MODEL=0 the server takes any name.{hint}"
        )
        return ModelNotFound(message, param="model")


def asks_for_speakers(name: str | None) -> bool:
    """Return whether a model name asks who speaks: that of OpenAI's model that says it, also with a date."""
    return name is not None and DATE.sub("", name.strip().lower()) == SPEAKERS_MODEL


def _is_speech_to_text(name: str) -> bool:
    """Return whether a name in lower case is that of a known speech-to-text model."""
    name = name[:256]
    words = set(re.split(r"[^a-z0-9]+", name))
    own_name = name.rpartition("/")[2].partition(":")[0]  # without a repository, and a tag as Ollama has them
    is_for_speech = "speech" in words and not words.isdisjoint(MIXED_FAMILIES)
    return is_for_speech or not words.isdisjoint(FAMILIES | TASKS) or bool(WHISPER_SIZE.fullmatch(own_name))
