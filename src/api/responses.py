"""The answers to a transcription request: a body for each `response_format`, and the events of a stream.

Their shapes are OpenAI's (platform.openai.com, "Create transcription" and its OpenAPI file of 2026-08). The strictest
clients discard an answer that lacks one key. No number is ever null, NaN or infinite.
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
    """The input tokens by kind."""

    text_tokens: int
    audio_tokens: int


class TokenUsage(BaseModel):
    """Usage by tokens, the only kind in OpenAI's streams."""

    type: Literal["tokens"]
    input_tokens: int = Field(description="Frames of 80 ms in the audio, rounded up.")
    input_token_details: AudioTokenDetails
    output_tokens: int = Field(description="Tokens of the text.")
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
    """A sentence, or speech between two pauses. Its keys are Whisper's; those without a meaning here are zero."""

    id: int = Field(description="Counted from 0.")
    seek: int
    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat
    text: str = Field(description="Begins with a space, as Whisper's does: joined, the segments are the text.")
    tokens: list[int] = Field(description="Indices in the vocabulary of the model.")
    temperature: FiniteFloat
    avg_logprob: FiniteFloat = Field(description="Mean log probability of the tokens.")
    compression_ratio: FiniteFloat = Field(description="Size of the text over its size when compressed by zlib.")
    no_speech_prob: FiniteFloat


class VerboseTranscription(BaseModel):
    """The answer in the format `verbose_json`."""

    task: Literal["transcribe"]
    language: str = Field(description="Its English name in lower case.", examples=["english"])
    duration: FiniteFloat = Field(description="Length of the audio in seconds.")
    text: str
    segments: list[TimedSegment] = Field(default=[], description="Unless only `word` is requested.")
    words: list[TimedWord] = Field(default=[], description="Only with `timestamp_granularities[]=word`.")
    usage: DurationUsage


class TextDelta(BaseModel):
    """The next part of the text of a stream. Joined, the deltas are the text."""

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
    """Return a transcript of `duration_s` seconds of audio as an answer in the format of `options`."""
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
    """Return whether `render` only copies the text. That takes 7 us; words take 20 us for each token."""
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
    """The server-sent events of one streamed transcription: `data:` lines, each followed by a blank line."""

    def __init__(self, options: Options) -> None:
        self._logprobs = options.logprobs
        self._text: list[str] = []
        self._tokens: list[Token] = []

    def delta(self, text: str, tokens: Sequence[Token]) -> bytes:
        """Return the event for the next part of the text, which begins with its space, and keep the part for `done`."""
        self._text.append(text)
        self._tokens.extend(tokens)
        return sse(TextDelta(type="transcript.text.delta", delta=text, **self._extra(tokens)))

    def done(self, duration_s: float) -> bytes:
        """Return the last event: the whole text of `duration_s` seconds of audio."""
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
        """Return the event for an error during the stream. SDKs raise it and stop reading."""
        return sse(StreamError.model_validate({"type": "error", **error.body}))

    def _extra(self, tokens: Sequence[Token]) -> dict[str, Any]:
        return {"logprobs": logprobs_of(tokens)} if self._logprobs else {}


def sse(event: BaseModel) -> bytes:
    """Return a server-sent event of one `data:` line (html.spec.whatwg.org, "Server-sent events")."""
    return b"data: " + _encoded(event) + b"\n\n"


def _json(body: BaseModel) -> Response:
    return Response(_encoded(body), media_type="application/json")


def _encoded(body: BaseModel) -> bytes:
    """Return compact JSON without unset fields."""
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
