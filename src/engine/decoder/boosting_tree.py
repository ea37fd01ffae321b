"""The boosting tree of a list of keywords, built with numpy in the arrays of NeMo's table of trees.

A state is a prefix of a keyword; the first state is the empty prefix. From each state, an arc leads on for each token
that continues the prefix. The first state has an arc for every token of the vocabulary. If a state has no arc for a
token, it backs off to the longest other prefix that is a suffix of its own, as in Aho and Corasick's automaton, and
takes back the boosts of the tokens that it leaves behind; the end of a keyword takes back nothing.

The weights are those of NeMo's `ContextGraph` and `GPUBoostingTreeModel`. NeMo takes 180 ms for 100 keywords of
100 characters and holds the interpreter's lock all the while; this takes 2 ms. A test compares the arrays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

FIRST_WEIGHT = 1.0
"""The boost of a keyword's first token; NeMo's `context_score`."""
DEPTH_SCALING = 2.0
"""How much more later tokens are boosted than the first; NeMo's value for TDT (`BoostingTreeModelConfig`)."""

MAX_BACKOFFS = 10
"""How often a state backs off, one state after the other, before it backs off to the first state. Each time is a step
for the whole batch when a token is chosen. "no no no no ..." would have as many as it has tokens: 15 ms at 90 on a CPU,
instead of the usual 0.2 ms. Ordinary keywords have two or three."""

_Int32s = NDArray[np.int32]
_Int64s = NDArray[np.int64]
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class BoostingTree:
    """A compiled list of keywords: 16 bytes for each state and 12 for each arc."""

    first_arcs: _Int32s
    """(states,): the first arc of each state."""
    end_arcs: _Int32s
    """(states,): the arc after the last of each state."""
    backoff_states: _Int32s
    """(states,): the state that each state backs off to."""
    backoff_weights: _Floats
    """(states,): the score that backing off adds; never above 0."""
    next_states: _Int32s
    """(arcs,): the state that each arc leads to."""
    tokens: _Int32s
    """(arcs,): the token of each arc."""
    weights: _Floats
    """(arcs,): the boost of that token."""

    @property
    def state_count(self) -> int:
        """The number of states."""
        return len(self.first_arcs)

    @property
    def arc_count(self) -> int:
        """The number of arcs."""
        return len(self.tokens)


def build_tree(spellings: Iterable[list[int]], vocabulary: int) -> BoostingTree:
    """Return the tree of keywords.

    Args:
        spellings: the token ids of each keyword; there is at least one keyword, and none is empty.
        vocabulary: the number of tokens; all ids are below it.

    Returns:
        The tree. Its states are in the order of their depth, and those of one depth in the order of their tokens.
    """
    trie = _Trie(sorted(spellings), vocabulary)
    second_depth = trie.offsets[2]
    weights = np.append(FIRST_WEIGHT, FIRST_WEIGHT * DEPTH_SCALING + np.log(np.arange(2, len(trie.sizes))))
    total_weights = np.append(0.0, np.cumsum(weights))  # from the first state to each depth
    first_weights = np.zeros(vocabulary)
    first_weights[trie.tokens[1:second_depth]] = FIRST_WEIGHT
    backoff_states = trie.backoff_states()
    inner_backoffs = np.flatnonzero(backoff_states)  # of those that back off to another than the first state
    backoff_weights = np.repeat(-total_weights, trie.sizes)
    backoff_weights[inner_backoffs] += total_weights[trie.depths(backoff_states[inner_backoffs])]
    backoff_weights[trie.ends] = 0
    first_arcs = trie.first_children + np.int32(vocabulary - second_depth)
    first_arcs[trie.child_counts == 0] = 0
    end_arcs = first_arcs + trie.child_counts
    first_arcs[0], end_arcs[0] = 0, vocabulary
    return BoostingTree(
        first_arcs,
        end_arcs,
        backoff_states,
        backoff_weights.astype(np.float32),
        np.concatenate((trie.first_states, np.arange(second_depth, len(trie.tokens), dtype=np.int32))),
        np.concatenate((np.arange(vocabulary, dtype=np.int32), trie.tokens[second_depth:])),
        np.concatenate((first_weights, np.repeat(weights[1:], trie.sizes[2:])), dtype=np.float32, casting="same_kind"),
    )


class _Trie:
    """The prefixes of sorted spellings, as states numbered by depth.

    The states of one depth are in the order of their parents, so a state's children have consecutive numbers. Arrays
    with one entry for each state are int32: with int64 everything takes half as long again.
    """

    def __init__(self, spellings: Sequence[Sequence[int]], vocabulary: int) -> None:
        self._vocabulary = vocabulary
        count = len(spellings)
        lengths = np.fromiter(map(len, spellings), np.int64, count)
        is_token = np.arange(lengths.max()) < lengths[:, np.newaxis]
        table = np.full(is_token.shape[::-1], -1, np.int32)  # (depths, spellings), so that flat order is by depth
        table.T[is_token] = np.fromiter(chain.from_iterable(spellings), np.int32, lengths.sum())
        is_new = is_token.T.copy()  # whether the prefix that ends here differs from that of the spelling before
        is_new[:, 1:] &= ~np.logical_and.accumulate(table[:, 1:] == table[:, :-1], axis=0)
        # A shared prefix gets the number of the first spelling that has it: there is no new one between the two.
        numbers = np.cumsum(is_new, dtype=np.int32)
        places = np.flatnonzero(is_new)
        self.sizes: _Int64s = np.append(1, np.count_nonzero(is_new, axis=1))
        """The number of states of each depth."""
        self.offsets: _Int64s = np.append(0, np.cumsum(self.sizes))
        """The first state of each depth."""
        self.tokens: _Int32s = np.append(np.int32(-1), table.ravel()[places])
        """The token that leads to each state."""
        self.parents: _Int32s = np.zeros_like(self.tokens)
        self.parents[self.offsets[2] :] = numbers[places[self.sizes[1] :] - count]
        self.child_counts: _Int32s = np.bincount(self.parents[1:], minlength=len(self.parents)).astype(np.int32)
        """The number of children of each state."""
        self.first_children: _Int32s = np.cumsum(self.child_counts, dtype=np.int32) - self.child_counts + np.int32(1)
        self.first_states: _Int32s = np.zeros(vocabulary, np.int32)
        """The state of each token alone, 0 if no spelling begins with it."""
        self.first_states[self.tokens[1 : self.offsets[2]]] = np.arange(1, self.offsets[2])
        self.ends: _Int32s = numbers[(lengths - 1) * count + np.arange(count)]
        """The states that are whole spellings."""

    def depths(self, states: _Int32s) -> _Int64s:
        """Return the depth of each state."""
        return np.searchsorted(self.offsets, states, side="right") - 1

    def backoff_states(self) -> _Int32s:
        """Return the state that each state backs off to: the longest other prefix that is a suffix of its own.

        Suffixes of one token are looked up first, then those of two, each from that of the state's parent. So there are
        as many rounds as the longest suffix has tokens, each with fewer states. A state that would need more than
        `MAX_BACKOFFS` steps to the first state backs off to the first state at once.
        """
        longest = np.zeros_like(self.parents)
        depth, suffixes = 1, self.first_states[self.tokens]
        states = np.flatnonzero(suffixes[self.offsets[2] :]) + self.offsets[2]
        suffixes = suffixes[states]
        while len(states):
            longest[states] = suffixes
            counts = self.child_counts[states]
            starts = np.cumsum(counts) - counts
            states = np.repeat(self.first_children[states] - starts, counts) + np.arange(counts.sum())
            suffixes = self._children(np.repeat(suffixes, counts), depth, self.tokens[states])
            found, depth = np.flatnonzero(suffixes), depth + 1
            states, suffixes = states[found], suffixes[found]
        states = np.flatnonzero(longest)
        reached = longest[states]
        for _ in range(MAX_BACKOFFS):
            reached = longest[reached]
        longest[states[reached > 0]] = 0
        return longest

    def _children(self, states: _Int32s, depth: int, tokens: _Int32s) -> _Int32s:
        """Return the child of each state, all at `depth`, by the token of the same index; 0 if there is none."""
        begin, end = self.offsets[depth + 1 : depth + 3]
        keys = self._arc_keys(self.parents[begin:end], self.tokens[begin:end])  # ascending
        wanted = self._arc_keys(states, tokens)
        places = np.searchsorted(keys, wanted)
        return np.where(np.append(keys, -1)[places] == wanted, begin + places, 0)

    def _arc_keys(self, states: _Int32s, tokens: _Int32s) -> _Int64s:
        """Return a number for each pair of a state and a token that no other pair has."""
        return states.astype(np.int64) * self._vocabulary + tokens
