"""Media files by FFmpeg (PyAV): the track that players take, as mono blocks, with silence where the file has a gap.

FFmpeg gets bytes, one named demuxer, a list of audio decoders and no protocol: it guesses nothing, opens nothing that
the bytes may point to, and decodes no picture.
"""

import io
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.blocks import BLOCK_SAMPLES, Block
from src.audio.channels import downmix
from src.audio.rejections import AudioRejection, format_error
from src.audio.samples import SAMPLE_RATE
from src.audio.timeline import RESTART_S, Timeline
from src.audio.tracks import Track, by_preference
from src.errors import UnusableAudio

DECODERS = (
    "aac,aac_latm,ac3,adpcm_g722,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,alac,amrnb,amrwb,atrac3,"
    "atrac3plus,cook,dca,dvaudio,eac3,evrc,flac,g722,g723_1,g726,g726le,g729,gsm,gsm_ms,ilbc,mp1,mp1float,mp2,mp2float,"
    "mp3,mp3float,nellymoser,opus,pcm_alaw,pcm_bluray,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,"
    "pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,"
    "pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_s8,pcm_s8_planar,pcm_u8,qcelp,qdm2,real_144,real_288,s302m,sipr,speex,"
    "truehd,truespeech,tta,vorbis,wavpack,wmalossless,wmapro,wmav1,wmav2,wmavoice"
)
"""FFmpeg's decoders of speech and music that people send; all its others stay shut."""

MAX_LOST = 50_000
"""Damaged packets on end, after which the rest is given up: each takes 11 us, and some files have nothing else. In the
shortest packets that codecs have, of 2.5 ms, these are two minutes."""

FRAME_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""numpy's types by FFmpeg's packed sample formats."""

TIMED = {"asf", "avi", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg", "rm"}
"""Demuxers of files that say when a frame is heard. Others give one frame after the other."""
RESTARTING = {"mpeg", "mpegts", "ogg"}
"""Demuxers of files whose times may begin anew (FFmpeg's AVFMT_TS_DISCONT)."""
CONFIRMED_S = 6.0
"""A gap is believed where no time in so much audio behind it goes back before it. Behind a damaged time one does: after
its packet, or after its cluster of some seconds."""


def ffmpeg_blocks(data: bytes, demuxer: str) -> Iterator[Block]:
    """Yield the audio of a media file as mono blocks; none where no track has a sample.

    A track that turns out to have none, or none that can be decoded, yields to the next one.

    Raises, while iterating:
        InvalidAudio: nothing in `data` can be decoded.
    """
    tracks: list[int] | None = None
    trouble = None
    while tracks is None or tracks:
        with _opened(data, demuxer) as container:
            if tracks is None:
                tracks = _tracks(container)
            reading = _Reading(container, tracks, demuxer, _timeline(container, demuxer, data))
            try:
                yield from reading.blocks()
            except UnusableAudio as error:
                trouble = trouble or error
            if reading.heard:
                return
            tracks = [index for index in tracks[1:] if index in reading.present]
    if trouble:
        raise trouble


def _broken() -> tuple[type[Exception], ...]:
    """Return what PyAV raises on odd files: its own errors, and what its callbacks, strings and allocations raise."""
    import av

    return av.FFmpegError, ValueError, LookupError, RuntimeError, ArithmeticError, MemoryError


def _opened(data: bytes, demuxer: str) -> Any:
    """Return FFmpeg's container for a file.

    Raises:
        InvalidAudio: there is nothing that can be read in it.
    """
    import av  # costs as much time as numpy, and a service of WAV and PCM never needs it

    options = {"codec_whitelist": DECODERS, "protocol_whitelist": ""}
    try:
        return av.open(io.BytesIO(data), format=demuxer, options=options, metadata_errors="replace")
    except _broken() as error:
        raise AudioRejection.UNREADABLE.error() from error


def _tracks(container: Any) -> list[int]:
    """Return the indices of the audio tracks that have a decoder, the one to hear first.

    Raises:
        InvalidAudio: there is none.
    """
    from av.stream import Disposition as Is

    additional = Is.comment | Is.descriptions | Is.hearing_impaired | Is.visual_impaired | Is.karaoke | Is.dependent
    streams = container.streams.audio
    if not streams:
        raise AudioRejection.NO_TRACK.error()
    decoders = set(DECODERS.split(","))
    tracks = [
        Track(
            stream.index,
            stream.codec_context.channels,
            is_default=bool(stream.disposition & Is.default),
            is_additional=bool(stream.disposition & additional),
        )
        for stream in streams
        if stream.codec_context is not None and stream.codec_context.name in decoders
    ]
    if not tracks:
        raise AudioRejection.UNKNOWN_FORMAT.error()
    return [track.index for track in by_preference(tracks)]


def _timeline(container: Any, demuxer: str, data: bytes) -> Timeline | None:
    """Return the timeline of a file that has one."""
    import av

    if demuxer not in TIMED:
        return None
    zero_s = end_s = None
    if container.start_time is not None:
        zero_s = container.start_time / av.time_base
        if container.duration:
            end_s = zero_s + container.duration / av.time_base
        if demuxer == "mov" and b"mvex" not in data:  # a piece of a live recording may begin at any time
            zero_s = min(zero_s, 0.0)
    return Timeline(zero_s, end_s, may_restart=demuxer in RESTARTING)


class _Form(NamedTuple):
    """What may change from one frame to the next, in joined or damaged files."""

    rate: int
    channels: int
    sample_format: str


class _Silence(NamedTuple):
    """A gap in the file."""

    seconds: float


class _Reading:
    """One pass over a file for one of its tracks.

    Args:
        container: FFmpeg's.
        tracks: the indices of audio tracks, that of the one to read first.
        demuxer: the name of FFmpeg's.
        timeline: of the file, if it has one.
    """

    def __init__(self, container: Any, tracks: list[int], demuxer: str, timeline: Timeline | None) -> None:
        self._container = container
        self._tracks = tracks
        self._timeline = timeline
        self._broken = _broken()
        self._pictures = container.streams.video if demuxer in RESTARTING else ()  # they tell a gap from a restart
        self.heard = False
        """Whether there was a sample."""
        self.present: set[int] = set()
        """Tracks of which there was a packet."""

    def blocks(self) -> Iterator[Block]:
        """Yield mono blocks.

        Raises:
            InvalidAudio: there is audio, but none can be decoded.
        """
        for form, run in groupby(self._placed(), key=_form):
            if form is None:
                for silence in run:
                    yield from _silent_blocks(silence.seconds)
            else:
                for samples in downmix(_gathered(map(_samples, run)), form.rate):
                    yield Block(form.rate, samples)

    def _placed(self) -> Iterator[Any]:
        """Yield frames, and `_Silence` where the file has a gap."""
        timeline = self._timeline
        if timeline is None:
            yield from self._frames()
            return
        frames = _LookedAhead(self._frames())
        for frame in frames:
            time_s = frame.time
            if time_s is not None and (gap_s := timeline.gap_s(time_s)):
                if frames.go_back_before(time_s, CONFIRMED_S):
                    time_s = None
                else:
                    timeline.silent(gap_s)
                    yield _Silence(gap_s)
            timeline.heard(time_s, frame.samples / frame.sample_rate)
            yield frame

    def _frames(self) -> Iterator[Any]:
        """Yield frames, leaving out what is damaged."""
        streams = [self._container.streams[index] for index in self._tracks]
        streams[0].codec_context.thread_count = 1  # a decode worker may start no thread
        packets = self._container.demux([*streams, *self._pictures])
        trouble: UnusableAudio | None = None
        lost = 0
        while True:
            try:
                frames = self._decoded(next(packets))
            except StopIteration:
                break
            except self._broken:  # from the decoder, a lost packet; from the demuxer, which then ends, a lost rest
                trouble = AudioRejection.UNREADABLE.error()
                lost += 1
                if lost > MAX_LOST:
                    break
                continue
            for frame in frames:
                wrong = format_error(frame.sample_rate, frame.layout.nb_channels)
                trouble = wrong or trouble
                if frame.samples and not wrong:
                    self.heard = True
                    lost = 0
                    yield frame
        if trouble and not self.heard:
            raise trouble

    def _decoded(self, packet: Any) -> Any:
        """Return the frames of a packet of the track that is read; of others, note that they are there."""
        index = packet.stream.index
        if packet.size:
            self.present.add(index)
        if index == self._tracks[0]:
            return packet.decode()
        if self._timeline and packet.pts is not None:
            self._timeline.saw(float(packet.pts * packet.time_base))
        return ()


class _LookedAhead:
    """Frames, those to come among them."""

    def __init__(self, frames: Iterator[Any]) -> None:
        self._frames = frames
        self._coming: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        while (frame := self._coming.popleft() if self._coming else next(self._frames, None)) is not None:
            yield frame

    def go_back_before(self, time_s: float, seconds: float) -> bool:
        """Return whether a time among the next so many seconds of audio is before another."""
        ahead_s = 0.0
        at = 0
        while ahead_s < seconds:
            if at == len(self._coming):
                frame = next(self._frames, None)
                if frame is None:
                    break
                self._coming.append(frame)
            frame = self._coming[at]
            if frame.time is not None and frame.time < time_s - RESTART_S:
                return True
            ahead_s += frame.samples / frame.sample_rate
            at += 1
        return False


def _form(item: Any) -> _Form | None:
    if isinstance(item, _Silence):
        return None
    return _Form(item.sample_rate, item.layout.nb_channels, item.format.name)


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
    """Join arrays, a codec's frames being some milliseconds, to blocks of `BLOCK_SAMPLES`; the last may be shorter."""
    held: list[NDArray[Any]] = []
    missing = BLOCK_SAMPLES
    for array in arrays:
        held.append(array)
        missing -= len(array)
        if missing <= 0:
            joined = np.concatenate(held)
            whole = len(joined) // BLOCK_SAMPLES * BLOCK_SAMPLES
            for start in range(0, whole, BLOCK_SAMPLES):
                yield joined[start : start + BLOCK_SAMPLES]
            held, missing = [joined[whole:]], BLOCK_SAMPLES - (len(joined) - whole)
    if missing < BLOCK_SAMPLES:
        yield np.concatenate(held)


def _silent_blocks(seconds: float) -> Iterator[Block]:
    count = round(seconds * SAMPLE_RATE)
    for start in range(0, count, BLOCK_SAMPLES):
        yield Block(SAMPLE_RATE, np.zeros(min(BLOCK_SAMPLES, count - start), np.float32))
