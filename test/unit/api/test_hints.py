"""What a caller who has missed a path has probably meant: the nearest one, and none for nonsense."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.hints import nearest_path

KNOWN = (
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/models",
    "/v1/realtime",
    "/v1/realtime/client_secrets",
    "/healthz",
    "/readyz",
    "/docs",
    "/openapi.json",
)


@pytest.mark.parametrize(
    ("path", "suggested"),
    [
        ("/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/transcriptions", "/v1/audio/transcriptions"),
        ("/v1/v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v1/audio/transcription", "/v1/audio/transcriptions"),
        ("//v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v1//audio///transcriptions", "/v1/audio/transcriptions"),
        ("/V1/Audio/Transcriptions", "/v1/audio/transcriptions"),
        ("/api/v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v2/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v1/audio/transcriptions/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v1/audio/transcriptions/v1/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v1/audio/transcriptions/v1/realtime", "/v1/realtime"),
        ("/v1/audio/transcriptions/json", "/v1/audio/transcriptions"),
        ("/v1/audio/transcribe", "/v1/audio/transcriptions"),
        ("/v1/audio/translation", "/v1/audio/translations"),
        ("/realtime", "/v1/realtime"),
        ("/v1/real-time", "/v1/realtime"),
        ("/v1/realtime/client-secrets", "/v1/realtime/client_secrets"),
        ("/v1/models/v1/models", "/v1/models"),
        ("/model", "/v1/models"),
        ("/health", "/healthz"),
        ("/v1/ready", "/readyz"),
        ("/openapi", "/openapi.json"),
    ],
)
def test_the_path_that_was_probably_meant_is_suggested(path, suggested):
    assert nearest_path(path, KNOWN) == suggested


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "/v1", "/v1/audio", "/v1/nothing", "/no/such/route", "/favicon.ico", "/.env", "/wp-login.php"),
        *("/v1/audio/speech", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/moderations"),
        *("/v1/images/generations", "/v1/responses", "/v1/files", "/metrics", "/status", "/v1/listen"),
    ],
)
def test_other_paths_have_no_suggestion(path):
    assert nearest_path(path, KNOWN) is None


def test_the_same_name_may_be_asked_for():
    assert nearest_path("/models/gpt-realtime", KNOWN[3:4], min_similarity=1) is None
    assert nearest_path("/models/v1/Realtime", KNOWN[3:4], min_similarity=1) == "/v1/realtime"


@given(st.text(), st.sets(st.sampled_from(KNOWN)))
def test_whatever_comes_the_answer_is_a_known_path_or_none(path, known):
    assert nearest_path(path, known) in {*known, None}


@pytest.mark.parametrize("path", ["/a" * 16_000, "/" + "transcription" * 2500, "/transcribing" * 2500])
def test_the_longest_paths_take_no_time(path):
    began = time.thread_time()
    nearest_path(path, KNOWN)
    assert time.thread_time() - began < 0.05
