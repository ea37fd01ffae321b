"""Hot words: they win where they lost, for their own clip only, and never out of silence."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media import clip, resampled, wav

from src.engine.decoder.biasing import BiasingTable
from src.engine.decoder.boosting_tree import DEPTH_SCALING, MAX_BACKOFFS, build_tree
from src.engine.decoder.decoder import Decoder
from src.engine.decoder.keyword_lists import case_variants
from src.engine.decoder.packed_trees import NO_TREE, PackedTrees, pack_trees
from src.engine.nemo_model import NemoModel
from src.settings import Settings

ANNA = "Anna and Thomas are going to the station on Saturday."
HENRY = "Henry and Thomas are going to the station on Saturday."
SILENT = ["silence-2s", "noise-hum-2s", "noise-pink-4s", "noise-white-3s"]


@pytest.fixture(scope="module")
def phoned():
    """A clip in which the telephone's mu-law makes the model hear Henry where Anna is said."""
    telephone, rate = soundfile.read(io.BytesIO(wav(resampled(clip("rhvoice-slt-1"), 8000), 8000, subtype="ULAW")))
    return soxr.resample(telephone, rate, 16_000, quality="VHQ").astype("float32")


def weighing(model: NemoModel, alpha: float, decoder: Decoder | None = None) -> NemoModel:
    """The same network with another `PARAKEET_BOOST_ALPHA`, or another decoder."""
    decoder = decoder or Decoder(model._network, alpha)
    return NemoModel(model._network, model._device, model._encoder, decoder, model.limits)


def keeping(model: NemoModel, lists: int) -> NemoModel:
    """The same network with so many lists of phrases that stay compiled."""
    return weighing(model, 1, Decoder(model._network, Settings().boost_alpha, max_keyword_lists=lists))


def texts(model: NemoModel, clips, keywords=None) -> list[str]:
    return [transcript.text for transcript in model.transcribe(model.collate(clips, keywords))]


@pytest.mark.parametrize("hot_words", [("Anna",), ("anna",), ("London", "Anna and Thomas"), ("\u65e5\u672c", "Anna")])
def test_a_hot_word_wins_where_it_lost_and_no_other_clip_of_the_batch_changes(tiny, phoned, hot_words):
    others = [clip(name) for name in ("piper-joe-1", "rhvoice-slt-1", "fsdd-theo-2", "rhvoice-bdl-4")]
    alone = [texts(tiny, [samples])[0] for samples in others]
    batch = [others[0], phoned, others[1], phoned, *others[2:]]
    keywords = [(), hot_words, (), (), (), ()]
    assert texts(tiny, batch, keywords) == [alone[0], ANNA, alone[1], HENRY, *alone[2:]]


def test_a_hot_word_wins_in_a_clip_as_it_was_recorded(tiny, transcripts):
    samples, spoken = clip("rhvoice-bdl-4"), transcripts["rhvoice-bdl-4.flac"]
    misheard = spoken.replace("fifteen", "fifty")
    assert texts(tiny, [samples] * 2, [("fifteen",), ("twenty five",)]) == [spoken, misheard]


def test_the_clips_of_a_batch_each_have_hot_words_of_their_own(tiny, phoned):
    assert texts(tiny, [phoned] * 3, [("Anna",), ("Henry",), ("Anna",)]) == [ANNA, HENRY, ANNA]


def test_hot_words_give_the_same_tokens_every_time(tiny, phoned):
    batch = tiny.collate([phoned, clip("piper-joe-2")], [("Anna", "station"), ("cloudy",)])
    first = tiny.transcribe(batch)
    tiny.transcribe(tiny.collate([phoned]))
    assert tiny.transcribe(batch) == first


def test_the_probability_of_a_hot_word_is_the_models_own(tiny, phoned):
    [plain, boosted] = tiny.transcribe(tiny.collate([phoned] * 2, [(), ("Anna",)]))
    assert boosted.tokens[0].piece != plain.tokens[0].piece
    assert boosted.tokens[0].logprob < plain.tokens[0].logprob


def test_words_that_are_heard_anyway_change_nothing(tiny, transcripts):
    names = ["piper-joe-1", "flite-slt-1", "pico-en-us-1", "festival-cmu-us-slt-arctic-hts-1"]
    keywords = [tuple(transcripts[f"{name}.flac"].split()) for name in names]
    clips = [clip(name) for name in names]
    assert texts(tiny, clips, keywords) == texts(tiny, clips)


@pytest.mark.parametrize("alpha", [0.5, Settings().boost_alpha, 5])
def test_silence_and_noise_stay_empty_whatever_is_boosted(tiny, alpha):
    model = weighing(tiny, alpha)
    clips = [clip(name) * gain for name in SILENT for gain in (1, 4)]
    for hot_words in (("Anna", "a", "the"), ("one", "two", "three"), ("seven eight nine", ".")):
        assert texts(model, clips, [hot_words] * 8) == [""] * 8


def test_at_a_weight_of_zero_hot_words_are_off(tiny, phoned):
    assert texts(weighing(tiny, 0), [phoned], [("Anna",)]) == [HENRY]


@pytest.mark.parametrize("hot_words", [("\u65e5\u672c\u8a9e",), ("",), ("   ",), ("<unk>", "\u2047"), ("\ud800",)])
def test_phrases_that_the_model_cannot_spell_are_passed_over(tiny, phoned, hot_words):
    assert texts(tiny, [phoned], [hot_words]) == [HENRY]


def test_long_lists_of_phrases_work(tiny, phoned):
    letters = "abcdefgiklmnoprstuvw"  # without h, as in Henry
    phrases = tuple((letters[at % 20] + letters[at // 20] + " ") * 33 for at in range(99))
    assert texts(tiny, [phoned, clip("piper-joe-1")], [("Anna", *phrases), phrases]) == [
        ANNA,
        *texts(tiny, [clip("piper-joe-1")]),
    ]


def test_more_lists_than_are_kept_work_one_after_another(tiny, phoned):
    model = keeping(tiny, 3)
    for number in range(5):
        model.compile((f"list {'a' * number}",))
    assert texts(model, [phoned] * 2, [("Anna",), ()]) == [ANNA, HENRY]
    assert len(model._decoder._keyword_lists) == 3


def test_as_many_lists_stay_compiled_as_there_may_be_sessions(tiny):
    lists = [(f"session {number}",) for number in range(Settings().max_sessions)]
    for _ in range(2):
        for phrases in lists:
            tiny.compile(phrases)
    assert all(map(tiny.has_compiled, lists))


def test_the_list_used_last_is_kept_longest(tiny):
    model = keeping(tiny, 2)
    model.compile(("one",))
    model.compile(("two",))
    model.collate([clip("piper-joe-1")], [("one",)])
    model.compile(("three",))
    assert [model.has_compiled((phrase,)) for phrase in ("one", "two", "three")] == [True, False, True]


def test_a_list_is_compiled_once_whatever_the_order_of_its_phrases(tiny):
    model = keeping(tiny, 2)
    keyword_trees = model._decoder.pack_trees_for([("one", "two"), ("two", "one", "one"), (), ("one",)])
    assert (keyword_trees.tree_ids, keyword_trees.tree_count) == ((0, 0, NO_TREE, 1), 2)
    assert model.has_compiled(("two", "one"))


def test_a_batch_keeps_its_lists_whatever_is_compiled_before_it_runs(tiny, phoned):
    model = keeping(tiny, 1)
    batches = [model.collate([phoned] * 2, [(name,), ()]) for name in ("Anna", "London", "Anna")]
    for number in range(5):
        model.compile((f"list {number}",))
    told = [[transcript.text for transcript in model.transcribe(batch)] for batch in batches]
    assert told == [[ANNA, HENRY], [HENRY, HENRY], [ANNA, HENRY]]


def test_one_batch_may_have_more_lists_than_are_kept(tiny, phoned):
    model = keeping(tiny, 1)
    assert texts(model, [phoned] * 4, [("Anna",), ("Paris",), ("Henry",), ("Anna", "London")]) == [
        ANNA,
        HENRY,
        HENRY,
        ANNA,
    ]


def test_several_threads_may_collate_the_same_and_other_lists(tiny, phoned):
    model = keeping(tiny, 2)
    lists = [("Anna",), (), ("Anna", "London"), ("Paris",)] * 3
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda phrases: model.collate([phoned], [phrases]), lists))
    told = [model.transcribe(batch)[0].text for batch in batches]
    assert told == [ANNA, HENRY, ANNA, HENRY] * 3


def test_nothing_is_compiled_where_hot_words_are_off(tiny):
    model = weighing(tiny, 0)
    model.compile(("Anna",))
    assert model.has_compiled(("anything",))
    assert model.collate([clip("piper-joe-1")], [("Anna",)]).keyword_trees is None


# The trees, and the table that holds them.


def nemos_tree(spellings, vocabulary: int):
    """Return NeMo's own tree of phrases, given to it in this order. NeMo must be loaded already, as `tiny` does."""
    from nemo.collections.asr.parts.context_biasing.boosting_graph_batched import GPUBoostingTreeModel
    from nemo.collections.asr.parts.context_biasing.context_graph_universal import ContextGraph

    graph = ContextGraph(context_score=1.0, depth_scaling=DEPTH_SCALING)
    graph.build(token_ids=[list(spelling) for spelling in spellings])
    return GPUBoostingTreeModel.from_context_graph(
        graph, vocab_size=vocabulary, use_triton=False, uniform_weights=False
    )


def nemos_table(vocabulary: int):
    """Return NeMo's table of trees, empty."""
    from nemo.collections.asr.parts.context_biasing.biasing_multi_model import GPUBiasingMultiModel

    return GPUBiasingMultiModel(vocabulary, use_triton=False)


@st.composite
def spelled(draw) -> tuple[list[list[int]], int]:
    """Draw phrases in tokens, and how many tokens there are: few, so that beginnings and ends of phrases are alike."""
    vocabulary = draw(st.integers(1, 5))
    spelling = st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=MAX_BACKOFFS)
    return draw(st.lists(spelling, min_size=1, max_size=20)), vocabulary


SPELLED = [
    ([[3]], 4),
    ([[0, 0, 0, 0, 0], [0, 0], [0]], 1),
    ([[1, 2, 3], [1, 2, 3], [2, 3], [3, 1, 2], [1, 2, 4, 1, 2]], 5),
    ([[0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 0, 1], [0, 0, 1, 0]], 3),
]
"""Single tokens, ends that are beginnings, duplicates."""


@given(spelled())
@settings(deadline=None, max_examples=100)
@example(SPELLED[0])
@example(SPELLED[1])
@example(SPELLED[2])
@example(SPELLED[3])
def test_a_tree_is_that_of_nemo(tiny, drawn):
    spellings, vocabulary = drawn
    ours, theirs = build_tree(spellings, vocabulary), nemos_tree(sorted(spellings), vocabulary)
    states, arcs = theirs.num_states, theirs.num_arcs
    assert (ours.state_count, ours.arc_count) == (states, arcs)
    pairs = [
        (np.stack((ours.first_arcs, ours.end_arcs), 1), theirs.start_end_arcs[:states]),
        (ours.backoff_states, theirs.backoff_to_states[:states]),
        (ours.backoff_weights, theirs.backoff_weights[:states].detach()),
        (ours.next_states, theirs.to_states[:arcs]),
        (ours.tokens, theirs.ilabels[:arcs]),
        (ours.weights, theirs.arcs_weights[:arcs].detach()),
    ]
    for mine, other in pairs:
        np.testing.assert_array_equal(mine, other.numpy())


@given(st.lists(st.one_of(st.none(), spelled()), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_the_table_gives_every_token_in_every_state_the_score_that_nemo_gives(tiny, lists):
    vocabulary = 5
    table = nemos_table(vocabulary)
    biasing = BiasingTable(table, alpha=1.5)
    biasing.load(pack_trees([build_tree([[4, 3, 2, 1]] * 30, vocabulary)]))  # something else was there before
    keyword_trees = pack_trees([build_tree(each[0], vocabulary) if each else None for each in lists])
    for number, each in zip(keyword_trees.tree_ids if keyword_trees else (), lists, strict=False):
        if each is None:
            assert number == NO_TREE
            continue
        biasing.load(keyword_trees)
        theirs = nemos_tree(sorted(each[0]), vocabulary)
        states = torch.arange(theirs.num_states)
        scores, nexts = table.advance(states, torch.full_like(states, number))
        expected_scores, expected_nexts = theirs.advance(states)
        assert torch.equal(nexts, expected_nexts)
        torch.testing.assert_close(scores, expected_scores * 1.5)


def test_no_phrase_makes_the_choice_of_a_token_long(tiny):
    tree = build_tree([[7] * 100, *([7] * count + [count] for count in range(8, 100))], 256)
    states, steps = tree.backoff_states, 1
    while states.any():
        states, steps = tree.backoff_states[states], steps + 1
    assert steps <= MAX_BACKOFFS + 1
    table = nemos_table(256)
    numbers = BiasingTable(table, alpha=1.0).load(pack_trees([tree]))
    state, raised = torch.zeros(1, dtype=torch.int64), []
    for _ in range(100):
        scores, nexts = table.advance(state, numbers)
        raised.append(scores[0, 7].item())
        state = nexts[:, 7]
    assert raised == pytest.approx([1.0, *(DEPTH_SCALING + np.log(np.arange(2, 101)))], rel=1e-5)


def test_the_table_grows_for_a_batch_that_needs_it_and_those_are_told_who_read_it(tiny):
    table = nemos_table(256)
    told = []
    table.reallocation_callbacks.append(lambda: told.append(True))
    biasing = BiasingTable(table, alpha=1.0)
    few = pack_trees([build_tree([[1, 2, 3]], 256)])
    biasing.load(few)
    assert not told
    trees = [build_tree([[token, 7]], 256) for token in range(table.num_models_reserved + 1)]
    with torch.inference_mode():
        numbers = biasing.load(pack_trees(trees))
    assert len(told) == 1
    scores, _ = table.advance(torch.zeros(len(trees), dtype=torch.int64), numbers)
    assert torch.equal(scores.argmax(1), torch.arange(len(trees)))
    assert scores.max(1).values.tolist() == [1.0] * len(trees)
    wide = np.random.default_rng(0).integers(0, 256, (20_000, 60)).tolist()
    biasing.load(pack_trees([build_tree(wide, 256)]))
    assert len(told) == 2
    scores, _ = table.advance(torch.zeros(1, dtype=torch.int64), biasing.load(few))
    assert scores.argmax(1).tolist() == [1]
    assert len(told) == 2


def test_who_reads_the_table_is_told_of_what_has_moved_when_memory_ran_out(monkeypatch):
    table = nemos_table(256)
    told = []
    table.reallocation_callbacks.append(lambda: told.append(table.all_to_states))
    extend, moved = table._extend_buffer_or_param, []

    def failing(tensor, add_len):
        if moved:
            raise torch.OutOfMemoryError("no memory")
        moved.append(tensor)
        extend(tensor, add_len)

    monkeypatch.setattr(table, "_extend_buffer_or_param", failing)
    wide = np.random.default_rng(0).integers(0, 256, (20_000, 60)).tolist()
    with pytest.raises(torch.OutOfMemoryError):
        BiasingTable(table, alpha=1.0).load(pack_trees([build_tree(wide, 256)]))
    assert len(told) == 1


def test_the_texts_of_a_mixed_batch_are_those_with_trees_of_nemos_own(tiny, phoned, transcripts):
    names = ["rhvoice-bdl-4", "piper-joe-1", "flite-slt-1", "pico-en-us-1", "fsdd-theo-2"]
    clips = [phoned, *map(clip, names)]
    keywords = [
        ("Anna", "anna and Thomas", "an"),
        ("fifteen", "twenty five", "fifteen in the"),
        (),
        tuple(transcripts["flite-slt-1.flac"].split()),
        ("station", "Saturday", "stationary", "sat"),
        ("seven", "s"),
    ]
    batch = tiny.collate(clips, keywords)
    ours = tiny.transcribe(batch)
    decoder = Decoder(tiny._network, Settings().boost_alpha)
    decoder._biasing = NemosTable(decoder, keywords)
    assert weighing(tiny, 1, decoder).transcribe(batch) == ours


class NemosTable:
    """A table in which NeMo has put trees that it has made itself."""

    def __init__(self, decoder: Decoder, keywords: list[tuple[str, ...]]) -> None:
        table = decoder._boosting.table
        self._numbers = [
            table.add_model(
                nemos_tree(decoder._keyword_lists._spellings(frozenset(phrases)), table.vocab_size),
                alpha=Settings().boost_alpha,
            )
            if phrases
            else NO_TREE
            for phrases in keywords
        ]

    def load(self, _: PackedTrees) -> torch.Tensor:
        return torch.tensor(self._numbers)


@pytest.mark.parametrize(
    ("phrase", "forms"),
    [
        ("Anna", {"Anna"}),
        ("iPhone", {"iPhone"}),
        ("new  york ", {"new york", "New york", "New York"}),
        ("42", {"42"}),
        ("", {""}),
    ],
)
def test_a_phrase_without_capitals_is_also_tried_with_them(phrase, forms):
    assert case_variants(phrase) == forms
