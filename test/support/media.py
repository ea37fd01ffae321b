"""Make media files from samples, and compare decoded audio."""

import io
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

CLIPS = Path(__file__).parent.parent / "clips"
SAMPLE_RATE = 16_000
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def clip(name: str) -> NDArray[np.float32]:
    """Return a bundled clip, by the name of its file without suffix, as 16 kHz samples (samples,)."""
    samples: NDArray[np.float32]
    samples, rate = soundfile.read(CLIPS / f"{name}.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    return samples


def resampled(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return 16 kHz samples at another rate."""
    result: NDArray[np.float32] = soxr.resample(samples, SAMPLE_RATE, rate, quality="VHQ")
    return result


def wav(
    samples: NDArray[np.floating],
    rate: int = SAMPLE_RATE,
    channels: int = 1,
    subtype: str = "PCM_16",
    container: str = "WAV",
) -> bytes:
    """Return samples at `rate`, (samples,) or (samples, channels), as a file of libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, _spread(samples, channels), rate, format=container, subtype=subtype)
    return file.getvalue()


def as_pcm16(*parts: NDArray[np.floating]) -> NDArray[np.float32]:
    """Join audio and round it to the values of PCM16, in which quiet audio loses its finest steps."""
    return (np.round(np.concatenate(parts) * 32768).clip(-32768, 32767) / 32768).astype(np.float32)


def pcm16(samples: NDArray[np.floating]) -> bytes:
    """Return samples as headerless PCM16 little-endian; channels (samples, channels) become interleaved."""
    return np.round(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def encode(
    samples: NDArray[np.floating],
    container: str,
    codec: str,
    rate: int = SAMPLE_RATE,
    channels: int = 1,
    video: bool = False,
    **options: str,
) -> bytes:
    """Return samples at `rate`, (samples,) or (samples, channels), encoded and muxed by FFmpeg.

    `video` adds a track of moving pictures; `options` are the muxer's.
    """
    with tempfile.TemporaryDirectory() as folder:  # not BytesIO: `movflags=faststart` opens its output a second time
        path = Path(folder, "media")
        with av.open(path, "w", format=container, options=options) as output:
            picture = _video_stream(output, container) if video else None
            sound = output.add_stream(codec, rate=rate)
            sound.layout = LAYOUTS[channels]
            sound.bit_rate = 12_200 if codec == "libopencore_amrnb" else 48_000 * channels
            if codec in ("tta", "wavpack"):  # otherwise they would use 8 bits, the first format on their lists
                sound.format = "s16" if codec == "tta" else "s16p"
            interleaved = _spread(samples, channels)
            for index in range(-(-len(samples) // (rate // 10))):
                if picture:
                    output.mux(picture.encode(_picture(index)))
                output.mux(sound.encode(_tenth_second(interleaved, index, rate, LAYOUTS[channels])))
            for stream in output.streams:
                output.mux(stream.encode())
        return path.read_bytes()


def mp4_promising(samples: int) -> bytes:
    """Return an MP4 file of some hundred bytes whose index declares this many samples of a byte each."""
    mp4 = bytearray(encode(clip("fsdd-theo-2")[:1600], "mp4", "aac", movflags="faststart"))
    for box, numbers in {"stts": (1, samples, 1024), "stsc": (1, 1, samples, 1), "stsz": (1, samples)}.items():
        at = mp4.index(box.encode()) + 8
        mp4[at : at + 4 * len(numbers)] = b"".join(number.to_bytes(4) for number in numbers)
    return bytes(mp4).replace(b"edts", b"free")  # an edit list would cut the index


def likeness(got: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Return the correlation of two recordings, at most 1, at the best shift of up to 0.1 s: codecs add a delay."""
    size = 1 << (len(got) + len(wanted)).bit_length()
    products = np.fft.irfft(np.fft.rfft(got, size) * np.fft.rfft(wanted, size).conj(), size)
    reach = SAMPLE_RATE // 10
    best = max(products[: reach + 1].max(), products[-reach:].max())
    return float(best / np.sqrt(np.square(got, dtype=float).sum() * np.square(wanted, dtype=float).sum()))


def _spread(samples: NDArray[np.floating], channels: int) -> NDArray[np.floating]:
    return samples if samples.ndim == 2 else np.repeat(samples[:, None], channels, axis=1)


def _tenth_second(samples: NDArray[np.floating], index: int, rate: int, layout: str) -> av.AudioFrame:
    start = index * (rate // 10)
    interleaved = np.ascontiguousarray(samples[start : start + rate // 10], np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    return frame


def _picture(index: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index % 256, np.uint8), format="rgb24")
    frame.pts, frame.time_base = index, Fraction(1, 10)
    return frame


def _video_stream(output: av.container.OutputContainer, container: str) -> av.VideoStream:
    codecs = {"webm": "libvpx", "flv": "flv", "mpegts": "mpeg2video", "mpeg": "mpeg1video"}
    picture = output.add_stream(codecs.get(container, "mpeg4"), rate=25 if container == "mpeg" else 10)
    picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
    if container == "webm":
        picture.options = {"deadline": "realtime", "cpu-used": "8", "threads": "1"}  # 10 times as fast
    return picture
