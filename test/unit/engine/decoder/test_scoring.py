"""Scores of tokens, with a joint network of a few random weights in NeMo's place."""

from types import SimpleNamespace

import pytest
import torch

from src.engine.decoder import scoring
from src.engine.decoder.scoring import TokenScorer, unpack

CPU = torch.device("cpu")
DURATIONS = [0, 1, 4]
VOCABULARY, WIDTH = 6, 5


class Joint:
    """Projects by random weights and joins by a sum, as NeMo's joint does before its last layer."""

    def __init__(self, outputs: int) -> None:
        chance = torch.Generator().manual_seed(1)
        self.encoder = torch.randn(WIDTH, WIDTH, generator=chance)
        self.prednet = torch.randn(VOCABULARY, WIDTH, generator=chance)
        self.last = torch.randn(WIDTH, outputs, generator=chance)
        self.bias = torch.zeros(outputs)

    def project_encoder(self, frames):
        return frames @ self.encoder

    def project_prednet(self, outputs):
        return outputs

    def joint_after_projection(self, frames, outputs):
        assert frames.shape == outputs.shape == (len(frames), 1, WIDTH)
        return ((frames + outputs).tanh() @ self.last + self.bias).unsqueeze(2)


class Prednet:
    """Remembers nothing but the last token; a clip begins after token 0."""

    def __init__(self, joint: Joint) -> None:
        self._joint = joint

    def predict(self, ids, state, *, add_sos):
        assert (state is None) == add_sos
        if add_sos:
            ids = torch.cat((torch.zeros(len(ids), 1, dtype=ids.dtype), ids), dim=1)
        return self._joint.prednet[ids], None


def network(durations: list[int]) -> SimpleNamespace:
    joint = Joint(VOCABULARY + len(durations))
    return SimpleNamespace(joint=joint, decoder=Prednet(joint), decoding=SimpleNamespace(durations=durations))


def found(starts=(0, 2, 3)) -> SimpleNamespace:
    """Two clips, one of three tokens and one of a single token, behind which anything may stand."""
    return SimpleNamespace(
        current_lengths=torch.tensor([3, 1]),
        transcript=torch.tensor([[3, 1, 5, 0], [2, 4, 4, 4]]),
        timestamps=torch.tensor([[*starts, 99], [4, -7, 99, 99]]),
    )


def expected(net, frames, ids, starts, last=0):
    """Yield the logits from which each token of a clip was chosen, those of the durations last, and its id."""
    for id, start in zip(ids, starts, strict=True):
        yield ((frames[start] @ net.joint.encoder + net.joint.prednet[last]).tanh() @ net.joint.last), id
        last = id


@pytest.mark.parametrize("rows", [1, 4, 2048])
@pytest.mark.parametrize("durations", [DURATIONS, []])
def test_each_token_has_the_duration_and_the_probability_that_the_joint_gives_it(durations, rows, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS_AT_A_TIME", rows)
    net = network(durations)
    scorer = TokenScorer(net, CPU)
    frames = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(2))
    outputs = scorer.prednet_outputs(found(), 2, 3, None)
    rows = scorer.pack(frames, found(), outputs, None).numpy()
    for row, clip_frames, ids, starts in zip(rows, frames, ([3, 1, 5], [2]), ([0, 2, 3], [4]), strict=True):
        hypothesis = unpack(row)
        assert (hypothesis.ids.tolist(), hypothesis.starts.tolist()) == (ids, starts)
        for at, (logits, id) in enumerate(expected(net, clip_frames, ids, starts)):
            duration = durations[int(logits[VOCABULARY:].argmax())] if durations else 1
            assert hypothesis.ends[at] == starts[at] + duration
            assert hypothesis.logprobs[at] == pytest.approx(logits[:VOCABULARY].log_softmax(0)[id].item(), abs=1e-5)


def test_in_a_later_step_tokens_continue_from_the_state_and_count_from_the_steps_first_frame():
    net = network(DURATIONS)
    scorer = TokenScorer(net, CPU)
    frames = torch.randn(1, 5, WIDTH, generator=torch.Generator().manual_seed(3))
    before = SimpleNamespace(
        predictor_states="state",
        predictor_outputs=net.joint.prednet[5].view(1, 1, WIDTH),
        decoded_lengths=torch.tensor([100]),
    )
    step = found(starts=(100, 102, 103))
    outputs = scorer.prednet_outputs(step, 1, 3, before)
    [row] = scorer.pack(frames, step, outputs, before).numpy()
    hypothesis = unpack(row)
    assert hypothesis.starts.tolist() == [0, 2, 3]
    logprobs = [
        logits[:VOCABULARY].log_softmax(0)[id].item()
        for logits, id in expected(net, frames[0], [3, 1, 5], [0, 2, 3], last=5)
    ]
    assert hypothesis.logprobs == pytest.approx(logprobs, abs=1e-5)


def test_a_clip_without_tokens_unpacks_to_empty_lists():
    net = network(DURATIONS)
    scorer = TokenScorer(net, CPU)
    silent = found()
    silent.current_lengths = torch.tensor([0, 1])
    outputs = scorer.prednet_outputs(silent, 2, 1, None)
    rows = scorer.pack(torch.zeros(2, 5, WIDTH), silent, outputs, None).numpy()
    assert list(map(len, unpack(rows[0]))) == [0, 0, 0, 0]
    assert list(map(len, unpack(rows[1]))) == [1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_probability_of_a_token_does_not_depend_on_how_many_others_there_are(dtype):
    """By it the service tells a doubtful transcript, with 257 scores as with 8,193."""

    def logprobs(others: int) -> torch.Tensor:
        net = network(DURATIONS)
        joint, added = net.joint, torch.zeros(WIDTH, others)
        joint.last = torch.cat((joint.last[:, :VOCABULARY], added, joint.last[:, VOCABULARY:]), dim=1)
        joint.bias = torch.cat((torch.zeros(VOCABULARY), torch.full((others,), -1000.0), torch.zeros(len(DURATIONS))))
        for name in ("encoder", "prednet", "last", "bias"):
            setattr(joint, name, getattr(joint, name).to(dtype))
        scorer = TokenScorer(net, CPU)
        frames = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(2)).to(dtype)
        rows = scorer.pack(frames, found(), scorer.prednet_outputs(found(), 2, 3, None), None).numpy()
        return torch.tensor(unpack(rows[0]).logprobs)

    assert torch.equal(logprobs(257 - VOCABULARY), logprobs(8193 - VOCABULARY))
