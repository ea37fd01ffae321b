"""CUDA graphs of NeMo's decoders that own their memory, and that come back whole after an error.

NeMo 3.0.0 captures the bodies of its two loops on streams of their own (`with_conditional_node`), which torch does not
count to the capture that is under way. So what they allocate is ordinary memory to torch: free once the capture has
ended, and given back to the driver by the next capture, by `empty_cache()`, or by an allocation that fails and is tried
again. The graph goes on using it, and meets an illegal address, or what others have put there since. Here the bodies
allocate from a pool that lives as long as the graph.

And NeMo keeps its new state where making the graph for it fails, as for want of memory: a later, smaller batch would
replay the graph of the state before, or none. Where the whole cannot be captured for any other reason, each step is.

A new graph is for as many clips and frames as the one before, or more. NeMo makes it for the batch at hand: then one of
many clips and one of long ones, by turns, would have it made each time.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from src.engine.device_errors import is_out_of_memory, one_line

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Mode = Literal["full", "partial", "off"]
"""The whole decoding as one graph, each of its steps as one, or none. What the system cannot do, NeMo does without."""

_WHOLE, _BY_STEPS = "full_graph", "no_while_loops"
"""NeMo's words for the first two."""


def set_up_graphs(computer: Any, mode: Mode) -> None:
    """Settle how a label-looping computer of NeMo's uses CUDA graphs, before it is used."""
    if mode == "off":
        computer.disable_cuda_graphs()
    elif mode == "partial" and computer.cuda_graphs_mode is not None:
        computer.force_cuda_graphs_mode(_BY_STEPS)
    computer.cuda_graphs_allow_fallback = False  # NeMo's way knows some errors only, and does not tell of them
    computer._graph_reinitialize = _keeping_memory(computer, computer._graph_reinitialize)


def _keeping_memory(computer: Any, make_graph: Callable[..., None]) -> Callable[..., None]:
    """Return what makes a computer's graph as `make_graph` does, with memory that is the graph's own."""
    wanted = computer.cuda_graphs_mode
    clips = frames = 0  # of the graph before

    def make(encoded: "torch.Tensor") -> None:
        nonlocal clips, frames
        size = max(clips, encoded.shape[0]), max(frames, encoded.shape[1])
        clips = frames = 0  # where there is no memory for so much, the next batch is tried by itself
        example = encoded[:1, :1].expand(*size, -1)  # NeMo takes its shape, not its numbers
        computer.cuda_graphs_mode = wanted
        try:
            _make(computer, make_graph, example)
        except Exception as error:
            if str(wanted) != _WHOLE or is_out_of_memory(error):
                raise
            reason = error.__cause__ if isinstance(error.__cause__, Exception) else error
            log.warning("The decoder runs, slower, with a CUDA graph for each of its steps: %s", one_line(reason))
            computer.force_cuda_graphs_mode(_BY_STEPS)
        if computer.state is None:  # not in the clause above: the error keeps the memory of what has failed
            _make(computer, make_graph, example)
        clips, frames = size

    return make


def _make(computer: Any, make_graph: Callable[..., None], example: "torch.Tensor") -> None:
    """Make a computer's graph, with memory that is the graph's own; where that fails, it has none."""
    import torch

    computer.reset_cuda_graphs_state()  # the new one may need its memory
    computer.graph_memory = None
    pool = torch.cuda.MemPool()
    try:
        with _loops_in(pool, sys.modules[type(computer).__module__]):
            make_graph(example)
    except BaseException:
        computer.reset_cuda_graphs_state()
        raise
    computer.graph_memory = pool


@contextmanager
def _loops_in(pool: Any, module: Any) -> Iterator[None]:
    """Let the loops that are captured in the block, by NeMo's `module`, take their memory from `pool`."""
    original = module.with_conditional_node
    depth = 0

    @contextmanager
    def loop(*options: Any, **named: Any) -> Iterator[Any]:
        nonlocal depth
        depth += 1
        try:
            with _ended_on_error(module) as opened, original(*options, **named) as body, _allocating_from(pool, depth):
                opened.append(body)
                yield body
        finally:
            depth -= 1

    module.with_conditional_node = loop
    try:
        yield
    finally:
        module.with_conditional_node = original


@contextmanager
def _allocating_from(pool: Any, depth: int) -> Iterator[None]:
    """Let this thread allocate from `pool`; a loop within a loop does so already."""
    import torch

    if depth > 1:
        yield
        return
    with torch.cuda.use_mem_pool(pool):
        yield


@contextmanager
def _ended_on_error(module: Any) -> Iterator[list[Any]]:
    """End the capture of the body that the block puts into the list, and go back to the stream before, on an error.

    NeMo leaves both as they are, and then the capture of the whole graph cannot end.
    """
    import torch

    before = torch.cuda.current_stream()
    opened: list[Any] = []
    try:
        yield opened
    except BaseException:
        for stream, _ in opened:
            module.cudart.cudaStreamEndCapture(stream.cuda_stream)
        torch.cuda.set_stream(before)
        raise
