"""Lists of keywords, compiled to boosting trees and kept for later requests."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from src.engine.decoder.boosting_tree import BoostingTree, build_tree

MAX_REQUEST_LISTS = 64
"""Phrase lists that stay compiled beside those of realtime sessions: 40 kB each as a rule, 0.5 MB at most."""


class KeywordLists:
    """Compiled lists of phrases, the `capacity` used last. Any thread may ask for one."""

    def __init__(self, tokenizer: Any, vocabulary: int, capacity: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._capacity = capacity
        self._trees: OrderedDict[frozenset[str], BoostingTree | None] = OrderedDict()  # the one used last is the last
        self._using = threading.Lock()

    def __len__(self) -> int:
        """Lists that are compiled."""
        return len(self._trees)

    def __contains__(self, phrases: Sequence[str]) -> bool:
        """Whether a list is compiled, whatever the order of its phrases."""
        return frozenset(phrases) in self._trees

    def tree(self, phrases: Sequence[str]) -> BoostingTree | None:
        """Return the tree of a list, which is compiled where it is not yet; None if the tokenizer can spell nothing.

        Of a list that two threads ask for at the same time, both have a tree of their own.
        """
        key = frozenset(phrases)
        with self._using:
            if key in self._trees:
                self._trees.move_to_end(key)
                return self._trees[key]
        spellings = list(self._spellings(key))
        tree = build_tree(spellings, self._vocabulary) if spellings else None
        with self._using:
            self._trees[key] = tree
            while len(self._trees) > self._capacity:
                self._trees.popitem(last=False)
        return tree

    def _spellings(self, phrases: frozenset[str]) -> Iterator[list[int]]:
        spelling = self._tokenizer.tokenizer  # SentencePiece's own: all at once take a tenth of the interpreter's time
        unknown = spelling.unk_id()
        forms = {form for phrase in phrases if _is_text(phrase) for form in case_variants(phrase)}
        for ids in spelling.encode(list(forms), num_threads=1):
            if ids and unknown not in ids:
                yield ids


def case_variants(phrase: str) -> set[str]:
    """Return the ways to write a phrase that the model may use, as it writes capitals and the caller may not.

    A phrase with a capital means what it says; one without may begin a sentence or be a name.
    """
    words = phrase.split()
    plain = " ".join(words)
    if plain != plain.lower():
        return {plain}
    return {plain, plain.capitalize(), " ".join(map(str.capitalize, words))}


def _is_text(phrase: str) -> bool:
    """Whether there is UTF-8 for it; for half of a surrogate pair, which JSON may hold, there is none."""
    return phrase.isascii() or phrase.encode(errors="ignore").decode() == phrase
