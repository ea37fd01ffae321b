"""Whether the page stays responsive with a long transcript: the times between its frames, in Chromium.

python3 test/benches/page_bench.py [--words N]

The service runs on a model that says a word each 0.36 s at once (`instant_model.py`), and gets a silent file as long as
the words asked for (10,000: an hour). The page is measured while the text comes, while it plays and the word being
heard is marked, while it is scrolled from end to end, while a frequent word is searched for, and while the text is
shown as segments. Each row has the number of frames, and the median, the 95th percentile and the longest of the times
between two, in ms. A quiet machine shows one each 16.7 ms; other programs add to that. The table is also saved as
`test/results/page_bench.txt`.
"""

import argparse
import asyncio
import os
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import search_path
import client
from chromium import chromium
from columns import Cell, columns
from own_service import INSTANT_SERVICE, serving

WORD_S = 0.36
RATE = 8000
TIMEOUT_MS = 300_000
WATCH = """() => {
    window.frames_ms = [];
    let last = performance.now();
    const next = (now) => {
        window.frames_ms.push(now - last);
        last = now;
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
}"""
TAKE = """() => {
    const taken = window.frames_ms.sort((one, other) => one - other);
    window.frames_ms = [];
    const at = (share) => taken[Math.floor(share * (taken.length - 1))];
    return [taken.length, at(0.5), at(0.95), at(1)];
}"""
SCROLL = """() => new Promise((done) => {
    const view = document.querySelector(".transcript");
    const step = view.scrollHeight / 120;
    let steps = 0;
    const next = () => {
        view.scrollTop += step;
        if (++steps < 120) requestAnimationFrame(next); else done();
    };
    next();
})"""
SEARCH = """() => {
    const field = document.querySelector(".search input");
    field.value = "the";
    field.dispatchEvent(new Event("input"));
}"""
STEPS = {
    "plays for 5 s": ("document.querySelector('.play').click()", 5.0),
    "scrolls from end to end": (SCROLL, 0.5),
    "searches a frequent word": (SEARCH, 1.0),
    "shows segments": ("document.querySelectorAll('.groupings input')[1].click()", 1.0),
}
"""What is done, in JavaScript, and for how many seconds it is watched."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    if chromium() is None:
        raise client.Failure("There is no Chromium; install it (apt-get install chromium).")
    length_s = options.words * WORD_S
    settings = {"PARAKEET_MAX_AUDIO_SECONDS": str(length_s + 1), "PARAKEET_MAX_UPLOAD_MB": "1024"}
    with TemporaryDirectory() as folder:
        silence = write_silence(Path(folder) / "silence.wav", length_s)
        program = (*INSTANT_SERVICE, "--every", str(WORD_S))
        with serving("tiny", program, client.TOP, **settings) as server:
            rows = asyncio.run(measure(server.url, silence))
    table = columns(["the page", "frames", "p50 ms", "p95 ms", "longest ms"], rows)
    print(table, end="")
    client.RESULTS.mkdir(exist_ok=True)
    (client.RESULTS / "page_bench.txt").write_text(table)
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=client.positive_int, default=10_000)
    return parser.parse_args(argv)


def write_silence(path: Path, length_s: float) -> Path:
    """Write a WAV file of 8 bits per sample."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, RATE, 0, "NONE", ""))
        file.writeframes(b"\x80" * round(length_s * RATE))
    return path


async def measure(url: str, path: Path) -> list[list[Cell]]:
    """Have the page transcribe a file, and return a row for each thing that it does with the text."""
    from playwright.async_api import async_playwright

    found = chromium()
    assert found
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found.path, args=["--no-sandbox"], env={**os.environ, **found.env}
        )
        page = await browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        await page.goto(url)
        await page.evaluate(WATCH)
        await page.locator("input[type=file]").set_input_files(str(path))
        await page.locator(".downloads").wait_for()
        rows: list[list[Cell]] = [["gets the text", *await page.evaluate(TAKE)]]
        for name, (action, seconds) in STEPS.items():
            await page.evaluate(action)
            await asyncio.sleep(seconds)
            rows.append([name, *await page.evaluate(TAKE)])
        await browser.close()
    return rows


if __name__ == "__main__":
    sys.exit(client.run(main))
