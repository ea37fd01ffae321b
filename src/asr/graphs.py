"""CUDA graphs of NeMo's decoders that own their memory, and that come back whole after an error.

NeMo 3.0.0 captures the bodies of its two loops on streams of their own (`with_conditional_node`), which torch does not
count to the capture that is under way. So what they allocate is ordinary memory to torch: free once the capture has
ended, and given back to the driver by the next capture, by `empty_cache()`, or by an allocation that fails and is tried
again. The graph goes on using it, and meets an illegal address, or what others have put there since. Here the bodies
allocate from a pool that lives as long as the graph.

And NeMo keeps its new state where making the graph for it fails, as for want of memory: a later, smaller batch would
replay the graph of the state before, or none.

A new graph is for as many clips and frames as the one before, or more. NeMo makes it for the batch at hand: then one of
many clips and one of long ones, by turns, would have it made each time.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Mode = Literal["full", "partial", "off"]
"""The whole decoding as one graph, each of its steps as one, or none. What the system cannot do, NeMo does without."""


def set_up_graphs(computer: Any, mode: Mode) -> None:
    """Settle how a label-looping computer of NeMo's uses CUDA graphs, before it is used."""
    if mode == "off":
        computer.disable_cuda_graphs()
    elif mode == "partial" and computer.cuda_graphs_mode is not None:
        computer.force_cuda_graphs_mode("no_while_loops")
    computer._graph_reinitialize = _keeping_memory(computer, computer._graph_reinitialize)


def _keeping_memory(computer: Any, make_graph: Callable[..., None]) -> Callable[..., None]:
    """Return what makes a computer's graph as `make_graph` does, with memory that is the graph's own."""
    wanted = computer.cuda_graphs_mode
    clips = frames = 0  # of the graph before

    def make(encoded: "torch.Tensor") -> None:
        nonlocal clips, frames
        import torch

        computer.reset_cuda_graphs_state()  # the new one may need its memory
        computer.graph_memory = None
        computer.cuda_graphs_mode = wanted
        size = max(clips, encoded.shape[0]), max(frames, encoded.shape[1])
        clips = frames = 0  # where there is no memory for so much, the next batch is tried by itself
        pool = torch.cuda.MemPool()
        try:
            with _loops_in(pool, sys.modules[type(computer).__module__]):
                make_graph(encoded[:1, :1].expand(*size, -1))  # of which NeMo takes the shape, not the numbers
        except BaseException:
            computer.reset_cuda_graphs_state()
            raise
        clips, frames = size
        computer.graph_memory = pool
        if computer.cuda_graphs_mode != wanted:  # which NeMo says in words that are kept off the log
            log.warning("The decoder runs, slower, with CUDA graphs of the mode %s.", computer.cuda_graphs_mode)

    return make


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
