"""The service as a restricted pod runs it: a user without a home, no capabilities, a read-only file system."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from media import CLIPS
from ports import reserved_port
from service_process import environment, is_ready

CONFINE = r"""
set -e
writable=$1; shift
[ -z "$writable" ] || mount --bind "$writable" "$writable"
awk '$2 !~ "^/(proc|sys|dev)(/|$)" {print $2}' /proc/self/mounts | while read -r mounted; do
    [ "$mounted" = "$writable" ] || mount -o remount,bind,ro "$mounted" 2>/dev/null || true
done
cd /
exec unshare --user --map-user=10001 --map-group=10001 \
    setpriv --no-new-privs --inh-caps=-all --ambient-caps=-all -- "$@"
"""
"""Runs a command that may write to one folder, or to none, as a user whose files these are: they can be read wherever
they are. What it may not write is read-only, so it does not help that they are its own."""


def confined(command: Sequence[str], writable: Path | None) -> list[str]:
    where = str(writable) if writable else ""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", CONFINE, "sh", where, *command]


def can_confine() -> bool:
    """Whether a command can be confined here, and is."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    script = 'id -u; touch "$0" 2>/dev/null || echo read-only'
    found = subprocess.run(
        confined(["sh", "-c", script, str(Path(__file__).with_name("touched"))], None), capture_output=True, text=True
    )
    return found.stdout.split() == ["10001", "read-only"]


pytestmark = pytest.mark.skipif(not can_confine(), reason="only root with namespaces can confine a process")


def of_a_pod(tmp_path: Path, **settings: str) -> Mapping[str, str]:
    """The environment of a pod that sets nothing for libraries and has no home."""
    kept = environment(tmp_path, PARAKEET_MODEL_ID="tiny", PARAKEET_HOST="127.0.0.1", **settings)
    theirs = ("HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "NUMBA_", "TRITON_", "MPL", "XDG_", "TORCH", "HF_")
    return {name: value for name, value in kept.items() if name in settings or not name.startswith(theirs)}


def test_a_pod_that_may_write_to_one_folder_serves_and_needs_no_other_variable(tmp_path, stored_texts):
    writable = tmp_path / "pod"
    writable.mkdir()
    clip = "piper-joe-1.flac"
    with reserved_port() as port, (tmp_path / "log").open("wb") as log:
        env = of_a_pod(tmp_path, TMPDIR=str(writable), PARAKEET_LOG_DIR=str(writable / "logs"), PARAKEET_PORT=str(port))
        process = subprocess.Popen(confined([sys.executable, "-m", "src"], writable), env=env, stderr=log)
        try:
            while not is_ready(port):
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.05)
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/audio/transcriptions",
                files={"file": (clip, (CLIPS / clip).read_bytes())},
                timeout=300,
            )
            assert (answer.status_code, answer.json()["text"]) == (200, stored_texts[clip])
            process.send_signal(signal.SIGTERM)
            assert process.wait(300) == 0
        finally:
            process.kill()
            process.wait()
    text = (tmp_path / "log").read_text()
    assert " ERROR " not in text
    assert "Traceback" not in text
    assert f"Libraries keep their caches in {writable}/parakeet-cache-10001" in text
    assert (writable / "logs" / "metrics" / "metrics.log").read_text().count("\n") == 1


def test_a_pod_that_may_write_nowhere_is_told_which_variable_to_set(tmp_path):
    with reserved_port() as port:
        env = of_a_pod(tmp_path, PARAKEET_PORT=str(port))
        ended = subprocess.run(
            confined([sys.executable, "-m", "src"], None), env=env, capture_output=True, text=True, timeout=300
        )
    assert ended.returncode == 1
    (error,) = [line for line in ended.stderr.splitlines() if " ERROR " in line and "metrics" not in line]
    assert "mount one at /tmp, or set TMPDIR" in error
    assert "Traceback" not in ended.stderr
