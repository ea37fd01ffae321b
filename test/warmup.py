"""Send one audio file to the server, print its text and how fast it came, and save both as `test/results/warmup.txt`.

python3 test/warmup.py [--file FILE] [--raw] [--no-pcm] [--url URL]
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import client

CLIP = client.CLIPS / "piper-joe-1.flac"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    answer = asyncio.run(send_once(options))
    if not answer.ok:
        raise client.Failure(f"{options.url}: {answer.code}: {answer.message}")
    rtfx = answer.audio_len_s / answer.latency_s
    rows = [
        ("text", answer.text or "(no speech)"),
        ("latency", f"{answer.latency_s:.3f} s"),
        ("audio", f"{answer.audio_len_s:.2f} s"),
        ("RTFx", f"{rtfx:.2f} = audio seconds per second of latency"),
    ]
    print(client.table(rows), end="")
    figures = {
        "file": answer.file,
        "sent_as": client.mode_words(raw=options.raw, pcm=options.pcm),
        "latency_s": answer.latency_s,
        "audio_len_s": answer.audio_len_s,
        "rtfx": rtfx,
    }
    path = options.results / "warmup.txt"
    client.save(path, json.dumps(answer.reply | figures, indent=2, ensure_ascii=False) + "\n")
    print(f"saved to {path}")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = client.parser("Send one audio file to the server and print its text.")
    parser.add_argument("--file", type=Path, default=CLIP, help="audio file (default: a bundled clip)")
    return parser.parse_args(argv)


async def send_once(options: argparse.Namespace) -> client.Answer:
    """Send the file once and return the answer, whatever it is."""
    upload = client.prepare(options.file, raw=options.raw, pcm=options.pcm)
    async with client.open_sender(options.url, timeout_s=options.timeout) as send:
        return await send(upload)


if __name__ == "__main__":
    sys.exit(client.run(main))
