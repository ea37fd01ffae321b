"""Hot words: they win where they lost, for their own clip only, and never out of silence."""

import io

import pytest
import soundfile
import soxr
from media import clip, resampled, wav

from src.asr.biasing import CAPACITY, NO_TREE, Biasing, forms_of
from src.asr.decoder import Decoder
from src.asr.model import NemoModel
from src.settings import Settings

ANNA = "Anna and Thomas are going to the station on Saturday."
HENRY = "Henry and Thomas are going to the station on Saturday."
SILENT = ["silence-2s", "noise-hum-2s", "noise-pink-4s", "noise-white-3s"]


@pytest.fixture(scope="module")
def phoned():
    """A clip in which the telephone's mu-law makes the model hear Henry where Anna is said."""
    telephone, rate = soundfile.read(io.BytesIO(wav(resampled(clip("rhvoice-slt-1"), 8000), 8000, subtype="ULAW")))
    return soxr.resample(telephone, rate, 16_000, quality="VHQ").astype("float32")


@pytest.fixture
def biasing(tiny) -> Biasing:
    """The compiled phrase lists of a decoder of their own, of which two are kept."""
    decoder = Decoder(tiny._network, boost_alpha=1.0)
    return Biasing(decoder._boosting.biasing_multi_model, tiny._network.tokenizer, alpha=1.0, capacity=2)


def weighing(model: NemoModel, alpha: float) -> NemoModel:
    """The same network with another `PARAKEET_BOOST_ALPHA`."""
    decoder = Decoder(model._network, alpha)
    return NemoModel(model._network, model._device, model._dtype, model._local_attention, decoder)


def texts(model: NemoModel, clips, boosts=None) -> list[str]:
    return [transcript.text for transcript in model.transcribe(model.collate(clips, boosts))]


@pytest.mark.parametrize("hot_words", [("Anna",), ("anna",), ("London", "Anna and Thomas"), ("\u65e5\u672c", "Anna")])
def test_a_hot_word_wins_where_it_lost_and_no_other_clip_of_the_batch_changes(tiny, phoned, hot_words):
    others = [clip(name) for name in ("piper-joe-1", "rhvoice-slt-1", "fsdd-theo-2", "rhvoice-bdl-4")]
    alone = [texts(tiny, [samples])[0] for samples in others]
    batch = [others[0], phoned, others[1], phoned, *others[2:]]
    boosts = [(), hot_words, (), (), (), ()]
    assert texts(tiny, batch, boosts) == [alone[0], ANNA, alone[1], HENRY, *alone[2:]]


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
    boosts = [tuple(transcripts[f"{name}.flac"].split()) for name in names]
    clips = [clip(name) for name in names]
    assert texts(tiny, clips, boosts) == texts(tiny, clips)


@pytest.mark.parametrize("alpha", [0.5, Settings().boost_alpha, 5])
def test_silence_and_noise_stay_empty_whatever_is_boosted(tiny, alpha):
    model = weighing(tiny, alpha)
    clips = [clip(name) * gain for name in SILENT for gain in (1, 4)]
    for hot_words in (("Anna", "a", "the"), ("one", "two", "three"), ("seven eight nine", ".")):
        assert texts(model, clips, [hot_words] * 8) == [""] * 8


def test_at_a_weight_of_zero_hot_words_are_off(tiny, phoned):
    assert texts(weighing(tiny, 0), [phoned], [("Anna",)]) == [HENRY]


@pytest.mark.parametrize("hot_words", [("\u65e5\u672c\u8a9e",), ("",), ("   ",), ("<unk>", "\u2047")])
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
    for number in range(CAPACITY + 5):
        tiny._decoder._biasing.trees_for([(f"list {'a' * number}",)])
    assert len(tiny._decoder._biasing) == CAPACITY
    assert texts(tiny, [phoned] * 2, [("Anna",), ()]) == [ANNA, HENRY]
    assert len(tiny._decoder._biasing) == CAPACITY


def test_the_list_used_last_is_kept_longest(biasing):
    assert biasing.trees_for([("one",)]) == [0]
    assert biasing.trees_for([("two",)]) == [1]
    assert biasing.trees_for([("one",)]) == [0]
    assert biasing.trees_for([("three",)]) == [2]  # for which "two" had to go
    assert biasing.trees_for([("one",)]) == [0]
    assert len(biasing) == 2


def test_a_list_is_compiled_once_whatever_the_order_of_its_phrases(biasing):
    assert biasing.trees_for([("one", "two"), ("two", "one", "one"), (), ("one",)]) == [0, 0, NO_TREE, 1]
    assert biasing.trees_for([("two", "one")]) == [0]


def test_one_batch_may_have_more_lists_than_are_kept(biasing):
    trees = biasing.trees_for([("one",), ("two",), ("three",), ("four",)])
    assert sorted(trees) == [0, 1, 2, 3]
    assert biasing.trees_for([("four",), ()]) == [trees[3], NO_TREE]
    assert len(biasing) == 2


def test_forgotten_lists_leave_the_table_as_it_was(biasing):
    table = biasing._table
    biasing.trees_for([("one two three",), ("four five six",)])
    size = table.num_states_total
    for _ in range(3):
        biasing.trees_for([("seven", "eight", "nine"), ("zero",)])
        biasing.trees_for([("one two three",), ("four five six",)])
    assert table.num_states_total == size
    assert int(table.model2states_offset.min()) == int(table.model2arcs_offset.min()) == 0


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
    assert forms_of(phrase) == forms
