"""Merged transcripts of long recordings: every sentence once, at its time."""

import itertools
import re

import pytest
from long_audio import joined, sentences, without_pauses
from made_transcripts import merge, starts
from media import SAMPLE_RATE, clip

from src.audio.chunking import split
from src.audio.vad import SpeechDetector
from src.text.merge import Merger
from src.text.words import words_of


def plain(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def test_a_recording_in_chunks_says_each_sentence_once_at_its_time(tiny, detector, transcripts):
    names = [name for name in sentences() if not name.startswith("fsdd")]
    samples, placements = joined(names, itertools.cycle([0.3, 1.5, 0.5, 1.0, 0.7]))
    pieces = [
        (each, tiny.transcribe(tiny.collate([each.samples]))[0])
        for each in split([samples], detector, chunk_seconds=30)
    ]
    assert len(pieces) > 3
    words = words_of(merge(pieces), len(samples) / SAMPLE_RATE)
    said = [
        plain(" ".join(word.text for word in words if placed.start_s <= word.start_s < placed.end_s))
        for placed in placements
    ]
    expected = [plain(transcripts[f"{name}.flac"]) for name in names]
    wrong = [name for name, one, other in zip(names, said, expected, strict=True) if one != other]
    assert len(wrong) <= 3, "sentences in which the tiny model mishears a word beside other voices"
    for placed, one, other in zip(placements, said, expected, strict=True):
        if one == other:
            alone = words_of(tiny.transcribe(tiny.collate([clip(placed.name)]))[0], 60)
            inside = [word for word in words if placed.start_s <= word.start_s < placed.end_s]
            for apart, word in zip(alone, inside, strict=True):
                assert word.start_s - placed.start_s == pytest.approx(apart.start_s, abs=0.25)


def test_the_pieces_put_together_are_the_text_where_chunks_overlap(tiny, detector):
    samples, _ = joined(sentences(), itertools.repeat(0), load=without_pauses(detector))
    pieces = [
        (each, tiny.transcribe(tiny.collate([each.samples]))[0])
        for each in split([samples], detector, chunk_seconds=20)
    ]
    assert any(each.to_s < each.end_s for each, _ in pieces)
    merger = Merger()
    found = [*(merger.add(*piece) for piece in pieces), merger.finish()]
    merged = merge(pieces)
    assert "".join(piece.text for piece in found) == merged.text
    assert tuple(token for piece in found for token in piece.tokens) == merged.tokens
    assert starts(merged) == sorted(starts(merged))
    whole = tiny.transcribe(tiny.collate([samples]))[0]
    assert len(plain(merged.text)) == pytest.approx(len(plain(whole.text)), rel=0.03)
