"""The answers that are allowed for untrusted bytes: a text, or 4xx with an error in OpenAI's form."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
from hostile import HostileFile

ROUTE = "/v1/audio/transcriptions"
GOOD_CLIP = Path(__file__).resolve().parent.parent / "clips" / "piper-joe-1.flac"
GOOD_TEXT = "The black bicycle is under the tree."
TRIES = 20


def send(http: httpx.Client, file: HostileFile, *, raw: bool) -> httpx.Response:
    """Send a file, as the body itself or in a form; again if a busy service asks for that (503, `Retry-After`)."""
    for _ in range(TRIES):
        answer = _sent(http, file, raw=raw)
        if answer.status_code != 503 or "Retry-After" not in answer.headers:
            break
        time.sleep(float(answer.headers["Retry-After"]))
    return answer


def _sent(http: httpx.Client, file: HostileFile, *, raw: bool) -> httpx.Response:
    if raw:
        return http.post(ROUTE, content=file.data, headers={"content-type": file.declared_type})
    return http.post(ROUTE, files={"file": (file.name, file.data, file.declared_type)})


def good_text(http: httpx.Client) -> str:
    """Return the service's text for a clip whose text is known, `GOOD_TEXT`."""
    with GOOD_CLIP.open("rb") as clip:
        answer = http.post(ROUTE, files={"file": clip})
    return str(answer.json().get("text", answer.text))


def problem_with(answer: httpx.Response) -> str | None:
    """Return what is wrong with an answer, or None."""
    if answer.status_code == 200:
        return None if isinstance(_object(answer).get("text"), str) else f"200 without a text: {answer.text[:200]!r}"
    if not 400 <= answer.status_code < 500:
        return f"{answer.status_code}: {answer.text[:200]!r}"
    return None if _is_error(_object(answer)) else f"not an error of OpenAI's: {answer.text[:200]!r}"


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return body if isinstance(body, dict) else {}


def _is_error(body: dict[str, Any]) -> bool:
    error = body.get("error")
    if not isinstance(error, dict) or error.keys() != {"message", "type", "param", "code"}:
        return False
    param = error["param"]
    return all(isinstance(error[key], str) for key in ("message", "type", "code")) and isinstance(param, str | None)
