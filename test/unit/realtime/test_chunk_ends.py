"""Where the chunk of a step may end, given what the looks before it have shown."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_text import default

from src.engine.frames import FRAME_SECONDS
from src.realtime.chunk_ends import ChunkEnd, ChunkEnds
from src.text.transcript import Token

RIGHT = default().right_frames
AGREED = default().agreed_right_frames
IDS = {"\u2581one": 1, "\u2581two": 2, "\u2581fif": 3, "teen": 4, "\u2581a": 5, "b": 6, ".": 7}


def look(*pieces: tuple[str, int]) -> list[Token]:
    """Return tokens of two frames each, by piece and first frame."""
    return [Token(IDS[piece], piece, at * FRAME_SECONDS, (at + 2) * FRAME_SECONDS, 0.0) for piece, at in pieces]


def next_end(tokens: Sequence[Token], seen: int, decoded: int, frames: int) -> ChunkEnd:
    """Return where a chunk ends after a look that ended at frame `seen`, if `frames` are there now."""
    ends = ChunkEnds(default())
    ends.look(tokens, seen)
    return ends.next_end(decoded, frames)


ONE, TWO, FIF, TEEN = ("\u2581one", 10), ("\u2581two", 16), ("\u2581fif", 10), ("teen", 13)


def test_without_a_look_a_chunk_ends_when_it_is_as_long_as_a_chunk_and_has_its_right_context():
    ends = ChunkEnds(default())
    first = default().first_frames
    assert ends.next_end(0, first + RIGHT - 1) == ChunkEnd(0)
    assert ends.next_end(0, first + RIGHT) == ChunkEnd(first)
    assert ends.next_end(20, 20 + RIGHT + default().chunk_frames) == ChunkEnd(20 + default().chunk_frames)


def test_a_word_that_was_seen_with_enough_audio_after_it_ends_a_chunk_that_must_spell_it():
    end = next_end(look(ONE, TWO), seen=10 + 2 + AGREED, decoded=0, frames=16 + AGREED)
    assert end == ChunkEnd(12, (IDS["\u2581one"],))
    assert next_end(look(ONE, TWO), seen=10 + 1 + AGREED, decoded=0, frames=16 + AGREED) == ChunkEnd(0)


def test_a_chunk_ends_between_words_only():
    assert next_end(look(FIF, TEEN, TWO), seen=14 + AGREED, decoded=0, frames=18) == ChunkEnd(14, (3, 4))
    assert next_end(look(FIF, TEEN), seen=13 + 2 + AGREED - 3, decoded=0, frames=20) == ChunkEnd(0)


def test_words_close_together_are_not_torn_apart():
    assert next_end(look(ONE, ("\u2581two", 11)), seen=13 + 4, decoded=0, frames=20) == ChunkEnd(0)


def test_with_its_right_context_a_chunk_counts_whatever_it_spells():
    end = next_end(look(ONE, TWO), seen=18, decoded=8, frames=12 + RIGHT)
    assert end == ChunkEnd(12)


def test_silence_ends_a_chunk_with_its_right_context():
    assert next_end([], seen=RIGHT + 3, decoded=0, frames=RIGHT + 5) == ChunkEnd(5)


PIECES = st.lists(st.tuples(st.sampled_from(["\u2581a", "b", "."]), st.integers(1, 5)), max_size=6)


@given(PIECES, st.integers(0, 30), st.integers(0, 60), st.integers(0, 60))
def test_a_chunk_never_ends_before_what_is_decoded_or_where_too_little_follows(pieces, decoded, seen, more):
    tokens, at = [], 0
    for piece, gap in pieces:
        at += gap
        tokens += look((piece, at))
    end = next_end(tokens, seen, decoded, seen + more)
    assert decoded <= end.frame
    assert end.frame in (decoded, min(end.frame, seen + more - (AGREED if end.expected else RIGHT)))


@pytest.mark.parametrize("gap", [2, 3, 8])
def test_a_chunk_ends_after_the_token_before_the_gap_and_before_the_one_after_it(gap):
    end = next_end(look(ONE, ("\u2581two", 10 + gap)), seen=10 + gap + 1, decoded=5, frames=60)
    assert end.frame > 10
