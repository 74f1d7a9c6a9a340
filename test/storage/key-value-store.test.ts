/** The key-value state machine: what it applies, finds and sums up. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import type { Entry } from "../../server/raft/entry.ts";
import { Random } from "../raft/random.ts";
import { applyAll } from "./apply-all.ts";
import { failing, framed, members, none, utf8, withScene, type Scene } from "./store-scene.ts";

// ------------------------------------------------------------------ commands

test("a new store has applied nothing", () => {
  withScene(({ store }) => {
    assert.equal(store.applied, {
      appliedIndex: 0,
      appliedTerm: 0,
      appliedTimeMs: 0,
      configuration: null,
    });
    assert.is(store.digest().stateHash, "0000000000000000");
    assert.is(store.digest().historyHash, "00000000");
  });
});

test("a put creates, a second put replaces, and the creation is remembered", () => {
  withScene((scene) => {
    assert.equal(scene.put("k", "a", "text/plain"), { op: "put", created: true, revision: 1 });
    assert.equal(scene.put("k", "b"), { op: "put", created: false, revision: 2 });
    assert.equal(scene.get("k"), {
      key: "k",
      value: utf8("b"),
      contentType: null,
      revision: 2,
      createRevision: 1,
    });
  });
});

test("a delete says whether there was something", () => {
  withScene((scene) => {
    scene.put("k", "a");
    assert.equal(scene.delete("k"), { op: "delete", deleted: 1, revision: 2 });
    assert.equal(scene.delete("k"), { op: "delete", deleted: 0, revision: 3 });
    assert.is(scene.get("k"), null);
  });
});

test("a key that was deleted begins anew", () => {
  withScene((scene) => {
    scene.put("k", "a");
    scene.delete("k");
    assert.equal(scene.put("k", "b"), { op: "put", created: true, revision: 3 });
    assert.is(scene.get("k")?.createRevision, 3);
  });
});

test("every entry of a batch has its result, in order, and sees those before it", () => {
  withScene((scene) => {
    const results = applyAll(scene.store, [
      scene.entry("noop", none),
      scene.putEntry("k", "a"),
      scene.entry("configuration", encodeConfiguration(members)),
      scene.putEntry("k", "b"),
      scene.deleteEntry("k"),
      scene.deleteEntry("k"),
    ]);
    assert.equal(results, [
      null,
      { op: "put", created: true, revision: 2 },
      null,
      { op: "put", created: false, revision: 4 },
      { op: "delete", deleted: 1, revision: 5 },
      { op: "delete", deleted: 0, revision: 6 },
    ]);
    assert.equal(scene.store.applied, {
      appliedIndex: 6,
      appliedTerm: 3,
      appliedTimeMs: 0,
      configuration: members,
    });
  });
});

test("bytes that are no command are refused, and the entries after them applied", () => {
  withScene((scene) => {
    const wrong = [none, utf8("not a command"), framed({ op: "delete", key: "" }), none];
    const entries = wrong.map((data) => scene.entry("command", data));
    const results = applyAll(scene.store, [...entries, scene.putEntry("k", "v")]);
    assert.equal(
      results.map((result) => result?.op),
      ["refused", "refused", "refused", "refused", "put"],
    );
    assert.is(scene.store.applied.appliedIndex, 5);
    assert.equal(scene.keys(), ["k"]);
  });
});

test("a gap is refused and leaves nothing of its batch", () => {
  withScene((scene) => {
    scene.put("k", "v");
    scene.store.commit();
    const before = scene.store.digest();
    const [first, , third] = [
      scene.putEntry("a", "1"),
      scene.putEntry("b", "2"),
      scene.putEntry("c", "3"),
    ];
    assert.throws(
      () => applyAll(scene.store, [first, must(third, "it is there")]),
      /without a gap/,
    );
    assert.equal(scene.store.digest(), before);
    assert.equal(scene.keys(), ["k"]);
  });
});

test("what the disk has no room for is read and listed all the same, and committed when it has", () => {
  withScene((scene) => {
    for (const sql of ["INSERT INTO kv", "DELETE FROM kv", "UPDATE kv", "COMMIT"]) {
      scene.put("k", "v");
      scene.store.commit();
      const batch = [scene.putEntry("a", sql), scene.putEntry("b", "2"), scene.deleteEntry("k")];
      applyAll(scene.store, [...batch, scene.putEntry("l", "w")]);
      const { stateHash } = scene;
      failing.sql = sql;
      assert.is(scene.store.commit(), "full");
      assert.is(scene.store.prepareSnapshot(), "full");
      failing.sql = sql === "COMMIT" ? sql : null;
      assert.equal(scene.get("a")?.value, utf8(sql));
      assert.equal(scene.keys(), ["a", "b", "l"]);
      failing.sql = null;
      assert.is(scene.store.commit(), "done");
      scene.reopen();
      assert.equal([scene.keys(), scene.stateHash], [["a", "b", "l"], stateHash]);
    }
  });
});

test("a checkpoint that the disk has no room for says what is durable, and can be repeated", () => {
  withScene((scene) => {
    scene.put("a", "1");
    assert.is(scene.store.sync(), 1);
    scene.put("b", "2");
    failing.sql = "PRAGMA main.wal_checkpoint";
    assert.is(scene.store.sync(), 1);
    failing.sql = null;
    assert.equal(scene.keys(), ["a", "b"]);
    assert.is(scene.store.sync(), 2);
  });
});

test("pages that hold nothing any more are told from those that are needed", () => {
  withScene((scene) => {
    scene.put("a", new Uint8Array(400_000).fill(7));
    scene.store.sync();
    const { stateBytes } = scene.store;
    assert.ok(stateBytes > 400_000 && scene.store.reusableBytes === 0);
    scene.delete("a");
    scene.store.sync();
    assert.is(scene.store.stateBytes, stateBytes);
    assert.ok(scene.store.reusableBytes > 390_000);
  });
});

test("what is not committed yet is read, replaced, deleted and listed like the rest", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.put("b", "1", "text/plain");
    scene.store.commit();
    assert.equal(scene.put("a", "2"), { op: "put", created: false, revision: 3 });
    assert.equal(scene.delete("b"), { op: "delete", deleted: 1, revision: 4 });
    assert.equal(scene.delete("b"), { op: "delete", deleted: 0, revision: 5 });
    assert.equal(scene.put("c", "1"), { op: "put", created: true, revision: 6 });
    const row = { key: "a", value: utf8("2"), contentType: null, revision: 3, createRevision: 1 };
    assert.equal(scene.get("a"), row);
    assert.is(scene.get("b"), null);
    const { stateHash } = scene;
    assert.equal(scene.keys(), ["a", "c"]);
    assert.equal(scene.get("a"), row);
    assert.equal(scene.put("b", "1"), { op: "put", created: true, revision: 7 });
    assert.is(scene.delete("b").op, "delete");
    assert.is(scene.stateHash, stateHash);
    scene.reopen();
    assert.equal([scene.keys(), scene.stateHash], [["a", "c"], stateHash]);
  });
});

test("when a transaction ends makes no difference to rows, results and hash", () => {
  const random = new Random(20_261_121);
  const steps = Array.from({ length: 2_000 }, () => ({
    key: `k${random.below(6)}`,
    isPut: random.float() < 0.6,
    commits: random.float() < 0.2,
  }));
  const run = (scene: Scene, commitsAlways: boolean): unknown[] => {
    const results = steps.map(({ key, isPut, commits }, i) => {
      const result = isPut ? scene.put(key, `value ${i}`) : scene.delete(key);
      if (commits || commitsAlways) scene.store.commit();
      return result;
    });
    const { stateHash } = scene;
    return [results, scene.list().rows, stateHash];
  };
  withScene((often) => {
    withScene((seldom) => assert.equal(run(seldom, false), run(often, true)));
  });
});

// ------------------------------------------------------------------ keys and values

test("names that mean something elsewhere are plain keys", () => {
  withScene((scene) => {
    const keys = ["__proto__", "constructor", "../x", "toString", "'; DROP TABLE kv; --", "%00"];
    for (const key of keys) scene.put(key, `value of ${key}`);
    for (const key of keys) assert.equal(scene.get(key)?.value, utf8(`value of ${key}`));
    assert.equal(scene.keys(), keys.toSorted());
    assert.is(scene.get("hasOwnProperty"), null);
  });
});

test("keys of 2048 bytes are kept apart to the last byte", () => {
  withScene((scene) => {
    const start = "k".repeat(2047);
    scene.put(`${start}a`, "a");
    scene.put(`${start}b`, "b");
    assert.equal(scene.get(`${start}a`)?.value, utf8("a"));
    assert.equal(scene.get(`${start}b`)?.value, utf8("b"));
    assert.equal(scene.keys({ prefix: start }), [`${start}a`, `${start}b`]);
  });
});

test("an empty value is a value", () => {
  withScene((scene) => {
    scene.put("k", none, "");
    assert.equal(scene.get("k")?.value, none);
    assert.is(scene.get("k")?.contentType, "");
    scene.reopen();
    assert.equal(scene.get("k")?.value, none);
  });
});

test("a value of a mebibyte comes back byte by byte", () => {
  withScene((scene) => {
    const value = new Uint8Array(1 << 20).map((_, i) => (i * 7) ^ (i >> 8));
    scene.put("k", value);
    scene.reopen();
    assert.is(Buffer.compare(must(scene.get("k"), "it is there").value, value), 0);
  });
});

test("the store keeps no view into the entry's bytes", () => {
  withScene((scene) => {
    const entry = scene.putEntry("k", "value");
    const change = scene.entry("configuration", encodeConfiguration(members));
    applyAll(scene.store, [entry, change]);
    entry.data.fill(0);
    change.data.fill(0);
    scene.store.apply(scene.entry("noop", none));
    assert.equal(scene.get("k")?.value, utf8("value"));
    scene.reopen();
    assert.equal(scene.store.applied.configuration, members);
  });
});

// ------------------------------------------------------------------ listing

test("a listing is in the order of the keys' bytes", () => {
  withScene((scene) => {
    // UTF-16 would put U+10000 before U+E000.
    const ordered = ["A", "a", "é", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"];
    for (const key of ordered.toReversed()) scene.put(key, "v");
    assert.equal(scene.keys(), ordered);
    for (const [i, key] of ordered.entries()) {
      assert.equal(scene.keys({ after: key }), ordered.slice(i + 1));
    }
  });
});

test("a prefix selects the keys that start with it and no others", () => {
  withScene((scene) => {
    for (const key of ["a", "a/", "a/1", "a/2", "a0", "b"]) scene.put(key, "v");
    assert.equal(scene.keys({ prefix: "a/" }), ["a/", "a/1", "a/2"]);
    assert.equal(scene.keys({ prefix: "a" }), ["a", "a/", "a/1", "a/2", "a0"]);
    assert.equal(scene.keys({ prefix: "c" }), []);
  });
});

test("a prefix selects rightly where the next character is special", () => {
  withScene((scene) => {
    const ends = ["\u{7f}", "\u{7ff}", "\u{d7ff}", "\u{ffff}", "\u{10ffff}"];
    for (const end of ends) {
      for (const key of [end, `${end}x`, `${end}\u{10ffff}`]) scene.put(key, "v");
    }
    for (const key of ["\u{80}", "\u{800}", "\u{e000}", "\u{10000}"]) scene.put(key, "v");
    for (const end of ends) {
      assert.equal(scene.keys({ prefix: end }), [end, `${end}x`, `${end}\u{10ffff}`]);
    }
  });
});

test("the greatest key there can be is listed", () => {
  withScene((scene) => {
    const greatest = "\u{10ffff}".repeat(512);
    scene.put(greatest, "v");
    assert.equal(scene.keys(), [greatest]);
    assert.equal(scene.keys({ prefix: "\u{10ffff}" }), [greatest]);
    assert.equal(scene.keys({ prefix: greatest }), [greatest]);
  });
});

test("`after` outside the prefix neither hides nor adds keys", () => {
  withScene((scene) => {
    for (const key of ["a", "m/1", "m/2", "z", "\u{ffff}1", "\u{10000}1"]) scene.put(key, "v");
    assert.equal(scene.keys({ prefix: "m/", after: "a" }), ["m/1", "m/2"]);
    assert.equal(scene.keys({ prefix: "m/", after: "m/" }), ["m/1", "m/2"]);
    assert.equal(scene.keys({ prefix: "m/", after: "z" }), []);
    // Before the prefix by its bytes, behind it by its UTF-16 units.
    assert.equal(scene.keys({ prefix: "\u{10000}", after: "\u{ffff}" }), ["\u{10000}1"]);
  });
});

test("a listing stops at the limit and says whether more follows", () => {
  withScene((scene) => {
    const keys = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(2, "0")}`);
    applyAll(
      scene.store,
      keys.map((key) => scene.putEntry(key, "v")),
    );
    scene.put("l", "v");
    for (const limit of [1, 15, 16, 17, 32, 39]) {
      const { rows, more } = scene.list({ prefix: "k", limit });
      assert.is(rows.length, limit);
      assert.is(more, true, `limit ${limit}`);
    }
    for (const limit of [40, 41, 1000]) {
      const { rows, more } = scene.list({ prefix: "k", limit });
      assert.is(rows.length, 40);
      assert.is(more, false, `limit ${limit}`);
    }
  });
});

test("pages put together are the whole listing", () => {
  withScene((scene) => {
    const keys = Array.from({ length: 300 }, (_, i) => `k${String(i).padStart(3, "0")}`);
    applyAll(
      scene.store,
      keys.map((key) => scene.putEntry(key, "v")),
    );
    for (const keysOnly of [true, false]) {
      const found: string[] = [];
      for (let more = true; more;) {
        const page = scene.list({ limit: 7, keysOnly, after: found.at(-1) ?? null });
        found.push(...page.rows.map((row) => row.key));
        more = page.more;
      }
      assert.equal(found, keys);
    }
  });
});

test("a listing stops before it exceeds its bytes, but gives at least one row", () => {
  withScene((scene) => {
    for (const key of ["a", "b", "c"]) scene.put(key, new Uint8Array(100));
    assert.is(scene.list({ bytesMax: 1 }).rows.length, 1);
    assert.is(scene.list({ bytesMax: 201 }).rows.length, 1);
    assert.equal(scene.list({ bytesMax: 202 }).rows.length, 2);
    assert.is(scene.list({ bytesMax: 202 }).more, true);
    assert.is(scene.list({ bytesMax: 303 }).more, false);
  });
});

test("a listing of keys leaves out the values and nothing else", () => {
  withScene((scene) => {
    scene.put("k", "value", "text/plain");
    scene.put("k", "value", "text/plain");
    assert.equal(scene.list({ keysOnly: true }).rows, [
      { key: "k", value: none, contentType: "text/plain", revision: 2, createRevision: 1 },
    ]);
  });
});

// ------------------------------------------------------------------ hashes

test("the same entries give the same hashes, in batches of any size", () => {
  withScene((one, other) => {
    const script = (scene: Scene): Entry[] => [
      scene.putEntry("a", "1", "text/plain"),
      scene.putEntry("b", "2"),
      scene.entry("noop", none),
      scene.putEntry("a", "3"),
      scene.deleteEntry("b"),
    ];
    applyAll(one.store, script(one));
    for (const entry of script(other)) other.store.apply(entry);
    assert.equal(one.store.digest(), other.store.digest());
    assert.is.not(one.stateHash, "0000000000000000");
  });
});

test("equal rows have equal hashes, whatever way led to them", () => {
  withScene((one, other) => {
    applyAll(one.store, [
      one.putEntry("a", "1"),
      one.putEntry("b", "2"),
      one.entry("noop", none),
      one.entry("noop", none),
    ]);
    applyAll(other.store, [
      other.putEntry("a", "1"),
      other.putEntry("b", "2"),
      other.putEntry("c", "3"),
      other.deleteEntry("c"),
    ]);
    assert.is(one.stateHash, other.stateHash);
    assert.is.not(one.store.digest().historyHash, other.store.digest().historyHash);
  });
});

test("put, then delete, of a new key leads back to the same hash", () => {
  withScene((scene) => {
    scene.put("a", "1");
    const before = scene.stateHash;
    scene.put("b", "2");
    scene.put("b", "3");
    assert.is.not(scene.stateHash, before);
    scene.delete("b");
    assert.is(scene.stateHash, before);
  });
});

test("every part of a row is in the hash", () => {
  const variants: ((scene: Scene) => Entry[])[] = [
    (scene) => [scene.entry("noop", none), scene.putEntry("key", "value")],
    (scene) => [scene.entry("noop", none), scene.putEntry("kex", "value")],
    (scene) => [scene.entry("noop", none), scene.putEntry("key", "valux")],
    (scene) => [scene.entry("noop", none), scene.putEntry("keyv", "alue")],
    (scene) => [scene.entry("noop", none), scene.putEntry("key", "value", "")],
    (scene) => [scene.entry("noop", none), scene.putEntry("key", "value", "a/b")],
    (scene) => [scene.putEntry("key", "value"), scene.entry("noop", none)],
    (scene) => [scene.putEntry("key", "value"), scene.putEntry("key", "value")],
  ];
  const hashes = new Set<string>();
  for (const variant of variants) {
    withScene((scene) => {
      applyAll(scene.store, variant(scene));
      assert.match(scene.stateHash, /^[0-9a-f]{16}$/);
      hashes.add(scene.stateHash);
    });
  }
  assert.is(hashes.size, variants.length);
});

test("the history hash tells entries apart that leave the same rows", () => {
  const hashes = new Set<string>();
  for (const kind of ["noop", "command"] as const) {
    for (const data of [none, utf8("x"), utf8("xy")]) {
      withScene((scene) => {
        scene.store.apply(scene.entry(kind, data));
        hashes.add(scene.store.digest().historyHash);
      });
    }
  }
  assert.is(hashes.size, 6);
});

test.run();
