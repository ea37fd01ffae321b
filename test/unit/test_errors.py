"""The errors that callers get: their body, their headers and their status."""

import pytest

from src import errors
from src.errors import InvalidRequest, QueueFull, ServiceError, UnsupportedEncoding, UpgradeRequired


def kinds(base: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    return [
        base,
        *(each for kind in base.__subclasses__() if kind.__module__ == errors.__name__ for each in kinds(kind)),
    ]


def test_the_body_is_openais():
    error = InvalidRequest("`stream` must be true or false.", param="stream")
    assert error.body == {
        "error": {
            "message": "`stream` must be true or false.",
            "type": "invalid_request_error",
            "param": "stream",
            "code": "invalid_value",
        }
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (29.1, "30")])
def test_a_retry_is_in_whole_seconds_and_at_least_one(seconds, header):
    assert QueueFull("Full.", retry_after_s=seconds).headers == {"Retry-After": header}


def test_without_a_retry_there_is_no_header():
    assert QueueFull("Full.").headers == {}


def test_some_errors_have_headers_of_their_own():
    assert UnsupportedEncoding("No.", retry_after_s=2).headers == {"Accept-Encoding": "identity", "Retry-After": "2"}
    assert UpgradeRequired("No.").headers == {"Upgrade": "websocket", "Connection": "upgrade"}


def test_an_error_within_an_object_is_a_copy_with_a_longer_param():
    error = QueueFull("Full.", param="audio", retry_after_s=3)
    moved = error.within("session")
    assert (moved.param, error.param) == ("session.audio", "audio")
    assert (type(moved), moved.message, str(moved), moved.retry_after_s) == (QueueFull, "Full.", "Full.", 3)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_the_type_of_an_error_fits_its_status(kind):
    types = {"server_error": range(500, 600), "rate_limit_exceeded": (429,), "invalid_request_error": range(400, 429)}
    assert kind.status in types[kind.type]
    assert kind.code
    assert kind.code == kind.code.lower()
