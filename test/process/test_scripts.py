"""The shell scripts, run by bash in a copy of the project whose path has a space, with a home folder of its own."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import reserved_port

PROJECT = Path(__file__).parents[2]
BASH = shutil.which("bash")
SHELLS = [shell for shell in (BASH, shutil.which("zsh")) if shell]

# An installable project of no code, so that set-up can be tried without a network: its build backend is in it.
EMPTY_PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "empty"
version = "1"
dependencies = [{dependencies}]
optional-dependencies = {{ test = [] }}
"""
BACKEND = """
import pathlib, tomllib, zipfile

METADATA = ["Metadata-Version: 2.1", "Name: empty", "Version: 1", "Provides-Extra: test"]
WHEEL = ["Wheel-Version: 1.0", "Generator: test", "Root-Is-Purelib: true", "Tag: py3-none-any"]

def build_editable(folder, config_settings=None, metadata_directory=None):
    needs = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]["dependencies"]
    with zipfile.ZipFile(pathlib.Path(folder) / "empty-1-py3-none-any.whl", "w") as wheel:
        metadata = METADATA + [f"Requires-Dist: {each}" for each in needs]
        wheel.writestr("empty-1.dist-info/METADATA", "\\n".join(metadata))
        wheel.writestr("empty-1.dist-info/WHEEL", "\\n".join(WHEEL))
        wheel.writestr("empty-1.dist-info/RECORD", "")
    return "empty-1-py3-none-any.whl"
"""

# What the scripts see of the service, up at once; with IGNORE_SIGTERM it ignores SIGTERM. A request for
# /end/70 ends it with exit code 70.
STAND_IN = """
import http.server, os, signal

class Ready(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/end/"):
            os._exit(int(self.path.removeprefix("/end/")))
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()

signal.signal(signal.SIGTERM, signal.SIG_IGN if "IGNORE_SIGTERM" in os.environ else lambda *_: os._exit(0))
http.server.HTTPServer((os.environ["PARAKEET_HOST"], int(os.environ["PARAKEET_PORT"])), Ready).serve_forever()
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of the project at `root`, whose scripts run with nothing of this process's environment but PATH."""

    root: Path
    home: Path

    @property
    def pid_file(self) -> Path:
        return self.root / "logs" / "server.pid"

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    @property
    def supervisor_file(self) -> Path:
        return self.root / "logs" / "supervisor.pid"

    @property
    def supervisor_pid(self) -> int:
        return int(self.supervisor_file.read_text())

    @property
    def log(self) -> str:
        return (self.root / "logs" / "server.log").read_text()

    def environment(self, **extra: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
        } | extra

    def run(self, script: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return finish(self.start(script, **extra))

    def start(self, script: str, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BASH, self.root / "scripts" / script, *arguments],
            cwd="/",
            env=self.environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pretend_set_up(self) -> None:
        """Give it a `.venv` whose python is the one that runs these tests."""
        python = self.root / ".venv" / "bin" / "python"
        write_script(python, f'exec "{sys.executable}" "$@"')
        version = "{}.{}".format(*sys.version_info)
        stamp = f"{self.root}: Python {version}\n" + (self.root / "pyproject.toml").read_text()
        stamp += (self.root / "scripts" / "constraints.txt").read_text()
        (self.root / ".venv" / "setup.stamp").write_text(stamp)


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_script(path: Path, body: str) -> None:
    write(path, f"#!/bin/sh\n{body}\n").chmod(0o755)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def port() -> Iterator[str]:
    with reserved_port() as number:
        yield str(number)


def wait_until(condition: Callable[[], object]) -> None:
    while not condition():  # for as long as pytest lets a test run
        time.sleep(0.01)


def get(port: str, path: str = "/readyz") -> int | None:
    """The status of the answer; None without one."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return int(answer.status)
    except OSError:
        return None


def assert_failed_with(result: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A fresh clone's scripts and settings, without its code; a service that a test leaves behind is stopped."""
    root = tmp_path / "a project"
    shutil.copytree(PROJECT / "scripts", root / "scripts")
    shutil.copy(PROJECT / "pyproject.toml", root)
    (tmp_path / "home").mkdir()
    checkout = Checkout(root, tmp_path / "home")
    yield checkout
    checkout.run("stop.sh", PARAKEET_SHUTDOWN_GRACE_S="0")


@pytest.fixture
def service(checkout: Checkout) -> Checkout:
    """A checkout of the whole service, set up."""
    checkout.pretend_set_up()
    shutil.copytree(PROJECT / "src", checkout.root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "test" / "clips", checkout.root / "test" / "clips")
    return checkout


@pytest.fixture
def stand_in(checkout: Checkout) -> Checkout:
    """A checkout whose service is only what the scripts see of it, so that it starts in no time."""
    checkout.pretend_set_up()
    write(checkout.root / "src" / "__main__.py", STAND_IN)
    return checkout


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder to be PATH: what set-up needs of a machine, but no python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in ("bash", "cat", "dirname", "flock", "head", "rm", "tail"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def test_every_script_passes_shellcheck_and_can_be_executed() -> None:
    scripts = [*sorted((PROJECT / "scripts").glob("*.sh")), PROJECT / ".ci" / "run"]
    assert all(os.access(script, os.X_OK) for script in scripts)
    shellcheck = Path(sys.executable).parent / "shellcheck"
    result = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


# --- env.sh


def source_env(checkout: Checkout, shell: str, then: str = "env", options: str = "", **extra: str) -> str:
    script = f'{options}\nsource "{checkout.root}/scripts/env.sh"\n{then}'
    environment = checkout.environment(**extra)
    return subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_env_exports_the_defaults(checkout: Checkout, shell: str) -> None:
    exported = source_env(checkout, shell, options="set -eu").splitlines()
    expected = {
        "PARAKEET_MODEL_ID=nvidia/parakeet-tdt-0.6b-v2",
        "PARAKEET_USE_LOCAL_ATTENTION=1",
        "PARAKEET_LOCAL_ATTENTION_CONTEXT=128",
        "PARAKEET_SUBSAMPLING_CHUNKING_FACTOR=1",
        "PARAKEET_QUEUE_MAX_FACTOR=32",
        "PARAKEET_MAX_QUEUE_WAIT_S=2",
        "PARAKEET_MICROBATCH_WINDOW_MS=10",
        "PARAKEET_MICROBATCH_MAX_BATCH=",  # what suits the device
        "PARAKEET_MAX_AUDIO_SECONDS=600",
        "PARAKEET_MAX_UPLOAD_MB=64",
        "OMP_NUM_THREADS=6",
        "MKL_NUM_THREADS=6",
        "CUDA_MODULE_LOADING=LAZY",
    }
    assert expected <= set(exported)


@pytest.mark.parametrize("shell", SHELLS)
def test_env_prefers_the_environment_to_dotenv_and_dotenv_to_the_defaults(checkout: Checkout, shell: str) -> None:
    write(checkout.root / ".env", "PARAKEET_PORT=1\nPARAKEET_HOST=dotenv\nOMP_NUM_THREADS=1\n")
    exported = source_env(checkout, shell, PARAKEET_PORT="2", PARAKEET_LANES="3").splitlines()
    assert {"PARAKEET_PORT=2", "PARAKEET_HOST=dotenv", "OMP_NUM_THREADS=1", "PARAKEET_LANES=3"} <= set(exported)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=plain", "plain"),
        ("export X=exported", "exported"),
        ("  X = spaced  ", "spaced"),
        ('X="two words" # not this', "two words"),
        ("X='#1 # not a comment'", "#1 # not a comment"),
        ("X=a#b # a comment", "a#b"),
        ("X=it's", "it's"),
        ("X=a=b", "a=b"),
        ("X=", ""),
        ("X=# nothing", ""),
        ("X=windows\r", "windows"),
        ("X=$(touch ran)`touch ran`$HOME", "$(touch ran)`touch ran`$HOME"),
    ],
)
def test_env_takes_values_as_they_stand_and_runs_none(checkout: Checkout, shell: str, line: str, value: str) -> None:
    write(checkout.root / ".env", f"# a comment\n\n{line}")
    assert source_env(checkout, shell, then='cd "$HOME"; printf "%s" "$X"') == value
    assert not (checkout.home / "ran").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_env_skips_a_line_that_sets_nothing_and_says_which(checkout: Checkout, shell: str) -> None:
    write(checkout.root / ".env", "# secret\nsecret words\n1X=a\na[$(touch ran)]=1\n=1\nPARAKEET_PORT=1\n")
    output = source_env(checkout, shell, then='cd "$HOME"; echo "$PARAKEET_PORT"', options="set -eu; exec 2>&1")
    complaint = ".env: line {} is not NAME=value; it was skipped"
    assert output.splitlines() == [*(complaint.format(number) for number in (2, 3, 4, 5)), "1"]
    assert not (checkout.home / "ran").exists()


def test_env_leaves_nothing_in_the_shell_but_what_it_exports(checkout: Checkout) -> None:
    write(checkout.root / ".env", "FROM_DOTENV=1\n")
    state = "compgen -A function; shopt; set -o; compgen -v; pwd"
    before, after = source_env(checkout, str(BASH), options=f"_= PIPESTATUS=; {state}; echo ---", then=state).split(
        "---\n"
    )
    added = set(after.splitlines()) - set(before.splitlines())
    assert {name for name in added if not name.startswith("PARAKEET_")} == {
        "FROM_DOTENV",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "CUDA_MODULE_LOADING",
    }


def test_the_example_settings_can_be_used_as_they_are(checkout: Checkout) -> None:
    shutil.copy(PROJECT / ".env.example", checkout.root / ".env")
    for line in (PROJECT / ".env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            assert line in source_env(checkout, str(BASH)).splitlines()


# --- setup.sh


def test_setup_without_python_says_what_to_install(checkout: Checkout, tools: Path) -> None:
    result = checkout.run("setup.sh", PATH=str(tools))
    assert_failed_with(result, "3.12 or 3.13 is needed, but none was found; install it, for example:")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.11.3", "3.14"])
def test_setup_with_an_unsuitable_python_says_what_to_install(checkout: Checkout, tools: Path, version: str) -> None:
    write_script(tools / "python3", f"echo {version}")
    result = checkout.run("setup.sh", PATH=str(tools))
    assert_failed_with(
        result, f"3.13 is needed, but python3 is Python {version}; install one, for example: apt-get install"
    )
    assert result.stderr.count("\n") == 1


def test_setup_with_a_python_that_does_not_work_names_it(checkout: Checkout) -> None:
    assert_failed_with(checkout.run("setup.sh", PYTHON="/no/python"), "but PYTHON=/no/python is no working python")


def test_setup_with_a_python_that_has_no_venv_module_says_what_to_install(checkout: Checkout, tools: Path) -> None:
    write(checkout.home / "ensurepip.py", "raise ModuleNotFoundError(\"No module named 'ensurepip'\")")
    write_script(tools / "python3", f'PYTHONPATH="{checkout.home}" exec "{sys.executable}" "$@"')
    result = checkout.run("setup.sh", PATH=str(tools))
    version = "{}.{}".format(*sys.version_info)
    assert_failed_with(result, f"has no venv module; install it, for example: apt-get install python{version}-venv")
    assert result.stderr.count("\n") == 1


def test_setup_mends_what_is_broken_and_then_does_nothing_until_something_changes(checkout: Checkout) -> None:
    write(checkout.root / "backend.py", BACKEND)
    python = {"PYTHON": sys.executable}
    pyproject = checkout.root / "pyproject.toml"
    pyproject.write_text(EMPTY_PROJECT.format(dependencies='"no-such-package-anywhere"'))
    checkout.pretend_set_up()
    (checkout.root / ".venv" / "bin" / "python").unlink()
    failed = checkout.run("setup.sh", **python)
    assert "Making .venv" in failed.stdout
    assert_failed_with(failed, "No matching distribution found for no-such-package-anywhere")

    pyproject.write_text(EMPTY_PROJECT.format(dependencies=""))
    both = [finish(process) for process in [checkout.start("setup.sh", **python), checkout.start("setup.sh", **python)]]
    assert [each.returncode for each in both] == [0, 0]
    assert sorted("Making .venv" in each.stdout for each in both) == [False, True]

    times = {path: path.lstat().st_mtime_ns for path in (checkout.root / ".venv").rglob("*")}
    assert checkout.run("setup.sh").stdout == ".venv is ready.\n"
    assert times == {path: path.lstat().st_mtime_ns for path in (checkout.root / ".venv").rglob("*")}

    pyproject.write_text(EMPTY_PROJECT.format(dependencies='"pip"'))
    assert "bringing .venv up to date" in checkout.run("setup.sh").stdout
    assert checkout.run("setup.sh").stdout == ".venv is ready.\n"

    write(checkout.root / "scripts" / "constraints.txt", "pip==0.1\n")
    assert_failed_with(checkout.run("setup.sh"), "conflicting dependencies")


# --- the service


def test_the_service_starts_in_the_background_once_and_stops(stand_in: Checkout, port: str) -> None:
    settings = {"PARAKEET_PORT": port}
    url = f"http://127.0.0.1:{settings['PARAKEET_PORT']}/readyz"
    started = stand_in.run("start_bg.sh", **settings)
    assert started.returncode == 0, started.stderr
    with urllib.request.urlopen(url) as answer:
        assert answer.status == 200

    pid = stand_in.pid_file.read_text().strip()
    assert_failed_with(stand_in.run("start_bg.sh", **settings), f"The service runs already (process {pid})")
    assert_failed_with(stand_in.run("start.sh", **settings), f"The service runs already (process {pid})")
    elsewhere = stand_in.run("start_bg.sh", **settings, PARAKEET_LOG_DIR="other logs")
    assert_failed_with(elsewhere, f"Another service answers at {url.removesuffix('/readyz')} already")

    stopped = stand_in.run("stop.sh")
    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped (process {pid}).\n")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_a_start_that_fails_says_why(service: Checkout, port: str) -> None:
    result = service.run("start_bg.sh", PARAKEET_PORT=port, PARAKEET_MICROBATCH_MAX_BATCH="0")
    assert_failed_with(result, "PARAKEET_MICROBATCH_MAX_BATCH must be at least 1, not 0")
    assert service.run("stop.sh").stdout == "No service is running.\n"


def test_a_start_that_cannot_write_its_log_says_so(checkout: Checkout, port: str) -> None:
    checkout.pretend_set_up()
    taken = write(checkout.home / "file")
    result = checkout.run("start_bg.sh", PARAKEET_PORT=port, PARAKEET_LOG_DIR=str(taken))
    assert_failed_with(result, f"The log folder {taken} cannot be written; set PARAKEET_LOG_DIR")


def test_stop_kills_a_service_that_does_not_end_and_says_so(stand_in: Checkout, port: str) -> None:
    started = stand_in.run("start_bg.sh", PARAKEET_PORT=port, IGNORE_SIGTERM="1")
    assert started.returncode == 0, started.stderr
    stopped = stand_in.run("stop.sh", PARAKEET_SHUTDOWN_GRACE_S="0")
    assert stopped.returncode == 0
    assert "has not ended within 10 s; it is killed." in stopped.stdout
    assert stand_in.run("stop.sh").stdout == "No service is running.\n"
    assert "started again" not in stand_in.log


def test_a_pid_file_that_a_crash_left_behind_is_no_service(checkout: Checkout) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    write(checkout.pid_file, f"{bystander.pid}\n")
    stopped = checkout.run("stop.sh")
    assert (stopped.returncode, stopped.stdout) == (0, "No service is running.\n")
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_stop_ends_a_service_in_the_foreground(stand_in: Checkout, port: str) -> None:
    started = stand_in.start("start.sh", PARAKEET_PORT=port)
    wait_until(lambda: get(port) == 200)
    assert stand_in.run("stop.sh").stdout == f"Stopped (process {started.pid}).\n"
    assert finish(started).returncode == 0


def test_without_a_log_there_is_nothing_to_follow(checkout: Checkout) -> None:
    assert_failed_with(checkout.run("tail_bg_logs.sh"), "There is no log")


@pytest.mark.slow
def test_the_demo_transcribes_a_bundled_clip_whatever_the_settings_are(service: Checkout, tmp_path: Path) -> None:
    write(service.root / ".env", "PARAKEET_MAX_AUDIO_SECONDS=1\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    result = service.run(
        "demo.sh", TMPDIR=str(temporary), PARAKEET_MODEL_ID="elsewhere", http_proxy="http://127.0.0.1:9"
    )
    assert result.returncode == 0, result.stderr
    assert "Sent:      curl -F file=@test/clips/piper-joe-1.flac http://127.0.0.1:" in result.stdout
    assert '"The black bicycle is under the tree."' in result.stdout
    page, hint = result.stdout.splitlines()[-2:]
    assert re.match(r"Page:      http://127\.0\.0\.1:\d+/ ", page)
    assert hint == "To try it: bash scripts/demo.sh --keep"
    assert files_below(temporary) == set()
    assert not (service.root / "logs").exists()


def test_the_demo_keeps_the_service_running_until_it_is_interrupted(stand_in: Checkout, tmp_path: Path) -> None:
    python = stand_in.root / ".venv" / "bin" / "python"
    # The programs that send clips come by stdin, as `-`; the stand-in would not transcribe any.
    write_script(python, f'case $1 in -) cat >/dev/null ;; *) exec "{sys.executable}" "$@" ;; esac')
    write(stand_in.root / "test" / "clips" / "transcripts.tsv")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    demo = stand_in.start("demo.sh", "--keep", TMPDIR=str(temporary))
    assert demo.stdout
    line = next(line for line in demo.stdout if line.startswith("Page:"))
    port = line.split(":")[3].partition("/")[0]
    assert get(port) == 200
    demo.send_signal(signal.SIGINT)
    assert finish(demo).returncode == 0
    assert get(port) != 200
    assert files_below(temporary) == set()


def test_the_demo_refuses_what_it_does_not_know(checkout: Checkout) -> None:
    assert_failed_with(finish(checkout.start("demo.sh", "--kept")), "usage: bash scripts/demo.sh [--keep]")


# --- the supervisor


def restarts(checkout: Checkout) -> list[str]:
    """The lines of the log that tell of a restart, without their time."""
    return re.findall(r"WARNING (The service .*; it is started again in .* s\.)\n", checkout.log)


def wait_for_restart(checkout: Checkout, port: str, times: int) -> None:
    wait_until(lambda: len(restarts(checkout)) == times and get(port) == 200)


def wait_for_supervisor_to_end(checkout: Checkout) -> None:
    with checkout.supervisor_file.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def environment_where_sleep(folder: Path, does: str, port: str) -> dict[str, str]:
    """A PATH on which `sleep` of whole seconds, as the supervisor waits, does something else; and a port."""
    write_script(folder / "sleep", f'case $1 in *.*) exec /bin/sleep "$1" ;; *) {does} ;; esac')
    return {"PATH": f"{folder}:{os.environ['PATH']}", "PARAKEET_PORT": port}


@pytest.fixture
def impatient(tmp_path: Path, port: str) -> dict[str, str]:
    """An environment in which the waits between restarts take no time."""
    return environment_where_sleep(tmp_path / "impatient", "exit", port)


@pytest.fixture
def patient(tmp_path: Path, port: str) -> dict[str, str]:
    """An environment in which the waits between restarts last longer than a test."""
    return environment_where_sleep(tmp_path / "patient", "exec /bin/sleep 1000", port)


def start(checkout: Checkout, settings: dict[str, str]) -> int:
    """Start the service in the background and return its pid."""
    started = checkout.run("start_bg.sh", **settings)
    assert started.returncode == 0, started.stderr
    return checkout.pid


def test_a_service_that_was_killed_or_had_a_fatal_fault_is_started_again(
    stand_in: Checkout, impatient: dict[str, str]
) -> None:
    port = impatient["PARAKEET_PORT"]
    os.kill(start(stand_in, impatient), signal.SIGKILL)
    wait_for_restart(stand_in, port, times=1)
    os.kill(stand_in.pid, signal.SIGSEGV)
    wait_for_restart(stand_in, port, times=2)
    get(port, "/end/70")
    wait_for_restart(stand_in, port, times=3)
    pid = stand_in.pid
    assert stand_in.run("stop.sh").stdout == f"Stopped (process {pid}).\n"
    assert get(port) is None
    assert restarts(stand_in) == [
        "The service was ended by SIGKILL (exit code 137); it is started again in 1 s.",
        "The service was ended by SIGSEGV (exit code 139); it is started again in 2 s.",
        "The service ended with exit code 70; it is started again in 4 s.",
    ]


def test_the_wait_before_a_restart_doubles_up_to_a_minute(stand_in: Checkout, impatient: dict[str, str]) -> None:
    pid = start(stand_in, impatient)
    write(stand_in.root / "src" / "__main__.py", "raise SystemExit(70)")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(restarts(stand_in)) >= 8)
    waits_s = [int(line.split()[-2]) for line in restarts(stand_in)]
    assert waits_s[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_wait_is_short_again_after_a_service_that_was_up_for_long(
    stand_in: Checkout, impatient: dict[str, str]
) -> None:
    port = impatient["PARAKEET_PORT"]
    start(stand_in, impatient | {"PARAKEET_RESTART_RESET_S": "0"})
    get(port, "/end/70")
    wait_for_restart(stand_in, port, times=1)
    get(port, "/end/70")
    wait_for_restart(stand_in, port, times=2)
    assert [line.split()[-2] for line in restarts(stand_in)] == ["1", "1"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_service_that_ends_by_itself_is_not_started_again(
    stand_in: Checkout, impatient: dict[str, str], code: int
) -> None:
    start(stand_in, impatient)
    get(impatient["PARAKEET_PORT"], f"/end/{code}")
    wait_for_supervisor_to_end(stand_in)
    assert f"The service ended with exit code {code}; it is not started again.\n" in stand_in.log
    assert stand_in.run("stop.sh").stdout == "No service is running.\n"


def test_a_first_start_that_crashes_is_told_and_not_repeated(stand_in: Checkout, impatient: dict[str, str]) -> None:
    write(stand_in.root / "src" / "__main__.py", "raise SystemExit(70)")
    result = stand_in.run("start_bg.sh", **impatient)
    assert_failed_with(result, "The service ended with exit code 70 before it was ready; it is not started again.")
    assert stand_in.run("stop.sh").stdout == "No service is running.\n"


def test_a_service_that_waits_to_be_restarted_can_be_stopped_but_not_started(
    stand_in: Checkout, patient: dict[str, str]
) -> None:
    os.kill(start(stand_in, patient), signal.SIGKILL)
    wait_until(lambda: restarts(stand_in))
    pid = stand_in.supervisor_pid
    refusal = f"The service is being started or restarted (by process {pid}); stop it first: bash scripts/stop.sh"
    assert_failed_with(stand_in.run("start_bg.sh", **patient), refusal)
    assert_failed_with(stand_in.run("start.sh", **patient), refusal)
    stopped = stand_in.run("stop.sh")
    assert stopped.stdout == f"Stopped (process {pid}, which was about to start the service).\n"
    assert stand_in.run("stop.sh").stdout == "No service is running.\n"
    assert get(patient["PARAKEET_PORT"]) is None


def test_stop_ends_a_service_whose_supervisor_was_killed(stand_in: Checkout, impatient: dict[str, str]) -> None:
    pid = start(stand_in, impatient)
    os.kill(stand_in.supervisor_pid, signal.SIGKILL)
    wait_for_supervisor_to_end(stand_in)
    assert stand_in.run("stop.sh").stdout == f"Stopped (process {pid}).\n"
    assert get(impatient["PARAKEET_PORT"]) is None


# --- parakeet.service


# It comes with systemd, which containers and other systems do not have.
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_systemd_unit_is_one_that_systemd_can_start(tmp_path: Path) -> None:
    unit = (PROJECT / "scripts" / "parakeet.service").read_text().replace("/opt/parakeet", str(PROJECT))
    path = write(tmp_path / "parakeet.service", unit)
    result = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    complaints = [line for line in result.stderr.splitlines() if "RestartSteps" not in line and "MaxDelay" not in line]
    assert (result.returncode, complaints) == (0, [])


# --- purge_pod.sh


def test_purge_removes_what_is_the_projects_and_nothing_else(checkout: Checkout, tmp_path: Path) -> None:
    root, home = checkout.root, checkout.home
    hub = home / ".cache" / "huggingface" / "hub"
    nemo = home / ".cache" / "torch" / "NeMo" / "NeMo_3.0.0"
    write(root / ".env", "PARAKEET_MODEL_ID=someone/finetuned\n")
    write(root / "src" / "app.py")
    write(tmp_path / "elsewhere" / "precious")
    write(hub / "models--openai--whisper-tiny" / "blobs" / "1")
    write(hub / "models--nvidia--canary-1b" / "blobs" / "1")
    write(nemo / "other" / "other.nemo")
    write(home / ".cache" / "pip" / "notes")
    write(home / ".cache" / "other" / "1")
    kept = files_below(tmp_path)

    ours = [
        root / "logs" / "metrics" / "metrics.log",
        root / "logs" / "server.log",
        root / "logs" / "supervisor.pid",
        root / ".venv" / "lib" / "module.py",
        root / ".mypy_cache" / "1",
        root / "src" / "__pycache__" / "app.pyc",
        root / "parakeet_server.egg-info" / "PKG-INFO",
        root / "test" / "results" / "warmup.txt",
        hub / "models--nvidia--parakeet-tdt-0.6b-v2" / "blobs" / "1",
        hub / "models--someone--finetuned" / "blobs" / "1",
        hub / ".locks" / "models--someone--finetuned" / "1",
        nemo / "parakeet-tdt-0.6b-v2" / "1",
        nemo / "hf_hub_cache" / "nvidia" / "parakeet-tdt-0.6b-v2" / "1",
        home / ".cache" / "pip" / "http-v2" / "1",
        home / ".cache" / "pip" / "wheels" / "1",
    ]
    for path in ours:
        write(path, "x" * 4096)
    (root / ".venv" / "link").symlink_to(tmp_path / "elsewhere")
    (root / "logs" / "link").symlink_to(tmp_path / "elsewhere")
    (root / "build").symlink_to(tmp_path / "elsewhere")

    result = checkout.run("purge_pod.sh")
    assert result.returncode == 0, result.stderr
    assert files_below(tmp_path) == kept
    for name in (".venv", "logs", "build", "models--someone--finetuned"):
        assert name in result.stdout
    assert result.stdout.splitlines()[-1].endswith("in all")
    assert checkout.run("purge_pod.sh").stdout.splitlines()[-1] == "There was nothing to remove."


def test_purge_leaves_what_lies_beside_the_logs_and_caches_that_were_put_elsewhere(
    checkout: Checkout, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    write(shared / "metrics" / "another.log")
    write(shared / "syslog")
    write(shared / "models" / "mine.nemo")
    kept = files_below(shared)
    write(shared / "metrics" / "metrics.log.2026-01-01")
    write(shared / "server.log")
    write(shared / "models--nvidia--parakeet-tdt-0.6b-v2" / "blobs" / "1")
    write(shared / "http" / "1")
    folder = str(shared)
    result = checkout.run(
        "purge_pod.sh",
        PARAKEET_LOG_DIR=folder,
        PARAKEET_MODEL_ID=f"{folder}/models/mine.nemo",
        HF_HUB_CACHE=folder,
        PIP_CACHE_DIR=folder,
        NEMO_CACHE_DIR=folder,
    )
    assert result.returncode == 0, result.stderr
    assert files_below(shared) == kept


def test_purge_takes_no_folder_of_the_home_for_a_cache(checkout: Checkout) -> None:
    write(checkout.home / "wheels" / "of my car")
    write(checkout.home / "parakeet-tdt-0.6b-v2" / "thesis")
    kept = files_below(checkout.home)
    home = str(checkout.home)
    result = checkout.run("purge_pod.sh", PIP_CACHE_DIR=home, NEMO_CACHE_DIR=home, HF_HOME=home, PARAKEET_LOG_DIR=home)
    assert result.returncode == 0, result.stderr
    assert files_below(checkout.home) == kept
