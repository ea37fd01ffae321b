"""Long audio in chunks: cut in pauses, without long silence, with its times kept."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from long_audio import GAPS_S, joined, sentences, without_pauses
from media import SAMPLE_RATE, clip

from src.audio.chunking import LONG_SILENCE_S, MARGIN_S, OVERLAP_S, Chunk, split
from src.audio.vad import SpeechDetector


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def blocks(samples: np.ndarray, size: int = 65_536) -> Iterator[np.ndarray]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def silence(seconds: float, level: float = 0.0) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=level, size=round(seconds * SAMPLE_RATE)).astype(np.float32)


def assert_cut_from(samples: np.ndarray, chunks: list[Chunk], chunk_seconds: float) -> None:
    """Every chunk is a part of the recording at the time that it states, and chunks are in order."""
    assert chunks
    for chunk in chunks:
        start = round(chunk.start_s * SAMPLE_RATE)
        np.testing.assert_array_equal(chunk.samples, samples[start : start + len(chunk.samples)])
        assert chunk.samples.dtype == np.float32
        assert 0 < len(chunk.samples) <= chunk_seconds * SAMPLE_RATE
        assert chunk.start_s <= chunk.from_s < chunk.to_s <= chunk.end_s
    for earlier, later in itertools.pairwise(chunks):
        assert earlier.to_s <= later.from_s


def assert_said_once(placements, chunks: list[Chunk], slack_s: float = 0.3) -> None:
    """Each clip is whole in exactly one chunk, except for the silence at its ends."""
    for placed in placements:
        homes = [
            chunk
            for chunk in chunks
            if chunk.from_s <= placed.start_s + slack_s and placed.end_s - slack_s <= chunk.to_s
        ]
        assert len(homes) == 1, placed


@pytest.mark.parametrize("size", [320, 65_536, 10_000_000])
def test_audio_that_is_not_too_long_is_one_unchanged_chunk(detector, size):
    samples = clip("long-120s")
    (chunk,) = split(blocks(samples, size), detector, chunk_seconds=120)
    np.testing.assert_array_equal(chunk.samples, samples)
    assert (chunk.start_s, chunk.from_s, chunk.to_s) == (0, 0, len(samples) / SAMPLE_RATE)


def test_audio_of_exactly_the_limit_is_one_chunk(detector):
    samples = clip("long-30s")[: 20 * SAMPLE_RATE]
    (chunk,) = split([samples], detector, chunk_seconds=20)
    np.testing.assert_array_equal(chunk.samples, samples)


def test_short_silence_is_one_chunk_too(detector):
    (chunk,) = split([silence(2)], detector, chunk_seconds=120)
    assert len(chunk.samples) == 2 * SAMPLE_RATE


def test_no_audio_has_no_chunks(detector):
    assert list(split([], detector, chunk_seconds=120)) == []


@pytest.mark.parametrize("chunk_seconds", [10, 20, 60])
@pytest.mark.parametrize("noise", [0, 1e-3])
def test_cuts_fall_into_pauses_and_each_sentence_is_in_one_chunk(detector, chunk_seconds, noise):
    names = [name for name in sentences() if not name.startswith(("fsdd", "asterisk"))]  # who pause within
    samples, placements = joined(names, itertools.cycle(GAPS_S), noise=noise)
    chunks = list(split(blocks(samples), detector, chunk_seconds=chunk_seconds))
    assert_cut_from(samples, chunks, chunk_seconds)
    assert_said_once(placements, chunks)
    assert all(chunk.to_s == chunk.end_s for chunk in chunks)


@pytest.mark.parametrize("has_pauses", [True, False])
def test_short_chunks_have_context_on_both_sides_of_each_cut(detector, has_pauses):
    load = clip if has_pauses else without_pauses(detector)
    samples, _ = joined(sentences(), itertools.cycle(GAPS_S if has_pauses else [0.0]), load=load)
    chunks = list(split(blocks(samples), detector, chunk_seconds=10, context_s=2))
    assert_cut_from(samples, chunks, 14)
    assert all(chunk.to_s - chunk.from_s <= 10.1 for chunk in chunks)
    for earlier, later in itertools.pairwise(chunks):
        assert earlier.to_s == later.from_s
        assert earlier.end_s - earlier.to_s == pytest.approx(2, abs=0.04)
        assert later.from_s - later.start_s == pytest.approx(2, abs=0.04)
    own = np.concatenate([chunk.own_samples for chunk in chunks])
    start = round(chunks[0].from_s * SAMPLE_RATE)
    np.testing.assert_array_equal(own, samples[start : start + len(own)])


def test_context_does_not_bring_long_silence_back(detector):
    speech = clip("rhvoice-slt-1")
    samples = np.concatenate([speech, silence(LONG_SILENCE_S + 1), speech, silence(70), speech])
    without, with_context = (
        list(split(blocks(samples), detector, chunk_seconds=10, context_s=context_s)) for context_s in (0, 2)
    )
    assert [(each.start_s, each.end_s) for each in with_context] == [(each.start_s, each.end_s) for each in without]


@pytest.mark.parametrize("length_s", np.arange(9.5, 26, 0.5).tolist())
def test_audio_of_any_length_is_covered_whole_by_chunks_with_context(detector, length_s):
    samples = clip("long-30s")[: round(length_s * SAMPLE_RATE)]
    chunks = list(split(blocks(samples), detector, chunk_seconds=10, context_s=2))
    assert_cut_from(samples, chunks, 14)
    assert chunks[0].from_s <= 1
    assert chunks[-1].to_s >= length_s - 1.5
    assert all(earlier.to_s == later.from_s for earlier, later in itertools.pairwise(chunks))


def test_the_chunks_do_not_depend_on_the_blocks(detector):
    samples, _ = joined(sentences()[:25], itertools.cycle(GAPS_S))
    by_size = [list(split(blocks(samples, size), detector, chunk_seconds=20)) for size in (320, 65_536, 10_000_000)]
    places = [[(chunk.start_s, chunk.from_s, chunk.to_s, len(chunk.samples)) for chunk in each] for each in by_size]
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize("level", [0, 1e-4, 3e-3])
def test_long_silence_is_in_no_chunk_and_counts_in_the_times(detector, level):
    speech = clip("rhvoice-slt-1")
    samples = np.concatenate(
        [silence(40), speech, silence(LONG_SILENCE_S + 1), speech, silence(70), speech, silence(30)]
    )
    samples += silence(len(samples) / SAMPLE_RATE, level)
    chunks = list(split(blocks(samples), detector, chunk_seconds=20))
    assert_cut_from(samples, chunks, 20)
    length_s = len(speech) / SAMPLE_RATE
    starts_s = [40, 44 + length_s, 114 + 2 * length_s]
    assert [chunk.start_s for chunk in chunks] == pytest.approx(starts_s, abs=MARGIN_S + 0.1)
    assert all(chunk.end_s - chunk.start_s < length_s + 2 * MARGIN_S for chunk in chunks)


def test_a_long_recording_of_silence_has_no_chunks(detector):
    assert list(split(blocks(silence(100, 1e-3)), detector, chunk_seconds=30)) == []


def test_a_faint_recording_is_not_dropped_as_silence(detector):
    samples, placements = joined(sentences()[:12], itertools.cycle(GAPS_S))
    faint = samples * np.float32(1e-3)
    chunks = list(split(blocks(faint), detector, chunk_seconds=20))
    assert_cut_from(faint, chunks, 20)
    covered = sum(chunk.to_s - chunk.from_s for chunk in chunks)
    assert covered > 0.95 * (placements[-1].end_s - placements[0].start_s)


def quiet_after_loud() -> dict[str, np.ndarray]:
    """Long speech beside something much louder."""
    speech, _ = joined(sentences()[:12], itertools.cycle(GAPS_S))
    damaged, bad, clicking = (speech.copy() for _ in range(3))
    damaged[16_000] = 1000
    bad[16_000:17_152] = silence(0.072, 9e5)
    clicking[::16_000] = 1000
    faint = speech * np.float32(10 ** (-55 / 20))
    return {
        "one sample of 1000": damaged,
        "a frame of noise beyond all measure": bad,
        "a click each second": clicking,
        "half a second of noise before": np.concatenate([silence(0.5, 0.3), silence(5), faint]),
        "half a minute of noise just before": np.concatenate([silence(30, 0.3), silence(0.2), faint]),
        "a loud speaker before": np.concatenate([clip("piper-joe-1"), silence(4), faint]),
        "fading": speech * np.geomspace(1, 1e-3, len(speech), dtype=np.float32),
    }


@pytest.mark.parametrize("kind", quiet_after_loud())
def test_quiet_speech_after_something_loud_is_in_the_chunks(detector, kind):
    _, placements = joined(sentences()[:12], itertools.cycle(GAPS_S))
    samples = quiet_after_loud()[kind]
    before_s = len(samples) / SAMPLE_RATE - placements[-1].end_s
    chunks = list(split(blocks(samples), detector, chunk_seconds=20))
    assert_cut_from(samples, chunks, 20)
    for placed in placements:
        middle_s = before_s + (placed.start_s + placed.end_s) / 2
        assert any(chunk.from_s < middle_s < chunk.to_s for chunk in chunks), placed


@pytest.mark.parametrize("at_end", [True, False])
def test_a_quiet_word_at_an_edge_is_in_a_chunk_though_a_slam_is_next_to_it(detector, at_end):
    speech, _ = joined(sentences()[:12], itertools.cycle(GAPS_S))
    quietly = np.float32(10 ** (-55 / 20))
    word = quietly * clip("fsdd-theo-2")[: round(1.3 * SAMPLE_RATE)]
    slam, pause = silence(0.5, 0.3), silence(0.1)
    samples = np.concatenate([quietly * speech, slam, pause, word] if at_end else [word, pause, slam, speech])
    middle = len(samples) - len(word) // 2 if at_end else len(word) // 2
    chunks = list(split(blocks(samples), detector, chunk_seconds=20))
    assert any(chunk.from_s < middle / SAMPLE_RATE < chunk.to_s for chunk in chunks)


def test_the_last_chunk_is_not_a_sliver(detector):
    samples, _ = joined(sentences(), itertools.cycle(GAPS_S))
    for seconds in (61, 63, 66, 70):
        chunks = list(split(blocks(samples[: round(seconds * SAMPLE_RATE)]), detector, chunk_seconds=60))
        assert len(chunks) == 2
        assert chunks[1].end_s - chunks[1].start_s > 4


def test_an_error_while_reading_is_passed_on(detector):
    def broken() -> Iterator[np.ndarray]:
        yield clip("long-60s")
        raise ValueError("damaged")

    chunks = split(broken(), detector, chunk_seconds=20)
    assert next(chunks).start_s < 1
    with pytest.raises(ValueError, match="damaged"):
        list(chunks)


def test_without_pauses_chunks_overlap_and_cover_all_times(detector):
    samples, _ = joined(sentences(), itertools.repeat(0), load=without_pauses(detector))
    chunks = list(split(blocks(samples), detector, chunk_seconds=20))
    assert_cut_from(samples, chunks, 20)
    overlaps = [(earlier, later) for earlier, later in itertools.pairwise(chunks) if later.start_s < earlier.end_s]
    assert overlaps
    for earlier, later in overlaps:
        assert earlier.end_s - later.start_s == pytest.approx(OVERLAP_S)
        assert earlier.to_s == later.from_s == pytest.approx(later.start_s + OVERLAP_S / 2)
    for earlier, later in itertools.pairwise(chunks):
        assert later.from_s - earlier.to_s < 0.5
