"""Files with several audio tracks: the track that players choose is decoded."""

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from media import LAYOUTS, SAMPLE_RATE, clip, encode, likeness
from numpy.typing import NDArray

from src.audio.decode import decode
from src.audio.tracks import Track, by_preference
from src.errors import EmptyAudio, InvalidAudio

NONE = Disposition(0)
SPEECH = {name: clip(name)[: 2 * SAMPLE_RATE] for name in ("flite-slt-1", "espeak-mix-1", "flite-awb-1")}
WANTED, OTHER, THIRD = SPEECH.values()


@dataclass(frozen=True)
class Sound:
    """A track of a test file."""

    samples: NDArray[np.float32]
    channels: int = 1
    disposition: Disposition = NONE
    codec: str = "flac"


def file_of(*sounds: Sound, container: str = "matroska", pictures: bool = False) -> bytes:
    """Return a file with tracks in this order, one written after the other."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        if pictures:
            picture = output.add_stream("mpeg4", rate=10)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        streams = []
        for sound in sounds:
            stream = output.add_stream(sound.codec, rate=SAMPLE_RATE, layout=LAYOUTS[sound.channels])
            stream.disposition = sound.disposition
            streams.append(stream)
        if pictures:
            output.mux(picture.encode(av.VideoFrame(64, 48, "yuv420p")))
            output.mux(picture.encode())
        for stream, sound in zip(streams, sounds, strict=True):
            if len(sound.samples):
                interleaved = np.repeat(sound.samples, sound.channels)[None]
                frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=LAYOUTS[sound.channels])
                frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(
    "sounds",
    [
        [Sound(WANTED), Sound(OTHER)],
        [Sound(OTHER), Sound(WANTED, disposition=Disposition.default)],
        [Sound(OTHER, 2), Sound(WANTED, disposition=Disposition.default), Sound(THIRD, 6)],
        [Sound(OTHER), Sound(WANTED, 2), Sound(THIRD, 2)],
        [Sound(OTHER, 2, Disposition.comment), Sound(WANTED)],
        [Sound(OTHER, 2, Disposition.visual_impaired), Sound(WANTED)],
        [Sound(OTHER, 1, Disposition.default | Disposition.comment), Sound(WANTED)],
        [Sound(WANTED, 1, Disposition.hearing_impaired)],
        [Sound(WANTED[:0], disposition=Disposition.default), Sound(WANTED)],
        [Sound(OTHER[:0], 6), Sound(OTHER[:0], 2, Disposition.default), Sound(WANTED)],
    ],
    ids=[
        "the first",
        "the default",
        "the default before more channels",
        "most channels, then the first",
        "no commentary",
        "no description for the blind",
        "no commentary, even as the default",
        "for the deaf where there is no other",
        "none without samples",
        "none of two without samples",
    ],
)
def test_of_several_tracks_the_one_that_players_choose_is_decoded(sounds):
    got = decode(file_of(*sounds))
    assert likeness(got, WANTED) > 0.99


def unknown(data: bytes, fourcc: bytes, times: int = 1) -> bytes:
    """Return an MP4 file the first of whose tracks with this codec have another, which nobody knows."""
    assert data.count(fourcc + b"\0\0\0\0") >= times
    return data.replace(fourcc + b"\0\0\0\0", b"apac\0\0\0\0", times)


@pytest.mark.parametrize("container", ["mov", "mp4", "ipod"])
@pytest.mark.parametrize("order", [1, -1])
def test_the_next_track_is_used_if_one_cannot_be_decoded(container, order):
    spatial = Sound(OTHER, 2, Disposition.default, "alac")
    data = file_of(*[spatial, Sound(WANTED, codec="aac")][::order], container=container, pictures=container != "ipod")
    assert likeness(decode(unknown(data, b"alac")), WANTED) > 0.97


def test_the_next_track_is_used_if_the_packets_of_one_are_damaged():
    data = file_of(Sound(OTHER, 2, Disposition.default), Sound(WANTED, codec="aac"))
    assert likeness(decode(data.replace(b"\xff\xf8", b"\0\0")), WANTED) > 0.97  # where FLAC's frames begin


def test_a_file_is_rejected_if_none_of_its_tracks_can_be_decoded():
    data = encode(WANTED, "mp4", "alac", video=True)
    with pytest.raises(InvalidAudio, match="format that cannot be decoded"):
        decode(unknown(data, b"alac"))


def test_a_file_is_empty_if_none_of_its_tracks_has_samples():
    with pytest.raises(EmptyAudio):
        decode(file_of(Sound(WANTED[:0]), Sound(OTHER[:0], 2), pictures=True))


def test_tracks_have_an_order():
    tracks = [
        Track(0, 2, is_default=True, is_additional=True),
        Track(1, 6),
        Track(2, 2),
        Track(3, 6),
        Track(4, 1, is_default=True),
        Track(5, 0),
    ]
    assert [track.index for track in by_preference(tracks)] == [4, 1, 3, 2, 5, 0]
