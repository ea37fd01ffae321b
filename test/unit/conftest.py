"""What a unit test must do without: the checkpoint, a service, and NeMo, which takes seconds to load."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

LOADS_NEMO = "a unit test loads NeMo; it belongs to test/model, test/service or test/process"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail a run of unit tests alone whose modules have loaded NeMo."""
    folder = Path(__file__).parent
    if "nemo" in sys.modules and all(folder in item.path.parents for item in session.items):
        raise pytest.UsageError(LOADS_NEMO)


@pytest.fixture(scope="module", autouse=True)
def no_nemo() -> Iterator[None]:
    """Fail a module whose tests load NeMo. Tests of other folders in the same run may have loaded it before."""
    loaded_before = "nemo" in sys.modules
    yield
    assert loaded_before or "nemo" not in sys.modules, LOADS_NEMO


@pytest.fixture(scope="session")
def tiny() -> NoReturn:
    """Replace the fixture of the bundled checkpoint."""
    pytest.fail(LOADS_NEMO)


@pytest.fixture(scope="session")
def nemos() -> NoReturn:
    """Replace the fixture of the bundled checkpoint on NeMo's encoder."""
    pytest.fail(LOADS_NEMO)


@pytest.fixture(scope="session")
def service() -> NoReturn:
    """Replace the fixture of the service on the bundled checkpoint."""
    pytest.fail(LOADS_NEMO)
