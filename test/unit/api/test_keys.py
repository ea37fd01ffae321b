"""API keys: which are accepted, and whose they are."""

import pytest

from src.api.keys import ANONYMOUS, ApiKeys
from src.errors import InvalidApiKey


def test_each_key_has_its_own_owner():
    keys = ApiKeys(["first", "second"])
    assert [keys.credential(key).owner for key in ("first", "second")] == [0, 1]


@pytest.mark.parametrize("key", [None, "", "FIRST", "first ", "firs", "second"])
def test_any_other_key_is_rejected(key):
    with pytest.raises(InvalidApiKey) as error:
        ApiKeys(["first"]).credential(key)
    assert error.value.headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize("key", [None, "anything"])
def test_without_keys_every_client_is_accepted(key):
    assert ApiKeys([]).credential(key) is ANONYMOUS
