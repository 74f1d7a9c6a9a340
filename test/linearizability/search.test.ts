/** The search on histories where it goes wrong if it forgets too much. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { at } from "./examples.ts";
import { plainRegister, type PlainInput } from "./plain-register.ts";
import { Search } from "./search.ts";

const write = (value: number, output: 1 | null = 1) => exchange({ kind: "write", value }, output);
const read = (value: number) => exchange({ kind: "read" }, value);
const cas = (from: number, to: number, output: 0 | 1 | null = 1) =>
  exchange({ kind: "cas", from, to }, output);

function exchange(input: PlainInput, output: number | null) {
  return { input, output };
}

function find(...history: ReturnType<typeof at<PlainInput, number>>[]): string {
  return new Search(plainRegister, history, 1000).run();
}

test("of two unknown operations that explain a read, the one tried first may be needed later", () => {
  const reads = [at(3, [1, 2], read(1)), at(3, [3, 4], write(2)), at(3, [5, 6], read(1))];
  assert.is(find(at(1, [0], write(1, null)), at(2, [0], cas(0, 1, null)), ...reads), "found");
  assert.is(find(at(1, [0], cas(0, 1, null)), at(2, [0], cas(0, 1, null)), ...reads), "none");
});

test("a place reached with an unknown operation is worth reaching again without it", () => {
  const known = [at(2, [1, 10], write(1)), at(3, [2, 10], cas(0, 1)), at(2, [11, 12], read(1))];
  assert.is(find(at(1, [0], write(0, null)), ...known, at(2, [13, 14], read(0))), "found");
  assert.is(find(at(1, [0], write(2, null)), ...known, at(2, [13, 14], read(0))), "none");
});

test("a write of what is there already may be needed behind another", () => {
  const known = [at(1, [0, 9], write(0)), at(2, [1, 9], cas(0, 2)), at(3, [1, 9], cas(0, 1))];
  assert.is(find(...known), "found");
  assert.is(find(...known.slice(1)), "none");
});

test("the order found explains its outputs and holds only the unknown operations it needs", () => {
  const history = [
    at(1, [0], write(2, null)),
    at(1, [0], write(1, null)),
    at(2, [1, 2], read(1)),
    at(3, [0, 9], write(0)),
    at(2, [3, 4], cas(0, 2)),
  ];
  const search = new Search(plainRegister, history, 1000);
  assert.is(search.run(), "found");
  assert.equal(search.order(), { offsets: [1, 2, 3, 4], state: "2" });
});

test.run();
