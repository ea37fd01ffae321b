"""Values that stand for "not set"."""

import pytest

from src.text.unset import none_if_unset


@pytest.mark.parametrize("value", [None, "", " ", "null", "NULL", "None", " none\n", "undefined", "Undefined", "nil"])
def test_an_unset_field_has_many_spellings(value):
    assert none_if_unset(value) is None


@pytest.mark.parametrize("value", ["en", "0", "nothing", "nullify", "none of it", "undefined, unset"])
def test_anything_else_is_a_value_and_stays_as_it_is(value):
    assert none_if_unset(value) == value
