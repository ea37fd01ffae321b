"""The description of the API as HTML: all that the OpenAPI document says, as text."""

import re
from html import unescape

import pytest
from in_process import new_app

from src.api.docs_html import docs_html

BASE = "http://stt.example/v1"


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return new_app(tmp_path_factory.mktemp("logs")).openapi()


@pytest.fixture(scope="module")
def html(document):
    return docs_html(document, BASE)


def text_of(html: str) -> str:
    """What a reader sees."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def small(**operation) -> str:
    """The description of one operation."""
    return docs_html({"paths": {"/x": {"get": {"responses": {}} | operation}}, "components": {"schemas": {}}}, BASE)


def test_each_operation_has_its_section(document, html):
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<h2><small>{method.upper()}</small> {path}</h2>" in html


def test_each_field_is_there_once_with_its_meaning(document, html):
    post = document["paths"]["/v1/audio/transcriptions"]["post"]
    section = html.split("</section>")[0]
    for parameter in post["parameters"]:
        assert section.count(f"<td><code>{parameter['name']}</code></td>") == 1
    assert "file, required" in section
    assert "<code>rate</code></td><td>integer, in the query</td>" in section
    assert "At least 8000 and at most 192000. Default: <code>16000</code>." in section
    assert "One of <code>json</code>, <code>text</code>, " in section


def test_each_answer_is_there_and_leads_to_its_object(document, html):
    section = html.split("</section>")[0]
    for status in document["paths"]["/v1/audio/transcriptions"]["post"]["responses"]:
        assert f"<td><code>{status}</code></td>" in section
    links = set(re.findall(r'href="#(\w+)"', html))
    assert {"Transcription", "VerboseTranscription", "ErrorAnswer"} <= links
    assert links <= set(re.findall(r'id="(\w+)"', html))


def test_a_command_names_the_address_of_this_server(html):
    assert "<pre>curl -F file=@speech.mp3 http://stt.example/v1/audio/transcriptions</pre>" in html


def test_descriptions_are_text_and_never_markup():
    script = "<script>x</script>"
    html = small(description=f"{script} `a<b`", responses={"200": {"description": script}})
    assert "<script" not in html
    assert text_of(html).count(script) == 2
    assert "<code>a&lt;b</code>" in html


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string"}, "string"),
        ({"type": "array", "items": {"type": "number"}}, "list of number"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"const": "model", "type": "string"}, "<code>model</code>"),
        ({"$ref": "#/components/schemas/Word"}, '<a href="#Word">Word</a>'),
        ({}, "any"),
    ],
)
def test_a_type_is_named_in_words(schema, shown):
    html = small(parameters=[{"name": "q", "in": "query", "schema": schema}])
    assert f"<td>{shown}, in the query</td>" in html


def test_a_request_without_fields_has_no_table():
    assert "<table" not in small()
