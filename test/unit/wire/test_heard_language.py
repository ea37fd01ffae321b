"""The form of a language that was heard."""

from src.wire.heard_language import HeardLanguage


def test_it_is_an_object_with_a_code():
    assert HeardLanguage(code="mt").model_dump_json() == '{"code":"mt"}'
