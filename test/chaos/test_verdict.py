"""What the soak test makes of answers: the right ones, those that a fault excuses, and those that make it fail."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import client
import memory_in_use
import metrics_audit
import pytest
import trend
import verdict
from attempt import Attempt
from call import Call
from faults import Visit
from life import Life
from memory_in_use import InUse
from metrics_audit import Audit
from outcome import Growth, Outcome
from process_tree import Reading
from verdict import Answer, Judge

ALONE = {
    "json one": Answer("200", "The first."),
    "json two": Answer("200", "The second."),
    "poison three": Answer("400 invalid_audio", ""),
}
TERM_S, END_S, READY_S = 100.0, 110.0, 120.0


def attempt(
    code: str, text: str = "", *, sent_s: float = 50.0, ended_s: float = 51.0, name: str = "json one"
) -> Attempt:
    kind, _, clip = name.partition(" ")
    call = Call(kind, clip, client.Upload(clip, 1.0))
    return Attempt("soak-1", call, False, code, text, "soak-1", sent_s, sent_s, ended_s)


def judge(how: signal.Signals = signal.SIGTERM, workers_killed_s: tuple[float, ...] = ()) -> Judge:
    """A service that was told to end at 100 s, did at 110 s, and was ready again at 120 s."""
    first = Life(1, 0.0, 10.0, how, TERM_S, END_S, 0 if how == signal.SIGTERM else -how)
    return Judge(ALONE, [first, Life(2, END_S, READY_S)], workers_killed_s)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (attempt("200", "The first."), verdict.RIGHT),
        (attempt("200", "The second."), verdict.CROSS_TALK),
        (attempt("200", "The furst."), verdict.WRONG_TEXT),
        (attempt("200", ""), verdict.WRONG_TEXT),
        (attempt("400 invalid_audio", name="poison three"), verdict.RIGHT),
        (attempt("200", "The first.", name="poison three"), verdict.CROSS_TALK),
        (attempt("429 queue_full"), verdict.REJECTED),
        (attempt("503 queue_timeout"), verdict.REJECTED),
        (attempt("500 internal_error"), verdict.UNEXPECTED),
        (attempt("400 invalid_audio"), verdict.UNEXPECTED),
        (attempt("503 shutting_down"), verdict.UNEXPECTED),
        (attempt("200 without text"), verdict.UNEXPECTED),
        (attempt("disconnected"), verdict.UNEXPECTED),
        (attempt("timeout"), verdict.UNANSWERED),
        (attempt(""), verdict.UNANSWERED),
    ],
    ids=lambda each: f"{each.call.name}: {each.code} {each.text}" if isinstance(each, Attempt) else None,
)
def test_an_answer_is_judged_by_what_its_call_brings_alone(made, expected):
    assert judge().verdict(made) == expected


def test_what_a_stopping_service_had_in_full_must_be_answered():
    assert judge().verdict(attempt("disconnected", sent_s=95, ended_s=105)) == verdict.UNEXPECTED
    assert judge().verdict(attempt("disconnected", sent_s=101, ended_s=105)) == verdict.LOST_TO_STOP
    assert judge().verdict(attempt("unreachable", sent_s=115, ended_s=115)) == verdict.LOST_TO_STOP
    assert judge().verdict(attempt("unreachable", sent_s=130, ended_s=130)) == verdict.UNEXPECTED


def test_what_was_under_way_when_the_service_was_killed_may_be_lost():
    assert judge(signal.SIGKILL).verdict(attempt("disconnected", sent_s=95, ended_s=105)) == verdict.LOST_TO_STOP
    assert judge(signal.SIGKILL).verdict(attempt("disconnected", sent_s=95, ended_s=99)) == verdict.UNEXPECTED
    assert judge(signal.SIGKILL).verdict(attempt("500 internal_error", sent_s=95, ended_s=105)) == verdict.UNEXPECTED


def test_a_killed_worker_costs_one_call_at_most():
    killed = judge(workers_killed_s=(50.5,))
    assert killed.verdict(attempt("400 invalid_audio")) == verdict.LOST_TO_WORKER
    assert killed.verdict(attempt("400 invalid_audio")) == verdict.UNEXPECTED


def test_the_metrics_log_must_have_every_answer_once_with_its_status(tmp_path):
    lines = [{"request_id": name, "code": code} for name, code in [("a", 200), ("b", 200), ("b", 200), ("c", 500)]]
    (tmp_path / "metrics.log").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"request_id": "d')
    answers = [attempt("200") for _ in "abcde"]
    for answer, name in zip(answers, "abcde", strict=True):
        answer.logged_as = name
    audit = metrics_audit.audit(answers, metrics_audit.logged(tmp_path), lambda each: each.logged_as == "e")
    assert audit == Audit(found=3, excused=1, missing=["d"], twice=["b"], other_status=["c"])


def reading(pid: int = 1, descriptors: int = 20) -> Reading:
    return Reading(0.0, pid, 500.0, 0.0, descriptors, 10, 0)


def outcome(**changes) -> Outcome:
    """A soak test of one right answer, but for `changes`."""
    values: dict[str, Any] = {
        "judged": [(attempt("200", "The first."), verdict.RIGHT)],
        "visits": [Visit("nonsense", "400")],
        "faults": Counter(),
        "lives": [Life(1, 0.0, 10.0, signal.SIGTERM, TERM_S, END_S, 0)],
        "audit": Audit(1, 0, [], [], []),
        "half_time_s": 0.0,
        "at_begin": reading(),
        "at_end": reading(),
        "readings": [reading()],
        "growth": Growth(5.0, 4.5, 0.5, 0.0, 0.0, 0.0),
        "disk_mounted": True,
        "like_reference": "",
        "tracebacks": 0,
    }
    return Outcome(**values | changes)


def test_a_soak_test_without_a_blemish_has_no_findings():
    assert outcome().findings == []


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"judged": [(attempt("200", "The furst."), verdict.WRONG_TEXT)]}, "wrong text: soak-1, json one"),
        ({"judged": [(attempt("429 queue_full"), verdict.REJECTED)]}, "no right answer: json"),
        ({"visits": [Visit("nonsense", "500")]}, "nonsense: 500, 1 times"),
        ({"audit": Audit(0, 0, ["soak-1"], [], [])}, "1 answers missing in the metrics log, such as soak-1"),
        ({"lives": [Life(1, 0.0, ended_s=9.0, exit_code=0)]}, "process 1 ended with exit code 0 after no signal"),
        ({"growth": Growth(0.5, 0.5, 1.5, 0.0, 0.0, 0.0)}, "memory in use grew by 1.50 MB a minute"),
        ({"growth": Growth(0.5, 5.5, 0.5, 0.0, 0.0, 0.0)}, "resident memory grew by 5.50 MB a minute"),
        ({"at_end": reading(descriptors=30)}, "descriptors grew from 20 to 30"),
        ({"at_end": reading(pid=2)}, "the time without stops was not one life of the process"),
        ({"at_end": None}, "the time without stops was not one life of the process"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_soak_test_fails_with_a_sentence(changes, finding):
    [found] = [each for each in outcome(**changes).findings if each.startswith(finding)]
    assert found


def test_a_slope_is_by_the_minute():
    assert trend.slope_per_min([0.0, 6.0, 12.0], [500.0, 500.1, 500.2]) == pytest.approx(1.0)


def test_what_comes_and_goes_within_a_minute_is_no_growth():
    at_s = [float(second) for second in range(0, 600, 2)]
    peaks = [500.0 + (100.0 if second % 60 > 10 and second > 300 else 0.0) for second in at_s]
    assert trend.slope_per_min(at_s, peaks) > 5
    assert trend.floor_slope_per_min(at_s, peaks) == pytest.approx(0, abs=0.01)
    leak = [peak + second / 60 for peak, second in zip(peaks, at_s, strict=True)]
    assert trend.floor_slope_per_min(at_s, leak) == pytest.approx(1, abs=0.05)


def test_memory_in_use_is_what_is_used_and_not_what_was_freed():
    if memory_in_use.in_use_mb() is None:
        pytest.skip("The C library does not tell how much memory is in use.")
    program = """
import memory_in_use
print(memory_in_use.in_use_mb())
blocks = [bytes(2000) for _ in range(10_000)]
print(memory_in_use.in_use_mb())
words = [str(number) for number in range(10**6, 10**6 + 400_000)]
print(memory_in_use.in_use_mb())
del blocks, words
print(memory_in_use.in_use_mb())
"""
    chaos = Path(memory_in_use.__file__).parent
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=chaos, check=True)
    before_mb, with_blocks_mb, with_words_mb, freed_mb = map(float, ran.stdout.split())
    assert with_blocks_mb - before_mb == pytest.approx(20, abs=2)
    words_mb = 400_000 * (memory_in_use.PYTHON_BLOCK_BYTES + 8) / 1e6  # with the list's pointers
    assert with_words_mb - with_blocks_mb == pytest.approx(words_mb, abs=2)
    assert freed_mb == pytest.approx(before_mb, abs=2)


def test_memory_in_use_is_read_by_process_without_a_line_that_is_being_written(tmp_path):
    file = tmp_path / "in_use.txt"
    assert memory_in_use.read(file) == []
    file.write_text("1.000 7 500.500\n2.000 8 501.000\n3.0")
    assert memory_in_use.read(file) == [InUse(1.0, 7, 500.5), InUse(2.0, 8, 501.0)]
