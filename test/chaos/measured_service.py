"""The service, in a process that also writes down how much memory it has in use.

python3 test/chaos/measured_service.py FILE

FILE gets a line each second (`memory_in_use.py`). The service is configured by its environment, as ever.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "benches"))

import search_path
import memory_in_use

from src.__main__ import run_and_exit

if __name__ == "__main__":
    memory_in_use.keep_writing(Path(sys.argv[1]))
    run_and_exit()
