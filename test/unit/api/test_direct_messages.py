"""Messages that an application takes as they come (src.api.direct_messages)."""

from src.api.direct_messages import EXTENSION, take_messages


def test_a_server_that_knows_the_extension_gets_who_takes_messages():
    takers = []
    scope = {"extensions": {EXTENSION: {"set": takers.append}}}
    take_messages(scope, bool)
    take_messages(scope, None)
    assert takers == [bool, None]


def test_with_any_other_server_messages_come_as_ever():
    take_messages({}, bool)
    take_messages({"extensions": {"websocket.http.response": {}}}, bool)
