"""Lists of keywords, compiled to boosting trees and kept for later requests.

Compiling takes some milliseconds and runs in the thread that asks for it, not in the model's. A batch holds its trees
itself (see `packed_trees.py`), so a list that is evicted in the meantime is no problem.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from src.engine.decoder.boosting_tree import BoostingTree, build_tree

_AFTER_APOSTROPHE = re.compile(r"(?<=['\u2019])\w(?=\w\w)")
"""The first letter of a name after an article ("l'aquila"), but not of "don't"."""
_PARTS = re.compile(rf"(?<![^\s-])(?:ij|\w)|{_AFTER_APOSTROPHE.pattern}")
"""The first letters of the parts of names. In Dutch both letters of "ij" are capitals."""

MAX_REQUEST_LISTS = 64
"""Lists that stay compiled beside one for each realtime session: usually 40 kB each, at most 0.5 MB."""


class KeywordLists:
    """The compiled lists that were used last. Any thread may use it.

    Args:
        tokenizer: NeMo's SentencePiece tokenizer of the checkpoint.
        vocabulary: the number of its tokens.
        capacity: how many lists are kept.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, capacity: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._capacity = capacity
        self._trees: OrderedDict[frozenset[str], BoostingTree | None] = OrderedDict()  # the last one was used last
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of compiled lists."""
        return len(self._trees)

    def __contains__(self, keywords: Sequence[str]) -> bool:
        """Whether a list is compiled; the order of its keywords does not matter."""
        return frozenset(keywords) in self._trees

    def tree(self, keywords: Sequence[str]) -> BoostingTree | None:
        """Return the tree of a list, compiled now if necessary; None if the tokenizer can spell no keyword of it.

        Two threads that ask for the same new list at the same time may each get a tree of their own.
        """
        key = frozenset(keywords)
        with self._lock:
            if key in self._trees:
                self._trees.move_to_end(key)
                return self._trees[key]
        spellings = list(self._spellings(key))
        tree = build_tree(spellings, self._vocabulary) if spellings else None
        with self._lock:
            self._trees[key] = tree
            while len(self._trees) > self._capacity:
                self._trees.popitem(last=False)
        return tree

    def _spellings(self, keywords: frozenset[str]) -> Iterator[list[int]]:
        """Yield the token ids of each case variant of each keyword that the tokenizer can spell."""
        # SentencePiece's own tokenizer encodes all at once, in a tenth of the time under the interpreter's lock.
        sentencepiece = self._tokenizer.tokenizer
        unknown = sentencepiece.unk_id()
        variants = {variant for keyword in keywords if _is_utf8(keyword) for variant in case_variants(keyword)}
        for ids in sentencepiece.encode(list(variants), num_threads=1):
            if ids and unknown not in ids:
                yield ids


def case_variants(keyword: str) -> set[str]:
    """Return a keyword in the cases, and with the apostrophes, that the model may write.

    A keyword with a capital letter is kept as it is. One without may begin a sentence or be a name, as may its parts:
    "jean-pierre", "l'aquila", "ijmuiden".
    """
    words = keyword.split()
    plain = " ".join(words)
    cased = {plain}
    if plain == plain.lower():
        names = (_PARTS.sub(_upper, plain), _AFTER_APOSTROPHE.sub(_upper, plain))
        cased |= {plain.capitalize(), " ".join(map(str.capitalize, words)), *names}
    return {each.replace(*pair) for each in cased for pair in (("'", "\u2019"), ("\u2019", "'"))}


def _upper(part: re.Match[str]) -> str:
    return part[0].upper()


def _is_utf8(text: str) -> bool:
    """Whether a text can be encoded; half of a surrogate pair, which JSON may hold, cannot."""
    return text.isascii() or text.encode(errors="ignore").decode() == text
