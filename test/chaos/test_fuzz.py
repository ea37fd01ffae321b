"""What hypothesis makes up, thrown at the decoder, the form reader and the realtime session: `fuzz.py` in short."""

import re
from functools import cache
from typing import Any

import httpx
import pytest
from answers import GOOD_TEXT, good_text
from chatter import CONVERSATIONS, MESSAGES
from forms import EXTREMES, Multipart, multiparts
from fuzz import Budget, main
from fuzz_targets import decode_anything, hold_conversation, post_anything, talk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import clip, wav
from mutants import media
from recordings import SPEECH, recordings
from running_service import Service

BUDGET: dict[str, Any] = {"suppress_health_check": list(HealthCheck)}


@cache
def sources() -> dict[str, bytes]:
    return {recording.name: recording.data for recording in recordings()}


@pytest.fixture(autouse=True)
def right_afterwards(service: Service):
    yield
    assert good_text(service.http) == GOOD_TEXT


def test_the_program_says_how_much_it_has_tried(capsys: pytest.CaptureFixture[str]):
    main(["realtime", "--examples", "20", "--seed", "11"])
    assert capsys.readouterr().out.startswith("realtime: 20 examples of seed 11 in ")


def test_the_program_says_how_to_repeat_what_it_has_found(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(httpx.ConnectError):
        main(["multipart", "--examples", "20", "--url", "http://127.0.0.1:1"])
    command = r"python3 test/chaos/fuzz.py multipart --examples 20 --seed \d+ --url http://127.0.0.1:1"
    assert re.fullmatch(f"To repeat this: {command}\n", capsys.readouterr().err)


def test_the_program_ends_with_what_the_smallest_example_raises():
    with pytest.raises(ZeroDivisionError):
        Budget(examples=50, seed=7).spend(st.integers(0, 1000), lambda number: 1 // max(0, 100 - number))


@given(data=st.deferred(lambda: media(sources())))
@settings(max_examples=200, **BUDGET)
def test_any_damage_to_a_file_gives_samples_or_an_error_of_the_senders(data: bytes):
    decode_anything(data)


@given(form=multiparts(wav(clip(SPEECH)[:4_000])))
@settings(max_examples=300, **BUDGET)
def test_any_form_gets_a_text_or_an_error_of_the_senders(service: Service, form: Multipart):
    post_anything(service.http, form)


@pytest.mark.parametrize("name", EXTREMES)
def test_a_form_that_is_too_much_is_refused_without_harm(service: Service, name: str):
    assert post_anything(service.http, EXTREMES[name]()).status_code == 400


@given(conversation=CONVERSATIONS)
@settings(max_examples=150, **BUDGET)
def test_any_conversation_gets_answers_of_the_documented_form(conversation):
    hold_conversation(conversation)


@given(messages=st.lists(MESSAGES, min_size=5, max_size=40))
@settings(max_examples=10, **BUDGET)
def test_any_messages_over_a_websocket_leave_it_answering_or_closed_with_a_documented_code(service: Service, messages):
    talk(f"ws://127.0.0.1:{service.port}/v1/realtime", messages)
