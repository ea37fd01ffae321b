"""The log read back: its rotated parts, lines that cannot be read, and what is appended later."""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from records import NOW, a_failure, a_record, history_of, write_log

from src.metrics.report import ReportWindow, summarize

HOUR = 3600.0
DAY = 86400.0


def test_the_rotated_parts_of_a_log_are_read_and_nothing_else_beside_it(tmp_path):
    folder = tmp_path / "metrics"
    write_log(folder / "metrics.log", [a_record(NOW)])
    write_log(folder / "metrics.log.2026-11-17", [a_record(NOW - DAY), a_record(NOW - DAY)])
    write_log(folder / "metrics.log.2026-11-16", [a_record(NOW - 2 * DAY)] * 3)
    write_log(folder / "metrics.log.2026-11-16.1", [a_record(NOW - 2 * DAY)] * 4)
    for other in ("metrics.log.bak", "metrics.log.2026-11-16.gz", "other.log", "metrics.log.2026-11-16.swp"):
        write_log(folder / other, [a_record(NOW)])
    history = history_of(folder / "metrics.log", NOW - 3 * DAY)
    assert list(history.requests["ts"]) == [NOW - 2 * DAY] * 7 + [NOW - DAY] * 2 + [NOW]


def test_the_rotated_parts_are_read_while_there_is_no_file_of_today(tmp_path):
    write_log(tmp_path / "metrics.log.2026-11-17", [a_record(NOW)])
    assert len(history_of(tmp_path / "metrics.log").requests) == 1


def test_a_log_that_does_not_exist_is_no_log(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.log"):
        history_of(tmp_path / "metrics" / "metrics.log")


SERVICE_LINE = a_failure(429, "queue_full", NOW, batch_size=8).to_line() + "\n"
BAD_LINES = [
    SERVICE_LINE.replace('"ts":1', '"ts":01').encode(),
    SERVICE_LINE.replace('"ts":1795000000.0', '"ts":1e999').encode(),
    SERVICE_LINE.replace('"ts":1795000000.0', '"ts":null').encode(),
    SERVICE_LINE.replace("429", "429.5").encode(),
    SERVICE_LINE.replace("429", "null").encode(),
    SERVICE_LINE.replace('"error"', '"wrong"', 1).encode(),
    SERVICE_LINE.replace('"batch_size":8', '"batch_size":NaN').encode(),
    SERVICE_LINE.replace('"batch_size":8', '"batch_size":"8"').encode(),
    SERVICE_LINE.replace("queue_full", "queue\tfull").encode(),
    SERVICE_LINE.replace("queue_full", 'queue"full').encode(),
    SERVICE_LINE.replace('"queue_full"', "7").encode(),
    SERVICE_LINE.replace("tiny", "t\xffny").encode("latin-1"),
    SERVICE_LINE.encode().replace(b"\n", b"}\n"),
    b"no json\n",
    b"{}\n",
    b"[]\n",
    b"1\n",
    b'"text"\n',
    b"null\n",
    b"\xff\xfe\x00\n",
    b"\x00" * 5000 + b"\n",
    b"[" * 100_000 + b"\n",
    b'{"ts":1,"status":"ok","code":200} {"ts":1}\n',
    b'{"status":"ok","code":200}\n',
    b'{"ts":null,"status":"ok","code":200}\n',
    b'{"ts":true,"status":"ok","code":200}\n',
    b'{"ts":NaN,"status":"ok","code":200}\n',
    b'{"ts":1e999,"status":"ok","code":200}\n',
    b'{"ts":' + b"9" * 400 + b',"status":"ok","code":200}\n',
    b'{"ts":"yesterday","status":"ok","code":200}\n',
    b'{"ts":1795000000,"code":200}\n',
    b'{"ts":1795000000,"status":"maybe","code":200}\n',
    b'{"ts":1795000000,"status":"error","code":"500"}\n',
    b'{"ts":1795000000,"status":"error"}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"audio_len_s":"10"}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"audio_len_s":1e16}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"duration_total_s":[1]}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"queue_wait_s":Infinity}\n',
]


@pytest.mark.parametrize("bad", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_line_that_cannot_be_read_is_skipped_and_counted(tmp_path, bad):
    good = a_record().to_line().encode() + b"\n"
    path = tmp_path / "metrics.log"
    path.write_bytes(good + bad + good)
    history = history_of(path)
    assert len(history.requests) == 2
    assert history.skipped_lines == 1


def test_a_torn_last_line_is_skipped_wherever_it_is_torn(tmp_path):
    line = a_record().to_line()
    for length in range(1, len(line)):
        path = tmp_path / f"{length}.log"
        path.write_text(line + "\n" + line[:length])
        history = history_of(path)
        assert (len(history.requests), history.skipped_lines) == (1, 1), line[:length]


def test_a_whole_last_line_without_an_end_is_read_and_blank_lines_are_nothing(tmp_path):
    path = tmp_path / "metrics.log"
    path.write_text("\n" + a_record().to_line() + "\n\n" + a_record().to_line())
    history = history_of(path)
    assert len(history.requests) == 2
    assert history.skipped_lines == 0


def test_an_empty_log_holds_no_requests(tmp_path):
    (tmp_path / "metrics.log").touch()
    assert len(history_of(tmp_path / "metrics.log").requests) == 0


@pytest.mark.parametrize("error", ["queue_full", 'quo"te', "back\\slash", "é\u2028\n", "", None])
def test_the_word_of_an_error_is_read_as_it_was_written(tmp_path, error):
    write_log(tmp_path / "metrics.log", [a_failure(500, error)])
    assert history_of(tmp_path / "metrics.log").requests.failures == [(500, error or "")]


def test_a_line_with_the_keys_of_the_spec_alone_is_read(tmp_path):
    entry = {"ts": NOW, "status": "ok", "code": 200, "audio_len_s": 5, "duration_total_s": 1, "model": "tiny"}
    (tmp_path / "metrics.log").write_text(json.dumps(entry) + "\n")
    requests = history_of(tmp_path / "metrics.log").requests
    assert requests["audio_len_s"][0] == 5.0
    assert math.isnan(requests["batch_size"][0])


@pytest.mark.parametrize(
    "moment",
    [
        datetime.fromtimestamp(NOW, UTC).isoformat(),
        datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None).isoformat(),
        NOW,
        int(NOW),
    ],
)
def test_a_time_is_unix_seconds_or_iso_8601(tmp_path, moment):
    (tmp_path / "metrics.log").write_text(json.dumps({"ts": moment, "status": "ok", "code": 200}) + "\n")
    assert list(history_of(tmp_path / "metrics.log").requests["ts"]) == [NOW]


def test_parts_that_ended_before_the_longest_window_are_not_read(tmp_path):
    old = write_log(tmp_path / "metrics.log.2026-11-10", [a_record(NOW - 8 * DAY)] * 10)
    old.write_text("broken\n" + old.read_text())
    write_log(tmp_path / "metrics.log", [a_record(NOW)])
    history = history_of(tmp_path / "metrics.log", NOW - 3 * DAY)
    assert len(history.requests) == 1
    assert history.skipped_lines == 0
    assert history_of(tmp_path / "metrics.log", NOW - 9 * DAY).skipped_lines == 1


# Reading on


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_an_update_reads_what_was_added_and_a_torn_line_once_it_is_whole(tmp_path):
    line = a_record().to_line() + "\n"
    path = tmp_path / "metrics.log"
    path.write_text("broken\n" + line + line[:100])
    history = history_of(path)
    assert (len(history.requests), history.skipped_lines) == (1, 2)
    append(path, line[100:])
    history.update(0)
    assert (len(history.requests), history.skipped_lines) == (2, 1)
    history.update(0)
    assert (len(history.requests), history.skipped_lines) == (2, 1)


def test_a_rotation_between_two_updates_loses_and_doubles_nothing(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3)])
    history = history_of(path)
    append(path, a_record(NOW - 2).to_line() + "\n")
    path.rename(tmp_path / "metrics.log.2026-11-17")
    write_log(path, [a_record(NOW - 1)])
    history.update(0)
    assert sorted(history.requests["ts"]) == [NOW - 3, NOW - 2, NOW - 1]


def test_a_log_that_was_emptied_is_read_from_its_start(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3)] * 3)
    history = history_of(path)
    path.write_text(a_record(NOW).to_line() + "\n")
    history.update(0)
    assert list(history.requests["ts"]) == [NOW - 3] * 3 + [NOW]


def test_an_update_forgets_what_has_left_the_longest_window(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3 * HOUR), a_record(NOW)])
    history = history_of(path, NOW - 4 * HOUR)
    assert len(history.requests) == 2
    history.update(NOW - HOUR)
    assert list(history.requests["ts"]) == [NOW]


def test_new_kinds_of_error_join_those_already_known(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_failure(429, "queue_full")])
    history = history_of(path)
    append(path, a_failure(500, "internal_error").to_line() + "\n" + a_failure(429, "queue_full").to_line() + "\n")
    history.update(0)
    report = summarize(history.requests, ReportWindow.parse("1h"), NOW).to_json()
    assert report["errors_by_code"] == {"429": 2, "500": 1}


def test_a_pipe_is_read_like_a_file(tmp_path):
    line = a_record().to_line().encode() + b"\n"
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as pipe:
        pipe.write(line * 3)
        pipe.close()
        assert len(history_of(Path(f"/dev/fd/{reader}")).requests) == 3
