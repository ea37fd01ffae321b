"""The items that a client can retrieve and delete, and their texts."""

from collections import OrderedDict

from src.errors import InvalidRequest
from src.realtime import events
from src.realtime.items import item_body

MAX_ITEMS_KEPT = 1000
"""Items that a client can still retrieve. The oldest is forgotten first."""


class ItemNotFound(InvalidRequest):
    """An item that never existed, or is no longer kept."""

    code = "item_not_found"


class KeptItems:
    """The last items of a session with their texts."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str | None] = OrderedDict()  # by item id, None until there is one

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._texts

    def add(self, item_id: str) -> None:
        """Keep an item that has no text yet."""
        self._texts[item_id] = None
        if len(self._texts) > MAX_ITEMS_KEPT:
            self._texts.popitem(last=False)

    def set_text(self, item_id: str, text: str) -> None:
        """Keep the text of an item, unless the item is not kept any more."""
        if item_id in self._texts:
            self._texts[item_id] = text

    def retrieve(self, item_id: str) -> events.ItemRetrieved:
        """Return the event that shows an item.

        Raises:
            ItemNotFound: there is none with this id.
        """
        self._check(item_id)
        return events.ItemRetrieved(item=item_body(item_id, self._texts[item_id]))

    def delete(self, item_id: str) -> events.ItemDeleted:
        """Forget an item, and return the event that says so.

        Raises:
            ItemNotFound: there is none with this id.
        """
        self._check(item_id)
        del self._texts[item_id]
        return events.ItemDeleted(item_id=item_id)

    def _check(self, item_id: str) -> None:
        if item_id not in self._texts:
            raise ItemNotFound(f"There is no item {item_id[:80]!r}.", param="item_id")
