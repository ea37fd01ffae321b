"""The loop of a search on a device without CUDA graphs; test_gpu.py has the graph."""

import torch

from src.engine.decoder.loop_graph import run_loop


def test_the_body_runs_as_long_as_the_condition_holds_and_each_run_begins_anew():
    number, goes_on, turns = torch.zeros(1), torch.zeros(1, dtype=torch.bool), []

    def begin():
        number.fill_(3)
        goes_on.copy_(number > 0)

    def body():
        turns.append(number.sub_(1).item())
        goes_on.copy_(number > 0)

    replay = run_loop(begin, goes_on, body)
    assert turns == []
    replay()
    replay()
    assert turns == [2, 1, 0, 2, 1, 0]


def test_the_body_of_a_loop_whose_condition_never_holds_does_not_run():
    run_loop(lambda: None, torch.zeros(1, dtype=torch.bool), lambda: 1 / 0)()
