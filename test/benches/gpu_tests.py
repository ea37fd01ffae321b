"""The part of `gpu_check.py` for the tests of `test_gpu.py`; it reports each as it ends."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import search_path
import client
import pytest
from gpu_part import DIFFERENT, Clock, arguments, put, say

PROGRAM = str(Path(__file__).parent.parent / "model" / "test_gpu.py")
# Without the project's configuration, which needs plugins that these tests do not use and turns any library's warning
# into an error, and without its conftest.py, which needs the whole service.
ALONE = ["-c", "/dev/null", "--noconftest", "--rootdir", str(client.TOP), "-o", f"pythonpath={client.TOP}"]
QUIET = ["-p", "no:cacheprovider", "-qq", "--no-header", "--no-summary", "--tb", "short"]


class Reporter:
    """A pytest plugin that reports each test as it ends, in place of pytest's own output.

    A test is left out if there is no time for it, supposing that it takes half as long as the longest one: most of that
    one's time is that of loading a model, which tests share.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._longest_s = 0.0

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out a test for which there is no time."""
        if not self._clock.allows(self._longest_s / 2, item.name):  # what it prints is captured
            pytest.skip("there is no time for it")

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str]:
        """Return the category to count, and nothing to print."""
        return report.outcome, "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Report a test's run, and its setup or teardown if that failed."""
        self._longest_s = max(self._longest_s, report.duration)
        if report.when != "call" and report.passed:
            return
        test = report.nodeid.partition("::")[2]
        if report.skipped:
            say(f"left out {test}: there is no time for it")
            return
        say(f"{report.outcome:7} {report.duration:6.1f} s  {test}")
        if report.failed:
            say(report.longreprtext)
        put(**{test: {"outcome": report.outcome, "s": report.duration}})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments("Run the tests that need a GPU; they run on the bundled checkpoint.", argv)
    return run(PROGRAM, Clock(options.limit))


def run(program: str, clock: Clock) -> int:
    """Run the tests of a file for which there is time, and return the exit code of a part."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # these tests need none
    code = pytest.main([program, *ALONE, *QUIET], plugins=[Reporter(clock)])
    return DIFFERENT if code == pytest.ExitCode.TESTS_FAILED else int(code)


if __name__ == "__main__":
    sys.exit(client.run(main))
