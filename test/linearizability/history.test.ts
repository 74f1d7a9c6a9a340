/** The recorder that clients write their history with. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { HistoryRecorder } from "./history.ts";

test("what ended has its output, what is unknown or still running has none, what failed is gone", () => {
  const recorder = new HistoryRecorder<string, number>();
  const ended = recorder.begin(1, "a", "first", 10);
  const unknown = recorder.begin(2, "b", "second", 11);
  const failed = recorder.begin(3, "a", "third", 12);
  recorder.begin(4, "a", "fourth", 13);
  recorder.end(ended, 7, 20);
  recorder.unknown(unknown);
  recorder.failed(failed);
  const open = { output: null, returnTime: Infinity };
  assert.equal(recorder.operations(), [
    { client: 1, key: "a", input: "first", callTime: 10, output: 7, returnTime: 20 },
    { client: 2, key: "b", input: "second", callTime: 11, ...open },
    { client: 4, key: "a", input: "fourth", callTime: 13, ...open },
  ]);
});

test("an operation ends once, and not before it began", () => {
  const recorder = new HistoryRecorder<string, number>();
  const id = recorder.begin(1, "a", "first", 10);
  assert.throws(() => recorder.end(id, 1, 9), /returns after its call/);
  assert.throws(() => recorder.end(5, 1, 9), /an id that begin returned/);
});

test("ending twice is a bug of the client", () => {
  const recorder = new HistoryRecorder<string, number>();
  const id = recorder.begin(1, "a", "first", 10);
  recorder.unknown(id);
  assert.throws(() => recorder.end(id, 1, 11), /ends once/);
});

test.run();
