"""CUDA graphs of NeMo's label-looping computers that own their memory and survive errors.

NeMo captures the bodies of its two loops on streams of their own (`with_conditional_node`). torch does not count these
streams as part of the capture, so their allocations are ordinary memory to it: free when the capture has ended, and
given back to the driver by the next capture, by `empty_cache()`, or by an allocation that fails and is retried. The
graph goes on using that memory, and meets an illegal address or data that others have put there. Here the loop bodies
allocate from a pool that lives as long as the graph.

NeMo also keeps its new state when the graph for it cannot be captured, for example for lack of memory. A later, smaller
batch would then replay the graph of the previous state, or none. Here an error leaves the computer without state and
graph. If the whole search cannot be captured for another reason than memory, each of its steps is captured instead.

NeMo compiles the conditions of its loops in a way that damages Python (`nvrtc.py`), so it is replaced here too.

A new graph is for at least as many clips and frames as the previous one. NeMo makes it for the current batch only, so
that a batch of many clips and one of long clips, in turns, would each need a new capture.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from src.engine.decoder.label_looping import LabelLoopingComputer
from src.engine.decoder.nvrtc import compile_kernel
from src.engine.device_errors import is_out_of_memory, one_line

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

GraphMode = Literal["full", "partial", "off"]
"""One graph for the whole search, one for each of its steps, or none. NeMo uses less if the system cannot do it."""

_WHOLE, _BY_STEPS = "full_graph", "no_while_loops"
"""NeMo's names for the first two."""


def set_up_graphs(computer: LabelLoopingComputer, mode: GraphMode) -> None:
    """Set how a new computer uses CUDA graphs, and let its graphs own their memory."""
    if mode == "off":
        computer.disable_cuda_graphs()
    elif mode == "partial" and computer.cuda_graphs_mode is not None:
        computer.force_cuda_graphs_mode(_BY_STEPS)
    computer.cuda_graphs_allow_fallback = False  # NeMo's fallback covers some errors only and does not report them
    computer._graph_reinitialize = _capturing_safely(computer, computer._graph_reinitialize)


def _capturing_safely(
    computer: LabelLoopingComputer, capture_graph: Callable[["torch.Tensor"], None]
) -> Callable[["torch.Tensor"], None]:
    """Return a replacement for `capture_graph`, NeMo's `_graph_reinitialize` of this computer."""
    wanted_mode = computer.cuda_graphs_mode
    clips = frames = 0  # of the graph before

    def capture(encoded: "torch.Tensor") -> None:
        nonlocal clips, frames
        size = max(clips, encoded.shape[0]), max(frames, encoded.shape[1])
        clips = frames = 0  # if memory does not suffice for this size, the next batch gets a graph of its own size
        example = encoded[:1, :1].expand(*size, -1)  # NeMo reads its shape only
        computer.cuda_graphs_mode = wanted_mode
        try:
            _capture_in_own_pool(computer, capture_graph, example)
        except Exception as error:
            if str(wanted_mode) != _WHOLE or is_out_of_memory(error):
                raise
            reason = error.__cause__ if isinstance(error.__cause__, Exception) else error
            log.warning("The decoder runs, slower, with a CUDA graph for each of its steps: %s", one_line(reason))
            computer.force_cuda_graphs_mode(_BY_STEPS)
        if computer.state is None:  # outside the handler: the error holds the memory of the failed capture
            _capture_in_own_pool(computer, capture_graph, example)
        clips, frames = size

    return capture


def _capture_in_own_pool(
    computer: LabelLoopingComputer, capture_graph: Callable[["torch.Tensor"], None], example: "torch.Tensor"
) -> None:
    """Capture a graph whose loops have a memory pool of their own; on an error the computer has no graph."""
    import torch

    computer.reset_cuda_graphs_state()  # the new graph may need its memory
    computer.graph_memory = None
    pool = torch.cuda.MemPool()
    try:
        with _loops_allocating_from(pool, sys.modules[type(computer).__module__]):
            capture_graph(example)
    except BaseException:
        computer.reset_cuda_graphs_state()
        raise
    computer.graph_memory = pool


@contextmanager
def _loops_allocating_from(pool: Any, module: Any) -> Iterator[None]:
    """Let the loops that `module`, one of NeMo's, captures in this block allocate their memory from `pool`."""
    original = module.with_conditional_node
    depth = 0

    @contextmanager
    def with_conditional_node(*args: Any, **kwargs: Any) -> Iterator[Any]:
        nonlocal depth
        depth += 1
        try:
            with (
                ending_captures_on_error(module) as bodies,
                original(*args, **kwargs) as body,
                _allocating_from(pool, depth),
            ):
                bodies.append(body)
                yield body
        finally:
            depth -= 1

    run_nvrtc = module.run_nvrtc
    module.with_conditional_node, module.run_nvrtc = with_conditional_node, compile_kernel
    try:
        yield
    finally:
        module.with_conditional_node, module.run_nvrtc = original, run_nvrtc


@contextmanager
def _allocating_from(pool: Any, depth: int) -> Iterator[None]:
    """Let this thread allocate from `pool` in this block; an inner loop (`depth` 2) does so already."""
    import torch

    if depth > 1:
        yield
        return
    with torch.cuda.use_mem_pool(pool):
        yield


@contextmanager
def ending_captures_on_error(module: Any) -> Iterator[list[Any]]:
    """On an error in this block, end the captures of the loop bodies in the yielded list and restore the stream.

    NeMo does neither, and then the capture of the whole graph cannot end. A body is a pair of a stream and a graph.
    """
    import torch

    stream_before = torch.cuda.current_stream()
    bodies: list[Any] = []
    try:
        yield bodies
    except BaseException:
        for stream, _ in bodies:
            module.cudart.cudaStreamEndCapture(stream.cuda_stream)
        torch.cuda.set_stream(stream_before)
        raise
