"""Hot words: the phrases of a request, compiled to trees that raise their tokens' scores while a clip is decoded.

Compiling takes some milliseconds, and is done in whichever thread asks, not in the model's. What is compiled stays so
for the next request with the same phrases, the lists used last longest. A batch carries the trees of its clips itself,
so that nothing which others ask for meanwhile can take them away; the model's thread only copies them, in one piece,
into the table of NeMo's per-stream biasing, from which each clip picks its own or none. NeMo lets a hot word take the
place of another token only, never of silence, so a clip in which nothing is heard stays empty.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from src.engine.decoder.boosting_tree import BoostingTree, tree_of

if TYPE_CHECKING:
    import torch

NO_TREE = -1
"""What NeMo's computers take for a clip without hot words."""

CAPACITY = 64
"""Phrase lists that stay compiled beside those of realtime sessions: 40 kB each as a rule, 0.5 MB at most."""


class PhraseLists:
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
        tree = tree_of(spellings, self._vocabulary) if spellings else None
        with self._using:
            self._trees[key] = tree
            while len(self._trees) > self._capacity:
                self._trees.popitem(last=False)
        return tree

    def _spellings(self, phrases: frozenset[str]) -> Iterator[list[int]]:
        spelling = self._tokenizer.tokenizer  # SentencePiece's own: all at once take a tenth of the interpreter's time
        unknown = spelling.unk_id()
        forms = {form for phrase in phrases if _is_text(phrase) for form in forms_of(phrase)}
        for ids in spelling.encode(list(forms), num_threads=1):
            if ids and unknown not in ids:
                yield ids


@dataclass(frozen=True, slots=True, eq=False)
class Boosting:
    """The hot words of a batch, in one piece that is quick to bring to the model's device."""

    numbers: tuple[int, ...]
    """The number of each clip's tree, `NO_TREE` for one without."""
    trees: int
    states: int
    """Of all trees together."""
    arcs: int
    packed: "torch.Tensor"
    """int32: the numbers, where the states of each tree begin and where its arcs do, then the arrays of `BoostingTree`,
    those of all trees one after the other; the bits of floats."""

    def unpacked(self, device: "torch.device") -> list["torch.Tensor"]:
        """Return the parts of `packed` on a device, floats as such."""
        import torch

        counts = [len(self.numbers)] + [self.trees] * 2 + [self.states] * 4 + [self.arcs] * 3
        numbers, starts_of_states, starts_of_arcs, first, end, back, lost, after, tokens, raised = torch.split(
            self.packed.to(device, non_blocking=True), counts
        )
        lost, raised = lost.view(torch.float32), raised.view(torch.float32)
        return [numbers, starts_of_states, starts_of_arcs, first, end, back, lost, after, tokens, raised]


def joined(trees: Sequence[BoostingTree | None], *, pinned: bool = False) -> Boosting | None:
    """Return the trees of a batch's clips, each of them once, or None where no clip has one.

    `pinned` puts them into memory that a GPU can read by itself.
    """
    import torch

    numbers = {tree: number for number, tree in enumerate(dict.fromkeys(tree for tree in trees if tree))}
    if not numbers:
        return None
    several = list(numbers)
    states, arcs = ([tree.states for tree in several], [tree.arcs for tree in several])
    chosen = tuple(NO_TREE if tree is None else numbers[tree] for tree in trees)
    parts = [np.array(chosen, np.int32), _starts(states), _starts(arcs)]
    for name in ("first_arcs", "end_arcs", "backoff_states", "backoff_weights", "next_states", "tokens", "weights"):
        parts += [getattr(tree, name).view(np.int32) for tree in several]
    packed = torch.empty(sum(map(len, parts)), dtype=torch.int32, pin_memory=pinned)
    np.concatenate(parts, out=packed.numpy())
    return Boosting(chosen, len(several), sum(states), sum(arcs), packed)


def _starts(sizes: Sequence[int]) -> "np.ndarray[Any, np.dtype[np.int32]]":
    return (np.cumsum(sizes) - sizes).astype(np.int32)


class Biasing:
    """The `GPUBiasingMultiModel` of one computer, which holds the trees of one batch at a time.

    Only the model's own thread uses it. `alpha` is how much hot words are raised.
    """

    def __init__(self, table: Any, alpha: float) -> None:
        self._table = table
        self._alpha = alpha
        table.model2alpha.fill_(alpha)

    def take(self, boosting: Boosting) -> "torch.Tensor":
        """Put a batch's trees into the table, in place of those there; return the number of each clip's tree, int64.

        The tensors of the table stay where they are, as CUDA graphs read them there, but where there are more or larger
        trees than ever before; then the computer captures its graph anew.
        """
        import torch

        table = self._table
        device = table.all_ilabels.device
        # The table outlives the batch: its tensors must not be such as inference makes.
        with torch.inference_mode(False), torch.no_grad():
            self._make_room(boosting)
            targets = [
                table.model2states_offset,
                table.model2arcs_offset,
                table.all_start_end_arcs[:, 0],
                table.all_start_end_arcs[:, 1],
                table.all_backoff_to_states,
                table.all_backoff_weights,
                table.all_to_states,
                table.all_ilabels,
                table.all_arcs_weights,
            ]
            numbers, *parts = boosting.unpacked(device)
            for target, part in zip(targets, parts, strict=True):
                target[: len(part)].copy_(part)
            return numbers.long()

    def _make_room(self, boosting: Boosting) -> None:
        table = self._table
        is_moved = True  # also where there is no memory for all of it
        try:
            # NeMo's code for devices without Triton also reads as many arcs as there are tokens behind those of a tree.
            is_moved = table._maybe_extend_arcs_and_states(boosting.states, boosting.arcs + table.vocab_size)
            while boosting.trees > table.num_models_reserved:
                is_moved = True
                table._extend_num_models()
                table.model2alpha.fill_(self._alpha)
        finally:
            if is_moved:
                for tell in table.reallocation_callbacks:
                    tell()


def forms_of(phrase: str) -> set[str]:
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
