"""Times count from the start of the file, as in a player: gaps in the sound become silence."""

from collections.abc import Sequence
from fractions import Fraction

import av
import pytest
from films import AUDIO, SPEECH, begins_s, film
from media import SAMPLE_RATE, clip

from src.audio.decode import decode, decode_blocks
from src.audio.timeline import MIN_GAP_S, Timeline
from src.errors import AudioTooLong

LENGTH_S = len(SPEECH) / SAMPLE_RATE
each_container = pytest.mark.parametrize("container", AUDIO)


@each_container
def test_sound_that_begins_after_the_pictures_is_late(container, tmp_path):
    got = decode(film([(4, SPEECH)], container, tmp_path))
    assert abs(begins_s(got) - 4) < 0.1
    assert not got[: 3 * SAMPLE_RATE].any()


@pytest.mark.parametrize("container", [name for name in AUDIO if name != "mov"])  # its uncompressed sound has no times
@pytest.mark.parametrize("pictures_s", [0, 20])
def test_a_gap_of_ten_seconds_is_silence(container, pictures_s, tmp_path):
    got = decode(film([(0, SPEECH), (LENGTH_S + 10, SPEECH)], container, tmp_path, pictures_s=pictures_s))
    middle = len(got) // 2
    assert begins_s(got[:middle]) < 0.1
    assert abs(begins_s(got[middle:]) + middle / SAMPLE_RATE - (LENGTH_S + 10)) < 0.15


@pytest.mark.parametrize("container", ["webm", "matroska", "mpegts", "flv"])
def test_a_recording_whose_only_track_begins_late_in_a_broadcast_begins_at_once(container, tmp_path):
    got = decode(film([(5000, SPEECH)], container, tmp_path, pictures_s=0))
    assert begins_s(got) < 0.1
    assert len(got) < len(SPEECH) + SAMPLE_RATE / 10


def test_a_film_cut_from_a_broadcast_counts_from_its_pictures(tmp_path):
    got = decode(film([(504, SPEECH)], "mpegts", tmp_path, from_s=500))
    assert abs(begins_s(got) - 4) < 0.1


def test_an_empty_edit_before_the_only_track_is_silence(tmp_path):
    got = decode(film([(4, SPEECH)], "mp4", tmp_path, pictures_s=0))
    assert abs(begins_s(got) - 4) < 0.1


def test_a_fragment_of_a_live_recording_begins_at_once(tmp_path):
    path = tmp_path / "live.mp4"
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "use_editlist": "0"}
    with av.open(path, "w", format="mp4", options=options) as output:
        sound = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(SPEECH[None], format="flt", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 900 * SAMPLE_RATE
        output.mux([*sound.encode(frame), *sound.encode()])
    assert begins_s(decode(path.read_bytes())) < 0.1


def test_many_short_gaps_add_up_to_no_drift(tmp_path):
    speech = clip("long-30s")
    pieces = [(start / SAMPLE_RATE, speech[start : start + 6000]) for start in range(0, len(speech) - 9000, 7000)]
    got = decode(film(pieces, "webm", tmp_path, pictures_s=0))
    last_s, last = pieces[-1]
    assert abs(len(got) / SAMPLE_RATE - (last_s + 0.3)) < 0.2
    tail = got[round((last_s - 0.3) * SAMPLE_RATE) :]
    assert abs(begins_s(tail, last[:4000]) - 0.3) < 0.11


def test_joined_broadcasts_whose_times_restart_have_no_silence(tmp_path):
    one = film([(0, SPEECH)], "mpegts", tmp_path, pictures_s=3)
    for start_s in (0, 700, 40_000):
        other = film([(start_s, SPEECH)], "mpegts", tmp_path, pictures_s=3, from_s=start_s)
        assert abs(len(decode(one + other)) / SAMPLE_RATE - 2 * LENGTH_S) < 0.6


def test_a_long_gap_in_a_live_recording_without_a_duration_is_silence(tmp_path):
    data = film([(0, SPEECH), (150, SPEECH)], "webm", tmp_path, pictures_s=0)
    at = data.index(b"\x44\x89\x88")  # the duration in its header
    got = decode(data[:at] + b"\xec\x89\x88" + data[at + 3 :].replace(b"\x44\x89\x88", b"\xec\x89\x88"))
    assert abs(len(got) / SAMPLE_RATE - (150 + LENGTH_S)) < 0.2


def test_a_gap_of_hours_is_too_long_before_it_is_filled(tmp_path):
    data = film([(0, SPEECH), (30 * 3600, SPEECH)], "matroska", tmp_path, pictures_s=0)
    given: list[int] = []
    with pytest.raises(AudioTooLong):
        given.extend(map(len, decode_blocks(data, max_seconds=60)))
    assert max(given) < 10 * SAMPLE_RATE
    assert sum(given) <= 60 * SAMPLE_RATE


def test_a_time_that_cannot_be_right_changes_nothing(tmp_path):
    """One cluster's time is damaged: it claims to be hours later, or some seconds, and the next one goes back."""
    speech = clip("long-30s")
    data = film([(0, speech)], "matroska", tmp_path, pictures_s=0)
    usual = decode(data)
    cluster = data.index(b"\x1f\x43\xb6\x75", data.index(b"\x1f\x43\xb6\x75") + 4)
    time = data.index(b"\xe7\x82", cluster) + 2
    assert time < cluster + 30
    for wrong in (b"\xff\xff", b"\x40\x00"):
        got = decode(data[:time] + wrong + data[time + 2 :])
        assert abs(len(got) - len(usual)) < SAMPLE_RATE / 5


def silence_s(timeline: Timeline, frames: Sequence[tuple[float | None, float]]) -> list[float]:
    """Return the silence before each frame, given as time and duration."""
    gaps = []
    for time_s, seconds in frames:
        gap_s = 0.0 if time_s is None else timeline.gap_s(time_s)
        timeline.add_silence(gap_s)
        timeline.add_frame(time_s, seconds)
        gaps.append(round(gap_s, 3))
    return gaps


@pytest.mark.parametrize(
    ("frames", "gaps"),
    [
        ([(1.4, 1), (2.4, 1), (3.4, 1)], [0, 0, 0]),
        ([(5.4, 1), (6.4, 1)], [4, 0]),
        ([(1.4, 1), (7.4, 1), (8.4, 1)], [0, 5, 0]),
        ([(1.4, 1), (None, 1), (7.4, 1)], [0, 0, 4]),
        ([(1.4, 1), (2.44, 1), (3.48, 1), (4.52, 1)], [0, 0, 0, 0.12]),
        ([(1.4, 1), (2.2, 1), (3.2, 1), (4.4, 1)], [0, 0, 0, 0]),
        ([(1.4, 0.5), (1.4, 0.5), (6.4, 1)], [0, 0, 4]),
        ([(9000, 1), (9001, 1)], [0, 0]),
        ([(1.4, 1), (9000, 1), (9001, 1), (9007, 1)], [0, 0, 0, 5]),
        ([(-70, 1), (-69, 1)], [0, 0]),
    ],
)
def test_silence_is_inserted_where_there_are_no_frames(frames, gaps):
    assert silence_s(Timeline(1.4, None, may_restart=True), frames) == gaps


@pytest.mark.parametrize(
    ("end_s", "later_s", "gap_s"), [(None, 3000, 2999), (None, 4000, 0), (9000, 8000, 7999), (9000, 9001, 0)]
)
def test_the_longest_gap_depends_on_the_duration_that_the_file_states(end_s, later_s, gap_s):
    timeline = Timeline(0, end_s, may_restart=False)
    assert silence_s(timeline, [(0, 1), (later_s, 1), (later_s + 1, 1)]) == [0, gap_s, 0]


def test_without_a_start_time_the_first_frame_is_the_start():
    assert silence_s(Timeline(None, None, may_restart=False), [(300, 1), (301 + 2 * MIN_GAP_S, 1)]) == [0, 0.2]
