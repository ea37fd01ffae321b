"""The page as HTML, with the facts about the service that its scripts need."""

from dataclasses import asdict, dataclass
from html import escape
from typing import Self

from src.api.dependencies import Services
from src.api.static_file import StaticFile

MARK = "<!--facts-->"
"""The comment in the HTML that gives way to the facts. It comes after the charset, which browsers look for first."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What the page must know before it makes a request; each is a `<meta>` element `parakeet-NAME`."""

    version: str
    model: str
    keys: int
    """1 if clients need an API key, else 0."""
    languages: str
    """The codes of the model's languages, separated by commas; none before it is loaded."""
    max_audio_seconds: float
    max_upload_bytes: int
    max_sessions: int
    session_seconds: float
    """The longest realtime session."""
    idle_seconds: float
    """A realtime session ends after so many seconds without an event from its client."""
    hypothesis: int
    """1 if realtime sessions offer words that may still change, else 0."""

    @classmethod
    def of(cls, services: Services, version: str) -> Self:
        """Return the facts about a service of this version."""
        settings = services.settings
        return cls(
            version=version,
            model=services.served_model.name,
            keys=int(bool(settings.keys)),
            languages=",".join(services.scheduler.languages),
            max_audio_seconds=settings.max_audio_seconds,
            max_upload_bytes=settings.max_upload_bytes,
            max_sessions=settings.max_sessions,
            session_seconds=settings.realtime_session_s,
            idle_seconds=settings.realtime_idle_s,
            hypothesis=int(settings.realtime_partials),
        )

    @property
    def elements(self) -> str:
        """The facts as HTML, one element in each line."""
        return "\n".join(
            f'<meta name="parakeet-{name.replace("_", "-")}" content="{escape(_text(value))}">'
            for name, value in asdict(self).items()
        )


class PageTemplate:
    """The HTML of the page. It is filled in anew only when a fact has changed, as when the model has been loaded.

    Args:
        html: has `MARK` once.
    """

    def __init__(self, html: str) -> None:
        self._before, self._after = html.split(MARK)
        self._filled: tuple[PageFacts, str, StaticFile] | None = None

    def filled(self, facts: PageFacts, root_path: str) -> StaticFile:
        """Return the page with `facts`, for a service below the path `root_path`."""
        if self._filled is None or self._filled[:2] != (facts, root_path):
            # Addresses in the page are relative, and the path of the page may lack the slash at its end.
            base = f'<base href="{escape(root_path)}/">\n' if root_path else ""
            html = f"{self._before}{base}{facts.elements}{self._after}"
            self._filled = facts, root_path, StaticFile.prepare(html.encode(), "text/html")
        return self._filled[2]


def _text(value: float | str) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
