import assert from "node:assert/strict";
import { test } from "node:test";

import { FileQueue } from "../../../src/web/file_queue.js";

function queueOf(...files) {
  const queue = new FileQueue();
  for (const file of files) {
    queue.add(file);
    queue.checked(file, false);
  }
  return queue;
}

test("two files are active at a time, in order", () => {
  const queue = queueOf("a", "b", "c");
  assert.deepEqual(queue.start(0), ["a", "b"]);
  assert.deepEqual(queue.start(0), []);
  queue.done("a");
  assert.deepEqual(queue.start(0), ["c"]);
});

test("a file that is still checked is passed over", () => {
  const queue = new FileQueue();
  queue.add("a");
  queue.add("b");
  queue.checked("b", false);
  assert.deepEqual(queue.start(0), ["b"]);
});

test("while the service is full nothing is sent; then the file it was too full for goes first", () => {
  const queue = queueOf("a", "b", "c");
  queue.start(10);
  queue.done("b");
  queue.full("a", 10, 5);
  assert.equal(queue.wait_s(12), 3);
  assert.deepEqual(queue.start(14.9), []);
  assert.deepEqual(queue.start(15), ["a", "c"]);
  assert.equal(queue.wait_s(15), 0);
});

test("the longest wait counts", () => {
  const queue = queueOf("a", "b");
  queue.start(0);
  queue.full("a", 0, 9);
  queue.full("b", 0, 2);
  assert.equal(queue.wait_s(0), 9);
});

test("to retry a file that waits ends the wait", () => {
  const queue = queueOf("a");
  queue.start(0);
  queue.full("a", 0, 60);
  queue.retry("a");
  assert.deepEqual(queue.start(1), ["a"]);
});

test("a file that failed, was cancelled or refused goes behind the others when it is tried again", () => {
  const queue = queueOf("a", "b", "c");
  queue.start(0);
  queue.fail("a");
  queue.cancel("b");
  queue.retry("a");
  assert.deepEqual(queue.start(0), ["c", "a"]);
  queue.add("d");
  queue.checked("d", true);
  queue.retry("d");
  assert.equal(queue.state("d"), "waiting");
});

test("a file ends once", () => {
  const queue = queueOf("a");
  queue.start(0);
  queue.done("a");
  assert.throws(() => queue.fail("a"));
  assert.throws(() => queue.cancel("a"));
});

test("it is busy while a file is checked, waits or is sent", () => {
  const queue = new FileQueue();
  assert.equal(queue.isBusy, false);
  queue.add("a");
  assert.equal(queue.isBusy, true);
  queue.checked("a", false);
  queue.start(0);
  assert.equal(queue.isBusy, true);
  queue.done("a");
  assert.equal(queue.isBusy, false);
  queue.remove("a");
  assert.equal(queue.state("a"), undefined);
});
