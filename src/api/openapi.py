"""The transcription route in /openapi.json and /docs: its body and its answers, which FastAPI cannot infer."""

from typing import Any

from src.api.options import FORMATS


def _field(description: str, **schema: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **schema}


def _list(description: str, **items: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", **items}, "description": description}


_FIELDS: dict[str, Any] = {
    "model": _field("The served model, or another speech-to-text model, which stands for it.", example="whisper-1"),
    "language": _field("Code (ISO 639) or name of the spoken language, which the model must know.", example="en"),
    "languages[]": _list("Languages that may be spoken, of which the answer names one.", example="en"),
    "response_format": _field("The format of the answer.", enum=list(FORMATS), default="json"),
    "timestamp_granularities[]": _list(
        "What `verbose_json`, and the last event of a stream, have times of.", enum=["word", "segment"]
    ),
    "include[]": _list("`logprobs` adds the logarithm of each token's probability to `json`.", enum=["logprobs"]),
    "stream": {
        "type": "boolean",
        "default": False,
        "description": "Send text as it comes, as server-sent events. Where times are asked for, by a format that has "
        "them or by `timestamp_granularities[]`, segments with the times of their words come too.",
    },
    "keywords[]": _list("Names and terms that the model should prefer.", example="Parakeet"),
    "prompt": _field("A plain list with commas counts as keywords, as many as fit; other prompts are ignored."),
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "description": "Ignored: the decoder is greedy."},
    "chunking_strategy": _field("`auto` or `server_vad`; long audio is always cut at pauses."),
    "diarize": {
        "type": "boolean",
        "default": False,
        "description": "Say who speaks: `diarized_json`, the default format then, is always so. `verbose_json` gets a "
        "`speaker` in each segment and word, `vtt` voices, `srt` a name before each cue. `json` and `text` have no "
        "place for speakers.",
    },
    "num_speakers": {
        "type": "integer",
        "minimum": 1,
        "description": "How many speakers there are, if that is known; at most PARAKEET_MAX_SPEAKERS.",
    },
    "known_speaker_names[]": _list("Names of speakers whose voices are known, at most four."),
    "known_speaker_references[]": _list("For each name 2 to 10 s of that voice alone, as a data URL."),
    "priority": _field("Order of waiting requests.", enum=["high", "normal", "low"], default="normal"),
}

_FILE = {"type": "string", "format": "binary", "description": "Audio or video in any common format."}

_RAW_PARAMETERS = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"{what} of a headerless PCM16 body (audio/pcm, audio/l16, audio/raw).",
        "schema": {"type": "integer", "minimum": low, "maximum": high, "default": default},
    }
    for name, what, low, high, default in (
        ("rate", "Samples per second", 8000, 192000, 16000),
        ("channels", "Channels", 1, 8, 1),
    )
]

TRANSCRIPTION_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE, **_FIELDS}}
            },
            "audio/*": {"schema": _FILE},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input_audio"],
                    "properties": {
                        "input_audio": {
                            "type": "object",
                            "required": ["data"],
                            "properties": {"data": _field("The file as base64."), "format": _field("Ignored.")},
                        },
                        **{name.removesuffix("[]"): schema for name, schema in _FIELDS.items()},
                    },
                }
            },
        },
    },
    # With the audio as the body, the fields come in the query.
    "parameters": [
        *({"name": name, "in": "query", "required": False, "schema": schema} for name, schema in _FIELDS.items()),
        *_RAW_PARAMETERS,
    ],
}

_EVENT = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}

TRANSCRIPTION_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The text in the format that `response_format` names; with `stream`, as server-sent events.",
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "text/vtt": {"schema": {"type": "string"}},
            "text/event-stream": {"itemSchema": _EVENT},
        },
    }
}
"""The answers that are not JSON."""
