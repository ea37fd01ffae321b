"""The process: its log and its exit code, when it cannot start and when it is stopped."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from fakes import clip
from keys import KEY
from ports import reserved_port
from service_process import WITH_HELD_MODEL, WITH_SLOW_MODEL, WITH_VERY_SLOW_MODEL, environment, is_ready, service_of

from src.metrics.log import metrics_path
from src.metrics.process_ends import read_ends


def run(tmp_path, **settings) -> subprocess.CompletedProcess:
    """Run the service until it ends by itself."""
    with reserved_port() as port:
        where = {"PARAKEET_HOST": "127.0.0.1", "PARAKEET_PORT": str(port)}
        env = environment(tmp_path, **where | settings)
        return subprocess.run([sys.executable, "-m", "src"], cwd=tmp_path, env=env, capture_output=True, text=True)


def error_line(ended: subprocess.CompletedProcess) -> str:
    """The one line that says why the service could not start."""
    errors = [line for line in ended.stderr.splitlines() if " ERROR " in line]
    assert len(errors) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return errors[0]


def test_a_wrong_setting_ends_the_process_with_a_line_that_names_it(tmp_path):
    ended = run(tmp_path, PARAKEET_MICROBATCH_MAX_BATCH="0")
    assert ended.returncode == 1
    assert error_line(ended).endswith("PARAKEET_MICROBATCH_MAX_BATCH must be at least 1, not 0")


def test_a_missing_checkpoint_ends_the_process_with_a_sentence(tmp_path):
    ended = run(tmp_path, PARAKEET_MODEL_ID="/no/such/file.nemo")
    assert ended.returncode == 1
    assert "PARAKEET_MODEL_ID=/no/such/file.nemo is not there" in error_line(ended)


def test_another_release_of_nemo_ends_the_process_with_a_sentence_that_says_which_one_to_install(tmp_path):
    metadata = tmp_path / "nemo_toolkit-2.7.0.dist-info" / "METADATA"  # found first, as the service is started there
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: nemo_toolkit\nVersion: 2.7.0\n")
    ended = run(tmp_path, PARAKEET_MODEL_ID="tiny")
    assert ended.returncode == 1
    assert "NeMo 2.7.0 is installed, but this service uses internals of NeMo 3.0.0" in error_line(ended)


def test_a_hub_that_cannot_be_reached_ends_the_process_with_a_sentence_that_says_what_to_do(tmp_path):
    # HF_HUB_OFFLINE is the hub client's own way to have no network, and saves its retries.
    ended = run(tmp_path, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path), PARAKEET_MODEL_ID="nvidia/parakeet-tdt-0.6b-v2")
    assert ended.returncode == 1
    assert "parakeet-tdt-0.6b-v2.nemo of nvidia/parakeet-tdt-0.6b-v2 could not be fetched" in error_line(ended)
    assert "set PARAKEET_MODEL_ID to the path of a .nemo file" in error_line(ended)


def test_a_taken_port_ends_the_process_with_a_line_that_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = run(tmp_path, PARAKEET_MODEL_ID="tiny", PARAKEET_PORT=str(port))
    assert ended.returncode == 1
    assert str(port) in error_line(ended)
    assert "address already in use" in error_line(ended)


def test_a_host_that_is_none_ends_the_process_with_a_sentence_that_names_the_variable(tmp_path):
    ended = run(tmp_path, PARAKEET_MODEL_ID="tiny", PARAKEET_HOST="http://0.0.0.0")
    assert ended.returncode == 1
    assert "PARAKEET_HOST=http://0.0.0.0 is no address or name of this machine" in error_line(ended)


def test_settings_are_read_from_a_dotenv_file_where_the_service_is_started(tmp_path):
    (tmp_path / ".env").write_text("PARAKEET_LANES=0\n")
    assert error_line(run(tmp_path)).endswith("PARAKEET_LANES must be at least 1, not 0")


def slow_service(tmp_path, **settings):
    """The service in a process of its own, on a model that takes a tenth of a second for a batch."""
    return service_of(WITH_SLOW_MODEL, tmp_path, **settings)


def send(port: int) -> socket.socket:
    """Send a whole request and leave its answer for later."""
    body = (clip(1) * 32767).astype("<i2").tobytes()
    head = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Type: audio/pcm\r\nContent-Length: {len(body)}"
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=300)
    connection.sendall(f"{head}\r\n\r\n".encode() + body)
    return connection


def status_of(connection: socket.socket) -> int:
    with connection, connection.makefile("rb") as answer:
        return int(answer.readline().split()[1])


@pytest.mark.parametrize(
    ("program", "grace_s", "batch", "expected"),
    [(WITH_SLOW_MODEL, "60", "8", {200}), (WITH_VERY_SLOW_MODEL, "0.3", "1", {503})],
    ids=["time for all", "time for few"],
)
def test_sigterm_under_load_answers_every_open_request_and_exits_with_0(tmp_path, program, grace_s, batch, expected):
    settings = {"SHUTDOWN_GRACE_S": grace_s, "MICROBATCH_MAX_BATCH": batch, "QUEUE_MAX_FACTOR": "64"}
    environment = {f"PARAKEET_{name}": value for name, value in settings.items()}
    with service_of(program, tmp_path, **environment) as (process, port):
        first, *rest = [send(port) for _ in range(64)]
        assert httpx.get(
            f"http://127.0.0.1:{port}/healthz", timeout=300
        ).is_success  # and so all before it have a place
        assert status_of(first) == 200
        process.send_signal(signal.SIGTERM)
        answers = {status_of(connection) for connection in rest}
        assert expected <= answers <= {200, *expected}
        assert process.wait(300) == 0
    log = tmp_path / "logs" / "metrics" / "metrics.log"
    assert len(log.read_text().splitlines()) == 64


def test_a_terminal_that_closes_ends_the_service_in_order(tmp_path):
    """It sends SIGHUP, some shells do too, and a second one changes nothing."""
    with slow_service(tmp_path) as (process, port):
        connections = [send(port) for _ in range(4)]
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=300).is_success
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
        assert [status_of(each) for each in connections] == [200] * 4
        assert process.wait(300) == 0


@pytest.mark.parametrize("also", [signal.SIGTERM, signal.SIGINT])
def test_a_terminal_that_closes_and_a_parent_that_passes_that_on_are_one_wish(tmp_path, also):
    """The parent, such as a shell script with a trap for SIGHUP, tells the service to end with another signal."""
    with slow_service(tmp_path) as (process, port):
        connections = [send(port) for _ in range(4)]
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=300).is_success
        for sent in (signal.SIGHUP, also, signal.SIGHUP):
            process.send_signal(sent)
        assert [status_of(each) for each in connections] == [200] * 4
        assert process.wait(300) == 0
    ((started, ended, _),) = read_ends(metrics_path(tmp_path / "logs"))
    assert started < ended, "the metrics know that it ran until then"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(tmp_path, second):
    with service_of(WITH_HELD_MODEL, tmp_path) as (process, port):
        connection = send(port)
        process.send_signal(signal.SIGTERM)
        while is_ready(port):  # it drains, and would do so for as long as the request takes
            time.sleep(0.01)
        process.send_signal(second)
        assert process.wait(300) == 128 + second
        connection.close()


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"PARAKEET_HOST": "0.0.0.0"}, True),
        ({"PARAKEET_HOST": "127.0.0.1"}, False),
        ({"PARAKEET_HOST": "0.0.0.0", "PARAKEET_API_KEYS": KEY}, False),
    ],
)
def test_a_service_that_is_open_to_everybody_says_so_once(tmp_path, settings, warns):
    with slow_service(tmp_path, **settings) as (process, _):
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read().decode()
    assert log.count("PARAKEET_API_KEYS is not set") == warns
    assert KEY not in log


@pytest.mark.parametrize("host", ["::", "[::]"])
def test_all_addresses_of_ipv6_are_those_of_ipv4_too_and_are_logged_in_brackets(tmp_path, host):
    with slow_service(tmp_path, PARAKEET_HOST=host) as (process, port):
        assert all(
            httpx.get(f"http://{each}:{port}/healthz", timeout=300).is_success for each in ("127.0.0.1", "[::1]")
        )
        proxied = {"x-forwarded-proto": "https", "host": "stt.example.com"}
        for each in ("127.0.0.1", "[::1]"):  # both are this machine's own proxy
            missed = httpx.get(f"http://{each}:{port}/realtime", headers=proxied, timeout=300)
            assert "https://stt.example.com/v1." in missed.json()["error"]["message"]
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read().decode()
    assert f"listening on http://[::]:{port}" in log
    assert "PARAKEET_API_KEYS is not set" in log


def test_an_idle_service_exits_with_0_on_sigint(tmp_path):
    with slow_service(tmp_path) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
