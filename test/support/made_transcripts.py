"""Transcripts made up for tests: from a script, in which times are as an encoder would have them, or at random."""

import re
from collections.abc import Iterable, Mapping, Sequence

from hypothesis import strategies as st

from src.audio.chunking import Chunk
from src.text.merge import Merger, join_deltas
from src.text.speaker_turns import Labeller
from src.text.transcript import WORD_START, Token, Transcript, text_of
from src.text.words import Word

FRAME_S = 0.08
PIECE_S = 2 * FRAME_S
LOGPROB = -0.25


def spoken(script: str) -> Transcript:
    """Return the transcript of a script such as `Hello, wor|ld. ~1.5 Bye.`

    Words are spoken without pause, each piece (`|` parts them) for 0.16 s; `~1.5` is a pause in seconds. Punctuation
    has a token of its own, which takes no time and comes late, after the pause that follows, as TDT emits it.
    """
    tokens: list[Token] = []
    late: list[str] = []
    clock_s = 0.0

    def add(piece: str, length_s: float) -> None:
        tokens.append(Token(len(tokens), piece, clock_s, clock_s + length_s, LOGPROB))

    for item in script.split():
        pause = re.fullmatch(r"~(\d+(?:\.\d+)?)", item)
        if pause:
            clock_s += float(pause[1])
            continue
        for mark in late:
            add(mark, 0.0)
        letters = item.rstrip(".,?!")
        for number, piece in enumerate(letters.split("|")):
            add(piece if number else WORD_START + piece, PIECE_S)
            clock_s += PIECE_S
        late = list(item.removeprefix(letters))
    for mark in late:
        add(mark, 0.0)
    return Transcript(text_of(tokens), tuple(tokens))


def spoken_by(turns: Mapping[float, str]) -> Labeller:
    """Return what says who speaks, given the start of each turn in seconds and its speaker; the first turn is at 0."""

    def label(words: Sequence[Word]) -> list[str]:
        return [turns[max(start_s for start_s in turns if start_s <= word.start_s)] for word in words]

    return label


def length_s(transcript: Transcript) -> float:
    """Return the length of a clip that ends with its last token."""
    return max((token.end_s for token in transcript.tokens), default=0.0)


def tokens(*pieces: tuple[str, float, float]) -> tuple[Token, ...]:
    """Return tokens from their pieces, starts and ends."""
    return tuple(Token(0, piece, start_s, end_s, LOGPROB) for piece, start_s, end_s in pieces)


def check_times(spans: list[tuple[float, float]], clip_s: float) -> None:
    """Assert that spans are in order, without overlaps and within a clip."""
    flat = [time_s for span in spans for time_s in span]
    assert flat == sorted(flat)
    assert all(0 <= time_s <= clip_s for time_s in flat)


def merge(chunks: Iterable[tuple[Chunk, Transcript]]) -> Transcript:
    """Return the transcript of a recording from its chunks, in order, and their transcripts."""
    merger = Merger()
    deltas = [merger.add(chunk, transcript) for chunk, transcript in chunks]
    return join_deltas([*deltas, merger.finish()])


def starts(transcript: Transcript) -> list[float]:
    """Return the start of each token in seconds, to the hundredth."""
    return [round(token.start_s, 2) for token in transcript.tokens]


CORES = st.from_regex(r"[a-zA-Z0-9\u00e0-\u00ff]{2,9}([-'.&/][a-z0-9]{2,4})?%?", fullmatch=True)
LONG_CORES = st.from_regex(r"[a-z]{43,50}", fullmatch=True)
OPENINGS = st.sampled_from(["", "", "", "", '"', "(", "\u00bf"])
CLOSINGS = st.sampled_from(["", "", "", "", ",", ",", ".", ".", "?", "?!", '."', ")", "...", " -", ". \u2014"])


@st.composite
def _words(draw: st.DrawFn) -> tuple[str, str, list[str]]:
    """A word without its punctuation, with it, and the pieces that spell it."""
    core = draw(CORES | LONG_CORES if draw(st.integers(0, 9)) == 0 else CORES)
    opening, closing = draw(OPENINGS), draw(CLOSINGS)
    cuts = sorted(draw(st.sets(st.integers(1, len(core) - 1), max_size=3)))
    pieces = [core[start:end] for start, end in zip([0, *cuts], [*cuts, len(core)], strict=True)]
    marks = [WORD_START + mark[1] if mark[0] == " " else mark for mark in re.findall(" ?.", closing)]
    return core, opening + core + closing, [WORD_START + opening + pieces[0], *pieces[1:], *marks]


@st.composite
def transcripts(draw: st.DrawFn, max_words: int = 25) -> tuple[Transcript, list[str], float]:
    """A transcript with its words, as they are without punctuation, and the length of its clip in seconds.

    Times are in order, as a decoder's are, but on a coarse grid with pauses and with many tokens in one frame; a token
    may last longer than the time to the next one, and the last ones may pass the clip's end.
    """
    words = draw(st.lists(_words(), max_size=max_words))
    pieces = [piece for _, _, pieces in words for piece in pieces]
    gaps = st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 20]) if draw(st.booleans()) else st.sampled_from([0, 3, 5, 14, 100])
    frame = 0
    tokens: list[Token] = []
    for piece in pieces:
        frame += draw(gaps)
        length = draw(st.integers(0, 4))
        logprob = draw(st.floats(-20, 0))
        tokens.append(Token(len(tokens) % 7, piece, frame * FRAME_S, (frame + length) * FRAME_S, logprob))
    samples = frame * 1280 + draw(st.sampled_from([-4800, 0, 481, 4800, 80_000]))
    text = " ".join(written for _, written, _ in words)
    return Transcript(text, tuple(tokens)), [core for core, _, _ in words], max(0, samples) / 16_000


GOLDEN = spoken(
    "The beach was a pop|u|lar spot on a hot sum|mer day. People were swim|ming ~0.4 in the o|cean, ~0.3 play|ing "
    "vol|ley|ball, and build|ing sand|castles ~0.2 while the life|guards watch|ed from their high white tow|ers. "
    "~1.4 No. ~0.1 Yes! ~3 Dr. Smith met R&D at 7 o|'|clock: <b>29|.|43</b> --> 30 is a < b ---> c. "
    "~2 um ~1.1 Donau|dampf|schiff|fahrts|elektrizi|t\u00e4ten|haupt|betriebs|werk, na|\u00efve caf\u00e9. ~1 1984"
)
"""What the golden files are made of."""
