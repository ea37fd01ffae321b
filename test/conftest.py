"""What tests share: the bundled model, loaded once, and the real service on a real port."""

import csv
import gc
import logging
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings as examples
from keys import KEYS
from media import CLIPS
from running_service import Service, serving

from src.engine.nemo_model import NemoModel
from src.memory.process import gc_paused
from src.settings import Settings


def pytest_configure() -> None:
    """Hide GPUs, make Hypothesis draw the same examples in every run, and restore the handling of Ctrl-C.

    Expected texts are those of float32 on a CPU; `gpu_check.py` runs test_gpu.py without this file. `chaos/fuzz.py`
    draws examples at random and prints the seed that repeats them. A shell's background job ignores Ctrl-C, and the
    programs that tests interrupt would inherit that.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    examples.register_profile("same examples", derandomize=True, database=None, deadline=None, print_blob=False)
    examples.load_profile("same examples")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without looking for garbage, two fifths of the time, and do not look through them later on."""
    with gc_paused():
        collected = yield
        gc.freeze()
    return collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first: one that starts last would run alone, while other cores wait."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


SKIPPED_IN_CI = (
    "no GPU",
    "only root with namespaces",
    "systemd-analyze is not installed",
    "kubectl is not installed",
    "network namespaces",
)
"""Parts of the reasons for which CI may skip a test. All are about the machine; a missing package is not one."""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that CI must not skip."""
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that CI must not skip."""
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


def _fail_if_skipped_in_ci(report: pytest.CollectReport | pytest.TestReport) -> None:
    reason = str(report.longrepr)
    if os.environ.get("CI") and report.skipped and not any(each in reason for each in SKIPPED_IN_CI):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason}"


class _KeyFinder(logging.Handler):
    """Collects log records that contain a key."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # a traceback included
        if any(key in text for key in KEYS):
            self.found.append(text)


@pytest.fixture(scope="session", autouse=True)
def no_log_has_a_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Check that no log contains a key, whether this process wrote it or one that a test started."""
    finder = _KeyFinder()
    logging.getLogger().addHandler(finder)
    yield
    logging.getLogger().removeHandler(finder)
    logs = [path for path in tmp_path_factory.getbasetemp().rglob("*.log*") if path.is_file()]
    found = [str(path) for path in logs if any(key in path.read_text(errors="replace") for key in KEYS)]
    assert finder.found + found == []


@pytest.fixture(scope="session")
def tiny() -> NemoModel:
    """The bundled checkpoint with the default settings, local attention among them."""
    return NemoModel.load(Settings(model_id="tiny"))


@pytest.fixture(scope="session")
def nemos() -> NemoModel:
    """The same checkpoint as `tiny` on NeMo's own encoder, with NeMo's complete network."""
    return NemoModel.load(Settings(model_id="tiny", encoder="nemo"))


@pytest.fixture(scope="session")
def service(tiny: NemoModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service on the bundled checkpoint, shared by the tests that need no service of their own."""
    settings = Settings(model_id="tiny", log_dir=tmp_path_factory.mktemp("logs"), max_queue_wait_s=60)
    with serving(settings, lambda _: tiny) as running:
        yield running


@pytest.fixture(scope="session")
def transcripts() -> dict[str, str]:
    """The reference text of each bundled clip, by file name."""
    return _column("text")


@pytest.fixture(scope="session")
def stored_texts() -> dict[str, str]:
    """The text that the bundled checkpoint transcribes from each bundled clip, by file name."""
    return _column("heard")


def _column(name: str) -> dict[str, str]:
    with (CLIPS / "transcripts.tsv").open() as file:
        return {row["file"]: row[name] for row in csv.DictReader(file, delimiter="\t")}
