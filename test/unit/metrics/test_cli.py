import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from exposition_parser import parse, value
from records import NOW, a_failure, a_record, write_log

from src.metrics import MetricsLog
from src.metrics.cli import main

PROJECT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "src.metrics"]


@pytest.fixture
def path(tmp_path) -> Path:
    records = [a_record(NOW - 60 * minute) for minute in range(120)]
    return write_log(tmp_path / "metrics" / "metrics.log", [*records, a_failure(429, "queue_full", NOW)])


def report(*arguments: object) -> int:
    return main([str(argument) for argument in arguments], clock=lambda: NOW)


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_report_has_a_line_for_each_default_window(path, capsys):
    assert report("--file", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path} at 2026-11-18 11:06:40 UTC"
    rows = [line.split() for line in lines[4:11]]
    assert [row[:3] for row in rows] == [
        ["30m", "31", "96.77%"],
        ["1h", "61", "98.36%"],
        *[[window, "121", "99.17%"] for window in ("3h", "6h", "12h", "24h", "3d")],
    ]


def test_the_windows_are_printed_as_they_were_asked_for(path, capsys):
    assert report("--file", path, "--windows", "90s", "1.5h", "10m") == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[4:7]] == [
        ["90s", "3"],
        ["1.5h", "91"],
        ["10m", "11"],
    ]


def test_json_holds_the_same_numbers_and_the_lines_that_were_skipped(path, capsys):
    path.write_text(path.read_text() + '{"ts":')
    assert report("--file", path, "--json", "--windows", "30m", "1h") == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["file", "now", "skipped_lines", "windows"]
    assert document["file"] == str(path)
    assert document["now"] == NOW
    assert document["skipped_lines"] == 1
    assert [window["requests"] for window in document["windows"]] == [31, 61]
    assert document["windows"][0]["errors_by_code"] == {"429": 1}


def test_the_tables_say_how_many_lines_were_skipped(path, capsys):
    assert report("--file", path) == 0
    assert "skipped" not in capsys.readouterr().out
    path.write_text(path.read_text() + "broken\n" + '{"ts":')
    assert report("--file", path) == 0
    assert capsys.readouterr().out.endswith("skipped 2 unreadable lines\n")


def test_the_log_of_the_service_is_where_the_settings_say(tmp_path):
    log = MetricsLog(tmp_path)
    log.write(a_record())
    log.close()
    done = run(*COMMAND, "--json", "--windows", "36500d", PARAKEET_LOG_DIR=str(tmp_path))
    assert done.returncode == 0
    assert json.loads(done.stdout)["windows"][0]["requests"] == 1


def test_a_log_that_does_not_exist_yet_is_one_sentence(tmp_path, capsys):
    assert report("--file", tmp_path / "metrics.log") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"No metrics yet: there is no file {tmp_path}/metrics.log.\n"


def test_a_log_that_cannot_be_read_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert report("--file", tmp_path / "file" / "metrics.log") == 1
    assert capsys.readouterr().err == f"Not a directory: {tmp_path}/file/metrics.log\n"


def test_a_folder_without_a_log_is_one_sentence(tmp_path, capsys):
    assert report("--file", tmp_path) == 1
    assert capsys.readouterr().err == f"No metrics yet: there is no metrics.log in {tmp_path}.\n"


@pytest.fixture
def fleet(tmp_path) -> list[Path]:
    """The logs of three replicas, each in a folder of its own."""
    return [
        write_log(
            tmp_path / name / "metrics" / "metrics.log",
            [a_record(NOW - 1800 * index, replica=name, request_id=f"{name}{index}") for index in range(number)],
        )
        for number, name in enumerate("abc", start=1)
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--file", "a/metrics/metrics.log", "b/metrics", "c"],
        ["--file", "a", "--file", "b", "c"],
        ["--file", "."],
        ["--file", ".", "a/metrics/metrics.log"],
    ],
    ids=" ".join,
)
def test_files_and_folders_of_replicas_are_read_as_one_log(fleet, tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert report(*arguments, "--windows", "10m", "2h") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[4:6]] == [["10m", "3"], ["2h", "6"]]
    assert report(*arguments, "--prometheus", tmp_path / "parakeet.prom", "--html", tmp_path / "load.html") == 0
    assert value(parse((tmp_path / "parakeet.prom").read_text()), "parakeet_requests_total") == 6
    page = (tmp_path / "load.html").read_text()
    assert "By replica" in page
    assert "Replica b started" not in page, "these lines do not say when"


def test_several_logs_are_named_in_what_is_printed(fleet, tmp_path, capsys):
    assert report("--file", *fleet[:2]) == 0
    assert capsys.readouterr().out.startswith(f"{fleet[0]}, {fleet[1]} at 2026-11-18 11:06:40 UTC\n")
    assert report("--file", *fleet[:2], "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == [str(path) for path in fleet[:2]]
    assert "file" not in document


def test_one_log_that_is_missing_among_several_is_one_sentence(fleet, tmp_path, capsys):
    assert report("--file", *fleet, tmp_path / "d.log") == 1
    assert capsys.readouterr().err == f"No metrics yet: there is no file {tmp_path}/d.log.\n"


def test_invalid_settings_are_one_sentence():
    done = run(*COMMAND, PARAKEET_PORT="0")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "PARAKEET_PORT must be at least 1, not 0\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--windows", "5x"], "'5x' is no length of time such as 90s, 30m, 1.5h or 3d"),
        (["--windows"], "expected at least one argument"),
        (["--plot", "plot.jpg"], "'plot.jpg' does not end in .png"),
        (["--json", "--follow"], "not allowed with"),
        (["--wat"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as exit:
        report(*arguments)
    assert exit.value.code == 2
    assert complaint in capsys.readouterr().err


def test_help_defines_every_number_of_the_report(capsys):
    with pytest.raises(SystemExit):
        report("--help")
    text = capsys.readouterr().out
    for name in (
        "requests",
        "success",
        "req/min",
        "audio min",
        "RTFx",
        "total",
        "queue wait",
        "inference",
        "batch",
        "errors",
    ):
        assert f"\n{name}" in text, name


# Following


def follow(path: Path, *between) -> None:
    """Run `--follow`, doing one thing of `between` in each pause, then pressing Ctrl-C."""
    steps = iter(between)

    def pause(duration_s: float) -> None:
        assert duration_s == 2.0
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    assert main(["--follow", "--windows", "1h", "--file", str(path)], clock=lambda: NOW, pause=pause) == 0


def frames(out: str) -> list[str]:
    return [frame for frame in out.split("\n\n\n") if frame]


def test_follow_prints_again_with_what_was_added_until_ctrl_c(tmp_path, capsys):
    path = tmp_path / "metrics.log"
    follow(
        path,
        lambda: write_log(path, [a_record(NOW - 3)]),
        lambda: path.rename(tmp_path / "metrics.log.2026-11-17"),
        lambda: write_log(path, [a_record(NOW - 2), a_record(NOW - 1)]),
    )
    out, err = capsys.readouterr()
    assert out.startswith(f"No metrics yet: waiting for {path}.\n")
    counts = [line.split()[1] for line in out.splitlines() if line.split()[:1] == ["1h"]]
    assert counts == ["1", "1", "3"]
    assert err == ""


def test_follow_finds_the_logs_of_replicas_that_come_later(tmp_path, capsys):
    follow(
        tmp_path,
        lambda: write_log(tmp_path / "b" / "metrics.log", [a_record(NOW - 3, replica="b")]),
        lambda: write_log(tmp_path / "a" / "metrics.log", [a_record(NOW - 4, replica="a")]),
    )
    out, err = capsys.readouterr()
    assert out.startswith(f"No metrics yet: waiting for metrics.log in {tmp_path}.\n")
    assert [line.split()[1] for line in out.splitlines() if line.split()[:1] == ["1h"]] == ["1", "2"]
    assert err == ""


def test_follow_clears_the_screen_of_a_terminal(path):
    terminal, of_child = pty.openpty()
    child = subprocess.Popen([*COMMAND, "--follow", "--file", path], cwd=PROJECT, stdout=of_child, stderr=of_child)
    os.close(of_child)
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        seen = b""
        while b"no errors" not in seen:
            seen += screen.read(4096)
        child.send_signal(signal.SIGINT)
        assert child.wait(300) == 0
    assert seen.startswith(b"\x1b[H\x1b[2J")
    assert b"Traceback" not in seen


# The command and its surroundings


def test_a_reader_that_has_gone_is_no_error(path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [*COMMAND, "--file", path], cwd=PROJECT, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_the_output_is_one_sentence(path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "--file", path], cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert (done.returncode, done.stderr) == (1, "No space left on device: standard output\n")


def test_a_python_without_the_project_is_told_to_activate_its_environment():
    done = run(sys.executable, "-S", "-m", "src.metrics")  # -S: without site-packages
    assert done.returncode == 1
    assert done.stderr == f"numpy is not installed for {sys.executable}; try after: source .venv/bin/activate\n"


def test_neither_the_log_nor_the_report_loads_torch_or_nemo_and_the_log_not_even_numpy():
    script = """
import sys
import src.metrics
assert not {"torch", "nemo", "numpy"} & set(sys.modules)
import src.metrics.cli, src.settings
assert not {"torch", "nemo", "matplotlib"} & set(sys.modules)
"""
    done = run(sys.executable, "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


# Plotting


def test_a_plot_without_matplotlib_says_how_to_install_it(path, tmp_path):
    script = """
import sys
sys.modules["matplotlib"] = None  # what the import system does with it is the same as where it is missing
from src.metrics.cli import main
sys.exit(main(sys.argv[1:]))
"""
    done = run(sys.executable, "-c", script, "--file", path, "--plot", tmp_path / "plot.png")
    assert done.returncode == 1
    assert done.stderr == "--plot needs matplotlib; install it with: pip install '.[plot]'\n"
    assert not (tmp_path / "plot.png").exists()


def test_a_plot_is_drawn_as_a_png(path, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    target = tmp_path / "plot.png"
    assert report("--file", path, "--windows", "30m", "3h", "--plot", target) == 0
    assert capsys.readouterr().out == f"Drew the last 3h to {target}.\n"
    assert target.read_bytes().startswith(b"\x89PNG\r\n")
    assert target.stat().st_size > 10_000


def test_a_plot_of_nothing_is_not_drawn(path, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["--file", str(path), "--plot", str(tmp_path / "plot.png")], clock=lambda: NOW + 30 * 86400) == 1
    assert capsys.readouterr().err == "Nothing to draw: no request ended in the last 3d.\n"


# Files


def test_counters_for_prometheus_are_written_in_silence_and_need_no_requests_in_the_windows(path, tmp_path, capsys):
    target = tmp_path / "parakeet.prom"
    for _ in range(2):
        assert report("--file", path, "--windows", "1s", "--prometheus", target) == 0
        assert capsys.readouterr() == ("", "")
    assert 'code="429",error="queue_full"} 1\n' in target.read_text()


def test_a_file_that_is_not_of_this_command_is_named(path, tmp_path, capsys):
    target = tmp_path / "parakeet.prom"
    target.write_text("mine\n")
    assert report("--file", path, "--prometheus", target) == 0
    assert capsys.readouterr().err == f"{target} was not written by this command; its counters begin anew.\n"


@pytest.mark.parametrize("option", ["--html", "--prometheus"])
def test_a_folder_that_does_not_exist_is_one_sentence(path, tmp_path, option, capsys):
    assert report("--file", path, option, tmp_path / "no" / "load.png") == 1
    assert capsys.readouterr().err.startswith(f"No such file or directory: {tmp_path / 'no'}")


@pytest.mark.parametrize("option", ["--html", "--plot", "--prometheus"])
def test_without_a_log_no_file_is_written(tmp_path, option, capsys):
    assert report("--file", tmp_path / "metrics.log", option, tmp_path / "load.png") == 1
    assert capsys.readouterr().err == f"No metrics yet: there is no file {tmp_path}/metrics.log.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_drawn_over_the_windows_that_were_asked_for(path, tmp_path, capsys):
    target = tmp_path / "load.html"
    assert report("--file", path, "--windows", "30m", "3h", "--html", target) == 0
    assert capsys.readouterr().out == f"Drew the last 30m and 3h to {target}.\n"
    assert target.read_text().startswith("<!doctype html>")


def test_several_files_are_written_at_once_and_one_that_cannot_be_drawn_does_not_keep_the_others(
    path, tmp_path, capsys
):
    names = ["load.html", "load.prom"]
    files = [tmp_path / name for name in names]
    assert report("--file", path, "--html", files[0], "--prometheus", files[1]) == 0
    assert all(file.is_file() for file in files)
    files[1].unlink()
    assert report("--file", path, "--windows", "1s", "--html", files[0], "--prometheus", files[1]) == 0
    write_log(path, [a_record(NOW - 3600)])
    files[0].unlink()
    assert report("--file", path, "--windows", "1s", "--html", files[0], "--prometheus", files[1]) == 1
    assert [file.is_file() for file in files] == [False, True]
    assert capsys.readouterr().err == "Nothing to draw: no request ended in the last 1s.\n"


@pytest.mark.parametrize("printed", ["--json", "--follow"])
def test_files_and_printed_reports_exclude_each_other(printed, capsys):
    with pytest.raises(SystemExit) as exit:
        report(printed, "--html", "load.html")
    assert exit.value.code == 2
    assert f"argument --html: not allowed with argument {printed}" in capsys.readouterr().err
