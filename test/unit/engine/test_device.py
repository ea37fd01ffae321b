"""Devices, number formats and threads by the names of the settings."""

from src.engine.device import torch_threads


def test_torch_leaves_a_core_to_the_rest_of_the_service_and_takes_no_more_than_it_may():
    assert [torch_threads(cores, wished) for cores, wished in ((1, 1), (2, 2), (2, 6), (16, 6), (16, 16))] == [
        1,
        1,
        1,
        6,
        15,
    ]
