"""Keywords: they win where they lost, for their own clip only, and never out of silence."""

import pytest
import torch
from keyword_clips import ANNA, HENRY, texts, with_alpha, with_decoder
from media import clip
from nemo_trees import nemo_tree

from src.engine.decoder.decoder import Decoder
from src.engine.decoder.packed_trees import NO_TREE, PackedTrees
from src.settings import Settings

SILENT = ["silence-2s", "noise-hum-2s", "noise-pink-4s", "noise-white-3s"]


@pytest.mark.parametrize("boosted", [("Anna",), ("anna",), ("London", "Anna and Thomas"), ("\u65e5\u672c", "Anna")])
def test_a_keyword_wins_where_it_lost_and_no_other_clip_of_the_batch_changes(tiny, phoned, boosted):
    others = [clip(name) for name in ("piper-joe-1", "rhvoice-slt-1", "fsdd-theo-2", "rhvoice-bdl-4")]
    alone = [texts(tiny, [samples])[0] for samples in others]
    batch = [others[0], phoned, others[1], phoned, *others[2:]]
    keywords = [(), boosted, (), (), (), ()]
    assert texts(tiny, batch, keywords) == [alone[0], ANNA, alone[1], HENRY, *alone[2:]]


def test_a_keyword_wins_in_a_clip_as_it_was_recorded(tiny, transcripts):
    samples, spoken = clip("rhvoice-bdl-4"), transcripts["rhvoice-bdl-4.flac"]
    misheard = spoken.replace("fifteen", "fifty")
    assert texts(tiny, [samples] * 2, [("fifteen",), ("twenty five",)]) == [spoken, misheard]


def test_the_clips_of_a_batch_each_have_keywords_of_their_own(tiny, phoned):
    assert texts(tiny, [phoned] * 3, [("Anna",), ("Henry",), ("Anna",)]) == [ANNA, HENRY, ANNA]


def test_keywords_give_the_same_tokens_every_time(tiny, phoned):
    batch = tiny.collate([phoned, clip("piper-joe-2")], [("Anna", "station"), ("cloudy",)])
    first = tiny.transcribe(batch)
    tiny.transcribe(tiny.collate([phoned]))
    assert tiny.transcribe(batch) == first


def test_the_probability_of_a_keyword_is_the_models_own(tiny, phoned):
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
    model = with_alpha(tiny, alpha)
    clips = [clip(name) * gain for name in SILENT for gain in (1, 4)]
    for keywords in (("Anna", "a", "the"), ("one", "two", "three"), ("seven eight nine", ".")):
        assert texts(model, clips, [keywords] * 8) == [""] * 8


def test_at_a_weight_of_zero_keywords_are_off(tiny, phoned):
    assert texts(with_alpha(tiny, 0), [phoned], [("Anna",)]) == [HENRY]


@pytest.mark.parametrize("keywords", [("\u65e5\u672c\u8a9e",), ("",), ("   ",), ("<unk>", "\u2047"), ("\ud800",)])
def test_keywords_that_the_model_cannot_spell_are_passed_over(tiny, phoned, keywords):
    assert texts(tiny, [phoned], [keywords]) == [HENRY]


def test_long_lists_of_keywords_work(tiny, phoned):
    letters = "abcdefgiklmnoprstuvw"  # without h, as in Henry
    keywords = tuple((letters[at % 20] + letters[at // 20] + " ") * 33 for at in range(99))
    assert texts(tiny, [phoned, clip("piper-joe-1")], [("Anna", *keywords), keywords]) == [
        ANNA,
        *texts(tiny, [clip("piper-joe-1")]),
    ]


# The trees, and the table that holds them.


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
    assert with_decoder(tiny, decoder).transcribe(batch) == ours


class NemosTable:
    """A table in which NeMo has put trees that it has made itself."""

    def __init__(self, decoder: Decoder, keywords: list[tuple[str, ...]]) -> None:
        table = decoder._boosting.table
        self._numbers = [
            table.add_model(
                nemo_tree(decoder._keyword_lists._spellings(frozenset(each)), table.vocab_size),
                alpha=Settings().boost_alpha,
            )
            if each
            else NO_TREE
            for each in keywords
        ]

    def load(self, _: PackedTrees) -> torch.Tensor:
        return torch.tensor(self._numbers)
