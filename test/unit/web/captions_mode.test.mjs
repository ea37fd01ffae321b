import assert from "node:assert/strict";
import { test } from "node:test";

import { USUAL, addressOf, lookOf, readAddress } from "../../../src/web/captions_mode.js";

test("an address without a word about captions changes nothing", () => {
  assert.deepEqual(readAddress(""), { ...USUAL, captions: false, start: false });
});

test("an address names size, colours, lines and transparency", () => {
  const { captions, size, lines, color, background } = readAddress("?captions&size=64.5&color=ffe45c&background=navy&lines=3");
  assert.deepEqual([captions, size, lines, color, background], [true, 64.5, 3, "#ffe45c", "navy"]);
  assert.equal(readAddress("?captions=1&transparent=1&background=000").background, "transparent");
  assert.equal(readAddress("?captions=0").captions, false);
  assert.equal(readAddress("?captions&colour=%23123456").color, "#123456");
});

test("nonsense in an address is as usual", () => {
  const { size, lines, color, background } = readAddress("?captions&size=x&lines=&color=url(x)&background=12345");
  assert.deepEqual({ size, lines, color, background }, { ...USUAL });
  assert.equal(readAddress("?size=9999").size, 400);
});

test("a look survives its way through the address", () => {
  for (const colours of ["ffe45c-000000", "ffffff-transparent"]) {
    const look = lookOf("88", colours);
    const address = new URL(addressOf("http://localhost:8000/stt/?captions&x#y", look));
    assert.equal(address.pathname, "/stt/");
    const { captions, start, size, color, background } = readAddress(address.search);
    assert.ok(captions && start);
    assert.deepEqual({ size, color, background }, { size: look.size, color: look.color, background: look.background });
  }
});
