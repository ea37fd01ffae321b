"""The fused search's kernels in Triton's interpreter find what NeMo's search finds, without a GPU.

Skipped if Triton is not installed. On a GPU, `gpu_check.py` compares the texts.
"""

from copy import deepcopy
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from interpreter import interpreted
from media import clip

from src.engine.decoder.scoring import TokenScorer, unpack
from src.engine.decoder.search_weights import weights_of

pytest.importorskip("triton")

pytestmark = pytest.mark.timeout(600)  # the interpreter is slow, beside other processes slower still

SEARCHES = """
import sys
from copy import deepcopy
from dataclasses import make_dataclass
import torch
from src.engine.decoder import fused_search
from src.engine.decoder.fused_search import FusedSearch
from src.engine.decoder.loop_graph import run_loop

fused_search.UNITS = 64  # few programs, as the interpreter takes as long for small ones
found = []
with torch.inference_mode():
    for weights, start, steps in torch.load(sys.argv[1], weights_only=False):
        search = FusedSearch(weights, make_dataclass("State", start)(**start), run_loop)
        state = None
        for frames, lengths in steps:
            result = search(frames, lengths, state)
            found.append(deepcopy((result.rows(None), vars(result.after))))  # as the next search overwrites them
            state = result.after if len(steps) > 1 else None
torch.save(found, sys.argv[2])
"""
"""Reads searches from a file: the interpreter needs a process of its own, and importing NeMo there would take long."""
NAMES = ["rhvoice-bdl-4", "fsdd-theo-2"]
FRAMES, CUT = 16, 9
"""Frames of each clip, and those of the first of two steps."""


@pytest.fixture(scope="module")
def encoded(tiny):
    """The encoder's output for some clips, (clips, frames, width), and their frames."""
    frames, lengths = tiny.encode(tiny.collate([clip(name) for name in NAMES]))
    return frames.transpose(1, 2)[:, :FRAMES].contiguous(), lengths.clamp(max=FRAMES)


def found_by_nemo(network, frames, lengths, before=None):
    """What NeMo's search finds: the scored tokens of each clip, and the state after them."""
    with torch.inference_mode():
        computer = network.decoding.decoding.decoding_computer
        found, after = computer(x=frames, out_len=lengths, prev_batched_state=before)
        scorer = TokenScorer(network, torch.device("cpu"))
        outputs = scorer.prednet_outputs(found, len(frames), max(1, int(found.current_lengths.max())), before)
        return [unpack(row) for row in scorer.pack(frames, found, outputs, before).numpy()], after


def started(network):
    """NeMo's state of one clip before its first token, by the names of its fields."""
    computer = network.decoding.decoding.decoding_computer
    state = computer._get_batched_decoding_state_after_sos(torch.device("cpu"), batch_size=1)
    return {each.name: getattr(state, each.name) for each in fields(state)}


def never_at_rest(network):
    """A copy of a network that finds a token of no duration at every frame, again and again."""
    joint = deepcopy(network.joint)
    last = joint.joint_net[-1]
    with torch.no_grad():
        last.bias[network.decoding.decoding.decoding_computer._blank_index] = -1000
        last.bias[-len(network.decoding.durations)] = 1000
    network = SimpleNamespace(decoder=network.decoder, joint=joint, decoding=deepcopy(network.decoding))
    network.decoding.decoding.decoding_computer.joint = joint
    return network


def test_tokens_times_probabilities_and_states_are_those_of_nemos_search(tiny, encoded, tmp_path):
    frames, lengths = encoded
    restless = never_at_rest(tiny._network)
    many = frames[[0, 1] * 9, 5:8]  # more than one program's rows
    some = torch.tensor([3, 2, 1, 0, 3, 3] * 3)
    cases = [
        (tiny._network, [(frames[:, :CUT], lengths.clamp(max=CUT)), (frames[:, CUT:], (lengths - CUT).clamp(min=0))]),
        (tiny._network, [(many, some)]),
        (restless, [(frames[:, :2], torch.tensor([2, 1]))]),
    ]
    given = [(weights_of(network), started(network), steps) for network, steps in cases]
    torch.save(given, tmp_path / "given")
    interpreted("-c", SEARCHES, str(tmp_path / "given"), str(tmp_path / "found"))
    found = iter(torch.load(tmp_path / "found", weights_only=False))
    for network, steps in cases:
        before = None
        for step_frames, step_lengths in steps:
            expected, after = found_by_nemo(network, step_frames, step_lengths, before)
            assert_same(next(found), expected, after)
            before = after
    assert next(found, None) is None
    assert [len(each.ids) for each in found_by_nemo(restless, *cases[2][1][0])[0]] == [20, 10]


def assert_same(found, expected, after):
    """Check rows of tokens and a state: numbers equal, probabilities and floats except for rounding."""
    rows, state = found
    for hypothesis, theirs in zip((unpack(row) for row in rows.numpy()), expected, strict=True):
        for ours, wanted in zip(hypothesis[:3], theirs[:3], strict=True):
            assert ours.tolist() == wanted.tolist()
        assert hypothesis.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
    for name in ("labels", "decoded_lengths", "time_jumps"):
        assert state[name].tolist() == getattr(after, name).tolist()
    assert torch.allclose(state["predictor_outputs"], after.predictor_outputs, atol=1e-4)
    for ours, theirs in zip(state["predictor_states"], after.predictor_states, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
