/** Clients that watch, and operators who let nodes forget what they could still have told them. */

import { index } from "../../server/raft/entry.ts";
import type { Life, SimProcess } from "./process.ts";
import { MixedWrites } from "./mixed-writes.ts";
import { claim } from "./trace.ts";
import { WatchingClient } from "./watching-client.ts";
import type { SimWorld } from "./world.ts";

/** How much a node may keep in mind that is told to forget the rest. */
const keptMax = 30;

export class Watchers {
  readonly #world: SimWorld;
  readonly #clients: readonly WatchingClient[];
  readonly #writes: MixedWrites;
  #isOver = false;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#writes = new MixedWrites(world);
    const count = world.changes === null ? 0 : world.options.watchers;
    this.#clients = Array.from({ length: count }, (_, i) => new WatchingClient(world, i + 1));
  }

  start(): void {
    if (this.#clients.length === 0) return;
    for (const client of this.#clients) client.start();
    if (this.#world.options.forgetEveryMs > 0) this.#forgetLater();
    this.#writes.start();
  }

  /** Nothing more happens; who watches goes on. */
  stop(): void {
    this.#isOver = true;
    this.#writes.stop();
  }

  died(life: Life): void {
    for (const client of this.#clients) client.died(life);
  }

  /** Each is to be told of all that is applied by now, at one of these. */
  finish(revision: number, processes: readonly SimProcess[]): void {
    for (const client of this.#clients) client.finish(revision, processes);
  }

  get areDone(): boolean {
    return this.#clients.every(({ isDone }) => isDone);
  }

  /** Of all that has watched nothing is left at any node. */
  checkNobodyIsLeft(): void {
    for (const { id, life } of this.#world.processes) {
      const count = life?.watching?.watches.count ?? 0;
      claim(count === 0, () => `node ${id} has ${count} watchers, of which nobody knows`);
    }
  }

  get description(): string {
    const waiting = this.#clients.filter(({ isDone }) => !isDone);
    return waiting.map(({ description }) => description).join("; ");
  }

  #forgetLater(): void {
    const { time, random, options, processes } = this.#world;
    const afterMs = -Math.log(1 - random.float()) * options.forgetEveryMs;
    time.at(time.nowMs + afterMs, () => {
      if (this.#isOver) return;
      this.#forget(random.pick(processes));
      this.#forgetLater();
    });
  }

  #forget(process: SimProcess): void {
    const { life } = process;
    const kept = this.#world.random.below(keptMax);
    if (!life) return;
    process.enter(life, () => {
      const { watching, node } = life;
      watching?.forget(index(Math.max(0, node.appliedIndex - kept)));
    });
  }
}
