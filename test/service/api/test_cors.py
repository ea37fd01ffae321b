"""Pages of other origins: which may call, the answers to preflight requests, and errors that pages can read."""

import itertools

import httpx
import pytest
from fakes import HeldModel
from keys import KEY
from running_service import serving

from src.settings import Settings, SettingsError

APP = "https://app.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,api-key"}
ORIGINS = {
    "https://app.example.com": "https://app.example.com",
    "app://obsidian.md": "app://obsidian.md",
    "capacitor://localhost": "capacitor://localhost",
    "ionic://localhost/": "ionic://localhost",
    "tauri://localhost": "tauri://localhost",
    "chrome-extension://abcdefghijklmnop": "chrome-extension://abcdefghijklmnop",
    "moz-extension://0a1b-2c3d/": "moz-extension://0a1b-2c3d",
    "vscode-webview://1x2y": "vscode-webview://1x2y",
    "file://": "file://",
    "file:///": "file://",
    "null": "null",
    "http://localhost:5173/": "http://localhost:5173",
    "HTTPS://App.Example.COM:443": "https://app.example.com",
    "http://192.0.2.7:80": "http://192.0.2.7",
    "http://[::1]:3000": "http://[::1]:3000",
    "*": "*",
}


@pytest.mark.parametrize(("written", "origin"), ORIGINS.items())
def test_origins_of_pages_and_of_apps_may_be_set(written, origin):
    assert Settings(cors_origins=written).origins == (origin,)
    assert Settings(cors_origins=f" {APP} , {written},").origins == (APP, origin)


@pytest.mark.parametrize(
    "wrong",
    [
        "app.example.com",
        "https://",
        "https://a/b",
        "https://a b",
        "https://u@a",
        "https://a?x",
        "://a",
        "https://*.a",
        "1a://b",
    ],
)
def test_an_invalid_origin_ends_the_start_with_a_sentence(wrong):
    with pytest.raises(SettingsError, match=r"^PARAKEET_CORS_ORIGINS must be \* or origins such as .*, not "):
        Settings(cors_origins=f"{APP},{wrong}")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    settings = Settings(
        model_id="tiny",
        log_dir=tmp_path_factory.mktemp("logs"),
        api_keys=KEY,
        cors_origins=",".join(origin for origin in ORIGINS if origin != "*"),
        max_upload_mb=0.001,
    )
    with serving(settings, lambda _: HeldModel(held=False)) as running:
        yield running


@pytest.mark.parametrize("origin", sorted({*ORIGINS.values(), "HTTPS://APP.example.com"} - {"*"}))
@pytest.mark.parametrize("private", [{}, {"access-control-request-private-network": "true"}], ids=["", "private"])
def test_a_page_of_an_allowed_origin_may_call_into_a_private_network_too(service, origin, private):
    answer = service.http.options("/v1/audio/transcriptions", headers={"origin": origin} | PREFLIGHT | private)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "api-key" in answer.headers["access-control-allow-headers"]
    assert answer.headers.get("access-control-allow-private-network") == ("true" if private else None)


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "https://app.example.com.evil", "http://app.example.com", "file://x"]
)
def test_other_pages_may_not(service, origin):
    for headers in (PREFLIGHT, PREFLIGHT | {"access-control-request-private-network": "true"}):
        answer = service.http.options("/v1/audio/transcriptions", headers={"origin": origin} | headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in service.http.get("/v1/models", headers={"origin": origin}).headers


BEARER = {"authorization": f"Bearer {KEY}"}
ERRORS = [
    (401, "GET", "/v1/models", {}, b""),
    (404, "GET", "/audio/transcriptions", BEARER, b""),
    (405, "GET", "/v1/audio/transcriptions", BEARER, b""),
    (400, "POST", "/v1/audio/transcriptions", BEARER, b""),
    (413, "POST", "/v1/audio/transcriptions", BEARER, b"x" * 2000),
    (426, "GET", "/v1/realtime", BEARER, b""),
]


@pytest.mark.parametrize(("status", "method", "path", "headers", "body"), ERRORS)
def test_a_page_may_read_why_its_request_was_rejected(service, status, method, path, headers, body):
    answer = service.http.request(method, path, content=body, headers={"origin": APP} | headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, APP)
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_a_page_may_read_an_unexpected_error(service, monkeypatch):
    def broken(self):
        raise RuntimeError

    monkeypatch.setattr("src.wire.model_names.ServedModel.names", property(broken))
    answer = service.http.get("/v1/models", headers={"origin": APP} | BEARER)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, APP)


def test_all_origins_may_be_allowed(tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path, cors_origins="*")
    with serving(settings, lambda _: HeldModel(held=False)) as running:
        for origin, private in itertools.product(
            (APP, "null"), ({}, {"access-control-request-private-network": "true"})
        ):
            answer = httpx.options(
                f"{running.http.base_url}/v1/models", headers={"origin": origin} | PREFLIGHT | private, timeout=300
            )
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
