"""Decode any media file to 16 kHz mono samples, block by block.

The first bytes choose the decoder, never a file name. PCM16 WAV with a canonical header, the common case, is only
scaled, which takes a quarter of libsndfile's time. libsndfile reads other WAV files. FFmpeg (PyAV) reads everything
else, and the WAV files that libsndfile rejects or finds empty: codecs it lacks, and sizes of 0 from a recorder or pipe
that never filled in its header.

FFmpeg also reads FLAC, Ogg and MP3. It takes up to twice the time (40 ms for a minute of MP3), but it continues after
damage and into files joined end to end, where libsndfile 1.2.2 stops; and the MP3 decoder of libsndfile cannot be kept
from writing to stderr.
"""

import importlib
import io
import math
import pkgutil
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from src.audio.blocks import BLOCK_SAMPLES, Block, split_blocks
from src.audio.channels import downmix
from src.audio.ffmpeg import ffmpeg_blocks
from src.audio.probe import PlainPcm, demuxer_name, is_mpeg_wav, plain_wav
from src.audio.rejections import CHANNELS, RATES, AudioRejection, format_error
from src.audio.resample import Resampler
from src.audio.samples import SAMPLE_RATE, Samples
from src.errors import InvalidRequest

MAX_SHORT_S = 32.0
"""The longest audio that `scale_if_short` takes: 0.3 ms of work, short enough for the event loop."""

UNFINISHED_RF64 = re.compile(rb"(?:RF64|BW64)\xff{4}WAVE(?:JUNK|ds64.{12}(?:\x00{8}|\xff{8}))", re.DOTALL)
"""The start of an RF64 file from a pipe: the size of its audio in the `ds64` chunk is 0 or -1, or a placeholder is in
the chunk's place (EBU Tech 3306)."""


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """The format of headerless PCM16, little-endian, channels interleaved.

    Raises:
        InvalidRequest: the rate is not 8000 to 192000 Hz, or there are not 1 to 8 channels.
    """

    rate: int = SAMPLE_RATE
    """Sample rate in Hz."""
    channels: int = 1

    def __post_init__(self) -> None:
        if self.rate not in RATES:
            raise InvalidRequest(f"rate must be {RATES[0]} to {RATES[-1]} Hz, not {self.rate}.", param="rate")
        if self.channels not in CHANNELS:
            raise InvalidRequest(f"channels must be 1 to {CHANNELS[-1]}, not {self.channels}.", param="channels")


def plain_pcm(data: bytes, pcm: PcmFormat | None = None) -> PlainPcm | None:
    """Return the samples of headerless data in the format `pcm`, or of a plain WAV file in a supported format.

    None for any other file: libsndfile or FFmpeg has to decode it.
    """
    if pcm is not None:
        return PlainPcm(pcm.rate, pcm.channels, data)
    plain = plain_wav(data)
    return plain if plain and not format_error(plain.rate, plain.channels) else None


def scale_if_short(plain: PlainPcm | None, max_s: float) -> Samples | None:
    """Return mono 16 kHz PCM16 of at most `max_s` and `MAX_SHORT_S` as samples (samples,); it takes 30 us for 10 s.

    None for any other audio: a file for a library, another rate, more channels, too long, or empty.
    """
    if plain is None or plain.rate != SAMPLE_RATE or plain.channels != 1:
        return None
    frames = _frames(plain.data, plain.channels)
    if not 0 < len(frames) <= min(max_s, MAX_SHORT_S) * SAMPLE_RATE:
        return None
    return next(downmix([frames], SAMPLE_RATE))


def load_decoders() -> None:
    """Import every module that decoding may need, so that the first file does not wait for it."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.startswith("av.__"):  # av.__main__ runs a program
            importlib.import_module(module.name)
    for kind, subtype in (("WAV", "FLOAT"), ("FLAC", "PCM_16")):
        file = io.BytesIO()
        soundfile.write(file, np.zeros(RATES[0], np.float32), RATES[0], subtype, format=kind)
        decode(file.getvalue())


def decode(data: bytes, *, max_seconds: float = math.inf, pcm: PcmFormat | None = None) -> Samples:
    """Return the audio of a media file, or of headerless `pcm`, as contiguous 16 kHz mono samples (samples,).

    Errors and limits are those of `decode_blocks`.
    """
    with closing(decode_blocks(data, max_seconds=max_seconds, pcm=pcm)) as stream:
        blocks = list(stream)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def decode_blocks(
    data: bytes, *, max_seconds: float = math.inf, pcm: PcmFormat | None = None
) -> Generator[Samples, None, None]:
    """Yield the audio of a media file, or of headerless `pcm`, as 16 kHz mono blocks (samples,) of a few seconds each.

    Full scale is 1; samples may exceed it but are finite. Damaged audio gives what can be decoded. Decoding stops at
    `max_seconds`, so a small file that expands to hours costs no more than a long one.

    Raises, while iterating:
        EmptyAudio: there are no samples.
        InvalidAudio: nothing in `data` can be decoded.
        AudioTooLong: there is more than `max_seconds`.
    """
    plain = plain_pcm(data, pcm)
    native = _pcm_blocks(plain) if plain else _file_blocks(data)
    count = 0
    for rate, run in groupby(native, key=attrgetter("rate")):
        for samples in _resample((block.samples for block in run), rate):
            count += len(samples)
            if count > max_seconds * SAMPLE_RATE:
                raise AudioRejection.TOO_LONG.error(max_seconds)
            yield samples
    if not count:
        raise AudioRejection.NO_SAMPLES.error()


def _pcm_blocks(plain: PlainPcm) -> Iterator[Block]:
    frames = _frames(plain.data, plain.channels)
    for samples in downmix(split_blocks(frames), plain.rate):
        yield Block(plain.rate, samples)


def _frames(pcm: bytes | memoryview, channels: int) -> NDArray[np.int16]:
    """Return PCM16 as an array (samples, channels); an incomplete last frame is dropped."""
    whole = len(pcm) // (2 * channels) * channels
    return np.frombuffer(pcm, "<i2", count=whole).reshape(-1, channels)


def _file_blocks(data: bytes) -> Iterator[Block]:
    if not data:
        raise AudioRejection.EMPTY_FILE.error()
    demuxer = demuxer_name(data)
    if demuxer is None:
        raise AudioRejection.UNREADABLE.error()
    if demuxer == "wav":
        data = _as_riff_if_unfinished(data)
        if wav := _open_wav(data):
            return _wav_blocks(wav)
    return ffmpeg_blocks(data, demuxer)


def _as_riff_if_unfinished(data: bytes) -> bytes:
    """Return an RF64 file whose 64-bit sizes were never written as a RIFF file of unknown size, read to its end."""
    return b"".join([b"RIFF", memoryview(data)[4:]]) if UNFINISHED_RF64.match(data) else data


def _open_wav(data: bytes) -> soundfile.SoundFile | None:
    """Open a WAV file with libsndfile. Return None if it cannot be read there, or looks empty: FFmpeg tries it then."""
    if is_mpeg_wav(data):
        return None
    try:
        wav = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.SoundFileError:
        return None
    return wav if wav.frames else None


def _wav_blocks(wav: soundfile.SoundFile) -> Iterator[Block]:
    dtype = "int16" if wav.subtype == "PCM_16" else "float32"  # numpy turns int16 into floats faster than libsndfile
    with wav:
        if error := format_error(wav.samplerate, wav.channels):
            raise error
        for samples in downmix(_read(wav, dtype), wav.samplerate):
            yield Block(wav.samplerate, samples)


def _read(wav: soundfile.SoundFile, dtype: str) -> Iterator[NDArray[Any]]:
    """Yield the file's samples in arrays (samples, channels), up to its end or the first damage."""
    while True:
        try:
            raw = wav.read(BLOCK_SAMPLES, dtype, always_2d=True)
        except soundfile.SoundFileError:
            return
        if not len(raw):
            return
        yield raw


def _resample(blocks: Iterable[NDArray[np.float32]], rate: int) -> Iterator[Samples]:
    """Resample mono blocks of one sample rate to 16 kHz."""
    resampler = Resampler(rate)
    for block in blocks:
        if len(resampled := resampler.feed(block)):
            yield resampled
    if len(rest := resampler.finish()):
        yield rest
