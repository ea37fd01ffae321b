"""Broken, forged and bomb-like files: some hundreds of them, the same for the same seed.

python3 test/chaos/corpus.py --seed 7 --out FOLDER                # writes them
python3 test/chaos/corpus.py --seed 7 --url http://127.0.0.1:8000 # sends them to a service, a good clip after each

The second prints a table. Its exit code is 1 if the service answered anything but 200 or 4xx in OpenAI's form, took
more than 15 s, or got the good clip wrong.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).resolve().parents[1] / "benches"))

import search_path
from assault import assault, table
from bombs import bombs
from damage import damaged
from disguises import disguises
from forged import forged
from hostile import HostileFile
from recordings import recordings
from references import references

NOWHERE = "http://127.0.0.1:9/speech.wav"


def corpus(seed: int, url: str = NOWHERE, one_damaged_in: int = 1) -> Iterator[HostileFile]:
    """Yield the files of `seed`. Files that refer to another place refer to `url`, or to a file of this machine.

    Of the damaged recordings, which are more than half of all files, one in `one_damaged_in` is kept.
    """
    random = Random(seed)
    whole = list(recordings())
    by_name = {recording.name: recording.data for recording in whole}
    yield from islice(damaged(whole, random), 0, None, one_damaged_in)
    yield from forged(by_name)
    yield from disguises(by_name, random)
    yield from references(url)
    yield from bombs(by_name)


def write(seed: int, folder: Path) -> None:
    """Write the files, numbered, under safe names: some of the names are hostile themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(corpus(seed)):
        name = "".join(letter if letter.isalnum() or letter in ".-+" else "_" for letter in file.name)
        (folder / f"{number:03d}-{name[-100:]}").write_bytes(file.data)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the files here")
    parser.add_argument("--url", help="send the files to the service here")
    parser.add_argument("--key", default="none", help="an API key, if the service requires one")
    arguments = parser.parse_args()
    if arguments.out:
        write(arguments.seed, arguments.out)
    if arguments.url:
        outcome = assault(corpus(arguments.seed), arguments.url, arguments.key)
        print(table(outcome))
        return 0 if outcome.withstood else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
