"""Hot words: the phrases of a request, compiled to trees that raise their tokens' scores while a clip is decoded.

Trees stay compiled for the next request with the same phrases, the least recently used ones making room. They live in
the table of NeMo's per-stream biasing, from which each clip of a batch picks its own or none. NeMo lets a hot word take
the place of another token only, never of silence, so a clip in which nothing is heard stays empty.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

NO_TREE = -1
"""What NeMo's computers take for a clip without hot words."""

CAPACITY = 64
"""Phrase lists that stay compiled."""

DEPTH_SCALING = 2.0
"""How much more a phrase's later tokens are raised than its first; NeMo's value for TDT (`BoostingTreeModelConfig`)."""


class Biasing:
    """The compiled phrase lists in the `GPUBiasingMultiModel` of one computer. Only the model's own thread uses it.

    `alpha` is how much hot words are raised; 0 turns them off.
    """

    def __init__(self, table: Any, tokenizer: Any, alpha: float, capacity: int = CAPACITY) -> None:
        self._table = table
        self._tokenizer = tokenizer
        self._alpha = alpha
        self._capacity = capacity
        self._trees: OrderedDict[frozenset[str], int] = OrderedDict()  # the most recently used last

    def __len__(self) -> int:
        """Phrase lists that are compiled."""
        return len(self._trees)

    def trees_for(self, boosts: Sequence[tuple[str, ...]]) -> list[int] | None:
        """Return the number of each clip's tree, `NO_TREE` for one without; None if no clip of the batch has one.

        Phrases that the tokenizer cannot spell are left out. The numbers are valid until the next call.
        """
        if not self._alpha or not any(boosts):
            return None
        lists = [frozenset(phrases) for phrases in boosts]
        wanted = dict.fromkeys(phrases for phrases in lists if phrases)
        for phrases in wanted:
            if phrases not in self._trees:
                self._trees[phrases] = self._compile(phrases)
            self._trees.move_to_end(phrases)
        while len(self._trees) > max(self._capacity, len(wanted)):
            self._forget_oldest()
        trees = [self._trees.get(phrases, NO_TREE) for phrases in lists]
        return trees if max(trees) > NO_TREE else None

    def _compile(self, phrases: frozenset[str]) -> int:
        from nemo.collections.asr.parts.context_biasing.boosting_graph_batched import GPUBoostingTreeModel
        from nemo.collections.asr.parts.context_biasing.context_graph_universal import ContextGraph

        spellings = list(self._spellings(phrases))
        if not spellings:
            return NO_TREE
        graph = ContextGraph(context_score=1.0, depth_scaling=DEPTH_SCALING)
        graph.build(token_ids=spellings)
        # Only the table is ever asked for scores, so the tree itself needs no Triton.
        tree = GPUBoostingTreeModel.from_context_graph(
            graph, vocab_size=self._table.vocab_size, use_triton=False, uniform_weights=False
        )
        return int(self._table.add_model(tree, alpha=self._alpha))

    def _spellings(self, phrases: frozenset[str]) -> Iterator[list[int]]:
        unknown = self._tokenizer.tokenizer.unk_id()
        for form in sorted({form for phrase in phrases for form in forms_of(phrase)}):
            ids = self._tokenizer.text_to_ids(form)
            if ids and unknown not in ids:
                yield ids

    def _forget_oldest(self) -> None:
        _, tree = self._trees.popitem(last=False)
        if tree != NO_TREE:
            self._table.remove_model(tree)
            # NeMo 3.0.0 also shifts the offsets of numbers not in use, below zero and further each time, and reads
            # the table there for clips without hot words, until it raises IndexError.
            self._table.model2states_offset.clamp_(min=0)
            self._table.model2arcs_offset.clamp_(min=0)


def forms_of(phrase: str) -> set[str]:
    """Return the ways to write a phrase that the model may use, as it writes capitals and the caller may not.

    A phrase with a capital means what it says; one without may begin a sentence or be a name.
    """
    words = phrase.split()
    plain = " ".join(words)
    if plain != plain.lower():
        return {plain}
    return {plain, plain[:1].upper() + plain[1:], " ".join(word[:1].upper() + word[1:] for word in words)}
