"""The classification of errors that a device raises."""

import pytest
import torch

from src.engine.device_errors import MemoryExhausted, classify_device_errors, is_out_of_memory, one_line
from src.errors import DeviceLost


def test_torchs_own_message_for_too_little_memory_is_recognised():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60)
    assert is_out_of_memory(error.value)
    with pytest.raises(MemoryExhausted), classify_device_errors(torch.device("cpu")):
        torch.empty(2**60)


def test_memory_that_a_failed_batch_held_is_free_for_the_next_try():
    freed = []

    class Large:
        def __del__(self):
            freed.append(True)

    def work():
        held = Large()
        assert held
        raise MemoryError

    with pytest.raises(MemoryExhausted) as error, classify_device_errors(torch.device("cpu")):
        work()
    assert freed
    assert error.value.__context__ is not None  # the error still holds the traceback


def test_an_error_on_a_device_that_no_longer_responds_means_that_it_is_lost(monkeypatch):
    def gone(*_, **__):
        raise RuntimeError("CUDA error: unspecified launch failure")

    device = torch.device("cuda")
    monkeypatch.setattr(torch, "ones", gone)
    with pytest.raises(DeviceLost, match="of the batch"), classify_device_errors(device):
        raise RuntimeError("of the batch")


def test_an_error_on_a_device_that_still_responds_is_raised_unchanged(monkeypatch):
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.tensor([1.0, 1.0]))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    with pytest.raises(ValueError, match="of the batch"), classify_device_errors(torch.device("cuda")):
        raise ValueError("of the batch")


def test_a_cause_that_another_error_hides_is_recognised():
    def end_capture() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("capture must end on the same stream it began on")

    with pytest.raises(RuntimeError) as hidden:
        end_capture()
    assert is_out_of_memory(hidden.value)
    assert not is_out_of_memory(RuntimeError("capture must end on the same stream it began on"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError("CUDA error: launch failure\nSearch for `cudaError' in its documentation"),
            "CUDA error: launch failure",
        ),
        (RuntimeError("two\n  lines."), "two lines"),
        (RuntimeError(""), ""),
        (RuntimeError("x" * 300), "x" * 200),
    ],
)
def test_an_error_is_one_line_of_bounded_length_without_cudas_advice(error, line):
    assert one_line(error) == f"RuntimeError: {line}".rstrip(": ")
