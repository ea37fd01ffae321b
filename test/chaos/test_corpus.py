"""Hundreds of broken, forged and bomb-like files, sent to the real service, as `corpus.py` does."""

import socket
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest
from answers import GOOD_TEXT, good_text, problem_with, send
from assault import assault, table
from corpus import corpus
from damage import damaged
from hostile import HostileFile
from references import references
from running_service import Service

BATCH = 50
SENDERS = 4
ONE_DAMAGED_IN = 10
"""The whole corpus takes a minute; `corpus.py` sends it."""
SPEECH = HostileFile("speech.wav", bytes(range(256)) * 20)


def test_no_file_breaks_the_service_and_none_spoils_the_texts_after_it(service: Service):
    files = list(corpus(7, one_damaged_in=ONE_DAMAGED_IN))
    assert len(files) > 300
    with ThreadPoolExecutor(SENDERS) as senders:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            raw = [number % 2 == 1 for number in range(len(batch))]
            answers = senders.map(lambda file, raw: send(service.http, file, raw=raw), batch, raw)
            problems = {file.name: problem_with(answer) for file, answer in zip(batch, answers, strict=True)}
            assert {name: said for name, said in problems.items() if said} == {}
            assert good_text(service.http) == GOOD_TEXT


def test_what_a_file_points_to_is_neither_fetched_nor_read(service: Service):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for file in references(f"http://127.0.0.1:{listener.getsockname()[1]}/speech.wav"):
            for raw in (False, True):
                answer = send(service.http, file, raw=raw)
                assert problem_with(answer) is None
                assert "root:" not in answer.text
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_seed_stands_for_its_damage():
    first, again, other = (list(damaged([SPEECH], Random(seed))) for seed in (7, 7, 8))
    assert first == again != other


def test_the_report_of_an_assault_counts_answers_and_names_faults(service: Service):
    outcome = assault([SPEECH, HostileFile("page.html", b"<html>")], str(service.http.base_url), "none")
    assert outcome.withstood
    assert table(outcome).splitlines()[1].split()[:5] == ["2", "0", "2", "0", "0"]
    outcome.add(SPEECH, httpx.Response(500, text="Traceback"), 16.0)
    assert not outcome.withstood
    assert "speech.wav: 500: 'Traceback'" in table(outcome)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"words": []}'),
        (200, b"\xff"),
        (302, b""),
        (400, b"{}"),
        (400, b'{"error": {"message": "x", "type": "x", "code": "x"}}'),
        (400, b'{"error": {"message": "x", "type": "x", "code": "x", "param": 5}}'),
        (503, b'{"error": {"message": "x", "type": "x", "code": "x", "param": null}}'),
    ],
)
def test_an_answer_of_another_form_is_a_fault(status, body):
    assert problem_with(httpx.Response(status, content=body))
