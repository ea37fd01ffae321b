"""How long after its end each spoken word could be read, from what a session heard and the times of the words.

The times are those of the file route for the same audio. Texts are aligned word by word, without case and punctuation;
a word that the two hear differently counts nowhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from live_session import HeardItem, LiveResult

Shown = Sequence[tuple[float, str]]
"""When a text was shown, in seconds, and the whole of it."""


@dataclass(frozen=True)
class SpokenWord:
    """A word of the audio, and when it has been spoken, in seconds from the start of the audio."""

    text: str
    end_s: float


@dataclass(frozen=True)
class Delays:
    """Of one session, in seconds after the end of a word, each by the word's number in the audio."""

    shown_s: dict[int, float]
    """Until the word was in a delta, or in the final text if no delta has it."""
    read_s: dict[int, float]
    """Until it was in a delta or hypothesis, or in the final text."""
    first_s: list[float]
    """From the end of each item's first word to its first delta; of the items that had a delta before their end."""


def delays_of(heard: LiveResult, spoken: Sequence[SpokenWord]) -> Delays:
    """Return the delays of a session whose audio has the words `spoken`."""
    words = [word for item in heard.items for word in words_in(item.transcript)]
    places = dict(matches(words, [plain(word.text) for word in spoken]))

    def after_the_end(times_of: Callable[[HeardItem], list[float]]) -> dict[int, float]:
        times_s = [time_s for item in heard.items for time_s in times_of(item)]
        return {place: times_s[number] - spoken[place].end_s for number, place in places.items()}

    return Delays(
        after_the_end(lambda item: times_shown(item, item.shown)),
        after_the_end(lambda item: times_shown(item, item.read)),
        list(_firsts(heard, places, spoken)),
    )


def _firsts(heard: LiveResult, places: dict[int, int], spoken: Sequence[SpokenWord]) -> Iterator[float]:
    number = 0
    for item in heard.items:
        if item.shown and number in places:
            yield item.shown[0][0] - spoken[places[number]].end_s
        number += len(words_in(item.transcript))


def times_shown(item: HeardItem, shown: Shown) -> list[float]:
    """Return when each word of an item's final text was in its place among the words of `shown`, or in the final text.

    The place is that among the words of the last delta, as deltas only add to the text.
    """
    live = words_in(item.shown[-1][1]) if item.shown else []
    firsts = list(_first_times(shown, live))
    times_s = [item.completed_s] * len(words_in(item.transcript))
    for number, place in matches(words_in(item.transcript), live):
        times_s[number] = firsts[place]
    return times_s


def _first_times(shown: Shown, live: Sequence[str]) -> Iterator[float]:
    """Yield when each of the words `live` was in its place for the first time."""
    texts = [(at_s, words_in(text)) for at_s, text in shown]
    for place, word in enumerate(live):
        yield next(at_s for at_s, words in texts if words[place : place + 1] == [word])


def matches(words: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of the words that two texts have in common, in order."""
    blocks = SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
    return [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]


def words_in(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    return [word for word in map(plain, text.split()) if word]


def plain(word: str) -> str:
    """Return a word without case and punctuation."""
    return "".join(each for each in word.casefold() if each.isalnum())
