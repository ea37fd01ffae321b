"""The configuration of a session: the settings that clients may change, and their echo.

A change may have GA's nested shape, beta's flat one, or a mixture. Settings that it leaves out stay as they are. The
echo has the shape of the connection's dialect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from src.audio.pcm_stream import G711_RATE, AudioFormat, Encoding
from src.errors import InvalidRequest, UnsupportedLanguage
from src.realtime.turn_detection import TurnDetection
from src.text.keywords import parse_keywords
from src.text.languages import language_code, none_if_any, possible_languages
from src.text.unset import none_if_unset
from src.wire.json_limits import MAX_ITEMS
from src.wire.model_names import ServedModel, asks_for_speakers

SEMANTIC_WAITS_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}
"""The longest pause that OpenAI's `semantic_vad` allows, by eagerness ("Realtime API reference", turn_detection)."""

SENTENCE_PAUSES_MS = {"low": 1_600, "medium": 800, "auto": 800, "high": 600}
"""The pause that ends a turn whose text ends a sentence, by eagerness. See test/benches/sentence_bench.py."""

LIVE_MODELS = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""OpenAI's models without turn detection. Their clients commit."""

LOGPROBS = "item.input_audio_transcription.logprobs"
HYPOTHESIS = "item.input_audio_transcription.hypothesis"
"""What a client includes to get provisional words. OpenAI's API has nothing like it."""


MAX_ERROR_CHARS = 300
"""Characters of pydantic's error message that are sent; it may repeat the value."""


class WrongType(InvalidRequest):
    """A setting whose value has the wrong type."""

    code = "invalid_type"


NO_DETECTION = frozenset({"none", "null", "nil", "off", "disabled"})
"""Values that clients send for no turn detection, in place of null or as its `type`."""
MAX_PROMPT_CHARS = 65_536
"""Characters of a prompt that are kept; it is only a hint."""


def _truncated(prompt: object) -> object:
    return prompt[:MAX_PROMPT_CHARS] if isinstance(prompt, str) else prompt


def _without_unset(items: object) -> object:
    return [each for each in items if none_if_unset(each) is not None] if isinstance(items, list) else items


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class FormatSettings(_Settings):
    """An audio format, under GA's names. PCM without a rate keeps the session's rate."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Annotated[int, Field(ge=8_000, le=48_000)] | None = None


Name = Annotated[str, Field(max_length=256)]
FewItems = Field(max_length=100)
"""Limits a list. Echoes are kept short: they are encoded on the event loop, and many clients read at most 1 MiB."""


class AudioTranscription(_Settings):
    """How to transcribe. Settings that this model does not use are only echoed."""

    model: Name | None = None
    language: Name | None = None
    languages: Annotated[list[Name], FewItems] | None = None
    prompt: Annotated[str, BeforeValidator(_truncated)] | None = None
    keywords: Annotated[list[str], Field(max_length=MAX_ITEMS)] | None = None
    delay: Name | None = None
    timestamp_granularities: (
        Annotated[list[Literal["word", "segment"]], FewItems, BeforeValidator(_without_unset)] | None
    ) = None


class ServerVad(_Settings):
    """Turn detection in which a pause ends a turn."""

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0, le=10_000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    idle_timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None

    @property
    def detection(self) -> TurnDetection:
        """The settings for the turn detector."""
        return TurnDetection(self.threshold, self.prefix_padding_ms, self.silence_duration_ms, self.idle_timeout_ms)


class SemanticVad(_Settings):
    """OpenAI's turn detection by meaning: a pause ends a turn, a much shorter one if the live text ends a sentence."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool | None = None
    interrupt_response: bool | None = None

    @property
    def detection(self) -> TurnDetection:
        """The settings for the turn detector."""
        return TurnDetection(
            silence_duration_ms=SEMANTIC_WAITS_MS[self.eagerness], sentence_pause_ms=SENTENCE_PAUSES_MS[self.eagerness]
        )


class NoiseReduction(_Settings):
    """Noise reduction, which is only echoed."""

    type: Name | None = None
    strength: float | None = None


Vad = ServerVad | SemanticVad
DEFAULT: Literal["default"] = "default"
"""Turn detection that the client has not mentioned, as opposed to null."""


class _Patch(_Settings):
    """The changes that a client requests, in one shape."""

    format: FormatSettings | None = None
    transcription: AudioTranscription | None = None
    turn_detection: Annotated[Vad, Field(discriminator="type")] | None = None
    noise_reduction: NoiseReduction | None = None
    include: Annotated[list[Name], FewItems] | None = None


@dataclass(frozen=True)
class SessionConfig:
    """The settings in force. `updated` returns changed ones."""

    format: AudioFormat
    pcm16_rate: int
    """Sample rate in Hz that beta's format `pcm16` stands for on this connection."""
    transcription: AudioTranscription
    turn_detection: Vad | Literal["default"] | None = DEFAULT
    noise_reduction: NoiseReduction | None = None
    include: tuple[str, ...] | None = None
    vad_by_default: bool = False
    """Whether turns are detected if the client has not mentioned turn detection."""

    @property
    def vad(self) -> Vad | None:
        """The turn detection in force."""
        if not isinstance(self.turn_detection, str):
            return self.turn_detection
        has_none = (self.transcription.model or "").startswith(LIVE_MODELS)
        return ServerVad() if self.vad_by_default and not has_none else None

    @property
    def detection(self) -> TurnDetection | None:
        """The settings for the turn detector; None if turns are not detected."""
        return self.vad.detection if self.vad else None

    @cached_property
    def keywords(self) -> tuple[str, ...]:
        """The keywords that the client asked for, in their list or in the prompt."""
        return parse_keywords(self.transcription.keywords or (), self.transcription.prompt)

    @property
    def logprobs(self) -> bool:
        """Whether the client asked for the log probabilities of tokens."""
        return LOGPROBS in (self.include or ())

    @property
    def hypothesis(self) -> bool:
        """Whether the client asked for provisional words."""
        return HYPOTHESIS in (self.include or ())

    @property
    def granularities(self) -> frozenset[str]:
        """The timed parts of an item that the client asked for: `word`, `segment`."""
        return frozenset(self.transcription.timestamp_granularities or ())

    @property
    def tells_speakers(self) -> bool:
        """Whether the client asked who speaks, as it does at OpenAI: by the name of the model."""
        return asks_for_speakers(self.transcription.model)

    def possible_languages(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the codes of the languages that may be heard, out of those that the model knows (`known`)."""
        asked = self.asked_language(known)
        possible = possible_languages(self.transcription.languages or (), known)
        return possible if asked is None else tuple(dict.fromkeys((asked, *possible)))

    def asked_language(self, known: Sequence[str]) -> str | None:
        """Return the code of the language that the client has named; None if it has named none out of `known`."""
        name = none_if_any(self.transcription.language)
        try:
            return None if name is None else language_code(name, known)
        except UnsupportedLanguage:
            return None

    def updated(self, patch: Mapping[str, Any], served: ServedModel, languages: Sequence[str]) -> "SessionConfig":
        """Return the configuration with a client's changes.

        Null, or a value that stands for it (see `none_if_unset`), resets a setting to its default; a format stays.
        Turn detection is on after the first change unless the client turns it off, as in OpenAI's sessions.

        Args:
            patch: the `session` object of the client's event.
            served: the model that is served.
            languages: codes of the languages that it knows.

        Raises:
            InvalidRequest: a setting has an invalid value; `param` names it.
            ModelNotFound, UnsupportedLanguage: the service does not have that model or language.
        """
        if unset_to_none(patch.get("type")) not in (None, "transcription", "realtime"):
            raise InvalidRequest("`session.type` must be transcription.", param="session.type")
        requested = _normalise(patch)
        valid = _validate({name: self._merged(name, each.value) for name, each in requested.items()}, requested)
        changes: dict[str, Any] = {name: getattr(valid, name) for name in valid.model_fields_set}
        if "format" in changes:
            changes["format"] = self._format(valid.format)
        if "transcription" in changes:
            changes["transcription"] = valid.transcription or AudioTranscription()
        if "include" in changes:
            changes["include"] = None if valid.include is None else tuple(valid.include)
        config = replace(self, **changes, vad_by_default=True)
        if "transcription" in changes:
            config._check_transcription(requested["transcription"], served, languages)
        return config

    def _merged(self, name: str, value: Any) -> Any:
        """Return a requested value in the shape of `_Patch`; an object is merged into the present settings."""
        match name:
            case "format":
                return self._merged_format(value)
            case "transcription":
                return _merge(self.transcription, value)
            case "turn_detection":
                return self._merged_detection(value)
        return value

    def _merged_format(self, value: Any) -> Any:
        if isinstance(value, str):
            return {"type": _FORMATS.get(value, value), "rate": self.pcm16_rate if value == "pcm16" else None}
        if isinstance(value, dict):
            return value | {"type": value.get("type") or self.format.encoding.value}
        return value

    def _merged_detection(self, value: Any) -> Any:
        """Return requested turn detection. Another type than the present one begins with its defaults."""
        if not isinstance(value, dict):
            return value
        present = self.vad or ServerVad()
        kind = value.get("type") or present.type
        return _merge(self.vad if kind == present.type else None, value | {"type": kind})

    def _format(self, requested: FormatSettings | None) -> AudioFormat:
        if requested is None:
            return self.format
        encoding = Encoding(requested.type)
        if encoding is not Encoding.PCM16:
            return AudioFormat(encoding, G711_RATE)
        now = self.format.rate if self.format.encoding is Encoding.PCM16 else self.pcm16_rate
        return AudioFormat(encoding, requested.rate or now)

    def _check_transcription(self, requested: "_Requested", served: ServedModel, languages: Sequence[str]) -> None:
        try:
            served.check((requested.value or {}).get("model"))  # the handshake has checked the connection's own
            language_code(self.transcription.language or None, languages)
            parse_keywords(self.transcription.keywords or (), self.transcription.prompt)
        except InvalidRequest as error:
            raise error.within(requested.path) from None

    def ga(self) -> dict[str, Any]:
        """Return the configuration in GA's shape."""
        kind = {"type": self.format.encoding.value}
        has_rate = self.format.encoding is Encoding.PCM16
        return {
            "audio": {
                "input": {
                    "format": kind | {"rate": self.format.rate} if has_rate else kind,
                    "transcription": self._transcription(),
                    "noise_reduction": self._noise_reduction(),
                    "turn_detection": self._turn_detection(),
                }
            },
            "include": None if self.include is None else list(self.include),
        }

    def beta(self) -> dict[str, Any]:
        """Return the configuration in beta's flat shape."""
        names = {kind: name for name, kind in _FORMATS.items()}
        return {
            "input_audio_format": names[self.format.encoding.value],
            "input_audio_transcription": self._transcription(),
            "turn_detection": self._turn_detection(),
            "input_audio_noise_reduction": self._noise_reduction(),
            "include": list(self.include or ()),
        }

    def _transcription(self) -> dict[str, Any]:
        return {"model": None, "language": None, "prompt": ""} | self.transcription.model_dump(exclude_none=True)

    def _noise_reduction(self) -> dict[str, Any] | None:
        return self.noise_reduction.model_dump(exclude_none=True) if self.noise_reduction else None

    def _turn_detection(self) -> dict[str, Any] | None:
        return self.vad.model_dump(exclude_none=True) if self.vad else None


_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
"""GA's names of formats by beta's."""

_PATHS = {
    "format": ("audio.input.format", "input_audio_format"),
    "transcription": ("audio.input.transcription", "input_audio_transcription"),
    "turn_detection": ("audio.input.turn_detection", "turn_detection"),
    "noise_reduction": ("audio.input.noise_reduction", "input_audio_noise_reduction"),
    "include": ("include",),
}
"""The paths of each setting of `_Patch` in a client's event: GA's and beta's."""


class _Requested(NamedTuple):
    """A value that a client requests, and its path in the client's event."""

    value: Any
    path: str


def _normalise(patch: Mapping[str, Any]) -> dict[str, _Requested]:
    """Return the settings in a client's `session` object, by their names in `_Patch`."""
    requested = {}
    for name, paths in _PATHS.items():
        read = _detection if name == "turn_detection" else unset_to_none
        for path in paths:
            parent, _, key = path.rpartition(".")
            values = _object_at(patch, parent)
            if key in values and not _is_left_out(values[key]):
                requested[name] = _Requested(read(values[key]), f"session.{path}")
    return requested


def _merge(present: _Settings | None, value: Any) -> Any:
    """Return an object with the present settings that it leaves out. A null resets a setting to its default."""
    if not isinstance(value, dict):
        return value
    kept = present.model_dump(exclude_unset=True) if present else {}
    return {key: each for key, each in (kept | value).items() if each is not None}


def _is_left_out(value: Any) -> bool:
    """Return whether a value means that its setting is left out. Null does not: it resets the setting."""
    return isinstance(value, str) and value.strip() in ("", "undefined")


def unset_to_none(value: Any) -> Any:
    """Return a value with None for the strings that stand for it (see `none_if_unset`), within objects too.

    Lists lose each null, and keep those strings: a keyword may be one of them.
    """
    if isinstance(value, list):
        return [each for each in value if each is not None]
    if isinstance(value, dict):
        return {key: unset_to_none(each) for key, each in value.items()}
    return none_if_unset(value)


def _detection(value: Any) -> Any:
    """Return turn detection as `unset_to_none` does, with None for the values of `NO_DETECTION` too."""
    kind = value.get("type") if isinstance(value, dict) else value
    is_none = isinstance(kind, str) and kind.strip().lower() in NO_DETECTION
    return None if is_none or value is False else unset_to_none(value)


def _object_at(patch: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the object at a dotted path; an empty one if there is none."""
    param = "session"
    for key in filter(None, path.split(".")):
        param = f"{param}.{key}"
        inner = patch.get(key)
        if not inner or none_if_unset(inner) is None:
            return {}
        if not isinstance(inner, Mapping):
            raise WrongType(f"`{param}` must be an object.", param=param)
        patch = inner
    return patch


def _validate(values: Mapping[str, Any], requested: Mapping[str, _Requested]) -> _Patch:
    try:
        return _Patch.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name, *inner = first["loc"]
        kinds = ("server_vad", "semantic_vad")  # pydantic's path has the class that it chose by the type
        setting = requested[str(name)]
        keys = [] if isinstance(setting.value, str) else [str(key) for key in inner if key not in kinds]
        path = ".".join([setting.path, *keys])
        invalid = WrongType if first["type"].endswith("_type") else InvalidRequest
        raise invalid(f"`{path}`: {first['msg'][:MAX_ERROR_CHARS]}.", param=path) from None
