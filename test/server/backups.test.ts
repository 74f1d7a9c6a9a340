/** `GET /v1/backup`: what is sent, and what is said where nothing can be. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Backups } from "../../server/backups.ts";
import type { Node } from "../../server/node.ts";
import type { Room } from "../../server/peer-message.ts";
import type { BackupMaking } from "../../server/ports.ts";
import { appOf } from "./raw-http.ts";
import { MapStore } from "./map-store.ts";
import { VirtualTime } from "./simulated-nodes.ts";

class Fake implements BackupMaking {
  readonly content = new Uint8Array(300_000).map((_, at) => at % 251);
  result: "done" | "full" | "lost" = "done";
  steps = 20;
  closed = 0;

  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  work(): "more" | "done" | "full" | "lost" {
    this.#time.nowMs += 1;
    this.steps--;
    return this.steps > 0 ? "more" : this.result;
  }

  get bytes(): number {
    return this.content.byteLength;
  }

  read(offset: number, bytesMax: number): Uint8Array {
    return this.content.slice(offset, offset + bytesMax);
  }

  close(): void {
    this.closed++;
  }
}

interface Scene {
  readonly making: Fake;
  readonly ask: (method?: string) => Promise<Response>;
  begins: () => BackupMaking | "busy" | "full";
  room: Room;
  hasLeader: boolean;
  readonly backups: Backups;
}

function scene(): Scene {
  const time = new VirtualTime();
  const making = new Fake(time);
  const node = {
    read: (done: (answer: { ok: boolean }) => void) => done({ ok: made.hasLeader }),
    disk: {
      get room() {
        return made.room;
      },
    },
  } as unknown as Node;
  const source = () => ({ node, store: { begin: () => made.begins() } });
  const backups = new Backups({ clock: time.clock(), source });
  const app = appOf(new MapStore(), { backups });
  const made: Scene = {
    making,
    begins: () => making,
    room: "ok",
    hasLeader: true,
    backups,
    ask: async (method = "GET") => {
      const asked = Promise.resolve(app.request("http://localhost/v1/backup", { method }));
      const state = { isAnswered: false };
      void asked.then(() => (state.isAnswered = true));
      for (let turn = 0; !state.isAnswered && turn < 1_000; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
        time.run(100);
      }
      return asked;
    },
  };
  return made;
}

const codeOf = async (answer: Response): Promise<unknown> =>
  ((await answer.json()) as { code: unknown }).code;

test("the whole file is sent, with its length and a type that says what it is", async () => {
  const { making, ask } = scene();
  const answer = await ask();
  assert.is(answer.status, 200);
  assert.is(answer.headers.get("content-length"), "300000");
  assert.is(answer.headers.get("content-type"), "application/vnd.sqlite3");
  assert.equal(new Uint8Array(await answer.arrayBuffer()), making.content);
  assert.is(making.closed, 1);
});

test("a client that goes away in the middle leaves nothing behind", async () => {
  const { making, ask } = scene();
  const answer = await ask();
  const reader = answer.body?.getReader();
  await reader?.read();
  assert.is(making.closed, 0);
  await reader?.cancel();
  assert.is(making.closed, 1);
});

test("only GET makes one", async () => {
  const given = scene();
  given.begins = () => {
    throw new Error("nothing is begun");
  };
  for (const method of ["HEAD", "PUT", "POST", "DELETE"]) {
    const answer = await given.ask(method);
    assert.is(answer.status, 405);
    assert.match(answer.headers.get("allow") ?? "", /GET/);
  }
});

test("without a leader nobody knows what the newest state is", async () => {
  const given = scene();
  given.hasLeader = false;
  const answer = await given.ask();
  assert.equal([answer.status, await codeOf(answer)], [503, "no_leader"]);
});

test("no room, or little, is 507, and what was begun is given up", async () => {
  for (const room of ["ok", "low"] as const) {
    const given = scene();
    given.room = room;
    if (room === "ok") given.making.result = "full";
    const answer = await given.ask();
    assert.equal([answer.status, await codeOf(answer)], [507, "no_space"]);
    assert.is(given.making.closed, 1);
  }
  const given = scene();
  given.begins = () => "full";
  assert.is((await given.ask()).status, 507);
});

test("a state that is replaced meanwhile, or files that are closed, end it", async () => {
  const given = scene();
  given.making.result = "lost";
  const answer = await given.ask();
  assert.equal([answer.status, await codeOf(answer)], [503, "stale"]);
  assert.is(given.making.closed, 1);
  const other = scene();
  other.making.steps = Infinity;
  const asked = other.ask();
  await new Promise((resolve) => setImmediate(resolve));
  other.backups.closeAll();
  assert.is((await asked).status, 503);
});

test("somebody else's backup is waited for, and not for ever", async () => {
  const given = scene();
  let asked = 0;
  given.begins = () => (++asked < 5 ? "busy" : given.making);
  assert.is((await given.ask()).status, 200);
  given.begins = () => "busy";
  const answer = await given.ask();
  assert.equal([answer.status, await codeOf(answer)], [429, "overloaded"]);
  assert.ok(answer.headers.has("retry-after"));
});

test.run();
