"""Decoder states as rows, of a network of two layers that is three numbers wide."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch

from src.engine.decoder.states import StateRows

LAYERS, WIDTH = 2, 3


@dataclass
class State:
    """The fields of NeMo's state of a batch."""

    predictor_states: tuple
    predictor_outputs: torch.Tensor
    labels: torch.Tensor
    decoded_lengths: torch.Tensor
    fusion_states_list: list
    time_jumps: torch.Tensor | None


def made(clips: int, dtype: torch.dtype, seed: int = 0) -> State:
    """A state of random numbers."""
    chance = torch.Generator().manual_seed(seed)

    def integers() -> torch.Tensor:
        return torch.randint(1, 1 << 40, (clips,), generator=chance)

    def floats(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=chance).to(dtype)

    return State(
        (floats(LAYERS, clips, WIDTH), floats(LAYERS, clips, WIDTH)),
        floats(clips, 1, WIDTH),
        integers(),
        integers(),
        [integers()],
        integers(),
    )


def assert_same(found: State, expected: State) -> None:
    for field in fields(State):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if theirs is None:
            assert ours is None
        else:
            pairs = zip(ours, theirs, strict=True) if isinstance(theirs, list | tuple) else [(ours, theirs)]
            for one, other in pairs:
                assert one.dtype == other.dtype
                assert torch.equal(one, other)


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
def dtype(request) -> torch.dtype:
    return request.param


@pytest.fixture
def rows(dtype) -> StateRows:
    return StateRows(made(1, dtype, seed=99))


def on_host(packed: torch.Tensor) -> list[np.ndarray]:
    return [row.copy() for row in packed.numpy()]


def test_what_is_packed_comes_back_from_the_host_in_any_order(rows, dtype):
    state = made(4, dtype)
    waiting = on_host(rows.pack(state, 4))
    back = rows.unpack(rows.from_host([waiting[2], waiting[0]]), with_keywords=True)
    order = [2, 0]
    assert_same(
        back,
        State(
            tuple(each[:, order] for each in state.predictor_states),
            state.predictor_outputs[order],
            state.labels[order],
            state.decoded_lengths[order],
            [state.fusion_states_list[0][order]],
            state.time_jumps[order],
        ),
    )
    assert all(each.is_contiguous() for each in back.predictor_states), "as the network demands"


def test_rows_of_an_earlier_larger_batch_are_left_out(rows, dtype):
    assert len(rows.pack(made(4, dtype), 3)) == 3


def test_who_begins_has_the_state_of_the_start(rows, dtype):
    assert rows.from_host([None, None]) is None
    [waiting] = on_host(rows.pack(made(1, dtype), 1))
    begun = rows.from_host([waiting, None])
    assert_same(rows.unpack(begun[1:], with_keywords=True), made(1, dtype, seed=99))
    assert torch.equal(begun[:1], rows.pack(made(1, dtype), 1))


def test_a_state_without_a_place_in_a_tree_gets_the_root_and_a_computer_without_trees_gets_none(rows, dtype):
    root = made(1, dtype, seed=99).fusion_states_list[0]
    plain = rows.pack(replace(made(2, dtype), fusion_states_list=[]), 2)
    assert torch.equal(rows.unpack(plain, with_keywords=True).fusion_states_list[0], root.expand(2))
    assert rows.unpack(plain, with_keywords=False).fusion_states_list == []


def test_the_places_in_the_checkpoints_own_language_models_come_back_with_and_without_keywords(dtype):
    own, others = made(1, dtype, seed=98).fusion_states_list, made(3, dtype, seed=97).fusion_states_list
    rows = StateRows(replace(made(1, dtype, seed=99), fusion_states_list=[*own, torch.tensor([7])]))
    state = made(3, dtype)
    keywords = state.fusion_states_list
    back = rows.unpack(rows.pack(replace(state, fusion_states_list=[*others, *keywords]), 3), with_keywords=True)
    assert_same(back, replace(state, fusion_states_list=[*others, *keywords]))
    plain = rows.pack(replace(state, fusion_states_list=others), 3)
    assert_same(rows.unpack(plain, with_keywords=False), replace(state, fusion_states_list=others))
    root = torch.tensor([7, 7, 7])
    assert_same(rows.unpack(plain, with_keywords=True), replace(state, fusion_states_list=[*others, root]))


def test_an_rnn_t_has_no_jumps(dtype):
    rows = StateRows(replace(made(1, dtype, seed=99), time_jumps=None))
    state = replace(made(2, dtype), time_jumps=None)
    assert_same(rows.unpack(rows.pack(state, 2), with_keywords=True), state)
