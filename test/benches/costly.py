"""The most expensive requests: inputs and answers at the limits of the service's settings.

A new one is a line in `COSTLY`. Bodies are made on demand, because some are large.
"""

import base64
import json
import string
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice, product

import client
import numpy as np
from media import SAMPLE_RATE, clip, pcm16, resampled, wav
from websockets.frames import Frame, Opcode

from src.api.request import MAX_REFERENCE_CHARACTERS
from src.audio.decode import MAX_SHORT_S

MB = 1024 * 1024
REFERENCE = MAX_REFERENCE_CHARACTERS - 100
"""Characters of a known speaker's recording, without the start of its data URL."""
FIELDS = 200
"""Maximum number of fields in a form, of 1 MB each (`src.api.request`)."""
ITEMS = 10_000
"""Maximum number of items in a list (`src.wire.json_limits`)."""
VALUES = 5 * ITEMS
"""Maximum number of values in a JSON document."""
FRAMES = 200_000
APPEND_BYTES = 15 * MB
"""Audio in one `input_audio_buffer.append`."""
MARKS = "a" + "\u0301\u0323" * (32 * 1024 - 1)
"""The longest field of one letter with marks on it, which Unicode sorts."""
FILE_BYTES = 40 * MB
RATE = 8000


@dataclass(frozen=True)
class Post:
    """A request over HTTP."""

    body: bytes
    content_type: str
    query: str = ""
    path: str = client.ROUTE


@dataclass(frozen=True)
class Talk:
    """A realtime session: its messages, and the type and number of the events that end it.

    Before the messages it sends `frames`, WebSocket frames that are masked already.
    """

    messages: Sequence[str]
    until: str
    times: int = 1
    frames: bytes = b""


@dataclass(frozen=True)
class Costly:
    """A named request. `make` makes it for audio of the given seconds."""

    name: str
    make: Callable[[float], Post | Talk]


@lru_cache(maxsize=1)
def speech(seconds: float) -> bytes:
    """Return a WAV file of speech, 8 kHz mu-law, the longest audio per byte."""
    return wav(np.resize(resampled(clip("long-30s"), RATE), round(seconds * RATE)), RATE, subtype="ULAW")


def form(audio: bytes, fields: Iterable[tuple[str, str]]) -> Post:
    """Return a multipart form with an audio file and fields."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="'
    parts = [f'{head}{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields]
    parts.append(f'{head}file"; filename="speech.wav"\r\n\r\n'.encode() + audio + f"\r\n--{boundary}--\r\n".encode())
    return Post(b"".join(parts), f"multipart/form-data; boundary={boundary}")


def hours(seconds: float, **fields: str) -> Post:
    """Return a form with as much audio as is allowed."""
    return form(speech(seconds), ((name.replace("__", "[]"), value) for name, value in fields.items()))


def short(fields: Callable[[], Iterable[tuple[str, str]]], _: float) -> Post:
    """Return a form with a second of audio."""
    return form(speech(1.0), fields())


def known_speakers(reference: Callable[[], str], _: float) -> Post:
    """Return a form with as many known speakers as are allowed, who all have the same recording."""
    names = [("known_speaker_names[]", name) for name in "abcd"]
    references = [("known_speaker_references[]", reference())] * len(names)
    return form(speech(1.0), [("response_format", "diarized_json"), *names, *references])


def at_once(_: float) -> Post:
    """Return the longest audio that is decoded on the event loop."""
    return Post(pcm16(np.resize(clip("long-30s"), round(MAX_SHORT_S * SAMPLE_RATE))), client.PCM_TYPE)


def phrases() -> Iterator[str]:
    """Yield different phrases of 100 characters."""
    for letters in product(string.ascii_lowercase, repeat=3):
        yield ("".join(letters) + " ") * 25


def many(name: str, value: str) -> list[tuple[str, str]]:
    """Return nearly as many fields as a form may have."""
    return [(name, value)] * (FIELDS - 2)


def empty_chunks(_: float) -> Post:
    """Return a plain WAV file with millions of empty tag chunks in front of its audio."""
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", FILE_BYTES - 8, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return form(head + b"LIST\0\0\0\0" * ((FILE_BYTES - len(head)) // 8), ())


def filled(pattern: bytes, _: float) -> Post:
    """Return a raw body of one repeated pattern without a content type, so that its format is guessed."""
    return Post((pattern * (FILE_BYTES // len(pattern))), "application/octet-stream")


def nested(_: float) -> Post:
    """Return WAV headers within one another."""
    return filled(b"RIFF\xff\xff\xff\x7fWAVELIST\xff\xff\xff\x7f", 0)


def multipart(pattern: bytes, _: float) -> Post:
    """Return an unterminated form with one file of one repeated pattern."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return Post(head + pattern * (FILE_BYTES // len(pattern)), "multipart/form-data; boundary=b")


def json_lines(seconds: float) -> Post:
    """Return a JSON body with as much audio as is allowed, in MIME lines and escaped as PHP does."""
    body = json.dumps({"input_audio": {"data": base64.encodebytes(speech(seconds)).decode()}}).replace("/", "\\/")
    return Post(body.encode(), "application/json")


def json_blank(_: float) -> Post:
    """Return a JSON body of white space."""
    return Post(b" " * FILE_BYTES + b'{"input_audio": {"data": "QUJD"}}', "application/json")


def json_values(_: float) -> Post:
    """Return a JSON body with a second of audio and the maximum number of values."""
    body = {"input_audio": {"data": base64.b64encode(speech(1.0)).decode()}, "keywords": ["a"] * (VALUES - 100)}
    return Post(json.dumps(body).encode(), "application/json")


def json_audio(seconds: float) -> Post:
    """Return a JSON body with as much audio as is allowed."""
    body = {"input_audio": {"data": base64.b64encode(speech(seconds)).decode()}, "response_format": "text"}
    return Post(json.dumps(body).encode(), "application/json")


def talk(session: Mapping[str, object], seconds: float) -> Talk:
    """Return a session that commits one item of `seconds`."""
    settings = {"audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None} | dict(session)}}
    messages = [_event("session.update", session={"type": "transcription"} | settings | _included(session))]
    audio = np.resize(np.frombuffer(speech(30.0)[-30 * RATE :], np.uint8), round(seconds * RATE)).tobytes()
    for at in range(0, len(audio), APPEND_BYTES):
        messages.append(_append(audio[at : at + APPEND_BYTES]))
    messages.append(_event("input_audio_buffer.commit"))
    return Talk(messages, "conversation.item.input_audio_transcription.completed")


def _included(session: Mapping[str, object]) -> dict[str, object]:
    return {"include": ["item.input_audio_transcription.logprobs"]} if "transcription" in session else {}


def updates(transcription: Callable[[], dict[str, object]], times: int, _: float) -> Talk:
    """Return a session that is updated `times` times."""
    message = _event("session.update", session={"audio": {"input": {"transcription": transcription()}}})
    return Talk([message] * times, "session.updated", times)


def nonsense(text: str, _: float) -> Talk:
    """Return a session with one message that is an error."""
    return Talk([text], "error")


def empty_frames(opcode: Opcode, _: float) -> Talk:
    """Return a session that sends empty pings or pongs without a break, and then an event."""
    frame = Frame(opcode, b"").serialize(mask=True)
    return Talk([_event("input_audio_buffer.clear")], "input_audio_buffer.cleared", frames=frame * FRAMES)


def empty_fragments(_: float) -> Talk:
    """Return a session with one message, which is no event, in empty fragments."""
    first, other = (Frame(each, b"", fin=False).serialize(mask=True) for each in (Opcode.TEXT, Opcode.CONT))
    last = Frame(Opcode.CONT, b"").serialize(mask=True)
    return Talk([], "error", frames=first + other * FRAMES + last)


def _event(kind: str, **keys: object) -> str:
    return json.dumps({"type": kind, **keys})


def _append(audio: bytes) -> str:
    return _event("input_audio_buffer.append", audio=base64.b64encode(audio).decode())


TIMED = {"transcription": {"model": "whisper-1", "timestamp_granularities": ["word", "segment"]}}

LIVE = Costly("hours in one item, with words and logprobs", partial(talk, TIMED))

COSTLY = (
    Costly("nothing to speak of", partial(short, list)),
    Costly("audio that is decoded at once", at_once),
    # Answers.
    Costly("hours as json", partial(hours, response_format="json")),
    Costly("hours as json with logprobs", partial(hours, response_format="json", include__="logprobs")),
    Costly("hours as srt", partial(hours, response_format="srt")),
    Costly(
        "hours as verbose_json with words",
        partial(hours, response_format="verbose_json", timestamp_granularities__="word,segment"),
    ),
    Costly("hours as a stream with logprobs", partial(hours, stream="true", include__="logprobs")),
    # Fields.
    Costly("prompt of 1 MB, words", partial(short, lambda: [("prompt", "ab " * (MB // 3))])),
    Costly("prompt of 1 MB, commas", partial(short, lambda: [("prompt", "," * MB)])),
    Costly("prompt of 1 MB, items", partial(short, lambda: [("prompt", "a,".ljust(MB // 500) * 500)])),
    Costly("prompt of 1 MB, spaces", partial(short, lambda: [("prompt", "a, " + " " * (MB - 9) + "b c")])),
    Costly("prompt of marks on one letter", partial(short, lambda: [("prompt", MARKS)])),
    Costly("prompt of 100 phrases", partial(short, lambda: [("prompt", ", ".join(islice(phrases(), 100)))])),
    Costly(
        "keywords of 100 phrases", partial(short, lambda: [("keywords[]", phrase) for phrase in islice(phrases(), 100)])
    ),
    Costly("10,000 keywords in a field", partial(short, lambda: [("keywords", ",".join(["a"] * ITEMS))])),
    Costly("10,000 keywords as JSON", partial(short, lambda: [("keywords", json.dumps(["a"] * ITEMS))])),
    Costly("JSON lists of 1 MB in all fields", partial(short, lambda: many("keywords", '["' + "a" * (MB - 10) + '"]'))),
    Costly("JSON lists without an end in all fields", partial(short, lambda: many("keywords", "[" * (MB - 10)))),
    Costly(
        "JSON lists of numbers in all fields",
        partial(short, lambda: many("keywords", "[" + " " * (MB - 200) + ",".join(["1"] * (ITEMS // FIELDS)) + "]")),
    ),
    Costly("1 MB in all fields", partial(short, lambda: many("keywords", "a" * MB))),
    Costly("1 MB of spaces in all fields", partial(short, lambda: many("keywords", " " * MB))),
    Costly(
        "1 MB in every known field",
        partial(
            short,
            lambda: [
                (name, " " * (MB - 1))
                for name in ("language", "temperature", "stream", "response_format", "model", "include")
            ],
        ),
    ),
    Costly(
        "nested JSON of 1 MB as chunking_strategy", partial(short, lambda: [("chunking_strategy", '{"a":' * (MB // 5))])
    ),
    Costly(
        "JSON numbers of 1 MB as chunking_strategy",
        partial(short, lambda: [("chunking_strategy", '{"threshold":' + "1" * (MB - 100) + "}")]),
    ),
    Costly("languages that nobody speaks", partial(short, lambda: [("languages", "x," * (32 * 1024 - 1))])),
    Costly(
        "lists of millions of lists as speakers",
        partial(known_speakers, lambda: "[" + "[]," * (REFERENCE // 3) + "[]]"),
    ),
    Costly(
        "speakers that are all escapes", partial(known_speakers, lambda: "data:audio/wav," + "%41" * (REFERENCE // 3))
    ),
    Costly("50,000 values of JSON", json_values),
    Costly("hours as JSON", json_audio),
    Costly("hours as JSON, in lines", json_lines),
    Costly("JSON of white space", json_blank),
    # Forms.
    Costly(
        "form of millions of parts", partial(multipart, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n')
    ),
    Costly("form of near boundaries", partial(multipart, b"\r\n--a")),
    Costly("form of false boundaries", partial(multipart, b"\r\n--b.")),
    Costly("form of line ends", partial(multipart, b"\r\n")),
    Costly("form of headers", partial(multipart, b"--b\r\n" + b"a: b\r\n" * 9_000)),
    # Files.
    Costly("WAV of empty chunks", empty_chunks),
    Costly("WAV in WAV in WAV", nested),
    Costly("MP3 headers", partial(filled, b"\xff\xfb\x90\x64")),
    Costly("MP3 headers that chain but for the last", partial(filled, b"\xff\xfb\x10")),
    Costly("AAC headers", partial(filled, b"\xff\xf1\x00\x00\x01\x20")),
    Costly("ID3 tag of 256 MB", partial(filled, b"ID3\x04\0\0\x7f\x7f\x7f\x7f")),
    Costly("empty MP4 boxes", partial(filled, b"\0\0\0\x08free")),
    # Realtime.
    LIVE,
    Costly("200,000 pings", partial(empty_frames, Opcode.PING)),
    Costly("200,000 pongs", partial(empty_frames, Opcode.PONG)),
    Costly("a message in 200,000 fragments", empty_fragments),
    Costly("prompt of 64 kB, 50 times", partial(updates, lambda: {"model": "whisper-1", "prompt": "ab " * 21_000}, 50)),
    Costly(
        "10,000 keywords, 20 times", partial(updates, lambda: {"model": "whisper-1", "keywords": ["a"] * ITEMS}, 20)
    ),
    Costly(
        "keyword of a million marks",
        partial(
            nonsense,
            _event("session.update", session={"audio": {"input": {"transcription": {"keywords": [MARKS * 16]}}}}),
        ),
    ),
    Costly("50,000 values in an event", partial(nonsense, json.dumps({"type": "?", "a": [1] * (VALUES - 10)}))),
    Costly("20 MB of brackets in an event", partial(nonsense, "[" * (20 * MB))),
    Costly("20 MB that is no base64", partial(nonsense, _event("input_audio_buffer.append", audio="~" * (20 * MB)))),
)
"""Each is accepted, or rejected with a sentence; none may block other clients."""
