"""The decoder with CUDA graphs: a computer for small batches beside the other, and one wait for the device a batch.

NeMo's code for CUDA graphs runs on the CPU here, without the graphs: the same work on the same memory, step by step
(its `no_graphs`). test_gpu.py has the tests that need a GPU.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from media import clip
from omegaconf import open_dict

from src.engine import transfers
from src.engine.checkpoint import TINY
from src.engine.decoder.cuda_graphs import set_up_graphs
from src.engine.decoder.decoder import Decoder
from src.engine.model import StreamStep
from src.engine.network import freeze, quiet_nemo, restore_network
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.settings import Settings

SMALL_BATCH = 2
NAMES = ["rhvoice-bdl-4", "piper-joe-1", "flite-slt-1", "noise-hum-2s", "fsdd-theo-2"]
BOOSTS = [("fifteen", "twenty five"), (), ("station", "Saturday"), ("Anna",), ("seven",)]
WINDOWING = Windowing(1.6, 0.32, 0.8)


@pytest.fixture
def decoder(tiny, monkeypatch) -> Decoder:
    """The decoder of the bundled checkpoint with two computers, on a CPU that plays CUDA graphs."""
    from nemo.collections.asr.parts.submodules.transducer_decoding import label_looping_base

    def call(computer, x, out_len, prev_batched_state=None, multi_biasing_ids=None):
        is_played = computer.cuda_graphs_mode is computer.CudaGraphsMode.NO_GRAPHS
        implementation = computer.cuda_graphs_impl if is_played else computer.torch_impl
        return implementation(x, out_len, prev_batched_state, multi_biasing_ids)

    def set_up(computer, _):
        computer.force_cuda_graphs_mode("no_graphs")
        set_up_graphs(computer, "full")

    monkeypatch.setattr(label_looping_base.GreedyBatchedLabelLoopingComputerBase, "__call__", call)
    monkeypatch.setattr("src.engine.decoder.computers.set_up_graphs", set_up)
    monkeypatch.setattr(torch.cuda, "MemPool", object)
    return Decoder(tiny._network, Settings().boost_alpha, small_batch=SMALL_BATCH)


@pytest.fixture
def waits(monkeypatch) -> list[list[tuple[int, ...]]]:
    """The shapes of what was copied from the device at once, in order; the host waits for each copy."""
    shapes = []

    def to_host(tensors):
        shapes.append([tuple(each.shape) for each in tensors])
        return transfers.to_host(tensors)

    monkeypatch.setattr("src.engine.decoder.decoder.to_host", to_host)
    return shapes


def decoded(model, decoder, names, keywords=None):
    """The tokens that a decoder finds in clips that `model` has encoded."""
    clips = [clip(name) for name in names]
    encoded, lengths = model.encode(model.collate(clips))
    keyword_trees = decoder.pack_trees_for(keywords) if keywords else None
    return decoder.decode(encoded, lengths, keyword_trees, [len(samples) / 16_000 for samples in clips])


def assert_alike(found, expected):
    """Check that tokens and times are the same, and probabilities except for rounding."""
    for ours, theirs in zip(found, expected, strict=True):
        assert [(each.id, each.start_s, each.end_s) for each in ours] == [
            (each.id, each.start_s, each.end_s) for each in theirs
        ]
        assert [each.logprob for each in ours] == pytest.approx([each.logprob for each in theirs], abs=1e-4)


@pytest.mark.parametrize("keywords", [None, BOOSTS])
def test_tokens_times_and_probabilities_are_those_without_graphs_in_batches_of_any_size(tiny, decoder, waits, keywords):
    counts = [2, 5, 1, 4, 3]  # so that some batches have fewer clips than their computer's graph
    for count in counts:
        boosted = keywords and keywords[:count]
        found = decoded(tiny, decoder, NAMES[:count], boosted)
        assert sum(map(len, found)) > 5
        assert_alike(found, decoded(tiny, tiny._decoder, NAMES[:count], boosted))
    assert len(waits) == 2 * len(counts), "each batch is one copy"


def test_clips_with_more_tokens_than_are_kept_lose_none(tiny, decoder, waits, monkeypatch):
    monkeypatch.setattr("src.engine.decoder.computers.FRAMES_PER_TOKEN", 1000)
    assert_alike(decoded(tiny, decoder, NAMES[:1]), decoded(tiny, tiny._decoder, NAMES[:1]))
    some, all_of_them, _ = waits
    assert some < all_of_them


def test_a_batch_of_few_clips_does_not_pay_for_the_rows_of_a_large_one(tiny, decoder):
    decoded(tiny, decoder, NAMES)
    decoded(tiny, decoder, NAMES[:1])
    decoded(tiny, decoder, NAMES[:SMALL_BATCH])
    small, large = decoder._plain.for_batch(SMALL_BATCH), decoder._plain.for_batch(SMALL_BATCH + 1)
    assert (small.state.batch_size, large.state.batch_size) == (SMALL_BATCH, len(NAMES))


def test_once_ready_no_batch_within_the_limits_has_a_graph_made_anew(tiny, decoder):
    decoder.warm_up(len(NAMES), 150)
    computers = [
        kind.for_batch(clips)
        for kind in (decoder._plain, decoder._boosting)
        for clips in (SMALL_BATCH, SMALL_BATCH + 1)
    ]
    states = [computer.state for computer in computers]
    assert [state.batch_size for state in states] == [SMALL_BATCH, len(NAMES)] * 2
    for names in (NAMES[:1], NAMES):
        for keywords in (None, BOOSTS[: len(names)]):
            expected = decoded(tiny, tiny._decoder, names, keywords)
            assert_alike(decoded(tiny, decoder, names, keywords), expected)
    assert [computer.state for computer in computers] == states


def streams():
    """Utterances that have just begun, with the samples of each; only one has no keywords."""
    return [(LiveTranscript(WINDOWING, keywords), clip(name)) for name, keywords in zip(NAMES, BOOSTS, strict=True)]


def stepped(model, decoder, lives, rounds):
    """Return the tokens of each stream. A round is one batch: a step of each of its streams that has not ended."""
    for numbers in rounds:
        under_way = []
        for live, samples in (lives[number] for number in numbers):
            if window := live.next_window(len(samples), ended=True):
                under_way.append((live, live.begin_step(window, samples[window.start : window.stop])))
        steps = [replace(step, lookahead=number % 2 == 0) for number, (_, step) in enumerate(under_way)]
        encoded, lengths = model.encode(model.collate([step.samples for step in steps]))
        results = decoder.advance(encoded, lengths, decoder.pack_trees_for([step.keywords for step in steps]), steps)
        for (live, _), each in zip(under_way, results, strict=True):
            live.finish_step(each)
    return [live.tokens for live, _ in lives]


def test_a_stream_goes_from_one_computer_to_the_other_and_back_between_its_steps(tiny, decoder, waits):
    everybody = range(len(NAMES))
    rounds = [[1], everybody, [1, 2], [1], [0, 2, 3], everybody, [0], everybody]
    found = stepped(tiny, decoder, streams(), rounds)
    assert len(waits) == len(rounds)
    assert sum(map(len, found)) > 20
    assert all(decoder._boosting.for_batch(clips).state for clips in (SMALL_BATCH, SMALL_BATCH + 1)), "both have worked"
    assert_alike(found, stepped(tiny, tiny._decoder, streams(), rounds))


@pytest.mark.parametrize("boosted", [False, True])
def test_lookaheads_need_no_other_graphs_and_no_other_wait(tiny, decoder, waits, boosted):
    decoder.warm_up(len(NAMES), 400)
    computers = [kind.for_batch(clips) for kind in (decoder._plain, decoder._boosting) for clips in (1, len(NAMES))]
    graphs = [computer.state for computer in computers]
    for count in (1, SMALL_BATCH, len(NAMES)):
        keywords = BOOSTS[:count] if boosted else [()] * count
        steps = [
            StreamStep(clip(name), 0, 10 * (number % 3), 0, None, words, lookahead=number != 1)
            for number, (name, words) in enumerate(zip(NAMES[:count], keywords, strict=True))
        ]
        encoded, lengths = tiny.encode(tiny.collate([step.samples for step in steps]))
        trees = decoder.pack_trees_for(keywords)
        before = len(waits)
        found = decoder.advance(encoded, lengths, trees, steps)
        assert len(waits) == before + 1
        expected = tiny._decoder.advance(encoded, lengths, trees, steps)
        for part in ("tokens", "lookahead"):
            assert_alike([getattr(each, part) for each in found], [getattr(each, part) for each in expected])
        assert any(result.lookahead for result in found)
    assert [computer.state for computer in computers] == graphs


def test_both_computers_make_their_graphs_anew_where_the_trees_have_moved(tiny, decoder):
    decoder.warm_up(len(NAMES), 400)
    computers = [decoder._boosting.for_batch(clips) for clips in (SMALL_BATCH, SMALL_BATCH + 1)]
    assert all(computer.state for computer in computers)
    more = decoder._boosting.table.num_models_reserved + 1
    decoder._biasing.load(decoder.pack_trees_for([(f"list {'a' * number}",) for number in range(more)]))
    assert [computer.state for computer in computers] == [None, None]
    for names in (NAMES[:1], NAMES[: SMALL_BATCH + 1]):
        keywords = BOOSTS[: len(names)]
        expected = decoded(tiny, tiny._decoder, names, keywords)
        assert_alike(decoded(tiny, decoder, names, keywords), expected)
    sizes = [(computer.state.batch_size, computer.state.max_time) for computer in computers]
    assert sizes == [(SMALL_BATCH, 400), (len(NAMES), 400)], (
        "as before, so that no larger batch has them made once more"
    )


@pytest.mark.parametrize("frames", [1504, 2520])  # bfloat16 has no 2520; it would round it to 2528
def test_a_decoder_in_half_precision_is_made_ready_for_any_number_of_frames(tiny, decoder, monkeypatch, frames):
    searched = []
    weight = tiny._network.joint.enc.weight.bfloat16()
    monkeypatch.setattr(decoder, "_joint", SimpleNamespace(enc=SimpleNamespace(weight=weight)))
    monkeypatch.setattr(decoder, "_search", lambda *given: searched.append(given))
    decoder.warm_up(SMALL_BATCH + 1, frames)
    assert {encoded.shape[:2] for encoded, *_ in searched} == {
        (clips, frames) for clips in (SMALL_BATCH, SMALL_BATCH + 1)
    }
    assert all(len(lengths) == len(encoded) and lengths.max() <= frames for encoded, lengths, *_ in searched)


def test_without_what_tritons_kernel_needs_only_keywords_go_without_graphs(tiny, decoder, monkeypatch, caplog):
    monkeypatch.setattr("src.engine.decoder.decoder.missing_for_keywords", lambda _: "there is no C compiler")
    without = Decoder(tiny._network, Settings().boost_alpha, small_batch=SMALL_BATCH)
    assert "there is no C compiler" in caplog.text
    assert not without._boosting.table.use_triton
    for names in (NAMES[:1], NAMES):
        keywords = BOOSTS[: len(names)]
        expected = decoded(tiny, tiny._decoder, names, keywords)
        assert_alike(decoded(tiny, without, names, keywords), expected)
        decoded(tiny, without, names)
    assert without._boosting.for_batch(1).state is None
    assert without._plain.for_batch(1).state is not None


def test_what_cannot_be_captured_as_a_whole_is_captured_step_by_step(tiny, monkeypatch, caplog):
    def set_up(computer, mode):
        computer.cuda_graphs_mode = computer.CudaGraphsMode.FULL_GRAPH
        set_up_graphs(computer, mode)

    def failing():
        raise RuntimeError("no libnvrtc.so.13")

    monkeypatch.setattr("src.engine.decoder.computers.set_up_graphs", set_up)
    monkeypatch.setattr(torch.cuda, "MemPool", object)
    computer = Decoder(tiny._network, 0)._plain.large
    monkeypatch.setattr(computer, "_warmup_for_cuda_graphs", lambda: None)
    monkeypatch.setattr(computer, "_full_graph_compile", failing)
    monkeypatch.setattr(computer, "_partial_graphs_compile", lambda: None)
    width = tiny._network.joint.enc.weight.shape[0]
    for clips, frames in ((3, 400), (4, 20)):
        computer._graph_reinitialize(torch.zeros(clips, frames, width))
        assert (computer.state.batch_size, computer.state.max_time) == (clips, 400)
        assert computer.cuda_graphs_mode is computer.CudaGraphsMode.NO_WHILE_LOOPS
    assert "no libnvrtc.so.13" in caplog.text


def test_a_checkpoint_with_a_boosting_tree_of_its_own_is_decoded_with_and_without_keywords(tiny):
    """Its decoder states have two places: one in the checkpoint's tree, and one in that of the keywords."""
    with quiet_nemo():
        network = restore_network(TINY, "tiny")
        freeze(network, 1)
        with open_dict(network.cfg.decoding):
            network.cfg.decoding.greedy.boosting_tree = {"key_phrases_list": ["Anna"]}
            network.cfg.decoding.greedy.boosting_tree_alpha = 0.0  # so that its texts are those without it
        decoder = Decoder(network, Settings().boost_alpha)
    assert len(decoder._states._start.fusion_states_list) == 2
    rounds = [range(len(NAMES))] * 3
    assert_alike(stepped(tiny, decoder, streams(), rounds), stepped(tiny, tiny._decoder, streams(), rounds))
    for keywords in (None, BOOSTS):
        expected = decoded(tiny, tiny._decoder, NAMES, keywords)
        assert_alike(decoded(tiny, decoder, NAMES, keywords), expected)


def test_without_graphs_it_goes_on(tiny, decoder):
    assert decoder.disable_graphs()
    assert decoder.graphs == "off"
    assert not decoder._boosting.table.use_triton, "as its kernel may be what failed"
    for names in (NAMES[:1], NAMES):
        assert_alike(decoded(tiny, decoder, names), decoded(tiny, tiny._decoder, names))
    assert not decoder.disable_graphs()
