/** Watchers of several nodes, over simulated time: they see the same, whoever leads, dies and comes back. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { Watches } from "../../server/watch/watches.ts";
import type { WatchBatch, Watcher } from "../../server/watch/watcher.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

/** One client that follows one node, over all of its lives. */
class Follower {
  readonly #nodes: SimulatedNodes;
  readonly #id: NodeId;
  readonly lines: string[] = [];
  readonly ends: string[] = [];
  #since = 0;
  #watches: Watches | null = null;
  #watcher: Watcher | null = null;

  constructor(nodes: SimulatedNodes, id: NodeId) {
    this.#nodes = nodes;
    this.#id = id;
    this.attach();
  }

  /** The node has just begun a life. */
  attach(): void {
    const { machine } = this.#nodes.node(this.#id);
    this.#watches?.close();
    this.#watches = new Watches({
      clock: this.#nodes.time.clock(),
      limits: defaultLimits,
      appliedIndex: machine.applied.appliedIndex,
    });
    machine.watch(this.#watches);
    this.#open();
  }

  /** Where this node remembers less than that, the client has to begin anew. */
  #open(): void {
    const { oldestRevision } = this.#watches as Watches;
    const since = Math.max(this.#since, oldestRevision);
    const opened = this.#watches?.open({ kind: "prefix", prefix: "" }, since, false);
    assert.ok(opened?.ok);
    this.#watcher = opened.watcher;
    this.#ask(opened.watcher);
  }

  #ask(watcher: Watcher): void {
    void watcher.next().then((batch) => this.#come(watcher, batch));
  }

  #come(watcher: Watcher, batch: WatchBatch): void {
    if (watcher !== this.#watcher) return;
    this.#note(batch);
    if (typeof batch === "string") this.#open();
    else this.#ask(watcher);
  }

  #note(batch: WatchBatch): void {
    if (typeof batch === "string") {
      this.ends.push(batch);
      return;
    }
    for (const event of batch) {
      this.#since = Math.max(this.#since, event.revision);
      if (event.type === "progress") continue;
      const value = event.row === null ? "" : new TextDecoder().decode(event.row.value);
      this.lines.push(`${event.revision} ${event.type} ${event.key} ${value}`);
    }
  }
}

/** Lets promises and simulated time go on together. */
async function run(nodes: SimulatedNodes, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5) {
    nodes.time.run(5);
    await Promise.resolve();
    await Promise.resolve();
  }
}

test("watchers of every node see one sequence, over leader changes and restarts", async () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const followers = new Map(nodes.ids.map((id) => [id, new Follower(nodes, id)]));
  nodes.awaitLeader();
  const acknowledged: string[] = [];
  for (let round = 0; round < 6; round++) {
    const calls = nodes.running.flatMap((id) =>
      Array.from({ length: 20 }, (_, at) => {
        const [key, value] = [`k${at % 7}`, `${round}/${id}/${at}`];
        return { key, value, call: nodes.put(id, key, value) };
      }),
    );
    await run(nodes, 300);
    for (const { key, value, call } of calls) {
      const { answer } = call;
      if (answer?.ok !== true || answer.result.op !== "put") continue;
      acknowledged.push(`${answer.result.revision} put ${key} ${value}`);
    }
    const victim = nodes.awaitLeader();
    nodes.crash(victim);
    nodes.awaitLeader();
    nodes.start(victim);
    followers.get(victim)?.attach();
    nodes.awaitLeader();
    await run(nodes, 300);
  }
  const [first, ...others] = [...followers.values()];
  assert.ok(first && acknowledged.length > 200);
  for (const { lines } of others) assert.equal(lines, first.lines);
  const seen = new Set(first.lines);
  assert.is(seen.size, first.lines.length);
  for (const line of acknowledged) assert.ok(seen.has(line), line);
});

test.run();
