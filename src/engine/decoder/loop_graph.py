"""A CUDA graph with a loop in it: the device itself decides how often it repeats work, and the host waits for nothing.

The loop is a conditional node (CUDA 12.4). torch has none, so this uses the functions by which NeMo makes its own.

This file loads torch; it is imported when a model is loaded.
"""

from collections.abc import Callable

import numpy as np
import torch

from src.engine.decoder.cuda_graphs import ending_captures_on_error
from src.engine.decoder.nvrtc import compile_kernel

Work = Callable[[], object]
"""Launches device work. The tensors that it uses must keep their addresses as long as it may be replayed."""
CaptureLoop = Callable[[Work, torch.Tensor, Work], Work]
"""Records `before(); while condition: body()`, with the condition on the device, and returns what replays it."""

_SET_CONDITION = """
typedef __device_builtin__ unsigned long long cudaGraphConditionalHandle;

extern "C" __device__ __cudart_builtin__ void cudaGraphSetConditional(cudaGraphConditionalHandle handle,
                                                                      unsigned int value);

extern "C" __global__ void set_condition(cudaGraphConditionalHandle handle, const bool *condition)
{
    cudaGraphSetConditional(handle, *condition);
}
"""
"""The kernel that decides before each turn of the loop. NVRTC has no headers, so it declares what it uses."""


def capture_loop(before: Work, condition: torch.Tensor, body: Work) -> Work:
    """Return a replay of `before(); while condition: body()` as one CUDA graph.

    Args:
        before: work before the loop. It and `body` must have run before, and must not allocate memory.
        condition: (1,) bool on the device, which `before` and `body` write.
        body: work of the loop.

    Raises:
        Exception: what torch, NeMo or CUDA raise if this system has no such graphs.
    """
    from nemo.collections.asr.parts.submodules.transducer_decoding import tdt_label_looping as nemo

    device = condition.device
    condition_kernel = compile_kernel(_SET_CONDITION, b"set_condition", b"loop.cu")
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # it has no annotations
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream), torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        before()
        _, _, under_capture, *_ = nemo.cu_call(nemo.cudart.cudaStreamGetCaptureInfo(stream.cuda_stream))
        (handle,) = nemo.cu_call(nemo.cudart.cudaGraphConditionalHandleCreate(under_capture, 0, 0))
        address = np.array([condition.data_ptr()], dtype=np.uint64)
        arguments = np.array([handle.getPtr(), address.ctypes.data], dtype=np.uint64)
        with (
            ending_captures_on_error(nemo) as bodies,
            nemo.with_conditional_node(condition_kernel, arguments, handle, device=device) as captured,
        ):
            bodies.append(captured)
            body()
    torch.cuda.current_stream(device).wait_stream(stream)
    return graph.replay


def run_loop(before: Work, condition: torch.Tensor, body: Work) -> Work:
    """Return a function that does the same without a graph; it waits for the device at each turn."""

    def run() -> None:
        before()
        while bool(condition.item()):
            body()

    return run
