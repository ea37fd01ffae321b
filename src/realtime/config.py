"""The configuration of a session: what a client may set, in GA's nested shape and in beta's flat one, and its echo.

Either shape is taken at any time, also mixed, and only the fields that are there change anything. The echo has the
shape of the connection's dialect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from src.audio.pcm_stream import G711_RATE, AudioFormat, Encoding
from src.errors import InvalidRequest
from src.realtime.turn_detection import TurnDetection
from src.text.keywords import parse_keywords
from src.text.languages import language_code
from src.text.unset import none_if_unset
from src.wire.json_limits import MAX_ITEMS
from src.wire.model_names import ServedModel

SEMANTIC_WAITS_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}
"""The longest that OpenAI's `semantic_vad` waits for more, by eagerness ("Realtime API reference", turn_detection)."""

LIVE_MODELS = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""Models of OpenAI's that have no turn detection: their clients commit by themselves."""

LOGPROBS = "item.input_audio_transcription.logprobs"


LONGEST_COMPLAINT = 300
"""Characters of pydantic's words about a value, which may repeat it."""


class WrongType(InvalidRequest):
    """A setting with a value of another type."""

    code = "invalid_type"


NO_DETECTION = frozenset({"none", "null", "nil", "off", "disabled"})
"""What clients call turn detection that they do not want, in place of null or as its `type`."""
LONGEST_PROMPT = 65_536
"""Characters of a prompt that are kept; it is a hint."""


def _shortened(prompt: object) -> object:
    return prompt[:LONGEST_PROMPT] if isinstance(prompt, str) else prompt


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Format(_Part):
    """An audio format in GA's words; PCM without a rate keeps the session's."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Annotated[int, Field(ge=8_000, le=48_000)] | None = None


Name = Annotated[str, Field(max_length=256)]
Few = Field(max_length=100)
"""Items of a list. What is echoed is bounded: it is written on the event loop, and many clients read 1 MiB at most."""


class AudioTranscription(_Part):
    """How to transcribe; what this model has no use for is echoed only."""

    model: Name | None = None
    language: Name | None = None
    languages: Annotated[list[Name], Few] | None = None
    prompt: Annotated[str, BeforeValidator(_shortened)] | None = None
    keywords: Annotated[list[str], Field(max_length=MAX_ITEMS)] | None = None
    delay: Name | None = None
    timestamp_granularities: Annotated[list[Literal["word", "segment"]], Few] | None = None


class ServerVad(_Part):
    """A turn ends with a pause."""

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0, le=10_000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    idle_timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None

    @property
    def detection(self) -> TurnDetection:
        """What the detector of turns needs to know."""
        return TurnDetection(self.threshold, self.prefix_padding_ms, self.silence_duration_ms, self.idle_timeout_ms)


class SemanticVad(_Part):
    """A turn ends when the speaker has finished; here, with a pause as long as the longest wait for that."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool | None = None
    interrupt_response: bool | None = None

    @property
    def detection(self) -> TurnDetection:
        """What the detector of turns needs to know."""
        return TurnDetection(silence_duration_ms=SEMANTIC_WAITS_MS[self.eagerness])


class NoiseReduction(_Part):
    """Echoed only."""

    type: Name | None = None
    strength: float | None = None


Vad = ServerVad | SemanticVad
DEFAULT: Literal["default"] = "default"
"""Turn detection that the client has said nothing about, which is not the same as null."""


class _Update(_Part):
    """A client's wishes, the shapes brought to one."""

    format: Format | None = None
    transcription: AudioTranscription | None = None
    turn_detection: Annotated[Vad, Field(discriminator="type")] | None = None
    noise_reduction: NoiseReduction | None = None
    include: Annotated[list[Name], Few] | None = None


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What is in force. Make another with `updated`."""

    format: AudioFormat
    pcm16_rate: int
    """The rate that beta's name `pcm16` stands for on this connection."""
    transcription: AudioTranscription
    turn_detection: Vad | Literal["default"] | None = DEFAULT
    noise_reduction: NoiseReduction | None = None
    include: tuple[str, ...] | None = None
    vad_by_default: bool = False
    """Whether turns are detected where the client has said nothing about it."""

    @property
    def vad(self) -> Vad | None:
        """The turn detection in force."""
        if not isinstance(self.turn_detection, str):
            return self.turn_detection
        has_none = (self.transcription.model or "").startswith(LIVE_MODELS)
        return ServerVad() if self.vad_by_default and not has_none else None

    @property
    def detection(self) -> TurnDetection | None:
        """How turns are detected, if they are."""
        return self.vad.detection if self.vad else None

    @property
    def keywords(self) -> tuple[str, ...]:
        """The phrases to listen for."""
        return parse_keywords(self.transcription.keywords or (), self.transcription.prompt)

    @property
    def logprobs(self) -> bool:
        """Whether the log probabilities of tokens are wanted."""
        return LOGPROBS in (self.include or ())

    @property
    def granularities(self) -> frozenset[str]:
        """Which timed parts of an item are wanted: `word`, `segment`."""
        return frozenset(self.transcription.timestamp_granularities or ())

    def updated(self, wanted: Mapping[str, Any], served: ServedModel, languages: Sequence[str]) -> "SessionConfig":
        """Return the configuration with a client's changes; null takes a setting back to its default, but for
        the format, which stays. So does whatever else stands for nothing (see `none_if_unset`).

        `wanted` is the `session` object of its event; `served` is the model and `languages` the codes that it knows.
        Turn detection is on from the first change on unless the client turns it off, as in OpenAI's sessions.

        Raises:
            InvalidRequest: a field has a wrong value, `param` names it; the configuration is as it was.
            ModelNotFound, UnsupportedLanguage: what is asked for is not served here.
        """
        if unset_to_none(wanted.get("type")) not in (None, "transcription", "realtime"):
            raise InvalidRequest("`session.type` must be transcription.", param="session.type")
        wishes = _brought_together(wanted)
        update = _validated({name: self._completed(name, wish.value) for name, wish in wishes.items()}, wishes)
        changes: dict[str, Any] = {name: getattr(update, name) for name in update.model_fields_set}
        if "format" in changes:
            changes["format"] = self._format(update.format)
        if "transcription" in changes:
            changes["transcription"] = update.transcription or AudioTranscription()
        if "include" in changes:
            changes["include"] = None if update.include is None else tuple(update.include)
        config = replace(self, **changes, vad_by_default=True)
        if "transcription" in changes:
            config._check_transcription(wishes["transcription"], served, languages)
        return config

    def _completed(self, name: str, value: Any) -> Any:
        """Return the value of a wish in the words of `_Update`, with what a nested one leaves as it is."""
        if name == "format" and isinstance(value, str):
            return {"type": _FORMATS.get(value, value), "rate": self.pcm16_rate if value == "pcm16" else None}
        if name == "format" and isinstance(value, dict):
            return value | {"type": value.get("type") or self.format.encoding.value}
        now = {"transcription": self.transcription, "turn_detection": self.vad}.get(name)
        if name not in ("transcription", "turn_detection") or not isinstance(value, dict):
            return value
        stays = now.model_dump(exclude_unset=True) if now else {}
        if name == "turn_detection":
            kind = getattr(now, "type", "server_vad")
            value = value | {"type": value.get("type") or kind}
            stays = stays if value["type"] == kind else {}
        return {key: each for key, each in (stays | value).items() if each is not None}

    def _format(self, wanted: Format | None) -> AudioFormat:
        if wanted is None:
            return self.format
        encoding = Encoding(wanted.type)
        if encoding is not Encoding.PCM16:
            return AudioFormat(encoding, G711_RATE)
        now = self.format.rate if self.format.encoding is Encoding.PCM16 else self.pcm16_rate
        return AudioFormat(encoding, wanted.rate or now)

    def _check_transcription(self, wish: "_Wish", served: ServedModel, languages: Sequence[str]) -> None:
        try:
            served.check((wish.value or {}).get("model"))  # that of the connection has been accepted already
            language_code(self.transcription.language or None, languages)
            parse_keywords(self.transcription.keywords or (), self.transcription.prompt)
        except InvalidRequest as error:
            raise error.within(wish.path) from None

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

_PLACES = {
    "format": ("audio.input.format", "input_audio_format"),
    "transcription": ("audio.input.transcription", "input_audio_transcription"),
    "turn_detection": ("audio.input.turn_detection", "turn_detection"),
    "noise_reduction": ("audio.input.noise_reduction", "input_audio_noise_reduction"),
    "include": ("include",),
}
"""Where clients put a setting, by its name in `_Update`: GA's place and beta's."""


class _Wish(NamedTuple):
    """A value that a client wants, and where in its event it stands."""

    value: Any
    path: str


def _brought_together(wanted: Mapping[str, Any]) -> dict[str, _Wish]:
    """Return the settings that are there, by their names in `_Update`."""
    wishes = {}
    for name, places in _PLACES.items():
        read = _detection if name == "turn_detection" else unset_to_none
        for place in places:
            holder, _, key = place.rpartition(".")
            values = _at(wanted, holder)
            if key in values and not _is_unsaid(values[key]):
                wishes[name] = _Wish(read(values[key]), f"session.{place}")
    return wishes


def _is_unsaid(value: Any) -> bool:
    """Return whether a setting is as good as left out, which null is not: it takes a setting back."""
    return isinstance(value, str) and value.strip() in ("", "undefined")


def unset_to_none(value: Any) -> Any:
    """Return a value with null for what stands for nothing, also within an object."""
    if isinstance(value, str):
        return none_if_unset(value)
    return {key: unset_to_none(each) for key, each in value.items()} if isinstance(value, dict) else value


def _detection(value: Any) -> Any:
    """Return turn detection as `unset_to_none` does, with null for what is called none."""
    kind = value.get("type") if isinstance(value, dict) else value
    is_none = isinstance(kind, str) and kind.strip().lower() in NO_DETECTION
    return None if is_none or value is False else unset_to_none(value)


def _at(wanted: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the object at a dotted path, an empty one where there is none."""
    passed = "session"
    for key in filter(None, path.split(".")):
        passed = f"{passed}.{key}"
        inner = wanted.get(key)
        if not inner or (isinstance(inner, str) and none_if_unset(inner) is None):
            return {}
        if not isinstance(inner, Mapping):
            raise WrongType(f"`{passed}` must be an object.", param=passed)
        wanted = inner
    return wanted


def _validated(values: Mapping[str, Any], wishes: Mapping[str, _Wish]) -> _Update:
    try:
        return _Update.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name, *places = first["loc"]
        kinds = ("server_vad", "semantic_vad")  # pydantic names the class that it chose by the type
        wish = wishes[str(name)]
        inside = [] if isinstance(wish.value, str) else [str(place) for place in places if place not in kinds]
        path = ".".join([wish.path, *inside])
        invalid = WrongType if first["type"].endswith("_type") else InvalidRequest
        raise invalid(f"`{path}`: {first['msg'][:LONGEST_COMPLAINT]}.", param=path) from None
