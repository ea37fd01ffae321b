"""Speech in every container and codec that is supported, and what decoding it must hold."""

import io
import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import Any

import av
import numpy as np
from media import clip, encode, pcm16, resampled, wav
from numpy.typing import NDArray

from src.audio.decode import PcmFormat, decode

SPEECH = clip("flite-slt-1")
RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000]


def decoded(data: bytes, pcm: PcmFormat | None = None) -> NDArray[np.float32]:
    """Decode with a limit that no file here reaches, and check what every caller relies on."""
    samples = decode(data, max_seconds=60, pcm=pcm)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert samples.flags.c_contiguous
    assert samples.flags.writeable
    assert np.isfinite(samples).all()
    return samples


def channels_of_their_own(count: int) -> NDArray[np.float32]:
    """Return (samples, count): different speech at a different level in each channel, exact in PCM16."""
    levels = [0.7 * 0.8**index for index in range(count)]
    shifted = [np.roll(SPEECH, 4000 * index) * level for index, level in enumerate(levels)]
    return (np.round(np.stack(shifted, axis=1) * 32768) / 32768).astype(np.float32)


def made(container: str, codec: str, rate: int, channels: int, **options: Any) -> Callable[[], bytes]:
    """Return a function that makes a file of `SPEECH` with FFmpeg once; `options` are those of `encode`."""
    return cache(lambda: encode(resampled(SPEECH, rate), container, codec, rate, channels, **options))


def written(**options: Any) -> Callable[[], bytes]:
    """Return a function that makes a file of `SPEECH` with libsndfile once; `options` are those of `wav`."""
    return cache(lambda: wav(SPEECH, **options))


LOSSLESS = {
    "wav, 16 bit": written(),
    "wav, 24 bit": written(subtype="PCM_24"),
    "wav, 32 bit": written(subtype="PCM_32"),
    "wav, 32 bit float": written(subtype="FLOAT"),
    "wav, 64 bit float": written(subtype="DOUBLE"),
    "wav, extensible": written(container="WAVEX", channels=2),
    "rf64": written(container="RF64"),
    "w64": written(container="W64"),
    "aiff": written(container="AIFF"),
    "au": written(container="AU"),
    "caf": written(container="CAF"),
    "nist sphere": written(container="NIST"),
    "flac": written(container="FLAC"),
    "flac, 24 bit": written(container="FLAC", subtype="PCM_24"),
    "flac in ogg": made("ogg", "flac", 16000, 1),
    "flac in matroska, 8 channels": made("matroska", "flac", 16000, 8),
    "alac in m4a": made("mp4", "alac", 16000, 2),
    "wavpack, 8 channels": made("matroska", "wavpack", 16000, 8),
    "wavpack": made("wv", "wavpack", 16000, 2),
    "tta": made("tta", "tta", 16000, 1),
    "pcm in mov with video": made("mov", "pcm_s24le", 16000, 1, video=True),
    "64 bit float in mov": made("mov", "pcm_f64le", 16000, 1),
}


LOSSY: dict[str, tuple[Callable[[], bytes], float]] = {
    "wav, 8 bit": (written(subtype="PCM_U8"), 0.998),
    "wav, a-law": (written(subtype="ALAW"), 0.999),
    "wav, mu-law": (written(subtype="ULAW"), 0.999),
    "wav, ima adpcm": (written(subtype="IMA_ADPCM"), 0.99),
    "wav, ms adpcm": (written(subtype="MS_ADPCM"), 0.99),
    "wav, gsm": (written(subtype="GSM610"), 0.97),
    "wav, mp3": (made("wav", "libmp3lame", 16000, 1), 0.99),
    "voc": (made("voc", "pcm_u8", 8000, 1), 0.99),
    "mp3": (written(container="MP3", subtype="MPEG_LAYER_III"), 0.99),
    "mp3, 44.1 kHz stereo": (made("mp3", "libmp3lame", 44100, 2), 0.99),
    "mp2": (made("mp2", "mp2", 48000, 2), 0.99),
    "ogg vorbis": (written(container="OGG", subtype="VORBIS"), 0.99),
    "ogg opus": (written(container="OGG", subtype="OPUS"), 0.98),
    "m4a": (made("ipod", "aac", 44100, 2), 0.99),
    "mp4 with video": (made("mp4", "aac", 48000, 2, video=True), 0.99),
    "mp4, 8 channels": (made("mp4", "aac", 48000, 8), 0.99),
    "mp4, mp3 inside": (made("mp4", "libmp3lame", 44100, 1), 0.99),
    "aac without container": (made("adts", "aac", 16000, 1), 0.99),
    "webm": (made("webm", "libopus", 48000, 1), 0.98),
    "webm with video": (made("webm", "libopus", 48000, 2, video=True), 0.98),
    "webm, 8 channels": (made("webm", "libopus", 48000, 8), 0.98),
    "mkv with video": (made("matroska", "aac", 22050, 1, video=True), 0.99),
    "amr": (made("amr", "libopencore_amrnb", 8000, 1), 0.75),
    "3gp, amr inside": (made("3gp", "libopencore_amrnb", 8000, 1), 0.75),
    "3gp with video": (made("3gp", "aac", 16000, 1, video=True), 0.99),
    "wma 1": (made("asf", "wmav1", 22050, 1), 0.99),
    "wma 2": (made("asf", "wmav2", 44100, 2), 0.99),
    "flv with video": (made("flv", "aac", 44100, 2, video=True), 0.99),
    "avi with video": (made("avi", "libmp3lame", 44100, 2, video=True), 0.99),
    "avi, ac3, 6 channels": (made("avi", "ac3", 48000, 6), 0.98),
    "mpeg-ts with video": (made("mpegts", "aac", 48000, 2, video=True), 0.98),
    "mpeg-ps with video": (made("mpeg", "mp2", 48000, 2, video=True), 0.98),
    "real media": (made("rm", "ac3", 48000, 2), 0.98),
}
"""Each file with the least likeness to `SPEECH` of what it is decoded to."""

FILES = LOSSLESS | {name: make for name, (make, _) in LOSSY.items()}


def with_peak_memory(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return the result of some work, and the most bytes that Python held meanwhile."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def silent_movie() -> bytes:
    """Return a film without an audio track."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk, padded to an even length."""
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    """Return a WAV file of chunks."""
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


FMT = wav(SPEECH)[12:36]
"""The `fmt ` chunk of PCM16 with one channel at 16 kHz."""
SOUND = chunk(b"data", pcm16(SPEECH))
TAGS = [b"", b"INFO", b"INFOISFT\x0e\0\0\0Lavf61.7.100\0\0", b"adtlnote\x05\0\0\0\0\0\0\0a"]
"""Contents of LIST chunks."""
