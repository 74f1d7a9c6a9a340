/** Listings and counts where very many rows are gone that are not cleared away yet: in steps. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";
import { defaultLimits } from "../../server/limits.ts";
import type { ListQuery, Row } from "../../server/state-machine/command.ts";
import type { KeyRange } from "../../server/state-machine/key-range.ts";
import type { Node } from "../../server/node.ts";
import { NodeClient } from "../../server/node-client.ts";
import { watchesOf } from "../../server/watch/node-watch.ts";
import { nodeId } from "../../server/raft/entry.ts";
import { shared } from "../harness/share.ts";
import { Random } from "../raft/random.ts";
import { wholeQuery, withScene, withSceneFor, type Scene } from "./store-scene.ts";

/** As a node does it. */
function listedInSteps(scene: Scene, query: ListQuery) {
  const rows: Row[] = [];
  const prefixes: string[] = [];
  let steps = 0;
  for (let range: KeyRange = query.range; ; steps++) {
    const limit = query.limit - rows.length - prefixes.length;
    const after = steps === 0 ? query.after : null;
    const { rest, more, ...found } = scene.list({ ...query, range, after, limit, goneMax: 2 });
    rows.push(...found.rows);
    prefixes.push(...found.prefixes);
    if (rest === null) return { rows, prefixes, more, steps };
    if (rows.length + prefixes.length === query.limit) return { rows, prefixes, more: true, steps };
    range = rest;
  }
}

function countedInSteps(scene: Scene): number {
  let count = 0;
  for (let range: KeyRange | null = wholeQuery.range; range !== null;) {
    const answer = scene.store.lookup({ type: "count", range, limit: 5, goneMax: 2 });
    if (answer.type !== "count") throw new Error("a count is answered as a count");
    count += answer.count;
    range = answer.rest;
  }
  return count;
}

test("a listing in steps is the whole listing, whatever is gone in whichever layer", () => {
  let steps = 0;
  const seeds = [...shared(15, 1)];
  for (const seed of seeds) {
    withScene((scene) => {
      const random = new Random(seed);
      for (let at = 0; at < 300; at++) {
        const key = `${random.pick(["a", "b", "c"])}/${random.below(20)}`;
        if (random.float() < 0.4) scene.put(key, `${at}`);
        else scene.delete(key);
        if (random.float() < 0.3) scene.store.commitSome(1 + random.below(4));
        if (random.float() < 0.02) scene.store.commit();
        if (random.float() < 0.8) continue;
        const prefix = random.pick(["", "b/"]);
        const query: ListQuery = {
          ...wholeQuery,
          reverse: random.float() < 0.5,
          keysOnly: random.float() < 0.5,
          limit: 1 + random.below(30),
          after: random.float() < 0.3 ? `b/${random.below(20)}` : null,
          groups: random.float() < 0.5 ? { prefix, delimiter: "/" } : null,
        };
        const whole = scene.list(query);
        const inSteps = listedInSteps(scene, query);
        const told = `seed ${seed}, ${at}`;
        assert.equal(inSteps.rows, whole.rows, told);
        assert.equal(inSteps.prefixes, whole.prefixes, told);
        // One that has as many as it may does not look for more behind rows that are gone.
        if (whole.more) assert.ok(inSteps.more, told);
        assert.is(countedInSteps(scene), scene.list().rows.length, told);
        steps += inSteps.steps;
      }
    });
  }
  assert.ok(steps > (100 * seeds.length) / 15, "rows were gone");
});

test("a node does other work between the steps of a listing, which is of one instant all the same", async () => {
  await withSceneFor(async (scene) => {
    for (let at = 0; at < 100; at++) scene.put(`k${at}`, "v");
    scene.store.commit();
    for (let at = 0; at < 99; at++) scene.delete(`k${at}`);
    let turns = 0;
    let isWritten = true;
    const after = (_ms: number, run: () => void) => {
      turns++;
      if (!isWritten) scene.put("a", "written meanwhile");
      isWritten = true;
      run();
      return { cancel: () => {} };
    };
    const limits = { ...defaultLimits, listGoneMax: 10 };
    const common = { limits, clock: { ...systemClock, after } };
    const client = new NodeClient({
      ...common,
      self: nodeId(1),
      version: "0",
      plan: [],
      isConnected: () => true,
      failed: (error) => {
        throw error;
      },
    });
    const node = {
      machine: scene.store,
      leadership: { leaderId: nodeId(1) },
      read: (done: (answer: object) => void) => done({ ok: true }),
      get appliedIndex() {
        return scene.store.applied.appliedIndex;
      },
    };
    client.formed(node as unknown as Node, "c", watchesOf(node, common));
    const listed = async (): Promise<unknown> => {
      const answer = await client.list({});
      return answer.ok && [...answer.rows.map(({ key }) => key), answer.more, answer.revision];
    };
    assert.equal(await listed(), ["k99", false, 199]);
    assert.is(turns, 9);
    isWritten = false;
    assert.equal(await listed(), ["a", "k99", false, 200]);
    assert.is(turns, 10);
    const counted = await client.count({});
    assert.ok(counted.ok);
    assert.is(counted.count, 2);
    assert.is(turns, 19);
    client.endWatches();
  });
});

test.run();
