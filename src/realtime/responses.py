"""The responses of the simple dialect: one for each `response.create`, in order, with the text of the items before it.

Their shapes are those of OpenAI's conversations (platform.openai.com, "Realtime API reference"), which end with
`response.done`. Here `response.completed` follows, as some clients wait for it.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from src.errors import ServiceError
from src.realtime.events import ErrorEvent, RealtimeErrorBody, ResponseState, ResponseText, ServerEvent

MAX_ITEMS_COVERED = 1000
"""The most items that a response covers. Without a limit, a client that never asks for one would pile them up."""


@dataclass(eq=False, slots=True)
class _CoveredItem:
    """An item that a response covers."""

    item_id: str
    text: str | None = None
    failure: ServiceError | None = None

    @property
    def ended(self) -> bool:
        return self.text is not None or self.failure is not None


@dataclass(eq=False, slots=True)
class _Response:
    response_id: str
    item_id: str
    items: list[_CoveredItem] = field(default_factory=list)

    @property
    def failure(self) -> ServiceError | None:
        return next((item.failure for item in self.items if item.failure), None)

    @property
    def text(self) -> str:
        return " ".join(item.text for item in self.items if item.text)


class Responses:
    """The unfinished responses of a session, and the items that the next response will cover.

    Args:
        beta: whether the client knows only beta's names.
    """

    def __init__(self, *, beta: bool) -> None:
        self._content_type = "text" if beta else "output_text"
        self._open: deque[_Response] = deque()
        self._uncovered: deque[_CoveredItem] = deque(maxlen=MAX_ITEMS_COVERED)
        self._items: dict[str, _CoveredItem] = {}  # those that have not ended

    def __len__(self) -> int:
        return len(self._open)

    def add(self, item_id: str) -> None:
        """Add an item that the next response covers."""
        self._items[item_id] = item = _CoveredItem(item_id)
        self._uncovered.append(item)

    def create(self, response_id: str, item_id: str) -> Iterator[ServerEvent]:
        """Begin a response over the items since the last one. `item_id` is the id of its own output item."""
        response = _Response(response_id, item_id, list(self._uncovered))
        self._uncovered.clear()
        self._open.append(response)
        yield ResponseState(type="response.created", response=_body(response, "in_progress"))
        yield from self._finished()

    def end(self, item_id: str, result: str | ServiceError) -> Iterator[ServerEvent]:
        """Store an item's text or error, and yield the events of the responses that this completes."""
        item = self._items.pop(item_id)
        if isinstance(result, ServiceError):
            item.failure = result
        else:
            item.text = result
        yield from self._finished()

    def _finished(self) -> Iterator[ServerEvent]:
        while self._open and all(item.ended for item in self._open[0].items):
            response = self._open.popleft()
            failure = response.failure
            yield from self._failed(response, failure) if failure else self._completed(response)

    def _completed(self, response: _Response) -> Iterator[ServerEvent]:
        text = response.text
        if text:
            yield self._text_event(response, "delta", delta=text)
        yield self._text_event(response, "done", text=text)
        body = _body(response, "completed", self._message(response))
        yield ResponseState(type="response.done", response=body)
        yield ResponseState(type="response.completed", response=body | {"object": "response", "output_text": text})

    def _failed(self, response: _Response, failure: ServiceError) -> Iterator[ServerEvent]:
        error = {"type": failure.type, "code": failure.code, "message": failure.message}
        body = _body(response, "failed") | {"status_details": {"type": "failed", "error": error}}
        yield ResponseState(type="response.done", response=body)
        yield ErrorEvent(error=RealtimeErrorBody(**error, param=None, event_id=None))

    def _text_event(self, response: _Response, kind: str, **text: str) -> ResponseText:
        return ResponseText(
            type=f"response.{self._content_type}.{kind}",  # type: ignore[arg-type] # one of its four literals
            response_id=response.response_id,
            item_id=response.item_id,
            output_index=0,
            content_index=0,
            **text,
        )

    def _message(self, response: _Response) -> dict[str, Any]:
        return {
            "id": response.item_id,
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": self._content_type, "text": response.text}],
        }


def _body(response: _Response, status: str, *output: dict[str, Any]) -> dict[str, Any]:
    return {"id": response.response_id, "object": "realtime.response", "status": status, "output": list(output)}
