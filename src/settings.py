"""The service's settings: environment variables with the prefix `PARAKEET_`.

`.env.example` mirrors this file and a test holds the two equal. Nothing heavy is imported here.
"""

import re
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "PARAKEET_"
SWITCH = {"true": "1", "yes": "1", "on": "1", "false": "0", "no": "0", "off": "0"}
"""Other words for on and off, as pydantic accepts them for a bool."""
TOP_LEVEL = Path(__file__).parent.parent


class SettingsError(ValueError):
    """Invalid settings; the message has one line for each invalid variable."""


class Settings(BaseSettings):
    """Every setting with its default; an empty variable counts as unset.

    Raises:
        SettingsError: a value is out of range or of the wrong type.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    model_id: str = "nvidia/parakeet-tdt-0.6b-v2"
    """Hub id, path of a `.nemo` file, or `tiny` (the bundled checkpoint for demos and tests)."""
    languages: str = ""
    """Languages of the model, codes separated by commas, the one to assume first. Unset: what the checkpoint names, or
    what is known of published models, else English."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights. `auto` is bfloat16 on a GPU and float32 on a CPU."""
    cuda_graphs: Literal["full", "partial", "off"] = "full"
    """CUDA graphs of encoder and decoder: `full`, `partial` (the decoder has one graph for each of its steps), or
    `off`."""
    encoder: Literal["auto", "nemo"] = "auto"
    """`auto` is the service's own encoder if it supports the checkpoint, else NeMo's; or `nemo`."""
    use_local_attention: bool = True
    """1: attend to a window around each frame, so that memory grows linearly with length; 0: to the whole clip."""
    local_attention_context: int = Field(128, ge=2)
    """Frames of 80 ms that local attention sees to each side. NeMo cannot compute it with one."""
    subsampling_chunking_factor: int = 1
    """How the convolutional front end splits a batch: 1 as suits the device, -1 not at all, or a power of two."""
    boost_alpha: float = Field(1.5, ge=0, le=5)
    """How much a request's keywords are boosted over other words; 0 turns boosting off."""
    diarizer: str = Field("resemblyzer", min_length=1)
    """What tells speakers apart: `resemblyzer` (a small network and clustering), or the hub id or the path of the
    `.nemo` file of a Sortformer."""
    max_speakers: int = Field(8, ge=1)
    """The most speakers that are told apart in one recording or session."""

    chunk_seconds: float = Field(120, ge=10)
    """Longer audio is cut at pauses into chunks of at most this many seconds."""
    realtime_left_s: float = Field(4.8, ge=0)
    """Live text: seconds of audio that the encoder sees before the new audio of a step."""
    realtime_chunk_s: float = Field(0.96, ge=0.08)
    """Live text: seconds of new audio in one step while the model is busy, and so the time between two updates; up to
    twice as many under load."""
    realtime_min_chunk_s: float = Field(0.24, ge=0.08)
    """The same while the model is idle. As long as `realtime_chunk_s` or longer: all steps have that length."""
    realtime_right_s: float = Field(0.96, ge=0)
    """Live text: seconds of audio after the new audio that a step waits for; words on which steps agree need less."""
    realtime_partials: bool = True
    """1: realtime sessions send text while somebody speaks; 0: only once an item is committed."""
    realtime_final: Literal["full", "stream"] = "full"
    """Final text of an item: `full` decodes its audio once more as a whole, `stream` keeps the live text."""
    realtime_rate: int = Field(16_000, ge=8_000, le=48_000)
    """Default PCM16 sample rate in Hz for realtime clients that do not state one."""
    realtime_openai_rate: int = Field(24_000, ge=8_000, le=48_000)
    """The same for clients of OpenAI's protocol."""
    max_sessions: int = Field(256, ge=1)
    """Realtime sessions at a time; a further one gets 503."""
    realtime_idle_s: float = Field(600, gt=0)
    """Seconds without an event from its client after which a realtime session is closed."""
    realtime_session_s: float = Field(3600, gt=0)
    """Longest realtime session, in seconds."""
    strict_model: Literal["auto", "1", "0"] = "auto"
    """Model names that mean the served model; others get 404. `auto`: those of any speech-to-text model, `1`: its own
    and OpenAI's, `0`: all."""

    queue_max_factor: int = Field(32, ge=1)
    """Requests that may be in the service at once, as a multiple of the clips in a batch; more get 429."""
    max_queue_wait_s: float = Field(2, gt=0)
    """Seconds that a request may wait in the queue before it gets 503; also the `Retry-After` of 429."""
    microbatch_window_ms: float = Field(10, ge=0)
    """Milliseconds that an idle model waits for requests that are still being uploaded or decoded, and the longest wait
    for callers of the last batch to send their next request."""
    microbatch_max_batch: int | None = Field(None, ge=1)
    """Clips in one batch. Unset: 8 on a CPU; on a GPU 64, 32 if it has less than 40 GB, 16 if less than 16 GB."""
    microbatch_max_audio_s: float | None = Field(None, gt=0)
    """Padded size of one batch in seconds, its longest clip times its clips; a longer clip runs alone. Unset: 1200 on a
    CPU, 30 for each of the clips on a GPU."""
    lanes: int = Field(2, ge=1)
    """Workers that take batches: while one runs its batch on the model, the next prepares its own."""
    max_queued_audio_s: float | None = Field(None, gt=0)
    """Seconds of decoded audio that may wait in the queue; more gets 429. Unset: as much as `max_audio_mb` holds, at
    most 14400."""
    max_audio_mb: float | None = Field(None, gt=0)
    """Audio in memory at once, in MiB: half for uploads, half for realtime sessions and their messages. More waits,
    gets 429 or an error event. Unset: a quarter of the memory that the service may use."""
    shutdown_grace_s: float = Field(20, ge=0)
    """Seconds after SIGTERM in which requests in progress may finish."""
    max_audio_seconds: float = Field(600, gt=0)
    """Longest audio of one request, in seconds."""
    max_upload_mb: float = Field(64, gt=0)
    """Largest request body, in MiB."""
    max_uploads_mb: float | None = Field(None, gt=0)
    """Request bodies in memory at once, in MiB; one is always allowed, more get 429. Unset: an eighth of the memory
    that the service may use, at most 2048."""
    upload_timeout_s: float = Field(20, gt=0)
    """Seconds that a request body may take, and its longest pause. Each 500 bytes add a second at first, and less and
    less as the body grows: 64 MiB may take half an hour."""
    decode_timeout_s: float = Field(10, gt=0)
    """Seconds of CPU time that a media file may take to give its first audio, and one more for each 20 seconds of
    audio."""
    decode_memory_mb: float = Field(512, gt=0)
    """Memory for decoding one media file, in MiB; less on a small machine."""
    watchdog_s: float = Field(300, gt=0)
    """Seconds that the model may take for one batch. If it hangs for longer, the service ends with exit code 70."""

    api_keys: SecretStr = SecretStr("")
    """API keys, separated by commas, or the path of a file with one key in each line. Clients must send one of them."""
    secret_key: SecretStr = SecretStr("")
    """Signs temporary keys: any long random text, the same for all replicas. Unset: derived from `api_keys`, so that
    temporary keys end when these change."""
    max_concurrent_per_key: int = Field(0, ge=0)
    """Requests and realtime sessions of one key at a time, more get 429; 0: no limit."""
    max_concurrent_per_client: int = Field(0, ge=0)
    """The same for an address, if no keys are set; 0: no limit. Behind a proxy, all clients have one address."""
    cors_origins: str = ""
    """Origins of web pages that may call from a browser, separated by commas: `https://app.example.com`,
    `app://obsidian.md`, `null`; or `*` for all."""

    web: bool = True
    """1: the address of the service opens a page that captions speech and transcribes files; 0: there is no page."""
    host: str = "0.0.0.0"
    """Address to listen on; `::` is every address of this machine, IPv4 and IPv6."""
    port: int = Field(8000, ge=1, le=65535)
    """Port to listen on."""
    root_path: str = ""
    """Path prefix under which a proxy serves this service, such as `/stt`; the proxy may remove it or not."""
    log_dir: Path = Path("logs")
    """Folder of the service's logs; a relative path starts at the project's top level."""
    max_log_mb: int = Field(2048, ge=2)
    """Size of the metrics log with its old parts, in MiB; the oldest are removed."""
    replica_name: str = ""
    """Name of this replica in the metrics, where several serve together; the name of a pod, for example."""

    replicas: int | None = Field(None, ge=1)
    """Processes that `scripts/fleet.sh` starts, each with its own model. `auto`: one for each GPU, or one without a
    GPU."""
    replica_gpus: float = Field(1, gt=0, le=1)
    """How much of a GPU each of them takes: with 0.5, two share a card."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError("\n".join(_error_message(dict(each)) for each in error.errors())) from None

    @property
    def model_name(self) -> str:
        """The model's name for clients: its hub id, or the name of its file without folder and suffix."""
        path = Path(self.model_id)
        return path.stem if path.suffix == ".nemo" else self.model_id

    @field_validator(
        *("microbatch_max_batch", "microbatch_max_audio_s", "max_queued_audio_s", "max_audio_mb", "max_uploads_mb"),
        mode="before",
    )
    @classmethod
    def _unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("replicas", mode="before")
    @classmethod
    def _automatic(cls, value: object) -> object:
        return None if value in ("", "auto") else value

    @field_validator("log_dir")
    @classmethod
    def _from_top_level(cls, folder: Path) -> Path:
        return TOP_LEVEL / folder  # an absolute path stays as it is

    @field_validator("subsampling_chunking_factor")
    @classmethod
    def _power_of_two(cls, factor: int) -> int:
        # What NeMo's change_subsampling_conv_chunking_factor accepts.
        if factor != -1 and (factor < 1 or factor & (factor - 1)):
            raise PydanticCustomError("power_of_two", "not a power of two")
        return factor

    @field_validator("api_keys")
    @classmethod
    def _usable_keys(cls, keys: SecretStr) -> SecretStr:
        return SecretStr("\n".join(_keys(keys.get_secret_value())))

    @field_validator("secret_key")
    @classmethod
    def _without_spaces(cls, secret: SecretStr) -> SecretStr:
        return SecretStr(secret.get_secret_value().strip())  # a file that a variable is filled from ends with a newline

    @field_validator("strict_model", mode="before")
    @classmethod
    def _switch(cls, value: object) -> str:
        return SWITCH.get(str(value).lower(), str(value).lower())

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: str) -> str:
        return ",".join(map(_origin, _split(origins)))

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        bracketed = re.fullmatch(r"\[(.*)\]", host.strip())  # as in a URL
        host = bracketed[1] if bracketed else host.strip()
        with suppress(ValueError):
            if IPv6Address(host).is_unspecified:
                return "::"  # however it is written: `::0`
        return host

    @field_validator("replica_name")
    @classmethod
    def _label(cls, name: str) -> str:
        if not re.fullmatch(r"[!-~]{0,100}", name):
            raise PydanticCustomError("label", "not a label")
        return name

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, path: str) -> str:
        segments = path.strip("/").split("/")
        if segments == [""]:
            return ""
        allowed = path.startswith("/") and all(re.fullmatch(r"[\w.~-]*[\w~-]", each, re.ASCII) for each in segments)
        if not allowed or segments == ["v1"]:  # it would be removed from the service's own paths
            raise PydanticCustomError("prefix", "not a prefix")
        return "/" + "/".join(segments)

    @property
    def keys(self) -> tuple[str, ...]:
        """The single keys of `api_keys`."""
        return tuple(self.api_keys.get_secret_value().split())

    @property
    def origins(self) -> tuple[str, ...]:
        """The single origins of `cors_origins`."""
        return tuple(_split(self.cors_origins))

    @property
    def max_upload_bytes(self) -> int:
        """`max_upload_mb` in bytes."""
        return int(self.max_upload_mb * 1024 * 1024)


def _split(value: str) -> list[str]:
    return [each.strip() for each in value.split(",") if each.strip()]


def _origin(value: str) -> str:
    """Return an origin as browsers send it (RFC 6454): in lower case, without a slash and the scheme's default port."""
    origin = value.lower().rstrip("/") if "://" in value else value.lower()
    if origin in ("*", "null"):
        return origin
    if origin == "file:":
        return "file://"  # its host is empty
    parts = re.fullmatch(r"([a-z][a-z0-9+.-]*)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", origin)
    if parts is None:
        raise PydanticCustomError("origin", "not an origin")
    scheme, host, port = parts.groups()
    is_default = (scheme, port) in (("http", ":80"), ("https", ":443"))
    return f"{scheme}://{host}{'' if is_default else port or ''}"


def _keys(value: str) -> list[str]:
    """Return the keys of a comma-separated list, or of the file that `value` is the path of."""
    if value.startswith(("/", "./", "~")):
        try:
            lines = Path(value).expanduser().read_text().splitlines()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise PydanticCustomError("key_file", "its file cannot be read: {reason}", {"reason": reason}) from None
        keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not keys:  # the operator wants keys, so an empty file must not open the service to everybody
            raise PydanticCustomError("key_file", "there is no key in its file")
    else:
        keys = _split(value)
    if not all(re.fullmatch(r"[\x21-\x7e]+", key) for key in keys):
        raise PydanticCustomError("key", "a key must be of printable ASCII characters without spaces")
    return list(dict.fromkeys(keys))


_EXPECTATIONS = {  # by the type of pydantic's error
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "at most {le:g}",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_parsing": "1 or 0",
    "power_of_two": "-1, 1 or a power of two",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "auto, cpu, cuda or cuda:N",
    "origin": "* or origins such as https://app.example.com or app://obsidian.md",
    "prefix": "a path before /v1, such as /stt",
    "label": "at most 100 printable ASCII characters without spaces",
}


def _error_message(error: dict[str, Any]) -> str:
    """Return one line about an invalid variable, in plainer words than pydantic's."""
    name = PREFIX + str(error["loc"][0]).upper()
    expected = _EXPECTATIONS.get(error["type"])
    if expected is None:
        return f"{name}: {error['msg']}"
    return f"{name} must be {expected.format(**error.get('ctx', {}))}, not {error['input']}"
