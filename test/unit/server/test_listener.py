"""The sockets that the service listens on (src.server.listener)."""

import errno
import os
import socket
import subprocess
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from ports import reserved_port

from src.server.listener import ListenError, authority, listen

ROOT = Path(__file__).parents[3]
REAL_SOCKET = socket.socket


@contextmanager
def listening(host: str):
    with reserved_port() as port, ExitStack() as sockets:
        for each in listen(host, port):
            sockets.enter_context(each)
        yield port


@pytest.fixture
def port():
    with reserved_port() as number:
        yield number


def reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=300).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("::", ["127.0.0.1", "::1"]),
        ("*", ["127.0.0.1", "::1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("localhost", ["127.0.0.1"]),
    ],
)
def test_clients_reach_the_addresses_that_a_host_stands_for_and_no_others(host, reached):
    with listening(host) as port:
        assert all(reachable(each, port) for each in reached)
        if host != "localhost":  # which may be both
            assert [each for each in ("127.0.0.1", "::1") if reachable(each, port)] == reached


def test_a_client_by_ipv4_keeps_its_address():
    with reserved_port() as port, ExitStack() as stack:
        sockets = [stack.enter_context(each) for each in listen("::", port)]
        ipv4 = next(each for each in sockets if each.family == socket.AF_INET)
        with socket.create_connection(("127.0.0.1", port), timeout=300), closing(ipv4.accept()[0]) as accepted:
            assert accepted.getpeername()[0] == "127.0.0.1"


def test_a_machine_without_ipv6_is_served_by_ipv4(monkeypatch, port):
    def no_ipv6(family=-1, *options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return REAL_SOCKET(family, *options)

    monkeypatch.setattr("src.server.listener.socket.socket", no_ipv6)
    with closing(listen("::", port)[0]):
        monkeypatch.undo()
        assert reachable("127.0.0.1", port)
    monkeypatch.setattr("src.server.listener.socket.socket", no_ipv6)
    with pytest.raises(ListenError, match=r"^PARAKEET_HOST=::1 is no address of this machine\. "):
        listen("::1", port)


@pytest.mark.parametrize(
    "host",
    [
        "http://0.0.0.0",
        "127.0.0.1:8000",
        "1.2.3.4.5",
        "two words",
        ".",
        "a" * 70 + ".example",
        "192.0.2.1",
        "[::",
        "::/0",
    ],
)
def test_the_error_about_an_invalid_host_is_one_sentence_that_names_the_variable(host):
    with pytest.raises(ListenError) as error:
        listen(host, 18435)
    assert str(error.value).startswith(f"PARAKEET_HOST={host} ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "::1", "127.0.0.1"])
def test_a_port_in_use_is_an_error_that_names_the_variable(host):
    with listening(host) as port, pytest.raises(ListenError) as error:
        listen(host, port)
    assert str(error.value) == f"PARAKEET_PORT={port} cannot be used at PARAKEET_HOST={host}: address already in use."


@pytest.mark.parametrize(
    ("host", "shown"), [("::", "[::]:8000"), ("::1", "[::1]:8000"), ("0.0.0.0", "0.0.0.0:8000"), ("pod", "pod:8000")]
)
def test_an_address_is_shown_as_in_an_url(host, shown):
    assert authority(host, 8000) == shown


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::", "http://127.0.0.1:8000"),
        ("[::]", "http://127.0.0.1:8000"),
        ("[::0]", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("10.0.0.0", "http://10.0.0.0:8000"),
        ("[::1]", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("pod", "http://pod:8000"),
    ],
)
def test_the_scripts_ask_where_the_service_listens(host, url):
    program = f"source scripts/lib.sh; PARAKEET_HOST={host} PARAKEET_PORT=8000; base_url"
    printed = subprocess.run(["bash", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == url
