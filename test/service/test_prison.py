"""Code that a hostile file runs in a decode worker can affect nothing but its own request."""

import logging
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
from broken_codec import program, taken_over
from keys import KEYS
from media import CLIPS
from processes import decode_parents, decode_workers
from running_service import serving, until

from src.audio.decode import decode
from src.audio.sandbox import Sandbox
from src.errors import AudioTooLong, DecoderUnavailable, EmptyAudio, InvalidAudio
from src.settings import Settings

SPEECH = CLIPS / "piper-joe-1.flac"
PRLIMIT = {"x86_64": 302, "aarch64": 261}[platform.machine()]
IO_URING_SETUP = 425

ATTEMPTS = {
    "open a file": "open('/etc/passwd')",
    "make a file": "open('{folder}/made', 'w')",
    "make a file in memory": "os.memfd_create('made')",
    "list a folder": "os.listdir('/')",
    "remove a file": "os.unlink('{folder}/kept')",
    "read the parent's environment": "open('/proc/{parent}/environ')",
    "read the service's memory as a file": "open('/proc/{service}/mem', 'rb')",
    "make a socket": "socket.socket()",
    "make a pair of sockets": "socket.socketpair()",
    "connect": "check(max(libc.connect(each, b'\\1\\0\\0x', 4) for each in range(256)))",
    "send a descriptor": "check(max(libc.sendmsg(each, bytes(56), 0) for each in range(256)))",
    "write to the service's logs": "os.write(2, b'x')",
    "write to any other descriptor": "[each for each in range(3, 256) if libc.write(each, b'', 0) == 0][1]",
    "empty the service's logs": "os.ftruncate(2, 0)",
    "copy a descriptor": "os.dup(0)",
    "control a device": "check(libc.ioctl(0, 0x5413, bytes(64)))",
    "signal the parent": "os.kill({parent}, 0)",
    "signal the service": "os.kill({service}, 0)",
    "signal everybody": "os.kill(-1, 0)",
    "signal itself": "os.kill(os.getpid(), 0)",
    "fork": "os.fork() or os._exit(0)",
    "start a thread": "threading.Thread(target=print).start()",
    "execute a program": "os.execv('/bin/true', ['true'])",
    "execute a program in a child": "os.system('true')",
    "read the service's memory": (
        "here, there = (ctypes.c_void_p * 2)(id(SECOND), 8), (ctypes.c_void_p * 2)(id(SECOND), 8)\n"
        "check(libc.process_vm_readv({service}, here, 1, there, 1, 0))"
    ),
    "read the parent's memory": (
        "here, there = (ctypes.c_void_p * 2)(id(SECOND), 8), (ctypes.c_void_p * 2)(id(SECOND), 8)\n"
        "check(libc.process_vm_readv({parent}, here, 1, there, 1, 0))"
    ),
    "trace the service": "check(libc.ptrace(16, {service}, 0, 0))",
    "trace the parent": "check(libc.ptrace(16, {parent}, 0, 0))",
    "hold the service": "os.pidfd_open({service})",
    "raise its number of files": "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "raise its CPU time": "resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "raise its memory": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "change the service's limits": f"check(libc.syscall({PRLIMIT}, {{service}}, 7, bytes(16), 0))",
    "change its own name": "check(libc.prctl(15, b'x', 0, 0, 0))",
    "be left alone by memory's end": "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    "go before others": "os.nice(-5)",
    "queue calls": f"check(libc.syscall({IO_URING_SETUP}, 1, bytes(128)))",
    "call with short pointers": "check(libc.syscall(0x40000000 + 39))",
    "look at users": "os.getppid()",
    "find a key": (
        "words = repr(dict(os.environ)).lower()\n"
        "if not any(each in words for each in ('key', 'token', 'secret', 'proxy')):\n"
        "    raise InvalidAudio(words)"
    ),
}
"""Python programs. One that runs to its end has done what it should not be able to do."""


@pytest.fixture(scope="module")
def prison(tiny, tmp_path_factory):
    """A service with keys and secrets in its environment, whose decoders are taken over; its folder; and the process ID
    of the parent of its workers."""
    folder = tmp_path_factory.mktemp("prison")
    others = set(decode_parents())  # of services that other tests share
    (folder / "kept").touch()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PARAKEET_API_KEYS", KEYS[0])
        patched.setenv("HF_TOKEN", "hidden-token")
        patched.setenv("https_proxy", "http://user:hidden-secret@proxy:3128")
        taken_over(folder, patched.setenv)
        # A busy machine takes its time until a decoder that is held has been looked at.
        settings = Settings(model_id="tiny", log_dir=folder / "logs", max_queue_wait_s=60, decode_timeout_s=200)
        with serving(settings, lambda _: tiny) as service:
            service.http.headers["authorization"] = f"Bearer {KEYS[0]}"
            until(lambda: set(decode_parents()) - others)
            (parent,) = set(decode_parents()) - others
            yield service, folder, parent


def test_no_attempt_succeeds_and_other_files_are_served_meanwhile(prison):
    service, folder, parent = prison
    others = set(decode_parents())
    good = SPEECH.read_bytes()
    text = service.upload(good).json()["text"]
    known = {"folder": folder, "service": os.getpid(), "parent": parent}
    hostile = {name: program(each.format_map(known)) for name, each in ATTEMPTS.items()}
    files = list(chain.from_iterable(zip(hostile.values(), repeat(good), strict=False)))
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(service.upload, files))
    assert {name: answer.status_code for name, answer in zip(hostile, answers[::2], strict=True)} == dict.fromkeys(
        hostile, 400
    )
    assert {answer.json()["error"]["code"] for answer in answers[::2]} == {"invalid_audio"}
    assert {answer.json()["text"] for answer in answers[1::2]} == {text}
    assert sorted(path.name for path in folder.iterdir()) == ["kept", "logs", "sitecustomize.py"]
    assert set(decode_parents()) == others, "one was ended, and so a new one started"
    until(lambda: not decode_workers())


def test_the_answer_to_the_client_contains_nothing_from_the_worker(prison):
    service, _, _ = prison
    answer = service.upload(program("raise InvalidAudio('my own words, and ' + repr(dict(os.environ)))"))
    assert answer.status_code == 400
    assert "own words" not in answer.text
    assert answer.json()["error"]["message"].startswith("The file is not audio that can be read")


def test_no_key_token_or_proxy_is_in_the_environment_of_the_decoders(prison):
    service, _, parent = prison
    before = set(decode_workers())  # of which one may be about to end
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(service.upload, program("while True: time.sleep(1)"))
        until(lambda: set(decode_workers()) - before)
        (worker,) = set(decode_workers()) - before
        for pid in (parent, worker):
            seen = Path(f"/proc/{pid}/environ").read_text()
            assert "PYTHONPATH=" in seen
            assert not [each for each in ("KEY", "TOKEN", "SECRET", "PROXY", KEYS[0].upper()) if each in seen.upper()]
        until(lambda: "\nSeccomp:\t2\n" in Path(f"/proc/{worker}/status").read_text())
        assert f"\nCapEff:\t{0:016x}\n" in Path(f"/proc/{worker}/status").read_text()
        assert int(Path(f"/proc/{worker}/oom_score_adj").read_text()) == 1000
        until(lambda: len(os.listdir(f"/proc/{worker}/fd")) == 1)  # to the service; it begins with its parent's
        os.kill(worker, 9)
        assert held.result(300).status_code == 400


# What it answers to the service


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    taken_over(tmp_path, monkeypatch.setenv)
    made = Sandbox(timeout_s=30, memory_mb=512, total_mb=8192, max_workers=8)
    yield made
    made.close()


def decoded(sandbox, attempt, max_seconds=600.0):
    return np.concatenate(list(sandbox.decode(program(attempt), max_seconds=max_seconds).blocks()))


LIES = {
    "nothing": "b''",
    "a few bytes": "b'x'",
    "more than a message": "bytes(60_000)",
    "JSON": "b'{\"lengths\": [1]}'",
    "more samples than there is room for": "np.array([0, 2**20 + 1], '<u4').tobytes()",
    "as many samples as there are numbers": "np.array([0, 2**32 - 1], '<u4').tobytes()",
    "an unknown rejection": "np.array([99, 0], '<u4').tobytes()",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_impossible_reply_fails_only_its_own_file(sandbox, lie):
    with pytest.raises(InvalidAudio, match="could not be decoded"):
        decoded(sandbox, f"answer({lie})")
    assert np.array_equal(
        np.concatenate(list(sandbox.decode(SPEECH.read_bytes(), max_seconds=600).blocks())),
        decode(SPEECH.read_bytes()),
    )


@pytest.mark.parametrize("number", ["nan", "inf", "-3e38"])
def test_impossible_samples_fail_the_file(sandbox, number):
    with pytest.raises(InvalidAudio, match="could not be decoded"):
        decoded(sandbox, f"SECOND[5] = float('{number}')\nreturn iter([SECOND])")


def test_endless_audio_is_stopped_at_the_limit_by_the_service(sandbox):
    with pytest.raises(AudioTooLong, match="longer than 100 s"):
        decoded(sandbox, "while True: yield SECOND", max_seconds=100)
    assert len(decoded(sandbox, "for _ in range(100): yield SECOND", max_seconds=100)) == 100 * 16_000


def test_a_limit_named_by_the_worker_is_not_used(sandbox):
    lie = "from src.audio.rejections import AudioRejection\nraise AudioRejection.TOO_LONG.error(7)"
    with pytest.raises(AudioTooLong, match="longer than 600 s"):
        decoded(sandbox, lie)


def test_a_worker_without_audio_fails_its_file(sandbox):
    with pytest.raises(EmptyAudio, match="no samples"):
        decoded(sandbox, "return iter([])")
    with pytest.raises(InvalidAudio, match="crashed"):
        decoded(sandbox, "os._exit(0)")
    with pytest.raises(InvalidAudio, match="crashed"):
        decoded(sandbox, "ctypes.string_at(0)")


def test_endless_computing_is_killed_and_endless_sleeping_is_unavailable(tmp_path, monkeypatch):
    taken_over(tmp_path, monkeypatch.setenv)
    sandbox = Sandbox(timeout_s=0.3, memory_mb=512, total_mb=8192, max_workers=8)
    with monkeypatch.context() as patched:
        patched.setattr("src.audio.sandbox.MAX_WALL_PER_CPU", 1_000)  # on a busy machine, CPU time takes long
        with pytest.raises(InvalidAudio, match="crashed"):
            decoded(sandbox, "while True: pass")
    with pytest.raises(DecoderUnavailable) as caught:
        decoded(sandbox, "while True: time.sleep(1)")
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "decoder_unavailable", 1)
    until(lambda: not decode_workers())
    sandbox.close()


def test_endless_memory_is_rejected(sandbox):
    with pytest.raises(InvalidAudio, match="more memory"):
        decoded(sandbox, "held = [np.ones(10**6) for _ in range(10**6)]")


# Where the kernel filters no system calls


REFUSED = """
from src.audio import seccomp
def refuse():
    raise OSError(22, "Invalid argument")
seccomp.install = refuse
"""


def test_a_kernel_without_filters_is_logged_once_and_files_are_decoded(tmp_path, monkeypatch, caplog):
    taken_over(tmp_path, monkeypatch.setenv, also=REFUSED)
    sandbox = Sandbox(timeout_s=30, memory_mb=512, total_mb=8192, max_workers=8)
    with caplog.at_level(logging.WARNING):
        sandbox.start()
        for _ in range(2):
            blocks = list(sandbox.decode(SPEECH.read_bytes(), max_seconds=600).blocks())
            assert np.array_equal(np.concatenate(blocks), decode(SPEECH.read_bytes()))
    (line,) = caplog.messages
    assert "Invalid argument" in line
    assert "could signal and read processes of this user" in line
    for attempt in ("open('/etc/passwd')", "socket.socket()", "os.dup(0)", "os.write(2, b'x')"):  # limits hold still
        with pytest.raises(InvalidAudio):
            decoded(sandbox, attempt)
    sandbox.close()


def test_a_filter_that_does_not_fit_the_system_libraries_is_not_used(tmp_path, monkeypatch, caplog):
    unfit = "import os\nfrom src.audio import seccomp\nseccomp.install = lambda: os.kill(os.getpid(), 31)  # SIGSYS"
    taken_over(tmp_path, monkeypatch.setenv, also=unfit)
    sandbox = Sandbox(timeout_s=30, memory_mb=512, total_mb=8192, max_workers=8)
    assert list(sandbox.decode(SPEECH.read_bytes(), max_seconds=600).blocks())
    assert "decoding needs calls that it does not allow" in caplog.text
    sandbox.close()


def test_a_kernel_with_filters_logs_nothing(sandbox, caplog):
    sandbox.start()
    assert caplog.messages == []
