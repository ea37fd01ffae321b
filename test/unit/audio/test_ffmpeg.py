"""FFmpeg reads damaged, cut and joined files, chooses the track to decode, and opens nothing that a file points to."""

import io
import re
import socket
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from media import SAMPLE_RATE, clip, encode, likeness, resampled, wav
from media_files import FILES, SPEECH, decoded, made, silent_movie
from numpy.typing import NDArray

from src.audio.decode import decode
from src.errors import AudioTooLong, EmptyAudio, InvalidAudio, ServiceError

FRONT_LOADED = FILES | {"m4a, header in front": made("mp4", "aac", 16000, 1, movflags="faststart")}


HEADER_AT_THE_END = {name for name in FILES if re.match("m4a|mp4|3gp|alac|.*mov", name)}


@pytest.mark.parametrize("name", sorted(set(FRONT_LOADED) - HEADER_AT_THE_END))
def test_a_file_cut_short_gives_what_is_there(name):
    data = FRONT_LOADED[name]()
    got = decoded(data[: len(data) * 6 // 10])
    assert 0.35 * len(SPEECH) < len(got) < 0.8 * len(SPEECH)
    assert likeness(got, SPEECH[: len(got)]) > (0.7 if "amr" in name else 0.9)


@pytest.mark.parametrize(
    "name", ["mp3", "flac", "ogg vorbis", "ogg opus", "aac without container", "mpeg-ts with video"]
)
def test_files_joined_end_to_end_are_read_to_the_end(name):
    data = FILES[name]()
    got = decoded(data + data)
    assert len(got) > 1.95 * len(SPEECH)
    assert likeness(got[-len(SPEECH) :], SPEECH) > 0.97


OGG_FILES = {
    "vorbis": FILES["ogg vorbis"],
    "vorbis, 44.1 kHz stereo": lambda: wav(resampled(SPEECH, 44100), 44100, 2, container="OGG", subtype="VORBIS"),
    "opus": made("ogg", "libopus", 48000, 1),
    "opus, stereo": made("ogg", "libopus", 48000, 2),
    "flac": FILES["flac in ogg"],
}


@pytest.mark.parametrize("first", OGG_FILES)
@pytest.mark.parametrize("second", OGG_FILES)
def test_joined_ogg_files_of_any_codecs_rates_and_channels_are_one_recording(first, second):
    got = decoded(OGG_FILES[first]() + OGG_FILES[second]())
    assert abs(len(got) - 2 * len(SPEECH)) < SAMPLE_RATE / 100
    assert likeness(got[: len(SPEECH)], SPEECH) > 0.97
    assert likeness(got[-len(SPEECH) :], SPEECH) > 0.97


def two_tracks() -> bytes:
    """Return an Ogg file with speech in stereo, which is preferred, beside another track."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as output:
        streams = [output.add_stream("flac", rate=SAMPLE_RATE, layout=layout) for layout in ("mono", "stereo")]
        for stream, samples in zip(streams, (clip("espeak-mix-1"), np.repeat(SPEECH, 2)), strict=True):
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout=stream.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            output.mux([*stream.encode(frame), *stream.encode()])
    return file.getvalue()


def test_of_several_tracks_in_joined_ogg_files_each_file_has_one_decoded():
    np.testing.assert_array_equal(decoded(two_tracks() + OGG_FILES["flac"]() + two_tracks()), np.tile(SPEECH, 3))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_of_joined_ogg_files_those_that_cannot_be_decoded_are_left_out(at):
    damaged, *good = [bytearray(OGG_FILES["opus"]()), OGG_FILES["flac"](), OGG_FILES["flac"]()]
    damaged[28:36] = b"OpusHurt"
    good.insert(at, bytes(damaged))
    np.testing.assert_array_equal(decoded(b"".join(good)), np.tile(SPEECH, 2))
    with pytest.raises(InvalidAudio):
        decoded(bytes(damaged) * 2)


def test_an_ogg_file_behind_one_that_was_cut_is_decoded():
    cut = OGG_FILES["flac"]()
    got = decoded(cut[: len(cut) * 6 // 10] + OGG_FILES["opus"]())
    assert len(got) > 1.3 * len(SPEECH)
    assert likeness(got[-len(SPEECH) :], SPEECH) > 0.97


def test_joined_ogg_files_may_be_too_long_together():
    data = OGG_FILES["opus"]() + OGG_FILES["flac"]()
    length_s = len(SPEECH) / SAMPLE_RATE
    assert len(decode(data, max_seconds=2 * length_s + 0.01)) > 1.99 * len(SPEECH)
    with pytest.raises(AudioTooLong):
        decode(data, max_seconds=2 * length_s - 0.1)


def test_an_mp3_that_begins_inside_a_frame_is_read():
    data = FILES["mp3, 44.1 kHz stereo"]()
    cut = data[len(data) // 4 + 77 :]
    got = decoded(cut)
    assert likeness(got, SPEECH[-len(got) :]) > 0.97


def test_an_mp3_behind_a_picture_tag_is_read():
    tag = b"ID3\x04\0\0" + bytes([0, 5, 0, 0]) + b"APIC" + np.random.default_rng(1).bytes(5 * 2**14 - 4)
    assert likeness(decoded(tag + FILES["mp3"]()), SPEECH) > 0.97


def sound(samples: NDArray[np.float32]) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    return frame


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_tracks_the_default_one_is_decoded(default):
    file = io.BytesIO()
    tracks = [SPEECH, clip("espeak-mix-1")]
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream("flac", rate=SAMPLE_RATE, layout="mono") for _ in tracks]
        streams[default].disposition = av.stream.Disposition.default
        for stream, samples in zip(streams, tracks, strict=True):
            output.mux([*stream.encode(sound(samples)), *stream.encode()])
    np.testing.assert_array_equal(decoded(file.getvalue()), tracks[default])


def film(sounding: NDArray[np.float32]) -> bytes:
    """Return an MPEG transport stream of 20 s, all of whose sound comes after the pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        picture, track = output.add_stream("mpeg2video", rate=25), output.add_stream("aac", rate=SAMPLE_RATE)
        picture.width, picture.height, picture.pix_fmt, track.layout = 64, 48, "yuv420p", "mono"
        for _ in range(20 * 25):
            output.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        output.mux(picture.encode())
        if len(sounding):
            output.mux([*track.encode(sound(sounding)), *track.encode()])
    return file.getvalue()


def test_sound_that_begins_late_in_a_film_is_decoded():
    assert likeness(decoded(film(SPEECH)), SPEECH) > 0.97


def test_a_track_without_sound_is_empty():
    with pytest.raises(EmptyAudio):
        decoded(film(SPEECH[:0]))


def test_the_message_for_a_film_without_sound_says_so():
    with pytest.raises(InvalidAudio, match="no audio track"):
        decoded(silent_movie())


def hls(target: object) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n".encode()


def concat(target: object) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def test_playlists_and_scripts_open_no_file_and_no_connection(tmp_path):
    named = tmp_path / "speech.aac"
    named.write_bytes(encode(SPEECH, "adts", "aac"))
    lax_hls = {"allowed_extensions": "ALL", "extension_picky": "0"}
    for script, demuxer, lax in [(hls(named), "hls", lax_hls), (concat(named), "concat", {"safe": "0"})]:
        with av.open(io.BytesIO(script), format=demuxer, options=lax) as unguarded:  # so there is something to guard
            assert unguarded.streams.audio
        with pytest.raises(InvalidAudio):
            decoded(script)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/speech.aac"
        for script in (hls(url), concat(url)):
            with pytest.raises(InvalidAudio):
                decoded(script)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("name", FILES)
def test_damage_is_not_reported_on_stderr(name, capfd):
    data = bytearray(FILES[name]())
    rng = np.random.default_rng(2)
    for at in rng.integers(0, len(data), 50):
        data[at] = rng.integers(256)
    for end in (len(data), len(data) // 2, 100):
        with suppress(ServiceError):
            decode(bytes(data[:end]), max_seconds=60)
    assert capfd.readouterr() == ("", "")
