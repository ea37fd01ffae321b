"""The answers to a transcription: one body for each `response_format`, and the events of a stream.

Shapes are OpenAI's (platform.openai.com, "Create transcription" and its OpenAPI file of 2026-08). Clients check them to
different degrees, and the strictest drop an answer for one missing key. No number here is ever null, NaN or infinite.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, FiniteFloat
from starlette.responses import Response

from src.api.errors import ErrorDetail
from src.api.options import Options
from src.engine.frames import FRAME_SECONDS
from src.errors import ServiceError
from src.text.languages import LANGUAGES
from src.text.segments import Segment, segments_of
from src.text.subtitles import cues_of, srt, vtt
from src.text.transcript import Token, Transcript
from src.text.words import Word, words_of
from src.wire.logprobs import TokenLogprob, finite_logprob, logprobs_of
from src.wire.usage import DurationUsage, duration_usage


class AudioTokenDetails(BaseModel):
    """What the input tokens are."""

    text_tokens: int
    audio_tokens: int


class TokenUsage(BaseModel):
    """What a request is charged where tokens decide; the only kind that OpenAI's streams have."""

    type: Literal["tokens"]
    input_tokens: int = Field(description="Frames of 80 ms that the audio makes, the last one rounded up.")
    input_token_details: AudioTokenDetails
    output_tokens: int = Field(description="Pieces of words and punctuation marks in the text.")
    total_tokens: int


class Transcription(BaseModel):
    """The answer in the format `json`."""

    text: str
    logprobs: list[TokenLogprob] = Field(default=[], description="Only with `include[]=logprobs`.")
    usage: DurationUsage


class TimedWord(BaseModel):
    """A spoken word."""

    word: str = Field(description="Without the punctuation around it.")
    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat


class TimedSegment(BaseModel):
    """A sentence, or what is spoken between two pauses. The keys are Whisper's; what only Whisper has is zero."""

    id: int = Field(description="Counted from 0.")
    seek: int
    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat
    text: str = Field(description="With a space before it, as from Whisper: joined, the segments are the text.")
    tokens: list[int] = Field(description="Numbers in the vocabulary of the model.")
    temperature: FiniteFloat
    avg_logprob: FiniteFloat = Field(description="Mean log probability of the tokens.")
    compression_ratio: FiniteFloat = Field(description="Size of the text over its size after zlib.")
    no_speech_prob: FiniteFloat


class VerboseTranscription(BaseModel):
    """The answer in the format `verbose_json`."""

    task: Literal["transcribe"]
    language: str = Field(description="Its English name in lower case.", examples=["english"])
    duration: FiniteFloat = Field(description="Length of the audio in seconds.")
    text: str
    segments: list[TimedSegment] = Field(default=[], description="If asked for, or if no granularity was.")
    words: list[TimedWord] = Field(default=[], description="Only with `timestamp_granularities[]=word`.")
    usage: DurationUsage


class TextDelta(BaseModel):
    """The next stretch of the text of a stream; joined, they are the text."""

    type: Literal["transcript.text.delta"]
    delta: str
    logprobs: list[TokenLogprob] = Field(default=[], description="Only with `include[]=logprobs`.")


class TextDone(BaseModel):
    """The last event of a stream."""

    type: Literal["transcript.text.done"]
    text: str
    logprobs: list[TokenLogprob] = Field(default=[], description="Only with `include[]=logprobs`.")
    usage: TokenUsage


class StreamError(BaseModel):
    """The last event of a stream that failed."""

    type: Literal["error"]
    error: ErrorDetail


def render(transcript: Transcript, options: Options, *, duration_s: float) -> Response:
    """Return the answer to a request for `transcript` of audio of `duration_s`, in the format that `options` name."""
    match options.response_format:
        case "text":
            return Response(f"{transcript.text}\n", media_type="text/plain")
        case "srt":
            return Response(srt(cues_of(segments_of(transcript, duration_s), duration_s)), media_type="text/plain")
        case "vtt":
            return Response(vtt(cues_of(segments_of(transcript, duration_s), duration_s)), media_type="text/vtt")
        case "verbose_json":
            return _json(verbose(transcript, options, duration_s))
        case _:
            return _json(plain(transcript, options, duration_s))


def is_quick(options: Options) -> bool:
    """Whether `render` only copies the text: 7 us however long it is spoken, where words take 20 us for each token."""
    return options.response_format in ("json", "text") and not options.logprobs


def plain(transcript: Transcript, options: Options, duration_s: float) -> Transcription:
    """Return the body of the format `json`."""
    extra = {"logprobs": logprobs_of(transcript.tokens)} if options.logprobs else {}
    return Transcription(text=transcript.text, usage=duration_usage(duration_s), **extra)


def verbose(transcript: Transcript, options: Options, duration_s: float) -> VerboseTranscription:
    """Return the body of the format `verbose_json`."""
    extra: dict[str, Any] = {}
    if options.segments:
        segments = segments_of(transcript, duration_s)
        extra["segments"] = [_segment(number, segment) for number, segment in enumerate(segments)]
    if options.words:
        extra["words"] = [_word(word) for word in words_of(transcript, duration_s)]
    return VerboseTranscription(
        task="transcribe",
        language=LANGUAGES[options.language],
        duration=round(duration_s, 6),
        text=transcript.text,
        usage=duration_usage(duration_s),
        **extra,
    )


class EventStream:
    """The events of one streamed transcription, as server-sent events: `data:` lines, a blank line after each."""

    def __init__(self, options: Options) -> None:
        self._logprobs = options.logprobs
        self._text: list[str] = []
        self._tokens: list[Token] = []

    def delta(self, text: str, tokens: Sequence[Token]) -> bytes:
        """Return the event for the next stretch of text, the space before it included, and note it for the end."""
        self._text.append(text)
        self._tokens.extend(tokens)
        return sse(TextDelta(type="transcript.text.delta", delta=text, **self._extra(tokens)))

    def done(self, duration_s: float) -> bytes:
        """Return the last event: the whole text, which is that of the deltas, for audio of `duration_s`."""
        return sse(
            TextDone(
                type="transcript.text.done",
                text="".join(self._text),
                usage=_token_usage(duration_s, len(self._tokens)),
                **self._extra(self._tokens),
            )
        )

    @staticmethod
    def error(error: ServiceError) -> bytes:
        """Return the event for an error after the first byte of the answer; SDKs raise it and read no further."""
        return sse(StreamError.model_validate({"type": "error", **error.body}))

    def _extra(self, tokens: Sequence[Token]) -> dict[str, Any]:
        return {"logprobs": logprobs_of(tokens)} if self._logprobs else {}


def sse(event: BaseModel) -> bytes:
    """Return a server-sent event of one `data:` line (html.spec.whatwg.org, "Server-sent events")."""
    return b"data: " + _encoded(event) + b"\n\n"


def _json(body: BaseModel) -> Response:
    return Response(_encoded(body), media_type="application/json")


def _encoded(body: BaseModel) -> bytes:
    """Return compact JSON without the fields that were not asked for."""
    return body.model_dump_json(exclude_unset=True).encode()


def _token_usage(duration_s: float, output_tokens: int) -> TokenUsage:
    frames = math.ceil(round(duration_s / FRAME_SECONDS, 6))
    return TokenUsage(
        type="tokens",
        input_tokens=frames,
        input_token_details=AudioTokenDetails(text_tokens=0, audio_tokens=frames),
        output_tokens=output_tokens,
        total_tokens=frames + output_tokens,
    )


def _word(word: Word) -> TimedWord:
    return TimedWord(word=word.text, start=word.start_s, end=word.end_s)


def _segment(number: int, segment: Segment) -> TimedSegment:
    return TimedSegment(
        id=number,
        seek=0,
        start=segment.start_s,
        end=segment.end_s,
        text=f" {segment.text}",
        tokens=list(segment.tokens),
        temperature=0.0,
        avg_logprob=finite_logprob(segment.avg_logprob),
        compression_ratio=_compression_ratio(segment.text),
        no_speech_prob=0.0,
    )


def _compression_ratio(text: str) -> float:
    """Return Whisper's measure of repetition (openai/whisper, `whisper.utils.compression_ratio`)."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 6)
