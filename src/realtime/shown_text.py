"""What a client has been sent of an item's text: deltas that stay, and provisional words after them."""

from collections.abc import Iterator
from dataclasses import dataclass

from src.realtime import events


@dataclass(eq=False, slots=True)
class ShownText:
    """The text of one item as its client sees it."""

    item_id: str
    text: str = ""
    """The deltas so far, joined."""
    hypothesis: str = ""
    """The last hypothesis that was sent: what a viewer shows after `text`."""

    def extend(self, text: str) -> Iterator[events.TranscriptionDelta]:
        """Yield the delta that makes `text` of what is shown; none if `text` does not begin with that."""
        delta = text[len(self.text) :] if text.startswith(self.text) else ""
        if delta:
            self.text += delta
            yield events.TranscriptionDelta(item_id=self.item_id, content_index=0, delta=delta)

    def expect(self, text: str) -> Iterator[events.TranscriptionHypothesis]:
        """Yield the hypothesis that the text will be `text`, unless it is shown already.

        It is empty if `text` does not begin with the deltas, which stay in any case.
        """
        hypothesis = text[len(self.text) :] if text.startswith(self.text) else ""
        if hypothesis != self.hypothesis:
            self.hypothesis = hypothesis
            yield events.TranscriptionHypothesis(item_id=self.item_id, content_index=0, text=hypothesis)

    def settle(self, text: str | None = None) -> Iterator[events.ServerEvent]:
        """Yield what ends the text: the delta that makes `text` of it, if it has one, and no hypothesis any more."""
        if text is not None:
            yield from self.extend(text)
        yield from self.expect(self.text)
