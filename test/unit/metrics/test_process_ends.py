"""The orderly ends of processes, beside the metrics log (src.metrics.process_ends)."""

from pathlib import Path

import pytest

from src.metrics.process_ends import KEPT, ends_path, note_end, read_ends


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "metrics.log"


def test_what_is_noted_is_read_in_its_order(log):
    note_end(log, 10.1234567, 20.5)
    note_end(log, 30.0, 40.0)
    note_end(log, 50.0, 60.0, "a")
    assert list(read_ends(log)) == [(10.123457, 20.5, ""), (30.0, 40.0, ""), (50.0, 60.0, "a")]
    assert [each.name for each in log.parent.iterdir()] == ["ends.jsonl"], "the log itself has lines of requests only"


def test_a_log_without_the_file_has_no_ends(log):
    assert list(read_ends(log)) == []
    ends_path(log).mkdir()
    assert list(read_ends(log)) == []


def test_the_file_does_not_grow_for_ever(log):
    ends_path(log).write_text("".join(f'{{"process_started": {n}, "ended": {n}}}\n' for n in range(2 * KEPT)))
    note_end(log, 1e6, 2e6)
    ends = list(read_ends(log))
    assert len(ends) == KEPT
    assert ends[-2:] == [(2 * KEPT - 1, 2 * KEPT - 1, ""), (1e6, 2e6, "")]


def test_lines_of_another_form_are_skipped(log):
    ends_path(log).write_bytes(
        b'{"process_started": 1, "ended": 2}\n\n[]\n"x"\n{"process_started": 1}\n\xff\n'
        b'{"process_started": 3, "ended": 2}\n{"process_started": 1, "ended": Infinity}\n'
        b'{"process_started": NaN, "ended": 2}\n{"process_started": null, "ended": 2}\n{"process_started": 5, "end'
    )
    assert list(read_ends(log)) == [(1, 2, "")]


def test_a_disk_that_fails_is_told(log):
    with pytest.raises(OSError, match="ends"):
        note_end(log.parent / "no such folder" / "metrics.log", 1.0, 2.0)
