"""What holds for every test."""

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
