"""The committed items of a session, in the order of their commits: which wait for their texts, and who is told what."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from src.errors import ServiceError
from src.realtime import events, item_events
from src.realtime.items import Item
from src.realtime.kept_items import KeptItems
from src.realtime.live import LiveTranscript
from src.realtime.outputs import ItemCommitted, ItemEnded, Output
from src.realtime.responses import Responses
from src.text.language_identifier import Identify, as_asked
from src.text.transcript import Transcript


class CommittedItems:
    """The items that wait for their texts, the responses that cover them, and the items that a client can look up.

    The methods that yield outputs compute them lazily. The caller takes all of them before its next call.

    Args:
        beta: whether the client gets events under their beta names.
        new_id: makes an id of a kind: `item`, `resp` or `seg`.
        languages: codes of the languages that the model knows.
        identify: tells the language of a text.
    """

    def __init__(
        self,
        *,
        beta: bool,
        new_id: Callable[[str], str],
        languages: Sequence[str] = (),
        identify: Identify = as_asked,
    ) -> None:
        self.kept = KeptItems()
        """The items that the client can look up."""
        self._beta = beta
        self._new_id = new_id
        self._languages = languages
        self._identify = identify
        self._heard: str | None = None  # the language of the last text
        self._waiting: deque[Item] = deque()
        self._previous_item_id: str | None = None
        self._responses = Responses(beta=beta)

    @property
    def first(self) -> Item | None:
        """The first item without a text, which is the next to get one; None if there is none."""
        return self._waiting[0] if self._waiting else None

    @property
    def audio_s(self) -> float:
        """Seconds of audio in items without a text."""
        if not self._waiting:
            return 0.0
        return sum(item.audio_s for item in tuple(self._waiting))  # copied, as a thread may be changing it

    @property
    def unfinished(self) -> int:
        """How many items and responses have no text."""
        return len(self._waiting) + len(self._responses)

    def is_taken(self, item_id: str) -> bool:
        """Return whether an item has this id, even one that was deleted before it had its text."""
        return item_id in self.kept or any(item.item_id == item_id for item in self._waiting)

    def with_live(self, live: LiveTranscript) -> Item | None:
        """Return the item whose text may come from a live transcript; None if there is none."""
        return next((item for item in self._waiting if item.live is live), None)

    def add(self, item: Item) -> Iterator[Output]:
        """Add an item, and yield its outputs."""
        self._waiting.append(item)
        self._responses.add(item.item_id)
        self.kept.add(item.item_id)
        if item.announced:
            previous, self._previous_item_id = self._previous_item_id, item.item_id
            yield from item_events.announced(item.item_id, previous, beta=self._beta)
        yield ItemCommitted(item.item_id, item.audio_s)

    def create_response(self) -> Iterator[events.ServerEvent]:
        """Begin a response over the items since the last one, and yield its events."""
        yield from self._responses.create(self._new_id("resp"), self._new_id("item"))

    def complete(self, item: Item, transcript: Transcript) -> Iterator[Output]:
        """End an item with its text, and yield its outputs."""
        if item.announced:
            languages = None if self._beta else self._languages_of(item, transcript.text)
            yield from item_events.completed(item, transcript, self._new_id, languages)
        self.kept.set_text(item.item_id, transcript.text)
        self._waiting.remove(item)
        yield from self._responses.end(item.item_id, transcript.text)
        yield ItemEnded(item.item_id, None)

    def fail(self, item: Item, error: ServiceError) -> Iterator[Output]:
        """End an item without a text, and yield its outputs."""
        if item.announced:
            yield from item_events.failed(item, error)
        self._waiting.remove(item)
        yield from self._responses.end(item.item_id, error)
        yield ItemEnded(item.item_id, error)

    def _languages_of(self, item: Item, text: str) -> tuple[str, ...]:
        """Return the language of an item's text; nothing if it has no words.

        Of a word or two no language can be told. They count as in the language that the client has named, else in that
        of the text before.
        """
        possible = item.config.possible_languages(self._languages)
        if not text or not possible:
            return ()
        asked = item.config.asked_language(self._languages)
        usual = self._heard if asked is None and self._heard in possible else asked
        self._heard = self._identify(text, possible, usual or possible[0])
        return (self._heard,)
