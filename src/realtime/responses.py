"""The simple dialect's answers: a response for each `response.create`, in order, with the text of what came before it.

The shapes are those of a conversation's responses (platform.openai.com, "Realtime API reference"). OpenAI's own end
with `response.done`; `response.completed` comes last, for the clients that wait for it.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from src.errors import ServiceError
from src.realtime.events import Error, EventError, ResponseState, ResponseText, ServerEvent

ITEMS_COVERED = 1000
"""Items that a response covers at most; a client that never asks for one must not pile them up."""


@dataclass(eq=False, slots=True)
class _Item:
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
    items: list[_Item] = field(default_factory=list)

    @property
    def failure(self) -> ServiceError | None:
        return next((item.failure for item in self.items if item.failure), None)

    @property
    def text(self) -> str:
        return " ".join(item.text for item in self.items if item.text)


class Responses:
    """The responses of a session that are under way, and the items that the next one will cover.

    Args:
        beta: whether the client knows beta's names only.
    """

    def __init__(self, *, beta: bool) -> None:
        self._content_type = "text" if beta else "output_text"
        self._open: deque[_Response] = deque()
        self._uncovered: deque[_Item] = deque(maxlen=ITEMS_COVERED)
        self._items: dict[str, _Item] = {}  # those that have not ended

    def __len__(self) -> int:
        return len(self._open)

    def commit(self, item_id: str) -> None:
        """Note an item that the next response covers."""
        self._items[item_id] = item = _Item(item_id)
        self._uncovered.append(item)

    def create(self, response_id: str, item_id: str) -> Iterator[ServerEvent]:
        """Begin a response over the items since the one before; `item_id` is that of the answer."""
        response = _Response(response_id, item_id, list(self._uncovered))
        self._uncovered.clear()
        self._open.append(response)
        yield ResponseState(type="response.created", response=_body(response, "in_progress"))
        yield from self._ended()

    def end(self, item_id: str, result: str | ServiceError) -> Iterator[ServerEvent]:
        """Note the text of an item, or why there is none, and yield what that completes."""
        item = self._items.pop(item_id)
        if isinstance(result, ServiceError):
            item.failure = result
        else:
            item.text = result
        yield from self._ended()

    def _ended(self) -> Iterator[ServerEvent]:
        while self._open and all(item.ended for item in self._open[0].items):
            response = self._open.popleft()
            failure = response.failure
            yield from self._failed(response, failure) if failure else self._completed(response)

    def _completed(self, response: _Response) -> Iterator[ServerEvent]:
        text = response.text
        if text:
            yield self._said(response, "delta", delta=text)
        yield self._said(response, "done", text=text)
        body = _body(response, "completed", self._message(response))
        yield ResponseState(type="response.done", response=body)
        yield ResponseState(type="response.completed", response=body | {"object": "response", "output_text": text})

    def _failed(self, response: _Response, failure: ServiceError) -> Iterator[ServerEvent]:
        error = {"type": failure.type, "code": failure.code, "message": failure.message}
        body = _body(response, "failed") | {"status_details": {"type": "failed", "error": error}}
        yield ResponseState(type="response.done", response=body)
        yield Error(error=EventError(**error, param=None, event_id=None))

    def _said(self, response: _Response, kind: str, **text: str) -> ResponseText:
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
