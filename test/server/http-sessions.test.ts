/** Leases, locks and elections through another process's port: as with the store itself. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";
import { HttpClient } from "../../server/http-client.ts";
import type { LeaderEvent } from "../../server/session-port.ts";
import { MapStore } from "./map-store.ts";
import { listenOptions } from "./raw-http.ts";
import { listen } from "../../server/listen/http1.ts";

async function scene() {
  const store = new MapStore();
  store.beginWatches(systemClock);
  const listener = await listen(listenOptions(store));
  const { sessions } = new HttpClient([`http://127.0.0.1:${listener.port}`]);
  // No timer of the server keeps a process alive, and the last connection may be one that just ends.
  const alive = setInterval(() => {}, 1_000);
  const close = async (): Promise<void> => {
    await listener.close(0);
    clearInterval(alive);
  };
  return { store, sessions, close };
}

const at = (name: string) => ({ kind: "lock", name }) as const;
const asked = { value: new Uint8Array(), lease: null, ttlMs: 60_000, waitMs: 0 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a lease is granted, shown, kept alive and revoked with its keys", async () => {
  const { store, sessions, close } = await scene();
  const granted = await sessions.grantLease(60_000);
  assert.ok(granted.ok);
  const id = granted.revision;
  assert.ok((await store.put("a", bytes("1"), { lease: id })).ok);
  const shown = await sessions.lease(id);
  assert.ok(shown.ok);
  assert.equal([shown.ttlMs, shown.remainingMs], [60_000, 60_000]);
  const kept = await sessions.keepLeaseAlive(id);
  assert.ok(kept.ok && kept.ttlMs === 60_000);
  const revoked = await sessions.revokeLease(id);
  assert.ok(revoked.ok && revoked.deleted === 1);
  for (const gone of [await sessions.lease(id), await sessions.keepLeaseAlive(id)]) {
    assert.ok(!gone.ok);
    assert.equal([gone.code, gone.field], ["not_found", "lease"]);
  }
  await close();
});

test("a lock is entered under its name, whatever that is, and left by its token alone", async () => {
  const { sessions, close } = await scene();
  for (const name of ["a/../b", "..", "ä b?#"]) {
    const entered = await sessions.enter(at(name), asked);
    assert.ok(entered.ok, name);
    const { token, lease } = entered;
    const held = await sessions.lockHolder(name);
    assert.ok(held.ok && held.revision >= token);
    assert.equal([held.holder, held.waiting], [{ token, lease }, 0]);
    const second = await sessions.enter(at(name), asked);
    assert.ok(!second.ok && second.code === "conflict" && second.outcome === "not_applied");
    const wrong = await sessions.leave(at(name), token + 1);
    assert.ok(!wrong.ok && wrong.code === "conflict" && wrong.field === "token");
    assert.ok((await sessions.leave(at(name), token)).ok);
    const free = await sessions.lockHolder(name);
    assert.ok(free.ok && free.holder === null && free.waiting === 0);
  }
  await close();
});

test("the same idempotency key has the same place", async () => {
  const { sessions, close } = await scene();
  const once = { idempotencyKey: "k" };
  const first = await sessions.enter(at("a"), asked, once);
  assert.ok(first.ok);
  assert.equal(await sessions.enter(at("a"), asked, once), first);
  await close();
});

test("an election is won, told of, given another value, watched and resigned", async () => {
  const { sessions, close } = await scene();
  const given = new AbortController();
  const watch = await sessions.watchLeaders("e", { signal: given.signal });
  assert.ok(watch.ok);
  const events = (watch.events as AsyncGenerator<LeaderEvent>)[Symbol.asyncIterator]();
  const next = async (): Promise<string | null> => {
    for (;;) {
      const { value } = await events.next();
      if (value?.type !== "leader") continue;
      return value.leader && new TextDecoder().decode(value.leader.value);
    }
  };
  assert.is(await next(), null);
  const election = { kind: "election", name: "e" } as const;
  const value = Uint8Array.of(0xff, 0);
  const won = await sessions.enter(election, { ...asked, value });
  assert.ok(won.ok);
  const told = await sessions.leader("e");
  assert.ok(told.ok && told.leader !== null);
  assert.equal([told.leader.token, ...told.leader.value], [won.token, 0xff, 0]);
  assert.is(await next(), "\ufffd\0");
  assert.ok((await sessions.proclaim("e", { token: won.token, value: bytes("two") })).ok);
  assert.is(await next(), "two");
  assert.ok((await sessions.leave(election, won.token)).ok);
  assert.is(await next(), null);
  const none = await sessions.leader("e");
  assert.ok(none.ok && none.leader === null);
  given.abort();
  assert.is((await events.next()).done, true);
  await close();
});

test.run();
