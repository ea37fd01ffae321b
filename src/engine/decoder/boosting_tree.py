"""The boosting tree of a list of phrases, as the arrays that NeMo's table of trees has, made by numpy alone.

A state is a beginning of a phrase, the first one is the empty beginning. From each, an arc leads on for each token that
continues it; the first state has an arc for every token of the vocabulary. A state in which a token has no arc goes
back to the longest other beginning that its own end is, as in Aho and Corasick's automaton, and gives back what the
tokens were raised by that it leaves behind; at the end of a phrase, nothing. The weights are those of NeMo's
`ContextGraph` and `GPUBoostingTreeModel` (3.0.0), which take 180 ms for 100 phrases of 100 characters where this takes
2, and hold the interpreter all the while. A test holds the arrays equal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

FIRST_WEIGHT = 1.0
"""How much a phrase's first token is raised; NeMo's `context_score`."""
DEPTH_SCALING = 2.0
"""How much more a phrase's later tokens are raised than its first; NeMo's value for TDT (`BoostingTreeModelConfig`)."""

MAX_BACKOFFS = 10
"""How often a state goes back, one after the other, before it goes to the first state. Each time is a step for the
whole batch when a token is chosen, and "no no no no ..." would have as many as it has tokens: 15 ms at 90 on a CPU,
where 0.2 ms are usual. Phrases that are no such play with words have two or three."""

_Ints = NDArray[np.int32]
_Floats = NDArray[np.float32]
_Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class BoostingTree:
    """A compiled list of phrases: 16 bytes for each state and 12 for each arc."""

    first_arcs: _Ints
    """(states,): the first arc of each state."""
    end_arcs: _Ints
    """(states,): the arc after the last of each state."""
    backoff_states: _Ints
    """(states,): where each state goes back to."""
    backoff_weights: _Floats
    """(states,): what going back adds; never above 0."""
    next_states: _Ints
    """(arcs,): where each arc leads."""
    tokens: _Ints
    """(arcs,): the token of each arc."""
    weights: _Floats
    """(arcs,): how much it is raised."""

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self.first_arcs)

    @property
    def arcs(self) -> int:
        """How many arcs there are."""
        return len(self.tokens)


def build_tree(spellings: Iterable[list[int]], vocabulary: int) -> BoostingTree:
    """Return the tree of phrases, one at least, that are spelled in tokens below `vocabulary`, one at least each.

    States are in the order of their depth, those of one depth in the order of their tokens.
    """
    trie = _Trie(sorted(spellings), vocabulary)
    deeper = trie.offsets[2]
    weights = np.append(FIRST_WEIGHT, FIRST_WEIGHT * DEPTH_SCALING + np.log(np.arange(2, len(trie.sizes))))
    sums = np.append(0.0, np.cumsum(weights))  # of the weights from the first state to each depth
    raised = np.zeros(vocabulary)
    raised[trie.tokens[1:deeper]] = FIRST_WEIGHT
    backoff_states = trie.backoffs()
    elsewhere = np.flatnonzero(backoff_states)
    backoff_weights = np.repeat(-sums, trie.sizes)
    backoff_weights[elsewhere] += sums[trie.depths(backoff_states[elsewhere])]
    backoff_weights[trie.ends] = 0
    first_arcs = trie.first_children + np.int32(vocabulary - deeper)
    first_arcs[trie.children == 0] = 0
    end_arcs = first_arcs + trie.children
    first_arcs[0], end_arcs[0] = 0, vocabulary
    return BoostingTree(
        first_arcs,
        end_arcs,
        backoff_states,
        backoff_weights.astype(np.float32),
        np.concatenate((trie.starts, np.arange(deeper, len(trie.tokens), dtype=np.int32))),
        np.concatenate((np.arange(vocabulary, dtype=np.int32), trie.tokens[deeper:])),
        np.concatenate((raised, np.repeat(weights[1:], trie.sizes[2:])), dtype=np.float32, casting="same_kind"),
    )


class _Trie:
    """The beginnings of spellings, which are sorted, as states numbered by depth.

    The states of one depth are in the order of their parents, so the children of a state follow each other. What there
    is for each state is int32: with int64 it all takes half as long again.
    """

    def __init__(self, spellings: Sequence[Sequence[int]], vocabulary: int) -> None:
        self._vocabulary = vocabulary
        count = len(spellings)
        lengths = np.fromiter(map(len, spellings), np.int64, count)
        is_token = np.arange(lengths.max()) < lengths[:, np.newaxis]
        table = np.full(is_token.shape[::-1], -1, np.int32)  # (depths, spellings), so that numbers go by depth
        table.T[is_token] = np.fromiter(chain.from_iterable(spellings), np.int32, lengths.sum())
        is_new = is_token.T.copy()
        is_new[:, 1:] &= ~np.logical_and.accumulate(table[:, 1:] == table[:, :-1], axis=0)  # to the one before
        # What is shared has the number of the spelling that had it first, as there is nothing new between the two.
        numbers = np.cumsum(is_new, dtype=np.int32)
        places = np.flatnonzero(is_new)
        self.sizes: _Places = np.append(1, np.count_nonzero(is_new, axis=1))
        """How many states there are of each depth."""
        self.offsets: _Places = np.append(0, np.cumsum(self.sizes))
        """How many states there are above each depth."""
        self.tokens: _Ints = np.append(np.int32(-1), table.ravel()[places])
        """The token that leads to each state."""
        self.parents: _Ints = np.zeros_like(self.tokens)
        self.parents[self.offsets[2] :] = numbers[places[self.sizes[1] :] - count]
        self.children: _Ints = np.bincount(self.parents[1:], minlength=len(self.parents)).astype(np.int32)
        """How many children each state has."""
        self.first_children: _Ints = np.cumsum(self.children, dtype=np.int32) - self.children + np.int32(1)
        self.starts: _Ints = np.zeros(vocabulary, np.int32)
        """Where each token leads from the first state, 0 where to itself."""
        self.starts[self.tokens[1 : self.offsets[2]]] = np.arange(1, self.offsets[2])
        self.ends: _Ints = numbers[(lengths - 1) * count + np.arange(count)]
        """The states that are whole spellings."""

    def depths(self, states: _Ints) -> _Places:
        """Return the depth of each state."""
        return np.searchsorted(self.offsets, states, side="right") - 1

    def backoffs(self) -> _Ints:
        """Return for each state the longest other beginning of a spelling that its own end is, within `MAX_BACKOFFS`.

        The ends of one token are looked up first, then those of two, each from the one before in the state's parent; so
        it takes as many rounds as the longest has tokens, each with fewer states.
        """
        longest = np.zeros_like(self.parents)
        depth, ends = 1, self.starts[self.tokens]
        states = np.flatnonzero(ends[self.offsets[2] :]) + self.offsets[2]
        ends = ends[states]
        while len(states):
            longest[states] = ends
            counts = self.children[states]
            befores = np.cumsum(counts) - counts
            states = np.repeat(self.first_children[states] - befores, counts) + np.arange(counts.sum())
            ends = self._after(np.repeat(ends, counts), depth, self.tokens[states])
            found, depth = np.flatnonzero(ends), depth + 1
            states, ends = states[found], ends[found]
        states = np.flatnonzero(longest)
        reached = longest[states]
        for _ in range(MAX_BACKOFFS):
            reached = longest[reached]
        longest[states[reached > 0]] = 0
        return longest

    def _after(self, states: _Ints, depth: int, tokens: _Ints) -> _Ints:
        """Return where each token leads from each state, which are all at `depth`; 0 where nowhere."""
        begin, end = self.offsets[depth + 1 : depth + 3]
        arcs = self._arcs(self.parents[begin:end], self.tokens[begin:end])  # ascending
        wanted = self._arcs(states, tokens)
        places = np.searchsorted(arcs, wanted)
        return np.where(np.append(arcs, -1)[places] == wanted, begin + places, 0)

    def _arcs(self, states: _Ints, tokens: _Ints) -> _Places:
        return states.astype(np.int64) * self._vocabulary + tokens
