"""A static file: whole or compressed, as its reader takes it, and 304 for those who have it."""

import gzip

import pytest
from starlette.datastructures import Headers

from src.api.static_file import StaticFile

TEXT = b"let words = [];\n" * 100
FILE = StaticFile.prepare(TEXT, "text/javascript")


def answer(**headers):
    return FILE.answer(Headers({name.replace("_", "-"): value for name, value in headers.items()}))


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.5, br", "GZIP", "*", "br, *;q=0.1"])
def test_who_takes_gzip_gets_it(accepted):
    compressed = answer(accept_encoding=accepted)
    assert (compressed.status_code, compressed.headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(compressed.body) == TEXT
    assert int(compressed.headers["content-length"]) == len(compressed.body) < len(TEXT)


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "xgzip"])
def test_who_does_not_take_gzip_gets_the_file_itself(accepted):
    plain = answer(accept_encoding=accepted)
    assert (plain.status_code, plain.body) == (200, TEXT)
    assert "content-encoding" not in plain.headers


def test_a_file_that_gzip_does_not_make_smaller_is_sent_as_it_is():
    tiny = StaticFile.prepare(b"x", "text/plain")
    assert tiny.answer(Headers({"accept-encoding": "gzip"})).body == b"x"


def test_a_cache_asks_each_time_and_keeps_both_forms_apart():
    headers = answer().headers
    assert headers["cache-control"] == "no-cache"
    assert headers["vary"] == "accept-encoding"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["etag"] == answer(accept_encoding="gzip").headers["etag"]


STRONG = FILE.etag.removeprefix("W/")


@pytest.mark.parametrize("known", [FILE.etag, STRONG, f'"other", {FILE.etag}', "*"])
def test_who_has_the_file_gets_304_without_a_body(known):
    same = answer(if_none_match=known, accept_encoding="gzip")
    assert (same.status_code, same.body) == (304, b"")
    assert same.headers["etag"] == FILE.etag
    assert "content-length" not in same.headers


@pytest.mark.parametrize("known", ["", '"other"', STRONG[:-1], STRONG.strip('"'), f'"{STRONG[1:-2]}"'])
def test_who_has_another_file_gets_this_one(known):
    assert answer(if_none_match=known).body == TEXT


def test_another_content_has_another_tag():
    assert StaticFile.prepare(TEXT + b" ", "text/javascript").etag != FILE.etag
