"""Decode media files with FFmpeg (PyAV): the track that players choose, as mono blocks, with silence for gaps.

FFmpeg gets bytes, one named demuxer, a list of audio decoders and no protocol. So it never guesses a format, never
opens anything that the bytes point to, and decodes no pictures.
"""

import io
from collections import deque
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.blocks import Block, regroup, silent_blocks
from src.audio.channels import downmix
from src.audio.ogg import ogg_links
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
"""The FFmpeg decoders for speech and music that people send; no other decoder may run."""

MAX_DAMAGED = 50_000
"""Damaged packets in a row after which decoding stops: each takes 11 us, and some files have nothing else. The shortest
packets of any codec last 2.5 ms; 50,000 of them are two minutes."""

FRAME_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""numpy's dtype for each of FFmpeg's packed sample formats."""

TIMED_DEMUXERS = {"asf", "avi", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg", "rm"}
"""Demuxers of formats with timestamps. In other formats, frames simply follow one another."""
RESTARTING_DEMUXERS = {"mpeg", "mpegts", "ogg"}
"""Demuxers of formats whose timestamps may restart (FFmpeg's AVFMT_TS_DISCONT)."""
CONFIRM_S = 6.0
"""A gap counts only if, in this much audio after it, no timestamp goes back to before it. After a damaged timestamp one
does: after its packet, or after its cluster of a few seconds."""

ADDITIONAL_DISPOSITIONS = ("comment", "descriptions", "hearing_impaired", "visual_impaired", "karaoke", "dependent")
"""FFmpeg's names for tracks that are for some listeners only."""


def ffmpeg_blocks(data: bytes, demuxer: str) -> Iterator[Block]:
    """Yield the audio of a media file as mono blocks; none if no track has samples.

    If a track turns out to have no samples, or none that can be decoded, the next track is tried. The links of an Ogg
    file follow one another, without those that cannot be decoded.

    Raises, while iterating:
        InvalidAudio: nothing in `data` can be decoded.
    """
    # FFmpeg's Ogg demuxer stops at a link whose codec, sample rate or channels differ from those of the first.
    links = ogg_links(data) if demuxer == "ogg" else [data]
    has_blocks = False
    first_error = None
    for link in links:
        try:
            for block in _link_blocks(link, demuxer):
                has_blocks = True
                yield block
        except UnusableAudio as error:
            first_error = first_error or error
    if first_error and not has_blocks:
        raise first_error


def _link_blocks(data: bytes, demuxer: str) -> Iterator[Block]:
    """Yield the audio of a file, or of one link of an Ogg file, as mono blocks.

    Raises, while iterating:
        InvalidAudio: nothing in `data` can be decoded.
    """
    tracks: list[int] | None = None
    first_error = None
    while tracks is None or tracks:
        with _open(data, demuxer) as container:
            if tracks is None:
                tracks = _track_indices(container)
            reader = _TrackReader(container, tracks, demuxer, _timeline(container, demuxer, data))
            try:
                yield from reader.blocks()
            except UnusableAudio as error:
                first_error = first_error or error
            if reader.has_samples:
                return
            tracks = [index for index in tracks[1:] if index in reader.tracks_with_packets]
    if first_error:
        raise first_error


def _av_errors() -> tuple[type[Exception], ...]:
    """Return the errors that PyAV raises on odd files: its own, and those of its callbacks, strings and allocations."""
    import av

    return av.FFmpegError, ValueError, LookupError, RuntimeError, ArithmeticError, MemoryError


def _open(data: bytes, demuxer: str) -> Any:
    """Open a file with FFmpeg and return PyAV's container.

    Raises:
        InvalidAudio: FFmpeg cannot read the file.
    """
    import av  # takes as long to import as numpy, and a service that gets only WAV and PCM never needs it

    options = {"codec_whitelist": DECODERS, "protocol_whitelist": ""}
    try:
        return av.open(io.BytesIO(data), format=demuxer, options=options, metadata_errors="replace")
    except _av_errors() as error:
        raise AudioRejection.UNREADABLE.error() from error


def _track_indices(container: Any) -> list[int]:
    """Return the indices of the audio tracks that have a decoder, the preferred one first.

    Raises:
        InvalidAudio: there is no audio track, or none with a decoder.
    """
    from av.stream import Disposition

    streams = container.streams.audio
    if not streams:
        raise AudioRejection.NO_TRACK.error()
    decoders = set(DECODERS.split(","))
    tracks = [
        Track(
            stream.index,
            stream.codec_context.channels,
            is_default=bool(stream.disposition & Disposition.default),
            is_additional=any(stream.disposition & Disposition[name] for name in ADDITIONAL_DISPOSITIONS),
        )
        for stream in streams
        if stream.codec_context is not None and stream.codec_context.name in decoders
    ]
    if not tracks:
        raise AudioRejection.UNKNOWN_FORMAT.error()
    return [track.index for track in by_preference(tracks)]


def _timeline(container: Any, demuxer: str, data: bytes) -> Timeline | None:
    """Return the timeline of a file; None if its format has no timestamps."""
    import av

    if demuxer not in TIMED_DEMUXERS:
        return None
    zero_s = end_s = None
    if container.start_time is not None:
        zero_s = container.start_time / av.time_base
        if container.duration:
            end_s = zero_s + container.duration / av.time_base
        if demuxer == "mov" and b"mvex" not in data:  # a fragment of a live recording may begin at any time
            zero_s = min(zero_s, 0.0)
    return Timeline(zero_s, end_s, may_restart=demuxer in RESTARTING_DEMUXERS)


class _FrameFormat(NamedTuple):
    """The format of a frame. It may change from one frame to the next, in joined or damaged files."""

    rate: int
    channels: int
    sample_format: str


class _Silence(NamedTuple):
    """A gap in the file, to be filled with silence."""

    seconds: float


class _TrackReader:
    """Reads one track of a file, in one pass.

    Args:
        container: PyAV's container of the file.
        tracks: the indices of the audio tracks; the first one is read.
        demuxer: the name of FFmpeg's demuxer.
        timeline: the file's timeline, if its format has timestamps.
    """

    def __init__(self, container: Any, tracks: list[int], demuxer: str, timeline: Timeline | None) -> None:
        self._container = container
        self._tracks = tracks
        self._timeline = timeline
        self._av_errors = _av_errors()
        # The times of pictures distinguish a gap from a restart.
        self._pictures = container.streams.video if demuxer in RESTARTING_DEMUXERS else ()
        self.has_samples = False
        """Whether a sample has been decoded."""
        self.tracks_with_packets: set[int] = set()
        """Indices of the tracks that have packets."""

    def blocks(self) -> Iterator[Block]:
        """Yield the track as mono blocks.

        Raises:
            InvalidAudio: there is audio, but none can be decoded.
        """
        for format, run in groupby(self._frames_and_gaps(), key=_format_of):
            if format is None:
                for silence in run:
                    yield from silent_blocks(SAMPLE_RATE, silence.seconds)
            else:
                for samples in downmix(regroup(map(_frame_samples, run)), format.rate):
                    yield Block(format.rate, samples)

    def _frames_and_gaps(self) -> Iterator[Any]:
        """Yield PyAV's frames, and a `_Silence` for each gap in the file."""
        timeline = self._timeline
        if timeline is None:
            yield from self._frames()
            return
        frames = _FrameQueue(self._frames())
        for frame in frames:
            time_s = frame.time
            if time_s is not None and (gap_s := timeline.gap_s(time_s)):
                if frames.has_time_before(time_s, CONFIRM_S):
                    time_s = None
                else:
                    timeline.add_silence(gap_s)
                    yield _Silence(gap_s)
            timeline.add_frame(time_s, frame.samples / frame.sample_rate)
            yield frame

    def _frames(self) -> Iterator[Any]:
        """Yield the frames that can be decoded, and skip damaged packets."""
        streams = [self._container.streams[index] for index in self._tracks]
        streams[0].codec_context.thread_count = 1  # a decode worker may start no thread
        packets = self._container.demux([*streams, *self._pictures])
        last_error: UnusableAudio | None = None
        damaged = 0  # packets in a row
        while True:
            try:
                frames = self._decode(next(packets))
            except StopIteration:
                break
            except self._av_errors:  # the decoder loses a packet; the demuxer loses the rest of the file, and ends
                last_error = AudioRejection.UNREADABLE.error()
                damaged += 1
                if damaged > MAX_DAMAGED:
                    break
                continue
            for frame in frames:
                error = format_error(frame.sample_rate, frame.layout.nb_channels)
                last_error = error or last_error
                if frame.samples and not error:
                    self.has_samples = True
                    damaged = 0
                    yield frame
        if last_error and not self.has_samples:
            raise last_error

    def _decode(self, packet: Any) -> Any:
        """Return the frames of a packet of the track that is read; for another track, only note its packet."""
        index = packet.stream.index
        if packet.size:
            self.tracks_with_packets.add(index)
        if index == self._tracks[0]:
            return packet.decode()
        if self._timeline and packet.pts is not None:
            self._timeline.note_other_track(float(packet.pts * packet.time_base))
        return ()


class _FrameQueue:
    """An iterator over frames that can look ahead."""

    def __init__(self, frames: Iterator[Any]) -> None:
        self._frames = frames
        self._ahead: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        while (frame := self._ahead.popleft() if self._ahead else next(self._frames, None)) is not None:
            yield frame

    def has_time_before(self, time_s: float, seconds: float) -> bool:
        """Return whether a frame in the next `seconds` of audio has a time more than `RESTART_S` before `time_s`."""
        ahead_s = 0.0
        at = 0
        while ahead_s < seconds:
            if at == len(self._ahead):
                frame = next(self._frames, None)
                if frame is None:
                    break
                self._ahead.append(frame)
            frame = self._ahead[at]
            if frame.time is not None and frame.time < time_s - RESTART_S:
                return True
            ahead_s += frame.samples / frame.sample_rate
            at += 1
        return False


def _format_of(item: Any) -> _FrameFormat | None:
    """Return a frame's format; None for silence."""
    if isinstance(item, _Silence):
        return None
    return _FrameFormat(item.sample_rate, item.layout.nb_channels, item.format.name)


def _frame_samples(frame: Any) -> NDArray[Any]:
    """Return PyAV's frame as an array (samples, channels) of its own dtype.

    `frame.to_ndarray()` is not safe: with eight planes, PyAV 18.1.0 reads beyond the list of planes.
    """
    channels = frame.layout.nb_channels
    dtype = FRAME_DTYPES[frame.format.name.removesuffix("p")]
    if not frame.format.is_planar:
        return np.frombuffer(frame.planes[0], dtype, count=frame.samples * channels).reshape(-1, channels)
    planes = frame.planes[:channels]
    return np.stack([np.frombuffer(plane, dtype, count=frame.samples) for plane in planes], axis=1)
