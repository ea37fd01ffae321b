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
from src.api.segment_events import TimedWord, speaker_segment, timed_segment, timed_word
from src.api.speakers import diarized
from src.engine.frames import FRAME_SECONDS
from src.errors import ServiceError
from src.text.language_identifier import Identify, as_asked
from src.text.languages import language_name
from src.text.segment_stream import SegmentStream
from src.text.segments import Segment, segments_of
from src.text.speaker_turns import Labeller, by_speaker
from src.text.subtitles import Cue, cues_of, srt, vtt
from src.text.transcript import Token, Transcript
from src.wire.heard_language import HeardLanguage
from src.wire.logprobs import TokenLogprob, finite_logprob, logprobs_of
from src.wire.usage import DurationUsage, duration_usage

HEARD = "The language of the text, if the model knows several; none if there is no text."


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
    languages: list[HeardLanguage] = Field(default=[], description=HEARD)
    usage: DurationUsage


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
    speaker: str = Field(default="", description="Only with `diarize`.")


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


class TimedCue(BaseModel):
    """A subtitle as the formats `srt` and `vtt` have it."""

    start: FiniteFloat = Field(description="Seconds from the start of the audio.")
    end: FiniteFloat
    text: str = Field(description="One or two lines. WebVTT needs `&`, `<` and `>` escaped.")
    speaker: str = Field(default="", description="Only with `diarize`.")


class TextDone(BaseModel):
    """The last event of a stream. With times it has what `verbose_json` has, and the subtitles."""

    type: Literal["transcript.text.done"]
    text: str
    logprobs: list[TokenLogprob] = Field(default=[], description="Only with `include[]=logprobs`.")
    languages: list[HeardLanguage] = Field(default=[], description=HEARD)
    usage: TokenUsage
    language: str = Field(default="", description="As in `verbose_json`, like the next three.")
    duration: FiniteFloat = 0.0
    segments: list[TimedSegment] = []
    words: list[TimedWord] = []
    cues: list[TimedCue] = []


class StreamError(BaseModel):
    """The last event of a stream that failed."""

    type: Literal["error"]
    error: ErrorDetail


def render(
    transcript: Transcript,
    options: Options,
    *,
    duration_s: float,
    identify: Identify = as_asked,
    label: Labeller | None = None,
) -> Response:
    """Return a transcript of `duration_s` seconds of audio as an answer in the format of `options`.

    `identify` tells the language of the text, in the formats that have it. `label` says who speaks; None if that is not
    asked.
    """
    match options.response_format:
        case "text":
            return Response(f"{transcript.text}\n", media_type="text/plain")
        case "json":
            return _json(plain(transcript, options, duration_s, identify))
        case "diarized_json":
            return _json(diarized(transcript, duration_s, label))
    segments = by_speaker(segments_of(transcript, duration_s), label)
    match options.response_format:
        case "srt":
            return Response(srt(cues_of(segments, duration_s)), media_type="text/plain")
        case "vtt":
            return Response(vtt(cues_of(segments, duration_s)), media_type="text/vtt")
        case _:
            return _json(verbose(transcript.text, segments, options, duration_s, identify))


def is_quick(options: Options) -> bool:
    """Return whether `render` only copies the text. That takes 7 us; words take 20 us for each token.

    Telling the language takes 0.3 ms at most (`src.text.language_identifier`), no more than a thread would take.
    """
    return options.response_format in ("json", "text") and not options.logprobs


def plain(transcript: Transcript, options: Options, duration_s: float, identify: Identify = as_asked) -> Transcription:
    """Return the body of the format `json`."""
    extra: dict[str, Any] = {"logprobs": logprobs_of(transcript.tokens)} if options.logprobs else {}
    extra |= _heard(transcript.text, options, identify)
    return Transcription(text=transcript.text, usage=duration_usage(duration_s), **extra)


def verbose(
    text: str, segments: Sequence[Segment], options: Options, duration_s: float, identify: Identify = as_asked
) -> VerboseTranscription:
    """Return the body of the format `verbose_json`."""
    return VerboseTranscription(
        task="transcribe",
        text=text,
        usage=duration_usage(duration_s),
        language=_language_name(text, options, identify),
        **_timed(segments, options, duration_s),
    )


class EventStream:
    """The server-sent events of one streamed transcription: `data:` lines, each followed by a blank line.

    Args:
        options: what the client asks for.
        identify: tells the language of the text.
        label: says who speaks the next words; None if that is not asked.
    """

    def __init__(self, options: Options, identify: Identify = as_asked, label: Labeller | None = None) -> None:
        self._options = options
        self._identify = identify
        self._label = label
        self._text: list[str] = []
        self._tokens: list[Token] = []
        self._segment_stream = SegmentStream()
        self._segments: list[Segment] = []

    @property
    def is_quick(self) -> bool:
        """Whether the events only copy the text: words and log probabilities take 20 us for each token."""
        return not (self._options.logprobs or self._options.has_segments)

    def delta(self, text: str, tokens: Sequence[Token]) -> bytes:
        """Return the event for the next part of the text, which begins with its space, and keep the part for `done`.

        Segments that are final with this part follow it, if times or speakers are asked for.
        """
        self._text.append(text)
        self._tokens.extend(tokens)
        delta = sse(TextDelta(type="transcript.text.delta", delta=text, **self._logprobs(tokens)))
        if not self._options.has_segments:
            return delta
        return delta + self._segment_events(self._segment_stream.add(text, tokens))

    def done(self, duration_s: float) -> bytes:
        """Return the last event, with the whole text of `duration_s` seconds of audio, after the last segments."""
        last = b""
        text = "".join(self._text)
        times: dict[str, Any] = _heard(text, self._options, self._identify)
        if self._options.has_segments:
            last = self._segment_events(self._segment_stream.finish(duration_s))
        if self._options.times:
            times |= _timed(self._segments, self._options, duration_s)
            times["language"] = _language_name(text, self._options, self._identify)
            times["cues"] = [_cue(cue) for cue in cues_of(self._segments, duration_s)]
        return last + sse(
            TextDone(
                type="transcript.text.done",
                text=text,
                usage=_token_usage(duration_s, len(self._tokens)),
                **self._logprobs(self._tokens),
                **times,
            )
        )

    def _segment_events(self, segments: Sequence[Segment]) -> bytes:
        """Return the events for the next segments, and keep these for `done`."""
        event = speaker_segment if self._options.is_diarized_json else timed_segment
        segments = by_speaker(segments, self._label)
        first = len(self._segments)
        self._segments.extend(segments)
        return b"".join(sse(event(number, segment)) for number, segment in enumerate(segments, start=first))

    @staticmethod
    def error(error: ServiceError) -> bytes:
        """Return the event for an error during the stream. SDKs raise it and stop reading."""
        return sse(StreamError.model_validate({"type": "error", **error.body}))

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any]:
        return {"logprobs": logprobs_of(tokens)} if self._options.logprobs else {}


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


def _timed(segments: Sequence[Segment], options: Options, duration_s: float) -> dict[str, Any]:
    """Return the keys of `verbose_json` that are about times; the segments and words only if `options` want them."""
    timed: dict[str, Any] = {"duration": round(duration_s, 6)}
    if options.segments:
        timed["segments"] = [_segment(number, segment) for number, segment in enumerate(segments)]
    if options.words:
        timed["words"] = [timed_word(word, segment.speaker) for segment in segments for word in segment.words]
    return timed


def _heard(text: str, options: Options, identify: Identify) -> dict[str, Any]:
    """Return the key `languages` of an answer; none if the model knows but one language."""
    if not options.languages:
        return {}
    languages = [identify(text, options.languages, options.language)] if text else []
    return {"languages": [HeardLanguage(code=code) for code in languages]}


def _language_name(text: str, options: Options, identify: Identify) -> str:
    return language_name(identify(text, options.languages, options.language))


def _cue(cue: Cue) -> TimedCue:
    return TimedCue(start=cue.start_ms / 1000, end=cue.end_ms / 1000, text=cue.text, **_told(cue.speaker))


def _told(speaker: str) -> dict[str, str]:
    return {"speaker": speaker} if speaker else {}


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
        **_told(segment.speaker),
    )


def _compression_ratio(text: str) -> float:
    """Return Whisper's measure of repetition (openai/whisper, `whisper.utils.compression_ratio`)."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 6)
