"""How many requests and sessions a client may have in progress, and what counts as one client."""

import pytest

from src.api.client_limits import ClientLimits, client_name
from src.api.keys import Credential
from src.errors import TooManyForClient, TooManyForKey

KEYED, ANONYMOUS = Credential(3), Credential()


def scope(host: str = "192.0.2.7", method: str = "POST") -> dict:
    return {"type": "http", "method": method, "client": (host, 1)}


SESSION = {"type": "websocket", "client": ("192.0.2.7", 1)}


@pytest.mark.parametrize("next_one", [scope(), SESSION], ids=["POST", "session"])
def test_a_key_is_rejected_at_its_limit_and_admitted_again_below_it(next_one):
    limits = ClientLimits(max_per_key=1)
    with limits.counted(scope(), limits.admit(scope(), KEYED)):
        with pytest.raises(TooManyForKey) as error:
            limits.admit(next_one, KEYED)
        assert (error.value.status, error.value.retry_after_s) == (429, 1.0)
        assert limits.admit(next_one, Credential(4)) == "key 4"
    assert limits.admit(next_one, KEYED) == "key 3"


def test_an_address_has_a_limit_only_without_keys():
    limits = ClientLimits(max_per_address=1)
    with limits.counted(scope(), limits.admit(scope(), ANONYMOUS)):
        with pytest.raises(TooManyForClient):
            limits.admit(scope(), ANONYMOUS)
        limits.admit(scope("192.0.2.8"), ANONYMOUS)
        limits.admit(scope(), KEYED)


def test_a_get_is_neither_counted_nor_limited():
    limits = ClientLimits(max_per_address=1)
    get = scope(method="GET")
    with limits.counted(get, limits.admit(get, ANONYMOUS)):
        with limits.counted(scope(), limits.admit(scope(), ANONYMOUS)):
            assert limits.admit(get, ANONYMOUS) == "192.0.2.7"
        limits.admit(scope(), ANONYMOUS)


def test_zero_is_no_limit():
    limits = ClientLimits()
    with limits.counted(scope(), limits.admit(scope(), KEYED)), limits.counted(scope(), "192.0.2.7"):
        limits.admit(scope(), KEYED)
        limits.admit(scope(), ANONYMOUS)


def test_a_client_counts_no_longer_when_its_request_raises():
    limits = ClientLimits(max_per_key=1)
    with pytest.raises(ZeroDivisionError), limits.counted(scope(), limits.admit(scope(), KEYED)):
        raise ZeroDivisionError
    limits.admit(scope(), KEYED)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_client_is_one_address_or_one_network_of_ipv6(host, name):
    assert client_name({"client": (host, 1)}, Credential()) == name
    assert client_name({"client": None}, Credential()) == ""
    assert client_name({"client": (host, 1)}, Credential(3)) == "key 3"
