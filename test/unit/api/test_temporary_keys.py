"""Temporary keys: which process accepts them, for how long, and what becomes of those that somebody has changed."""

import json
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock

import src.api.temporary_keys
from src.api.keys import ApiKeys
from src.api.temporary_keys import MAX_AHEAD_S, MAX_CHARS, MAX_CLAIMS_BYTES, MAX_LIFETIME_S, TemporaryKeys
from src.audio.pcm_stream import AudioFormat, Encoding
from src.errors import InvalidRequest
from src.realtime.config import AudioTranscription, SessionConfig
from src.wire.model_names import ServedModel

CONFIG = SessionConfig(AudioFormat(Encoding.PCM16, 24_000), 24_000, AudioTranscription(model="tiny"))
SERVED = ServedModel("tiny", "auto")
KEYS = ("sk-first", "sk-second", "sk-third")
TOKEN = re.compile(r"ek_[\w-]+\.[\w-]{43}", re.ASCII)
"""A temporary key. All of its characters may be in a token (RFC 7230, 3.2.6) and in an address (RFC 3986, 2.3)."""


@pytest.fixture(autouse=True)
def _a_quick_derivation(monkeypatch):
    monkeypatch.setattr(src.api.temporary_keys, "DERIVATION_ROUNDS", 1)


def updated(transcription=None, **settings) -> SessionConfig:
    """The configuration that a client asks for with these settings."""
    return CONFIG.updated({"audio": {"input": {"transcription": transcription, **settings}}}, SERVED, ["en"])


def claims_of(value: str) -> bytes:
    written = value.removeprefix("ek_").partition(".")[0]
    return zlib.decompress(urlsafe_b64decode(written + "=" * (-len(written) % 4)))


def signed(issuer: TemporaryKeys, claims: bytes) -> str:
    """A key with these claims as they are compressed, signed as `issuer` signs."""
    written = urlsafe_b64encode(claims).rstrip(b"=").decode()
    return f"ek_{written}.{issuer._signature(written)}"


# -- where a key is valid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", "a secret"])
def test_a_key_is_valid_in_each_process_with_the_same_api_keys_in_any_order(secret):
    value = TemporaryKeys(KEYS, secret).mint(1, CONFIG, 60).value
    for order in permutations(KEYS):
        credential = TemporaryKeys(order, secret).credential(value)
        assert (credential.owner, credential.session) == (order.index("sk-second"), CONFIG)
        assert credential.owner == ApiKeys(order).credential("sk-second").owner


@pytest.mark.parametrize("secret", ["", "a secret"])
def test_an_api_key_that_is_removed_takes_its_temporary_keys_with_it(secret):
    before, after = TemporaryKeys(KEYS, secret), TemporaryKeys(KEYS[:2], secret)
    assert after.credential(before.mint(2, CONFIG, 60).value) is None


def test_with_a_secret_the_temporary_keys_of_other_api_keys_outlive_a_change():
    before, after = TemporaryKeys(KEYS, "a secret"), TemporaryKeys(["sk-new", *KEYS[1:]], "a secret")
    value = before.mint(1, CONFIG, 60).value
    assert after.credential(value).owner == 1
    assert TemporaryKeys(["sk-new", *KEYS[1:]]).credential(TemporaryKeys(KEYS).mint(1, CONFIG, 60).value) is None


@pytest.mark.parametrize(
    "other",
    [
        (KEYS, "another secret"),
        (KEYS, ""),
        (["sk-of-another-service"], "a secret"),
        ([], "a secret"),
        (["a secret"], ""),
        ([], ""),
    ],
)
def test_a_key_of_another_service_is_not_valid(other):
    value = TemporaryKeys(KEYS, "a secret").mint(0, CONFIG, 60).value
    assert TemporaryKeys(*other).credential(value) is None
    back = TemporaryKeys(*other).mint(0 if other[0] else None, CONFIG, 60).value
    assert TemporaryKeys(KEYS, "a secret").credential(back) is None


def test_keys_with_commas_and_spaces_in_their_place_are_not_the_same_keys():
    value = TemporaryKeys(["sk-a", "sk-b"]).mint(0, CONFIG, 60).value
    assert TemporaryKeys(["sk-a"]).credential(value) is None
    assert TemporaryKeys(["sk-a,sk-b"]).credential(value) is None


def test_without_api_keys_and_secret_a_key_is_valid_in_its_process():
    issuer = TemporaryKeys()
    value = issuer.mint(None, CONFIG, 60).value
    assert (issuer.credential(value).owner, issuer.credential(value).session) == (None, CONFIG)
    assert TemporaryKeys().credential(value) is None


def test_with_a_secret_and_no_api_keys_a_key_is_valid_everywhere_until_there_are_keys():
    value = TemporaryKeys(secret="a secret").mint(None, CONFIG, 60).value
    assert TemporaryKeys(secret="a secret").credential(value).session == CONFIG
    assert TemporaryKeys(KEYS, "a secret").credential(value) is None


def test_the_signing_key_takes_rounds_of_derivation_as_who_has_a_temporary_key_can_try_api_keys_on_it(monkeypatch):
    value = TemporaryKeys(KEYS).mint(0, CONFIG, 60).value
    monkeypatch.setattr(src.api.temporary_keys, "DERIVATION_ROUNDS", 2)
    assert TemporaryKeys(KEYS).credential(value) is None


# -- how long ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.999])
def test_a_key_is_valid_until_the_second_in_which_it_expires(fraction):
    clock = ManualClock()
    clock.now_s += fraction
    issuer = TemporaryKeys(KEYS, now=clock)
    key = issuer.mint(0, CONFIG, 60)
    assert key.expires_at == 1060
    clock.now_s = 1059.999
    assert issuer.credential(key.value)
    clock.now_s = 1060.0
    assert issuer.credential(key.value) is None


@pytest.mark.parametrize(
    ("ahead_s", "valid"),
    [(-61, False), (-60, False), (-59, True), (0, True), (1, True), (MAX_AHEAD_S, True), (MAX_AHEAD_S + 1, False)],
)
def test_the_clock_of_a_keys_maker_may_be_some_minutes_ahead_and_shortens_its_life_if_it_is_late(ahead_s, valid):
    mine, its = ManualClock(), ManualClock()
    its.now_s += ahead_s
    longest = TemporaryKeys(KEYS, now=its).mint(0, CONFIG, MAX_LIFETIME_S if ahead_s > 0 else 60).value
    assert (TemporaryKeys(KEYS, now=mine).credential(longest) is not None) == valid


def test_a_clock_that_is_set_back_lengthens_no_life_by_more_than_some_minutes():
    clock = ManualClock()
    issuer = TemporaryKeys(KEYS, now=clock)
    value = issuer.mint(0, CONFIG, MAX_LIFETIME_S).value
    clock.now_s -= MAX_AHEAD_S
    assert issuer.credential(value)
    clock.now_s -= 1
    assert issuer.credential(value) is None


# -- keys that somebody has changed ------------------------------------------------------------------------------------


def test_a_key_with_any_character_changed_added_or_removed_is_not_valid():
    issuer = TemporaryKeys(KEYS)
    value = issuer.mint(0, CONFIG, 60).value
    draw = Random(1)
    for place in range(len(value)):
        other = draw.choice([each for each in "AZaz09-_." if each != value[place]])
        for changed in (
            value[:place] + other + value[place + 1 :],
            value[:place] + value[place + 1 :],
            value[:place] + other + value[place:],
            value[:place],
        ):
            assert issuer.credential(changed) is None, changed
    for added in ("=", "A", ".", "\n", " "):
        assert issuer.credential(value + added) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("expires_at", lambda value: value + 3600),
        ("parent", lambda value: "0" * len(value)),
        ("parent", lambda _: None),
        ("session", lambda value: value | {"pcm16_rate": 16_000}),
        ("nonce", lambda _: "00"),
    ],
)
def test_no_claim_can_be_changed(name, change):
    issuer = TemporaryKeys(KEYS)
    value = issuer.mint(0, CONFIG, 60).value
    claims = json.loads(claims_of(value))
    assert issuer.credential(signed(issuer, zlib.compress(json.dumps(claims).encode())))
    changed = zlib.compress(json.dumps(claims | {name: change(claims[name])}).encode())
    forged = urlsafe_b64encode(changed).rstrip(b"=").decode()
    assert issuer.credential(f"ek_{forged}.{value.partition('.')[2]}") is None


def test_the_claims_of_one_key_do_not_go_with_the_signature_of_another():
    issuer = TemporaryKeys(KEYS)
    first, second = (issuer.mint(0, CONFIG, 60).value.partition(".") for _ in range(2))
    assert issuer.credential(f"{first[0]}.{second[2]}") is None
    assert first != second, "two keys of the same second and settings"


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "sk-1",
        "ek_",
        "ek_.",
        "ek_..",
        "ek_0123456789abcdef",
        "ek_0123456789abcdef.",
        "ek_é.ü",
        "ek_\udcff.\x00".encode(errors="replace").decode(),
        "EK_abc.def",
        "ek_" + "a" * 100_000,
    ],
)
def test_other_keys_are_no_temporary_keys(key):
    assert TemporaryKeys(KEYS).credential(key) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_nonsense_is_no_temporary_key(claims, signature):
    assert ISSUER.credential(f"ek_{claims}.{signature}".encode(errors="replace").decode()) is None


ISSUER = TemporaryKeys(secret="a secret")


def test_nothing_is_inflated_or_parsed_before_the_signature_is_checked(monkeypatch):
    issuer = TemporaryKeys(KEYS)
    bomb = zlib.compress(b"0" * 1_000_000, 9)
    assert len(signed(issuer, bomb)) < MAX_CHARS
    monkeypatch.setattr(src.api.temporary_keys, "_read", lambda _: pytest.fail("it was read"))
    assert issuer.credential(signed(TemporaryKeys(KEYS, "another secret"), bomb)) is None


@pytest.mark.parametrize(
    "claims",
    [
        zlib.compress(b"0" * 1_000_000, 9),
        zlib.compress(b" " * MAX_CLAIMS_BYTES + b"{}", 9),
        zlib.compress(b"{}"),
        zlib.compress(b"[" * 10_000),
        zlib.compress(b"\xff"),
        zlib.compress(b'{"expires_at":"soon"}'),
        zlib.compress(b"{}")[:-3],
        b"no zlib",
        b"",
    ],
    ids=lambda claims: claims[:12].hex(),
)
def test_signed_claims_of_another_version_are_not_valid_and_inflate_to_a_limit_only(claims):
    issuer = TemporaryKeys(KEYS)
    assert issuer.credential(signed(issuer, claims)) is None


# -- the settings in a key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        updated(format={"type": "audio/pcmu"}),
        updated(format={"type": "audio/pcm", "rate": 8_000}, turn_detection=None),
        updated(turn_detection={"type": "server_vad", "threshold": 0.25, "create_response": False}),
        updated(turn_detection={"type": "semantic_vad", "eagerness": "low"}),
        updated({"language": "en", "keywords": ["Grüße", "鸚鵡", "🦜", 'a "b"\\'], "prompt": "a\n\u0001b\x7f"}),
        updated({"model": "gpt-live-transcribe", "timestamp_granularities": ["word"]}),
        updated(noise_reduction={"type": "near_field", "strength": 0.1}),
        CONFIG.updated({"include": ["item.input_audio_transcription.logprobs"]}, SERVED, ["en"]),
    ],
)
def test_sessions_with_a_key_begin_with_the_settings_it_was_made_for(config):
    issuer = TemporaryKeys(KEYS)
    value = issuer.mint(0, config, 60).value
    assert TOKEN.fullmatch(value)
    begun = issuer.credential(value).session
    assert begun == config
    assert (begun.ga(), begun.beta(), begun.detection) == (config.ga(), config.beta(), config.detection)
    patch = {"audio": {"input": {"transcription": {"prompt": "p"}, "turn_detection": {"prefix_padding_ms": 7}}}}
    assert begun.updated(patch, SERVED, ["en"]) == config.updated(patch, SERVED, ["en"]), "left out means as it is"


def test_a_key_says_nothing_of_the_api_key_that_made_it_or_of_the_secret():
    value = TemporaryKeys(KEYS, "a secret").mint(0, CONFIG, 60).value
    assert not [each for each in (*KEYS, "a secret") if each.encode() in claims_of(value)]
    other = TemporaryKeys(KEYS, "another secret").mint(0, CONFIG, 60).value
    assert json.loads(claims_of(value))["parent"] != json.loads(claims_of(other))["parent"]


def test_a_usual_key_is_short_and_one_with_a_hundred_long_keywords_fits():
    issuer = TemporaryKeys(KEYS)
    assert len(issuer.mint(0, updated({"language": "en"}), 60).value) < 500
    words = ["".join(Random(number).choices("abcdefghijklmnopqrstuvwxyz ", k=75)) for number in range(100)]
    config = updated({"keywords": words})
    value = issuer.mint(0, config, 60).value
    assert len(value) <= MAX_CHARS
    assert issuer.credential(value).session == config


def test_settings_that_do_not_fit_are_refused_and_the_longest_that_do_are_accepted():
    issuer, draw = TemporaryKeys(KEYS), Random(1)
    noise = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=10_000))
    fitting, too_long = 0, len(noise)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        try:
            value = issuer.mint(0, updated({"prompt": noise[:middle]}), 60).value
        except InvalidRequest as refused:
            error, too_long = refused, middle
        else:
            longest, fitting = value, middle
    assert MAX_CHARS - 10 < len(longest) <= MAX_CHARS
    assert issuer.credential(longest).session.transcription.prompt == noise[:fitting]
    assert (error.status, error.param) == (400, "session")
    assert str(MAX_CHARS) in error.message
    assert "session.update" in error.message


def test_claims_that_would_inflate_beyond_the_limit_are_refused():
    with pytest.raises(InvalidRequest, match="too long"):
        TemporaryKeys(KEYS).mint(0, updated({"prompt": "a" * MAX_CLAIMS_BYTES}), 60)
