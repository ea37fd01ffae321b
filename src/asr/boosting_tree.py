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

import numpy as np
from numpy.typing import NDArray

FIRST_WEIGHT = 1.0
"""How much a phrase's first token is raised; NeMo's `context_score`."""
DEPTH_SCALING = 2.0
"""How much more a phrase's later tokens are raised than its first; NeMo's value for TDT (`BoostingTreeModelConfig`)."""

MOST_BACKOFFS = 10
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


def tree_of(spellings: Iterable[Sequence[int]], vocabulary: int) -> BoostingTree:
    """Return the tree of phrases, one at least, that are spelled in tokens below `vocabulary`, one at least each.

    States are in the order of their depth, those of one depth in the order of their tokens.
    """
    trie = _Trie(sorted(set(map(tuple, spellings))), vocabulary)
    states = len(trie.parents)
    weights = np.append(FIRST_WEIGHT, FIRST_WEIGHT * DEPTH_SCALING + np.log(np.arange(2, trie.depths[-1] + 2)))
    sums = np.append(0.0, np.cumsum(weights))  # of the weights from the first state to each depth
    backoff_states = trie.backoffs()
    backoff_weights = sums[trie.depths[backoff_states]] - sums[trie.depths]
    backoff_weights[trie.ends] = 0
    firsts = trie.tokens[trie.depths == 1]
    deeper = np.arange(1 + len(firsts), states)  # the states with an arc of their own beside the first state's
    children = np.bincount(trie.parents[deeper], minlength=states)
    first_arcs = np.zeros(states, np.int64)
    first_arcs[trie.parents[deeper[::-1]]] = vocabulary + np.arange(len(deeper))[::-1]  # the first one is written last
    first_arcs[0], children[0] = 0, vocabulary
    starts, raised = np.zeros(vocabulary, np.int64), np.zeros(vocabulary)
    starts[firsts], raised[firsts] = np.arange(1, 1 + len(firsts)), FIRST_WEIGHT
    return BoostingTree(
        first_arcs.astype(np.int32),
        (first_arcs + children).astype(np.int32),
        backoff_states.astype(np.int32),
        backoff_weights.astype(np.float32),
        np.concatenate((starts, deeper)).astype(np.int32),
        np.concatenate((np.arange(vocabulary), trie.tokens[deeper])).astype(np.int32),
        np.concatenate((raised, weights[trie.depths[deeper] - 1])).astype(np.float32),
    )


class _Trie:
    """The beginnings of spellings, which are sorted and differ, as numbered states."""

    def __init__(self, spellings: Sequence[Sequence[int]], vocabulary: int) -> None:
        self._vocabulary = vocabulary
        lengths = np.array([len(spelling) for spelling in spellings])
        is_token = np.arange(lengths.max()) < lengths[:, np.newaxis]
        rows = np.full(is_token.shape, -1)
        rows[is_token] = np.concatenate(spellings)
        is_shared = np.zeros_like(is_token)  # with the row before
        is_shared[1:] = np.logical_and.accumulate(rows[1:] == rows[:-1], axis=1)
        is_new = (is_token & ~is_shared).T  # (depths, spellings), so that numbers go by depth
        numbers = np.zeros(is_new.shape, np.int64)
        numbers[is_new] = np.arange(1, 1 + is_new.sum())
        numbers = np.maximum.accumulate(numbers, axis=1)  # what is shared has the number of the row that had it first
        depths, _ = np.nonzero(is_new)
        above = np.vstack((np.zeros((1, len(spellings)), np.int64), numbers[:-1]))
        self.parents: _Places = np.append(0, above[is_new])
        self.tokens: _Places = np.append(-1, rows.T[is_new])
        self.depths: _Places = np.append(0, depths + 1)
        self.ends = np.zeros(len(self.parents), bool)
        """Whether a state is a whole spelling."""
        self.ends[numbers[lengths - 1, np.arange(len(spellings))]] = True
        self._arcs = self.parents * vocabulary + self.tokens  # ascending, and the first state's below all others

    def backoffs(self) -> _Places:
        """Return for each state the longest other beginning of a spelling that its own end is, within `MOST_BACKOFFS`.

        The ends of one token are looked up first, then those of two, each from the one before in the state's parent; so
        it takes as many rounds as the longest has tokens, each with fewer states.
        """
        longest = np.zeros(len(self.parents), np.int64)
        found = np.zeros_like(longest)
        states = np.flatnonzero(self.depths > 1)
        while len(states):
            ends = self._after(found[self.parents[states]], self.tokens[states])
            found = np.zeros_like(longest)
            found[states] = ends
            states, ends = states[ends > 0], ends[ends > 0]
            longest[states] = ends
            states = np.flatnonzero(found[self.parents] > 0)
        reached = longest
        for _ in range(MOST_BACKOFFS):
            reached = longest[reached]
        longest[reached > 0] = 0
        return longest

    def _after(self, states: _Places, tokens: _Places) -> _Places:
        """Return where each token leads from each state; 0 where nowhere."""
        wanted = states * self._vocabulary + tokens
        places = np.minimum(np.searchsorted(self._arcs, wanted), len(self._arcs) - 1)
        return np.where(self._arcs[places] == wanted, places, 0)
