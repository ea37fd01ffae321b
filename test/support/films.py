"""Films made on the fly, whose sound begins and pauses at any time."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from media import SAMPLE_RATE, clip, resampled
from numpy.typing import NDArray

SPEECH = clip("piper-joe-1")
RATE = 48_000


Pieces = Sequence[tuple[float, NDArray[np.float32]]]
"""The start of each piece of sound in seconds, and its samples at 16 kHz."""


AUDIO = {
    "matroska": "flac",
    "webm": "libopus",
    "mp4": "aac",
    "mov": "pcm_s16le",
    "3gp": "aac",
    "mpegts": "aac",
    "mpeg": "mp2",
    "flv": "aac",
    "asf": "wmav2",
}


VIDEO = {"webm": "libvpx", "mpegts": "mpeg2video", "mpeg": "mpeg1video", "flv": "flv"}


def film(pieces: Pieces, container: str, path: Path, *, pictures_s: float = 9.0, from_s: float = 0.0) -> bytes:
    """Return a film with pictures from `from_s` on, none if `pictures_s` is 0, and with sound at given times."""
    with av.open(path / "film", "w", format=container) as output:
        packets = []
        sound = output.add_stream(AUDIO[container], rate=44_100 if container == "flv" else RATE, layout="mono")
        sound.bit_rate = 96_000
        if pictures_s:
            picture = output.add_stream(VIDEO.get(container, "mpeg4"), rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            if picture.name == "libvpx":
                picture.options = {"deadline": "realtime", "cpu-used": "8", "threads": "1"}  # 10 times as fast
            for index in range(round(pictures_s * 25)):
                frame = av.VideoFrame(64, 48, "yuv420p")
                frame.pts, frame.time_base = round(from_s * 25) + index, Fraction(1, 25)
                packets += picture.encode(frame)
            packets += picture.encode()
        for start_s, samples in pieces:
            at = resampled(samples, sound.rate)
            for start in range(0, len(at) - 4608, 4608):
                frame = av.AudioFrame.from_ndarray(at[None, start : start + 4608], format="flt", layout="mono")
                frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
                frame.pts = round(start_s * sound.rate) + start
                packets += sound.encode(frame)
        packets += sound.encode()
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            output.mux(packet)
    return (path / "film").read_bytes()


def begins_s(got: NDArray[np.float32], wanted: NDArray[np.float32] = SPEECH) -> float:
    """Return the time at which speech begins in decoded audio."""
    size = 1 << (len(got) + len(wanted)).bit_length()
    products = np.fft.irfft(np.fft.rfft(got, size) * np.fft.rfft(wanted, size).conj(), size)
    return float(products[: len(got)].argmax()) / SAMPLE_RATE
