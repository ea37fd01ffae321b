"""The GPU check: its report, its exit codes, what becomes of parts that die or hang, and a rehearsal without a GPU."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import gpu_check
import gpu_engine
import gpu_machine
import gpu_service
import gpu_texts
import numpy as np
import pytest
from gpu_check import Outcome, Part
from gpu_part import DIFFERENT, FIGURES, NO_GPU, Clock, Rows
from gpu_report import Report

TEST = Path(__file__).parent.parent
BENCHES = TEST / "benches"

FINE = f"print('all is well'); print({FIGURES!r} + '{{\"rate\": 7}}')"
DIFFERS = f"import sys; sys.exit({DIFFERENT})"
WITHOUT_GPU = f"import sys; sys.exit({NO_GPU})"
RAISES = "import sys; print('so far so good', flush=True); raise ValueError('out of luck')"
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
HANGS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""

PRINTS_ITS_CALL = """
import os, sys
print(sys.argv[1:], [name for name in os.environ if name.startswith("PARAKEET_")])
sys.exit(2)
"""


def checked(tmp_path, limits_s=None, **programs: str) -> tuple[list[Outcome], dict, str]:
    """Run programs as the parts of a check; return how they ended, the figures and the text of the report."""
    parts = []
    for name, program in programs.items():
        path = tmp_path / f"{name}.py"
        path.write_text(program)
        parts.append(Part(name, str(path), (limits_s or {}).get(name, 60.0)))
    options = argparse.Namespace(device="cpu", model="tiny", results=tmp_path, quick=True, limit=gpu_check.LIMIT_S)
    outcomes = gpu_check.run(parts, options, Report(tmp_path, {}))
    figures = json.loads((tmp_path / "gpu_check.json").read_text())
    return outcomes, figures["parts"], (tmp_path / "gpu_check.txt").read_text()


def test_what_a_part_says_is_shown_and_its_figures_are_kept(tmp_path, capsys):
    outcomes, figures, text = checked(tmp_path, fine=FINE)
    assert [outcome.code for outcome in outcomes] == [0]
    assert figures["fine"]["rate"] == 7
    assert figures["fine"]["outcome"] == "done"
    assert "all is well\n" in text
    assert FIGURES not in text
    assert capsys.readouterr().out == text


def test_a_part_that_raises_or_crashes_is_told_and_the_next_ones_run(tmp_path):
    outcomes, figures, text = checked(tmp_path, raises=RAISES, crashes=CRASHES, fine=FINE)
    assert [outcome.words for outcome in outcomes] == ["failed with exit code 1", "died of SIGSEGV", "done"]
    assert "so far so good\n" in text
    assert "ValueError: out of luck\n" in text
    assert "Traceback" in (tmp_path / "gpu_check.log").read_text()
    assert figures["fine"]["rate"] == 7


def test_a_part_that_hangs_is_ended_with_all_that_it_has_started(tmp_path):
    outcomes, _, text = checked(tmp_path, {"hangs": 3.0}, hangs=HANGS, fine=FINE)
    assert [outcome.code for outcome in outcomes] == [None, 0]
    assert "hangs: stopped: its time was over" in text
    child = Path("/proc", text.partition("child ")[2].split()[0])
    while child.exists() and " Z " not in (child / "stat").read_text():
        time.sleep(0.01)


def test_what_a_part_leaves_of_its_time_the_next_one_may_take(tmp_path):
    _, _, text = checked(tmp_path, {"fine": 100.0, "more": 20.0}, fine=FINE, more=FINE)
    limits_s = [int(line.split()[-2]) for line in text.splitlines() if line.startswith("==")]
    assert limits_s[0] == 100
    assert 100 < limits_s[1] <= 120


NEEDS_IT = "import pathlib; print('is there:', pathlib.Path(__file__).with_name('checkpoint').exists())"
MAKES_IT = "import pathlib, sys, time; time.sleep(0.5); pathlib.Path(sys.argv[1]).write_text('')"
NEVER_MAKES_IT = "import sys, time; print(sys.argv); time.sleep(600)"


def run_beside(tmp_path, monkeypatch, making: str, limit_s: float) -> str:
    """Run a part that needs a checkpoint, which a program makes, and return the text of the report."""
    command = [sys.executable, "-c", making, str(tmp_path / "checkpoint")]
    monkeypatch.setattr(gpu_check, "making", lambda model: command)
    program = tmp_path / "part.py"
    program.write_text(NEEDS_IT)
    options = argparse.Namespace(device="cpu", model="wide", results=tmp_path, quick=True, limit=gpu_check.LIMIT_S)
    gpu_check.run([Part("part", str(program), limit_s, needs_model=True)], options, Report(tmp_path, {}))
    return (tmp_path / "gpu_check.txt").read_text()


def test_a_part_that_needs_the_checkpoint_finds_it_made(tmp_path, monkeypatch):
    assert "is there: True" in run_beside(tmp_path, monkeypatch, MAKES_IT, 120.0)


def test_a_checkpoint_that_is_not_made_in_time_is_not_waited_for_and_left_running(tmp_path, monkeypatch):
    assert "is there: False" in run_beside(tmp_path, monkeypatch, NEVER_MAKES_IT, 10.0)
    assert not [line for line in command_lines() if str(tmp_path / "checkpoint") in line]


def test_without_a_gpu_no_further_part_is_run(tmp_path):
    outcomes, figures, _ = checked(tmp_path, machine=WITHOUT_GPU, fine=FINE)
    assert gpu_check.exit_code(outcomes) == 2
    assert list(figures) == ["machine"]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 0], 0),
        ([0, DIFFERENT, 0], 1),
        ([NO_GPU], 2),
        ([0, 1], 3),
        ([0, None], 3),
        ([-11, 0], 3),
        ([None, DIFFERENT], 1),
    ],
)
def test_the_exit_code_tells_of_the_worst_part(codes, expected):
    assert gpu_check.exit_code([Outcome("part", code, 1.0) for code in codes]) == expected


def test_a_line_that_its_writer_died_over_is_shown_and_breaks_no_report(tmp_path):
    report = Report(tmp_path, {})
    report.take("part", FIGURES + '{"half": ')
    report.take("part", FIGURES + '{"whole": 1}')
    assert json.loads((tmp_path / "gpu_check.json").read_text())["parts"] == {"part": {"whole": 1}}


def test_all_parts_together_take_at_most_eight_minutes():
    assert sum(part.limit_s for part in gpu_check.PARTS) <= gpu_check.LIMIT_S - 10.0 == 470.0


def test_a_check_that_is_told_to_end_leaves_no_part_running(tmp_path):
    command = [sys.executable, str(BENCHES / "gpu_check.py"), "--device", "cpu", "--only", "texts", "--model", "tiny"]
    with subprocess.Popen([*command, "--results", str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        while not process.stdout.readline().startswith("tiny: there"):
            assert process.poll() is None
        process.terminate()
        assert process.wait() == 143
    assert not [line for line in command_lines() if str(tmp_path) in line]


def command_lines() -> list[str]:
    """The command line of every process."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            lines.append(path.read_text(errors="replace"))
    return lines


def test_the_differing_words_of_two_texts():
    assert gpu_texts.differing_words("The sun hid it.", "The sun milk it.") == "hid -> milk"
    assert gpu_texts.differing_words("one two three", "one three four") == "two -> -, - -> four"
    assert gpu_texts.differing_words("", "noise") == "- -> noise"


def test_a_text_that_differs_often_is_told_once():
    texts = [("a", "one"), ("b", "two"), ("a", "won"), ("a", "won")]
    assert gpu_texts.differing(texts, {"a": "one", "b": "two"}) == [gpu_texts.Difference("a", "one -> won", 2)]


def test_mixed_batches_have_every_clip_and_are_the_same_each_time():
    names = [str(number) for number in range(49)]
    batches = gpu_texts.mixed(names, 64, 4)
    assert [len(batch) for batch in batches] == [64] * 4
    assert set(names) == {name for batch in batches for name in batch}
    assert batches == gpu_texts.mixed(names, 64, 4)
    assert set(names) == {name for batch in gpu_texts.mixed(names, 8, 1) for name in batch}


def gpu_tests_of(folder, text, limit_s):
    """The exit code, the lines and the figures of the part for tests, on a file with this text."""
    sample = folder / "test_sample.py"
    sample.write_text(text)
    program = f"import gpu_tests, sys; sys.exit(gpu_tests.run({str(sample)!r}, gpu_tests.Clock({limit_s})))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=BENCHES, capture_output=True, text=True)
    lines = ran.stdout.split("\n")  # `splitlines` splits at what begins figures, too
    shown = [line for line in lines if not line.startswith(FIGURES)]
    figures = [json.loads(line.removeprefix(FIGURES)) for line in lines if line.startswith(FIGURES)]
    return ran.returncode, shown, figures


def test_tests_for_which_there_is_no_time_are_left_out_and_the_part_is_done(tmp_path):
    code, shown, figures = gpu_tests_of(tmp_path, "def test_one(): pass\ndef test_two(): pass\n", 0.1)
    assert code == 0
    assert [line.partition(":")[0] for line in shown if line] == ["left out test_one", "left out test_two"]
    assert figures == []


def test_a_failing_test_makes_the_part_differ_and_is_told_with_its_reason(tmp_path):
    code, shown, figures = gpu_tests_of(tmp_path, "def test_good(): pass\ndef test_bad(): assert 1 == 2\n", 1e6)
    assert code == DIFFERENT
    assert [each[name]["outcome"] for each in figures for name in each] == ["passed", "failed"]
    assert shown[0].startswith("passed")
    assert shown[0].endswith("test_good")
    assert any("assert 1 == 2" in line for line in shown)


def test_an_audio_second_of_the_published_shape_costs_14_5_gflop():
    shape = SimpleNamespace(d_model=1024, n_layers=24, ff_expansion_factor=4)
    assert gpu_engine.flop_per_audio_s(shape) == pytest.approx(14.5e9, rel=0.01)


def test_the_batches_of_the_engine_are_those_that_are_asked_for():
    batches = gpu_engine.cases(quick=False)
    assert [len(clips) for clips in batches.values()] == [1, 8, 32, 128, 128]
    for clips in batches.values():
        lengths = [len(clip) for clip in clips]
        assert lengths == sorted(lengths, reverse=True)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A stand-in for `nvidia-smi` that prints a given text, and then waits if it is asked to repeat."""

    def saying(text: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\nprintf "{text}"\ncase "$*" in *--loop-ms*) exec sleep 600 ;; esac\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return saying


def test_what_the_driver_knows_is_told_and_what_it_does_not_know_is_none(driver, monkeypatch):
    driver("580.159.04\\n")
    assert gpu_machine.driver_field("driver_version") == "580.159.04"
    monkeypatch.setenv("PATH", "/nonexistent")
    assert gpu_machine.driver_field("driver_version") is None


def test_what_the_service_lacks_is_named(tmp_path, monkeypatch):
    (tmp_path / "lacking.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    assert gpu_machine.unimportable("lacking") == "No module named 'no_such_package'"
    assert gpu_machine.unimportable("src.app") is None


def test_the_gpus_use_is_what_the_driver_tells_while_it_is_measured(driver):
    driver("12\\n[N/A]\\n40\\n")
    with gpu_service.gpu_use() as percents:
        while len(percents) < 2:
            time.sleep(0.001)
    assert percents == [12.0, 40.0]


def test_without_a_driver_the_gpus_use_is_not_known(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with gpu_service.gpu_use() as percents:
        pass
    assert percents == []


def test_clips_of_the_service_are_ten_seconds_of_whole_clips():
    made = gpu_service.clips(3)
    assert [len(clip) for clip in made] == [160_000] * 3
    assert all(np.array_equal(*pair) for pair in zip(made, gpu_service.clips(3), strict=True))
    assert gpu_service.spread(10, 4) == [3, 3, 2, 2]


def test_a_part_leaves_out_what_it_has_no_time_for(capsys):
    clock = Clock(100.0)
    assert clock.allows(60.0, "this")
    assert not clock.allows(99.0, "that")
    assert capsys.readouterr().out == "that: left out, there is no time for it\n"


def test_rows_stand_under_their_names(capsys):
    rows = Rows("batch", ["whole ms", "x"])
    rows.add("1 x 8 s", [12.5, None])
    assert capsys.readouterr().out.splitlines() == [
        "batch         whole ms        x",
        "1 x 8 s          12.50        -",
    ]


@pytest.fixture
def script(tmp_path):
    """`gpu_check.sh` of a checkout that is not set up, whose program prints its call; runs with a Python."""
    shutil.copytree(TEST.parent / "scripts", tmp_path / "scripts")
    (tmp_path / "test" / "benches").mkdir(parents=True)
    (tmp_path / "test" / "benches" / "gpu_check.py").write_text(PRINTS_ITS_CALL)

    def run(python: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHON": python, "PARAKEET_DTYPE": "float16"}
        command = ["bash", str(tmp_path / "scripts" / "gpu_check.sh"), "--only", "machine"]
        return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)

    return run


def test_the_script_needs_no_set_up_where_a_python_has_everything(script, tmp_path):
    ran = script(sys.executable)
    assert (ran.returncode, ran.stdout) == (2, "['--only', 'machine'] []\n"), ran.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_script_is_set_up_where_a_python_lacks_something(script, tmp_path):
    bare = tmp_path / "python-without-packages"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    (tmp_path / "scripts" / "setup.sh").write_text("echo setting up; exit 1\n")
    ran = script(str(bare))
    assert (ran.returncode, ran.stdout) == (1, "setting up\n"), ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)  # it only ends what hangs: the whole check runs, and the machine may be busy
def test_a_rehearsal_on_the_cpu_runs_every_part_and_writes_down_what_it_finds(tmp_path):
    little = ["--device", "cpu", "--model", "tiny", "--quick", "--limit", "4800"]
    command = [sys.executable, str(BENCHES / "gpu_check.py"), *little, "--results", str(tmp_path)]
    # On a busy machine several threads mostly wait for one another: the rehearsal then takes three times as long.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + (tmp_path / "gpu_check.log").read_text()
    assert ran.stdout == (tmp_path / "gpu_check.txt").read_text()
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert list(found["parts"]) == [part.name for part in gpu_check.PARTS]
    assert {part["outcome"] for part in found["parts"].values()} == {"done"}
    assert found["parts"]["machine"]["matrix_tflops"] > 0
    assert found["parts"]["machine"]["detector, 16 streams"]["device_ms"] > 0
    assert found["parts"]["texts"]["float32_alone"] == {"texts": 12, "other": 0, "differences": []}
    assert found["parts"]["engine"]["engine, 1 x 2 s"]["whole_ms"] > 0
    assert found["parts"]["service"]["requests_4"]["other_texts"] == 0
    assert found["parts"]["service"]["sessions_2"]["same_text"] == 2
    assert found["parts"]["service"]["sessions_2"]["delay_p50_s"] > 0
