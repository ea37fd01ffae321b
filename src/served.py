"""The names that stand for the served model, whichever way a client comes."""

from dataclasses import dataclass

from src.errors import ModelNotFound

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
"""Names that clients have built in; each stands for the served model."""


@dataclass(frozen=True, slots=True)
class Served:
    """The model that answers, as clients may name it."""

    name: str
    strict: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that stands for the model, its own first."""
        return tuple(dict.fromkeys((self.name, self.name.rpartition("/")[2], *OPENAI_MODELS)))

    def check(self, name: str | None) -> None:
        """Accept a model name; None is the served one.

        Raises:
            ModelNotFound: the name is another model's.
        """
        if self.strict and name is not None and name not in self.names:
            raise self.not_found(name)

    def not_found(self, name: str) -> ModelNotFound:
        """Return the error for a name that stands for another model."""
        message = f"The model `{name[:100]}` is not served here; this server has `{self.name}`."
        return ModelNotFound(message, param="model")
