"""API keys and temporary keys: which are accepted, and for how long."""

import pytest
from manual_clock import ManualClock

from src.api.keys import ANONYMOUS, SECRET_PREFIX, ApiKeys, ClientSecrets
from src.audio.pcm_stream import AudioFormat, Encoding
from src.errors import InvalidApiKey, TooManySecrets
from src.realtime.config import AudioTranscription, SessionConfig

CONFIG = SessionConfig(AudioFormat(Encoding.PCM16, 24_000), 24_000, AudioTranscription())


def test_a_secret_expires():
    clock = ManualClock()
    secrets = ClientSecrets(clock)
    secret = secrets.mint(3, CONFIG, 60).value
    clock.now_s += 59.9
    assert secrets.credential(secret).owner == 3
    clock.now_s += 0.2
    assert secrets.credential(secret) is None


@pytest.mark.parametrize(
    "change", [str.upper, lambda key: key[:-1], lambda key: key + "0", lambda key: key[:19] + "0" * 48]
)
def test_a_secret_that_is_nearly_right_is_wrong(change):
    secrets = ClientSecrets()
    secret = secrets.mint(0, CONFIG, 60).value
    assert secrets.credential(secret)
    assert secrets.credential(change(secret)) is None


def test_there_are_only_so_many_secrets_until_some_expire():
    clock = ManualClock()
    secrets = ClientSecrets(clock, max_secrets=3)
    for _ in range(3):
        secrets.mint(0, CONFIG, 60)
    with pytest.raises(TooManySecrets):
        secrets.mint(0, CONFIG, 60)
    clock.now_s += 61
    assert secrets.credential(secrets.mint(0, CONFIG, 60).value)


def test_no_owner_uses_up_the_share_of_another():
    clock = ManualClock()
    secrets = ClientSecrets(clock, max_secrets=6, owners=3)
    for _ in range(2):
        secrets.mint(0, CONFIG, 60)
    with pytest.raises(TooManySecrets, match="has made 2 temporary keys"):
        secrets.mint(0, CONFIG, 60)
    for owner in (1, 2, 1, 2):
        assert secrets.credential(secrets.mint(owner, CONFIG, 60).value).owner == owner
    clock.now_s += 61
    secrets.mint(0, CONFIG, 60)


@pytest.mark.parametrize("owners", [0, 5])
def test_each_owner_may_have_one_secret_at_least(owners):
    secrets = ClientSecrets(max_secrets=2, owners=owners)
    assert secrets.credential(secrets.mint(None, CONFIG, 60).value)


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


@pytest.mark.parametrize("key", [None, "", "sk-1", SECRET_PREFIX, f"{SECRET_PREFIX}0123456789abcdef"])
def test_other_keys_are_no_secrets(key):
    secrets = ClientSecrets()
    secrets.mint(0, CONFIG, 60)
    assert secrets.credential(key) is None


def test_a_secret_has_its_prefix_and_its_session():
    secrets = ClientSecrets()
    secret = secrets.mint(None, CONFIG, 60)
    assert secret.value.startswith(SECRET_PREFIX)
    assert secrets.credential(secret.value).session is CONFIG
