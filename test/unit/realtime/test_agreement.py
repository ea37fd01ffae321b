"""What successive looks at the right context settle."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from src.engine.frames import FRAME_SECONDS
from src.realtime.agreement import Agreement
from src.text.transcript import Token


def look(*words: tuple[str, int], frames: int = 2) -> list[Token]:
    """Return tokens of one piece each, by piece and first frame; each takes this many frames."""
    return [Token(hash(piece), piece, at * FRAME_SECONDS, (at + frames) * FRAME_SECONDS, 0.0) for piece, at in words]


def settled(*looks: Sequence[Token], seen: int = 40, decoded: int = 0, number: int = 2) -> int:
    """Return the frame that is settled after these looks, of which `number` must agree; six frames must follow."""
    agreement = Agreement(number, 6)
    for tokens in looks:
        agreement.add(tokens, seen)
    return agreement.settled_frame(decoded)


ONE, TWO, TO = ("\u2581one", 10), ("\u2581two", 14), ("\u2581to", 14)


def test_words_that_successive_looks_agree_on_are_settled_up_to_the_next_word():
    assert settled(look(ONE, TWO), look(ONE, TO)) == 12
    assert settled(look(ONE, TWO), look(ONE, TWO)) == 16


def test_one_look_settles_nothing_and_of_three_all_must_agree():
    assert settled(look(ONE, TWO)) == 0
    assert settled(look(ONE), look(ONE), number=3) == 0
    assert settled(look(TWO), look(ONE), look(ONE), number=3) == 0
    assert settled(look(ONE), look(ONE), look(ONE), number=3) == 12


def test_a_word_is_settled_only_once_enough_audio_follows_it():
    assert settled(look(ONE), look(ONE), seen=17) == 0
    assert settled(look(ONE), look(ONE), seen=18) == 12


def test_a_word_that_may_go_on_is_not_settled():
    fifty, fifteen = ("ty", 12), ("teen", 12)
    stem = ("\u2581fif", 10)
    assert settled(look(stem, fifty), look(stem, fifteen)) == 0
    assert settled(look(stem, fifteen, TWO), look(stem, fifteen, TO)) == 14


def test_what_has_been_decoded_since_does_not_count():
    assert settled(look(ONE, TWO), look(TWO), decoded=12) == 16
    assert settled(look(ONE), look(ONE), decoded=12) == 12


LOOKS = st.lists(st.lists(st.tuples(st.sampled_from(["\u2581a", "b", "."]), st.integers(1, 5)), max_size=6), max_size=4)


@given(LOOKS, st.integers(0, 30), st.integers(0, 60))
def test_what_is_settled_ends_after_what_is_decoded_and_before_the_right_context(looks, decoded, seen):
    agreement = Agreement(2, 6)
    for pieces in looks:
        tokens, at = [], 0
        for piece, gap in pieces:
            at += gap
            tokens += look((piece, at), frames=1)
        agreement.add(tokens, seen)
    frame = agreement.settled_frame(decoded)
    assert frame == decoded or decoded < frame <= seen - 6
