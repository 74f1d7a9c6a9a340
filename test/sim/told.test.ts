/** Who watches is told of every change of its keys, once, in order and as it was; whatever else is noticed. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";
import { CommittedChanges } from "./changes.ts";
import { Told } from "./told.ts";
import type { ToldChange } from "./watch-readers.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const rowOf = (key: string, revision: number, value: string): Row => ({
  ...{ key, value: bytes(value), contentType: null },
  ...{ revision: index(revision), createRevision: index(1) },
});

/** 1: a put; 2: a and b put; 3: nothing; 4: b goes; 5: another key; 6: a comes and goes; 7: c expires. */
function committed(): CommittedChanges {
  const changes = new CommittedChanges();
  const [a1, a2, b2, c5] = [
    rowOf("a", 1, "A"),
    rowOf("a", 2, "A2"),
    rowOf("b", 2, "B"),
    rowOf("c", 5, ""),
  ];
  const entries: readonly (readonly [string, Row | null, Row | null])[][] = [
    [["a", null, a1]],
    [
      ["a", a1, a2],
      ["b", null, b2],
    ],
    [],
    [["b", b2, null]],
    [["c", null, c5]],
    [
      ["d", null, rowOf("d", 6, "")],
      ["d", rowOf("d", 6, ""), null],
    ],
    [["c", c5, null]],
  ];
  for (const [i, entry] of entries.entries()) {
    for (const [key, before, after] of entry) changes.changed(key, before, after);
    changes.applied(i + 1, 0, i + 1 === 7);
  }
  return changes;
}

const told = (since: number | null = 0, end = "c"): Told =>
  new Told(
    { name: "w", changes: committed(), keys: { end }, wantsBefore: true },
    since ?? undefined,
  );

const before = (revision: number, value: string) => ({
  ...{ revision, createRevision: 1, value: bytes(value), contentType: null },
});
const put = (revision: number, key: string, value: string): ToldChange => ({
  ...{ type: "put", key, revision, value: bytes(value), contentType: null, before: null },
});
/** What came before a watch, and what its node has forgotten, it may not know. */
const nothingKnown = { writtenAfter: Infinity, changedAfter: Infinity };
const a1 = put(1, "a", "A");
const a2 = { ...put(2, "a", "A2"), before: before(1, "A") };
const b2 = put(2, "b", "B");
const b4: ToldChange = {
  type: "delete",
  key: "b",
  revision: 4,
  value: null,
  contentType: null,
  before: before(2, "B"),
};

test("every change once, in order, is as it should be, in whatever order a revision comes", () => {
  for (const second of [
    [a2, b2],
    [b2, a2],
  ]) {
    const watcher = told();
    for (const change of [a1, ...second, b4]) watcher.change(change, nothingKnown);
    watcher.upTo(7);
    assert.is(watcher.isInRevision, false);
  }
});

test("a key that came and went within an entry is none, and one that expired is no deleted one", () => {
  const watcher = told(4, "e");
  watcher.change(put(5, "c", ""), nothingKnown);
  const gone = { ...b4, key: "c", revision: 7, before: before(5, "") };
  assert.throws(() => watcher.change({ ...gone, type: "delete" }, nothingKnown), /another at 7/);
  const other = told(5, "e");
  other.change({ ...gone, type: "expire" }, nothingKnown);
  other.upTo(7);
});

/** What is wrong with these, told one after the other. */
function wrong(...changes: readonly (ToldChange | number)[]): string {
  const watcher = told();
  try {
    for (const change of changes) {
      if (typeof change === "number") watcher.upTo(change);
      else watcher.change(change, nothingKnown);
    }
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing";
}

test("a change left out is missed when the next one comes, or word that nothing was", () => {
  assert.is(wrong(a2), "w is not told of a at 1");
  assert.is(wrong(a1, 2), "w is not told of a at 2");
  assert.is(wrong(a1, a2, 2), "w is not told of b at 2");
  assert.is(wrong(a1, b2, b4), "w is not told of a at 2");
  assert.is(wrong(a1, a2, b2, 7), "w is not told of b at 4");
});

test("nothing is told twice, or after what came later", () => {
  assert.is(wrong(a1, 1, a1), "w is told of a at 1, and had come to 1");
  assert.is(wrong(a1, a2, a2), "w is told twice of a at 2");
  assert.is(wrong(a1, a2, a1), "w is told of a at 1, and had come to 1");
});

test("nothing is told that is not so", () => {
  assert.is(wrong(put(1, "b", "A")), "w is told of b at 1, which is not so");
  assert.is(wrong(a1, a2, b2, put(3, "a", "A")), "w is told of a at 3, which is not so");
  assert.is(wrong(put(1, "a", "B")), "w is told that a is another at 1 than it is");
  assert.is(
    wrong(a1, { ...a2, before: null }),
    "w is told that a was another before 2 than it was",
  );
  assert.is(
    wrong(a1, { ...a2, before: before(1, "B") }),
    "w is told that a was another before 2 than it was",
  );
  assert.is(wrong(a1, a2, b2, b4, 8), "w is told of 8, which nobody has applied");
  // Another's.
  assert.is(wrong(a1, a2, b2, b4, put(5, "c", "")), "w is told of c at 5, which is not so");
});

test("neither a content type nor the revision that made a key may be another's", () => {
  const typed = { ...put(1, "a", "A"), contentType: "text/plain" };
  assert.is(wrong(typed), "w is told that a is another at 1 than it is");
  const other = "w is told that a was another before 2 than it was";
  assert.is(wrong(a1, { ...a2, before: { ...before(1, "A"), createRevision: 2 } }), other);
  assert.is(wrong(a1, { ...a2, before: { ...before(1, "A"), contentType: "text/plain" } }), other);
});

test("what stood there before comes without its value only where the node may not know it", () => {
  const bare = { ...a2, before: { ...before(1, "A"), value: null } };
  const toldWith = (writtenAfter: number, changedAfter: number): void => {
    const watcher = told(1);
    watcher.change(bare, { writtenAfter, changedAfter });
  };
  toldWith(1, 2);
  assert.throws(() => toldWith(0, 2), "w is not told what a was before 2, which its node has to");
  assert.throws(() => toldWith(1, 1), "w is not told what a was before 2, which its node has to");
});

test("now is not before what was acknowledged before it was asked for", () => {
  const early = told(null);
  early.asksFromNow(2);
  assert.throws(() => early.change(b4, nothingKnown), /before it is told since when/);
  assert.throws(() => early.upTo(1), /begins behind 1; 2 was acknowledged/);
  const good = told(null);
  good.asksFromNow(2);
  good.upTo(3);
  assert.throws(() => good.upTo(4), /not told of b at 4/);
});

test("who lists goes on behind the list, which is not older than what it was told", () => {
  const watcher = told();
  watcher.change(a1, nothingKnown);
  watcher.listed(2);
  watcher.change(b4, nothingKnown);
  watcher.upTo(5);
  assert.throws(() => watcher.listed(4), /lists 4, and had come to 5/);
});

test("half a revision that comes again is told as if for the first time", () => {
  const watcher = told();
  for (const change of [a1, a2]) watcher.change(change, nothingKnown);
  watcher.forgetPartial();
  for (const change of [a2, b2, b4]) watcher.change(change, nothingKnown);
  watcher.upTo(7);
});

test.run();
