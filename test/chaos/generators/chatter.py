"""What hypothesis says to a realtime session: events in order, events of the wrong form, and what is no event."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from session_harness import append, silence, speech
from session_machine import BROKEN, IDS, SHAPES

Message = str | bytes

TYPES = [
    "session.update",
    "transcription_session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.delete",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
]
KEYS = ["type", "event_id", "session", "audio", "item", "item_id", "content", "x"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([2**70, "A" * 600]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)
SECONDS = st.sampled_from([0, 0.02, 0.1, 0.5, 1.5])
SPOKEN = st.builds(lambda seconds, loud: append((speech if loud else silence)(seconds)), SECONDS, st.booleans())
RAW_AUDIO = st.builds(append, st.binary(max_size=64))


def _item(sound: dict[str, Any], item_id: str | None) -> dict[str, Any]:
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": sound["audio"]}]}
    return {"type": "conversation.item.create", "item": item | ({"id": item_id} if item_id else {})}


ORDERLY = st.one_of(
    SPOKEN,
    SPOKEN,
    RAW_AUDIO,
    st.sampled_from(TYPES).map(lambda kind: {"type": kind}),
    st.builds(lambda kind, shape: {"type": kind, "session": shape}, st.sampled_from(TYPES[:2]), SHAPES),
    st.builds(_item, SPOKEN, IDS),
    st.builds(lambda kind, item_id: {"type": kind, "item_id": item_id}, st.sampled_from(TYPES[6:8]), IDS),
)
"""Events, most of which a session takes."""


@st.composite
def disorderly(draw: st.DrawFn) -> dict[str, Any]:
    """Make an event with a value that should not be there, or without one that should."""
    event = dict(draw(ORDERLY))
    key = draw(st.sampled_from(KEYS))
    if draw(st.booleans()):
        event.pop(key, None)
    else:
        event[key] = draw(ANYTHING)
    return event


@st.composite
def garbled(draw: st.DrawFn) -> Message:
    """Make an event some of whose characters are lost or doubled, as text or as bytes, perhaps no UTF-8."""
    text = json.dumps(draw(ORDERLY))
    at, size = draw(st.integers(0, len(text))), draw(st.integers(0, 5))
    text = text[:at] + draw(st.text(max_size=3)) + text[at + size :]
    encoding = draw(st.sampled_from(["utf-8", "utf-16"]))
    forms: list[Message] = [text, text.encode(encoding, "surrogatepass")]
    return draw(st.sampled_from(forms))


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    ORDERLY.map(json.dumps),
    ORDERLY.map(json.dumps),
    ORDERLY.map(lambda event: json.dumps(event).encode()),
    disorderly().map(json.dumps),
    garbled(),
    BROKEN,
)


@dataclass(frozen=True)
class Conversation:
    """What a client says, and how the session was opened."""

    messages: list[Message]
    beta: bool
    transcription: bool
    partials: bool
    final_from_stream: bool
    rate: int


CONVERSATIONS = st.builds(
    Conversation,
    messages=st.lists(MESSAGES, max_size=25),
    beta=st.booleans(),
    transcription=st.booleans(),
    partials=st.booleans(),
    final_from_stream=st.booleans(),
    rate=st.sampled_from([8_000, 16_000, 24_000]),
)
