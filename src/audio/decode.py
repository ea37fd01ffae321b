"""From the bytes of any media file to 16 kHz mono samples, as a stream of blocks.

The first bytes choose the decoder, never a name. PCM16 WAV with a header in order, the common case, is only scaled:
that takes a quarter of libsndfile's time. libsndfile reads other WAV. FFmpeg (PyAV) reads all else, and the WAV that
libsndfile refuses or finds empty: codecs it lacks, and sizes of 0 from a recorder or a pipe that never came back to
fill in its header. FLAC, Ogg and MP3 are FFmpeg's too: for up to twice the time (40 ms for a minute of MP3) it goes on
after damage and into files joined end to end, where libsndfile 1.2.2 stops; and the MP3 decoder of libsndfile cannot be
kept from writing to stderr.

FFmpeg gets bytes, one named demuxer, a list of audio decoders and no protocol: it guesses nothing, opens nothing that
the bytes may point to, and decodes no picture.
"""

import importlib
import io
import math
import pkgutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from src.audio.complaints import CHANNELS, RATES, Complaint
from src.audio.container import PlainWav, demuxer_of, is_mpeg_wav, plain_wav
from src.audio.resample import SAMPLE_RATE as SAMPLE_RATE
from src.audio.resample import Resampler
from src.errors import InvalidRequest, UnusableAudio

BLOCK_SAMPLES = 1 << 16
"""Samples of a channel that are decoded at a time: 4 s at 16 kHz, 2 MiB of eight channels."""
LOUDEST = 2.0**31
"""The largest sample let out. Decoders overshoot 1, and float files may hold another format's integers unscaled; the
model does not mind loudness, clipping would hurt. Beyond any integer sample it is damage, whose square may overflow."""
DECODERS = (
    "aac,aac_latm,ac3,adpcm_g722,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,alac,amrnb,amrwb,atrac3,"
    "atrac3plus,cook,dca,dvaudio,eac3,evrc,flac,g722,g723_1,g726,g726le,g729,gsm,gsm_ms,ilbc,mp1,mp1float,mp2,mp2float,"
    "mp3,mp3float,nellymoser,opus,pcm_alaw,pcm_bluray,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,"
    "pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,"
    "pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_s8,pcm_s8_planar,pcm_u8,qcelp,qdm2,real_144,real_288,s302m,sipr,speex,"
    "truehd,truespeech,tta,vorbis,wavpack,wmalossless,wmapro,wmav1,wmav2,wmavoice"
)
"""FFmpeg's decoders of speech and music that people send; all its others stay shut."""

MOST_LOST = 50_000
"""Damaged packets on end, after which the rest is given up: each takes 11 us, and some files have nothing else. In the
shortest packets that codecs have, of 2.5 ms, these are two minutes."""

FRAME_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""numpy's types by FFmpeg's packed sample formats."""


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """The form of headerless PCM16, little-endian, its channels interleaved.

    Raises:
        InvalidRequest: the rate is not 8000 to 192000 Hz or the channels are not 1 to 8.
    """

    rate: int = SAMPLE_RATE
    """Samples of one channel in a second."""
    channels: int = 1

    def __post_init__(self) -> None:
        if self.rate not in RATES:
            raise InvalidRequest(f"rate must be {RATES[0]} to {RATES[-1]} Hz, not {self.rate}.", param="rate")
        if self.channels not in CHANNELS:
            raise InvalidRequest(f"channels must be 1 to {CHANNELS[-1]}, not {self.channels}.", param="channels")


class _Block(NamedTuple):
    """Mono samples at the file's own rate."""

    rate: int
    samples: NDArray[np.float32]


def needs_library(data: bytes, pcm: PcmFormat | None) -> bool:
    """Return whether decoding this takes more than scaling samples: whether libsndfile or FFmpeg reads it."""
    return pcm is None and bool(data) and _plain(data) is None


def load_decoders() -> None:
    """Load every module that decoding may need, which would otherwise happen with the first file that needs it."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.startswith("av.__"):  # av.__main__ runs a program
            importlib.import_module(module.name)
    for kind, subtype in (("WAV", "FLOAT"), ("FLAC", "PCM_16")):
        file = io.BytesIO()
        soundfile.write(file, np.zeros(RATES[0], np.float32), RATES[0], subtype, format=kind)
        decode(file.getvalue())


def decode(data: bytes, *, max_seconds: float = math.inf, pcm: PcmFormat | None = None) -> NDArray[np.float32]:
    """Return the audio of a media file, or of headerless `pcm`, as contiguous 16 kHz mono samples (samples,).

    Errors and limits are those of `decode_blocks`.
    """
    with closing(decode_blocks(data, max_seconds=max_seconds, pcm=pcm)) as stream:
        blocks = list(stream)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def decode_blocks(
    data: bytes, *, max_seconds: float = math.inf, pcm: PcmFormat | None = None
) -> Generator[NDArray[np.float32], None, None]:
    """Yield the audio of a media file, or of headerless `pcm`, as 16 kHz mono blocks of some seconds each.

    Full scale is 1; samples may go beyond it but are finite. Damaged audio gives what can be decoded. Decoding stops at
    `max_seconds`, so a small file that expands to hours costs no more than a long one.

    Raises, while iterating:
        EmptyAudio: there is not one sample.
        InvalidAudio: nothing in `data` can be decoded.
        AudioTooLong: there is more than `max_seconds`.
    """
    native = _pcm_blocks(data, pcm.rate, pcm.channels) if pcm else _file_blocks(data)
    taken = 0
    for rate, run in groupby(native, key=attrgetter("rate")):
        for samples in _resampled((block.samples for block in run), rate):
            taken += len(samples)
            if taken > max_seconds * SAMPLE_RATE:
                raise Complaint.TOO_LONG.error(max_seconds)
            yield samples
    if not taken:
        raise Complaint.NO_SAMPLES.error()


def _pcm_blocks(data: bytes | memoryview, rate: int, channels: int) -> Iterator[_Block]:
    frames = len(data) // (2 * channels)
    whole = np.frombuffer(data, "<i2", count=frames * channels).reshape(-1, channels)
    for start in range(0, frames, BLOCK_SAMPLES):
        yield _Block(rate, _mono(whole[start : start + BLOCK_SAMPLES]))


def _file_blocks(data: bytes) -> Iterator[_Block]:
    if not data:
        raise Complaint.EMPTY_FILE.error()
    if plain := _plain(data):
        return _pcm_blocks(plain.pcm, plain.rate, plain.channels)
    demuxer = demuxer_of(data)
    if demuxer is None:
        raise Complaint.UNREADABLE.error()
    wav = _opened_wav(data) if demuxer == "wav" else None
    return _wav_blocks(wav) if wav else _ffmpeg_blocks(data, demuxer)


def _plain(data: bytes) -> PlainWav | None:
    plain = plain_wav(data)
    return plain if plain and not _complaint(plain.rate, plain.channels) else None


def _opened_wav(data: bytes) -> soundfile.SoundFile | None:
    """Open a WAV file for libsndfile, or return None where FFmpeg shall try."""
    if is_mpeg_wav(data):
        return None
    try:
        wav = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.SoundFileError:
        return None
    return wav if wav.frames else None


def _wav_blocks(wav: soundfile.SoundFile) -> Iterator[_Block]:
    dtype = "int16" if wav.subtype == "PCM_16" else "float32"  # numpy turns int16 into floats faster than libsndfile
    with wav:
        if complaint := _complaint(wav.samplerate, wav.channels):
            raise complaint
        while True:
            try:
                raw = wav.read(BLOCK_SAMPLES, dtype, always_2d=True)
            except soundfile.SoundFileError:
                return
            if not len(raw):
                return
            yield _Block(wav.samplerate, _mono(raw))


def _ffmpeg_blocks(data: bytes, demuxer: str) -> Iterator[_Block]:
    import av  # costs as much time as numpy, and a service of WAV and PCM never needs it

    # Beyond its own errors PyAV lets out what its callbacks, strings and allocations raise on odd files.
    broken = (av.FFmpegError, ValueError, LookupError, RuntimeError, ArithmeticError, MemoryError)
    options = {"codec_whitelist": DECODERS, "protocol_whitelist": ""}
    try:
        container = av.open(io.BytesIO(data), format=demuxer, options=options, metadata_errors="replace")
    except broken as error:
        raise Complaint.UNREADABLE.error() from error
    with container:
        # FFmpeg calls none the best where the sound sets in after what it looked at to choose.
        track = container.streams.best("audio") or next(iter(container.streams.audio), None)
        if track is None:
            raise Complaint.NO_TRACK.error()
        if track.codec_context is None or track.codec_context.name not in DECODERS.split(","):
            raise Complaint.UNKNOWN_FORMAT.error()
        track.codec_context.thread_count = 1  # a decode worker may start no thread
        for form, run in groupby(_frames(container.demux(track), broken), key=_form):
            for raw in _gathered(map(_samples, run)):
                yield _Block(form.rate, _mono(raw))


class _Form(NamedTuple):
    """What may change from one frame to the next, in joined or damaged files."""

    rate: int
    channels: int
    sample_format: str


def _form(frame: Any) -> _Form:
    return _Form(frame.sample_rate, frame.layout.nb_channels, frame.format.name)


def _frames(packets: Iterator[Any], broken: tuple[type[Exception], ...]) -> Iterator[Any]:
    """Yield the frames of FFmpeg's packets, leaving out what is damaged.

    Raises:
        InvalidAudio: that leaves nothing.
    """
    trouble: UnusableAudio | None = None
    heard = False
    lost = 0
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            break
        except broken:  # from the decoder, a lost packet; from the demuxer, which then ends `packets`, a lost rest
            trouble = Complaint.UNREADABLE.error()
            lost += 1
            if lost > MOST_LOST:
                break
            continue
        for frame in frames:
            complaint = _complaint(frame.sample_rate, frame.layout.nb_channels)
            trouble = complaint or trouble
            if frame.samples and not complaint:
                heard = True
                lost = 0
                yield frame
    if trouble and not heard:
        raise trouble


def _samples(frame: Any) -> NDArray[Any]:
    """Return an FFmpeg frame as an array (samples, channels) of its own type.

    Not `frame.to_ndarray()`: with eight planes PyAV 18.1.0 runs on into the memory behind the list of planes.
    """
    channels = frame.layout.nb_channels
    dtype = FRAME_DTYPES[frame.format.name.removesuffix("p")]
    if not frame.format.is_planar:
        return np.frombuffer(frame.planes[0], dtype, count=frame.samples * channels).reshape(-1, channels)
    planes = frame.planes[:channels]
    return np.stack([np.frombuffer(plane, dtype, count=frame.samples) for plane in planes], axis=1)


def _gathered(arrays: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Join arrays, a codec's frames being some milliseconds, until `BLOCK_SAMPLES` are together."""
    held: list[NDArray[Any]] = []
    missing = BLOCK_SAMPLES
    for array in arrays:
        held.append(array)
        missing -= len(array)
        if missing <= 0:
            yield np.concatenate(held)
            held, missing = [], BLOCK_SAMPLES
    if held:
        yield np.concatenate(held)


def _complaint(rate: int, channels: int) -> UnusableAudio | None:
    """Say why audio of this form is not read, if it is not."""
    if rate not in RATES:
        return Complaint.RATE.error(rate)
    if channels not in CHANNELS:
        return Complaint.CHANNELS.error(channels)
    return None


def _mono(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples (frames, channels) of any type as the mean of their channels (frames,), in memory of its own."""
    samples = _finite(raw) if raw.dtype.kind == "f" else _scaled(raw)
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    total: NDArray[np.float32] = sum(samples.T[1:], samples[:, 0])  # 15 times as fast as mean(axis=1)
    return total / np.float32(channels)


def _scaled(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Return integer samples as floats of full scale 1."""
    half = np.float32(2.0 ** (8 * raw.itemsize - 1))
    scaled: NDArray[np.float32] = np.multiply(raw, 1 / half, dtype=np.float32)
    return scaled - 1 if raw.dtype.kind == "u" else scaled


def _finite(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Return float samples with 0 for what is no number, and the rest within `LOUDEST`."""
    if not np.abs(raw).max(initial=0) <= LOUDEST:  # also true of nan
        raw = np.clip(np.nan_to_num(raw, nan=0, posinf=0, neginf=0), -LOUDEST, LOUDEST)
    return raw.astype(np.float32)


def _resampled(blocks: Iterable[NDArray[np.float32]], rate: int) -> Iterator[NDArray[np.float32]]:
    """Resample a stream of mono blocks to 16 kHz."""
    resampler = Resampler(rate)
    for block in blocks:
        if len(resampled := resampler.feed(block)):
            yield resampled
    if len(rest := resampler.finish()):
        yield rest
