/** Who led in which term, from what all the processes of a cluster have said of it. */

import * as assert from "uvu/assert";
import type { ClusterNode } from "./cluster.ts";
import type { KvProcess } from "./process.ts";

const line = /\bterm (\d+), leader (\d+)$/gm;

export class Terms {
  readonly #leaders = new Map<number, Set<number>>();
  /** What a process that runs goes on to say is looked at again. */
  readonly #processes = new Set<KvProcess>();

  /** To be called for each process before the node gets another one. */
  follow(nodes: readonly ClusterNode[]): void {
    for (const node of nodes) this.#processes.add(node.process);
  }

  /** No term had two leaders. Returns how many had one. */
  assertOneLeaderEach(): number {
    for (const { stderr } of this.#processes) {
      for (const [, term, leader] of stderr.matchAll(line)) {
        const known = this.#leaders.get(Number(term)) ?? new Set();
        this.#leaders.set(Number(term), known.add(Number(leader)));
      }
    }
    const two = [...this.#leaders].filter(([, leaders]) => leaders.size > 1);
    assert.equal(two, [], "terms with two leaders");
    assert.ok(this.#leaders.size > 0, "some term had a leader");
    return this.#leaders.size;
  }
}
