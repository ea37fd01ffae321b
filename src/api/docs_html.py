"""The description of the API as a page for people: HTML made from the OpenAPI document, without scripts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Json = Mapping[str, Any]

EXAMPLES = {
    "/v1/audio/transcriptions": "curl -F file=@speech.mp3 {base}/audio/transcriptions",
    "/v1/models": "curl {base}/models",
    "/v1/realtime/client_secrets": "curl -X POST {base}/realtime/client_secrets",
}
"""A command for some paths. The base URL ends with `/v1`."""


def docs_html(document: Json, base: str) -> str:
    """Return the main part of the page: a section for each operation, then one for each object of the answers.

    Args:
        document: the OpenAPI document.
        base: the base URL that clients set, which ends with `/v1`.
    """
    operations = [
        _operation(method, path, operation, base)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    objects = [_object(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join([*operations, '<h2 id="objects">Objects</h2>', *objects])


def _operation(method: str, path: str, operation: Json, base: str) -> str:
    example = EXAMPLES.get(path)
    command = f"<pre>{escape(example.format(base=base))}</pre>" if example else ""
    return (
        f"<section><h2><small>{method.upper()}</small> {escape(path)}</h2>"
        f"<p>{_prose(operation.get('description', ''))}</p>{command}"
        f"{_fields(operation)}{_answers(operation['responses'])}</section>"
    )


def _fields(operation: Json) -> str:
    """Return a table of what a request may say. A field of the body that may stand in the query too is there once."""
    schemas = [content["schema"] for content in operation.get("requestBody", {}).get("content", {}).values()]
    body: Json = next((schema for schema in schemas if "properties" in schema), {})
    rows = [_property(name, schema, body) for name, schema in body.get("properties", {}).items()]
    rows += [
        _row(_code(each["name"]), f"{_type(each['schema'])}, in the {each['in']}", _notes(each["schema"], each))
        for each in operation.get("parameters", [])
        if each["name"] not in body.get("properties", {})
    ]
    return _table(("Field", "Type", "Meaning"), rows)


def _answers(responses: Json) -> str:
    return _table(
        ("Status", "Type", "Meaning"),
        [
            _row(_code(status), _contents(answer.get("content", {})), _prose(answer["description"]))
            for status, answer in sorted(responses.items())
        ],
    )


def _contents(content: Json) -> str:
    """Return the media types of an answer; the objects in place of JSON."""
    return " or ".join(
        _type(body["schema"]) if name == "application/json" and body.get("schema") else escape(name)
        for name, body in content.items()
    )


def _object(name: str, schema: Json) -> str:
    rows = [_property(each, value, schema) for each, value in schema.get("properties", {}).items()]
    head = f"<h3>{escape(name)}</h3><p>{_prose(schema.get('description', ''))}</p>"
    return f'<section id="{escape(name)}">{head}{_table(("Key", "Type", "Meaning"), rows)}</section>'


def _property(name: str, schema: Json, owner: Json) -> str:
    required = ", required" if name in owner.get("required", ()) else ""
    return _row(_code(name), _type(schema) + required, _notes(schema, schema))


def _notes(schema: Json, described: Json) -> str:
    """Return what a value means, which values there are, and what it is if it is not given."""
    items = schema.get("items", {})
    values = schema.get("enum") or items.get("enum") or ()
    notes = [_prose(described.get("description", ""))]
    notes.append("One of " + ", ".join(map(_code, values)) + "." if values else "")
    limits = [
        f"{word} {schema[key]}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in schema
    ]
    notes.append(f"{' and '.join(limits)}.".capitalize() if limits else "")
    default = schema.get("default")
    notes.append(f"Default: {_code(default)}." if default not in (None, "", []) else "")
    return " ".join(filter(None, notes))


def _type(schema: Json) -> str:
    """Return the name of a type; that of an object leads to its section."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "const" in schema:
        return _code(schema["const"])
    return "file" if schema.get("format") == "binary" else escape(schema.get("type", "any"))


def _table(head: Sequence[str], rows: Iterable[str]) -> str:
    rows = "".join(rows)
    cells = "".join(f'<th scope="col">{each}</th>' for each in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _prose(text: str) -> str:
    """Return a description as HTML, with code where it has backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split())))


def _code(value: object) -> str:
    return f"<code>{escape(str(value).lower() if isinstance(value, bool) else str(value))}</code>"
