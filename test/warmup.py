"""Send one audio file to the server, print its text and latency, and save both as `test/results/warmup.txt`.

python3 test/warmup.py [--file FILE] [--raw] [--no-pcm] [--url URL]
python3 test/warmup.py --ws [--realtime] [--file FILE] [--url URL]
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent / "clients"))

import client
import client_report

CLIP = client.CLIPS / "piper-joe-1.flac"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    answer = asyncio.run(send_once(options))
    if not answer.ok:
        raise client.Failure(f"{options.url}: {answer.code}: {answer.message}")
    rtfx = answer.audio_len_s / answer.latency_s
    live_rows, live_figures = live(answer) if options.ws else ([], {})
    rows = [
        ("text", answer.text or "(no speech)"),
        ("latency", client_report.in_seconds(answer.latency_s)),
        *live_rows,
        ("audio", f"{answer.audio_len_s:.2f} s"),
        ("RTFx", f"{rtfx:.2f} = audio seconds per second of latency"),
    ]
    print(client_report.table(rows), end="")
    figures = {
        "file": answer.file,
        "sent_as": client.mode_words(options),
        "latency_s": answer.latency_s,
        **live_figures,
        "audio_len_s": answer.audio_len_s,
        "rtfx": rtfx,
    }
    path = options.results / "warmup.txt"
    client_report.save(path, json.dumps(answer.reply | figures, indent=2, ensure_ascii=False) + "\n")
    print(f"saved to {path}")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = client.parser("Send one audio file to the server and print its text.")
    parser.add_argument("--file", type=Path, default=CLIP, help="audio file (default: a bundled clip)")
    return client.parsed(parser, argv)


async def send_once(options: argparse.Namespace) -> client.Answer:
    """Send the file once and return the answer, an error included."""
    upload = client.prepare(options.file, options)
    async with client.open_sender(options) as send:
        return await send(upload)


def live(answer: client.Answer) -> tuple[list[client_report.Row], dict[str, float | None]]:
    """Return the table rows and the figures of a WebSocket alone."""
    rows = [
        ("first delta", client_report.in_seconds(answer.first_delta_s)),
        ("final after commit", client_report.in_seconds(answer.final_s)),
    ]
    return rows, {"first_delta_s": answer.first_delta_s, "final_s": answer.final_s}


if __name__ == "__main__":
    sys.exit(client.run(main))
