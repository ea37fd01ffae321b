"""What the fleet asks of its own address, and the parts of Ray that it needs; test/process/test_fleet.py runs it."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("needs_ray", reason="Ray is not installed: bash scripts/fleet.sh --setup")

from src.fleet.cluster import wait_until_ready, wait_until_running


class Service(BaseHTTPRequestHandler):
    """Answers 503 twice, then 200."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        assert self.path == "/readyz"
        self.send_response(200 if self.asked > 2 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_service_is_ready_once_its_probe_says_so(monkeypatch):
    monkeypatch.setattr("src.fleet.cluster.POLL_S", 0.001)
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        wait_until_ready(f"http://127.0.0.1:{server.server_address[1]}", threading.Event())
        server.shutdown()
    assert Service.asked == 3


def test_a_stop_ends_all_waiting():
    stop = threading.Event()
    stop.set()
    wait_until_ready("http://127.0.0.1:9", stop)
    wait_until_running(stop, lambda _: pytest.fail("not asked"))
