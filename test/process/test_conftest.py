"""What `conftest.py` sees to for every test."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st


def drawn() -> list[bytes]:
    examples = []

    @given(st.binary())
    def collect(example: bytes) -> None:
        examples.append(example)

    collect()
    return examples


def test_a_property_is_tried_with_the_same_examples_in_every_run():
    assert len(drawn()) > 50
    assert drawn() == drawn()


SKIPPED_MODULE = """
import pytest
pytest.importorskip("no_such_package")
"""
SKIPPED_TESTS = """
import pytest

@pytest.mark.skip("a reason")
def test_that_no_machine_runs(): pass

@pytest.mark.skip("no GPU is to be seen")
def test_that_another_machine_runs(): pass
"""


@pytest.mark.parametrize(("ci", "outcomes"), [("", "3 skipped"), ("1", "1 skipped, 2 errors")])
def test_ci_skips_tests_for_its_machine_but_not_for_want_of_a_package(ci, outcomes, tmp_path):
    (tmp_path / "test_module.py").write_text(SKIPPED_MODULE)
    (tmp_path / "test_tests.py").write_text(SKIPPED_TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        "--noconftest",
        "-c",
        os.devnull,
    ]
    command += ["--continue-on-collection-errors", "--rootdir", tmp_path, tmp_path]
    environment = os.environ | {"CI": ci, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"{outcomes} in " in done.stdout, done.stdout + done.stderr
