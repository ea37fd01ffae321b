"""Devices, number formats and threads by the names of the settings."""

import pytest
import torch

from src.engine.device import describe_device, resolve_device, resolve_dtype, torch_threads
from src.errors import ModelUnavailable

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture
def gpus(monkeypatch):
    """Sets how many GPUs torch sees."""

    def see(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")

    return see


@pytest.mark.parametrize(
    ("name", "count", "device"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_name_is_a_device(gpus, name, count, device):
    gpus(count)
    assert resolve_device(name) == torch.device(device)


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_rejected_with_the_number_of_those_that_are(gpus, name, count):
    gpus(count)
    with pytest.raises(ModelUnavailable, match=f"PARAKEET_DEVICE={name}, but torch sees {count} GPUs"):
        resolve_device(name)


def test_weights_are_bfloat16_on_a_gpu_and_float32_on_a_cpu_unless_set():
    assert [resolve_dtype("auto", device) for device in (CPU, GPU)] == [torch.float32, torch.bfloat16]
    assert [resolve_dtype("float16", device) for device in (CPU, GPU)] == [torch.float16] * 2


def test_the_log_names_the_card_or_the_threads(gpus):
    gpus(1)
    assert describe_device(GPU) == "cuda:0 (card 0)"
    assert describe_device(CPU) == f"cpu ({torch.get_num_threads()} threads)"


def test_torch_leaves_a_core_to_the_rest_of_the_service_and_takes_no_more_than_it_may():
    assert [torch_threads(cores, wanted) for cores, wanted in ((1, 1), (2, 2), (2, 6), (16, 6), (16, 16))] == [
        1,
        1,
        1,
        6,
        15,
    ]
