"""The calls that the soak test repeats: a clip in one form over one transport, made once."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import client
import client_ws
import media
import poison

LONG = "long-60s"
CLIPS = (
    "piper-joe-1",
    "rhvoice-alan-2",
    "rhvoice-clb-1",
    "rhvoice-slt-1",
    "flite-rms-1",
    "flite-slt-2",
    "flite-awb-2",
    "pico-en-us-2",
    "pico-en-gb-1",
    "festival-cmu-us-slt-arctic-hts-1",
    "rhvoice-bdl-4",
    "fsdd-jackson-3",
)
"""Clips with different texts, so that the text of another clip is noticed."""
MIN_CLIPS = 4
"""Minimum number of clips for one of every kind of call."""
CONTAINERS = {"mp3": "libmp3lame", "m4a": "aac", "webm": "libopus"}
"""FFmpeg's muxer by file suffix; all but one have the same name."""
MUXERS = {"m4a": "ipod"}
FILE = argparse.Namespace(ws=False, raw=False, pcm=False)
RAW = argparse.Namespace(ws=False, raw=True, pcm=True)
FRAMES = argparse.Namespace(ws=True, realtime=False, raw=False, pcm=True)

POISON = "poison"


@dataclass(frozen=True)
class Dialect:
    """How a realtime session is opened and asked for its text, and the event and field that have it."""

    route: str
    opening: tuple[str, ...]
    asking: str
    last_event: str


SIMPLE = Dialect(client_ws.ROUTE, (), client_ws.CREATE, "response.completed")
OPENAI_RATE = 24_000
_INPUT = {"format": {"type": "audio/pcm", "rate": OPENAI_RATE}, "turn_detection": None}
OPENAI = Dialect(
    "/v1/realtime?intent=transcription",
    (json.dumps({"type": "session.update", "session": {"type": "transcription", "audio": {"input": _INPUT}}}),),
    json.dumps({"type": "input_audio_buffer.commit"}),
    "conversation.item.input_audio_transcription.completed",
)


@dataclass(frozen=True)
class Call:
    """One call: `upload` to `route` over HTTP, or its frames in a realtime session of a `dialect`."""

    kind: str
    clip: str
    upload: client.Upload
    route: str = client.ROUTE
    dialect: Dialect | None = None

    @property
    def name(self) -> str:
        """Its unique name."""
        return f"{self.kind} {self.clip}"


def new_calls(clips: Sequence[str], folder: Path) -> list[Call]:
    """Return all calls for at least `MIN_CLIPS` clips; encoded files are written to `folder`."""
    return [*_short_files(clips), *_encoded(clips, folder), *_long_files(), *_spoken(clips), *_broken(clips)]


def _short_files(clips: Sequence[str]) -> Iterator[Call]:
    for clip in clips:
        yield Call("json", clip, client.prepare(_path(clip), FILE))
        yield Call("raw PCM", clip, client.prepare(_path(clip), RAW))
    for clip in clips[::3]:
        verbose = f"{client.ROUTE}?response_format=verbose_json&timestamp_granularities[]=word"
        yield Call("verbose_json", clip, client.prepare(_path(clip), FILE), verbose)
        yield Call("stream", clip, client.prepare(_path(clip), FILE), f"{client.ROUTE}?stream=true")


def _encoded(clips: Sequence[str], folder: Path) -> Iterator[Call]:
    for number, (suffix, codec) in enumerate(CONTAINERS.items()):
        for clip in clips[number::MIN_CLIPS]:
            path = folder / f"{clip}.{suffix}"
            rate = 48_000 if codec == "libopus" else media.SAMPLE_RATE
            samples = media.resampled(media.clip(clip), rate)
            path.write_bytes(media.encode(samples, MUXERS.get(suffix, suffix), codec, rate))
            yield Call(suffix, clip, client.prepare(path, FILE))


def _long_files() -> Iterator[Call]:
    upload = client.prepare(_path(LONG), FILE)
    yield Call("long", LONG, upload)
    yield Call("long stream", LONG, upload, f"{client.ROUTE}?stream=true")


def _spoken(clips: Sequence[str]) -> Iterator[Call]:
    for clip in clips[::2]:
        yield Call("simple session", clip, client.prepare(_path(clip), FRAMES), dialect=SIMPLE)
        pcm16 = media.pcm16(media.resampled(media.clip(clip), OPENAI_RATE))
        frames = client_ws.frames(pcm16, client_ws.PIECE_S)
        audio_len_s = len(pcm16) / 2 / OPENAI_RATE
        yield Call("OpenAI session", clip, client.Upload(clip, audio_len_s, frames=frames), dialect=OPENAI)


def _broken(clips: Sequence[str]) -> Iterator[Call]:
    whole = media.encode(media.clip(clips[0]), "mp4", "aac")
    for name, content in poison.files(whole, _path(clips[1]).read_bytes()).items():
        yield Call(POISON, name, client.Upload(name, 0.0, content, "audio/mpeg"))


def _path(clip: str) -> Path:
    return client.CLIPS / f"{clip}.flac"


def of_kind(calls: Sequence[Call], *kinds: str) -> list[Call]:
    """Return the calls of the given kinds."""
    return [call for call in calls if call.kind in kinds]
