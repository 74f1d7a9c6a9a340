/**
 * Transactions that do several things to the same few keys, for those who watch: whatever happens to a
 * key within an entry is told as one change, or as none.
 */

import { encodeCommand } from "../../server/state-machine/codec.ts";
import { prefixRange } from "../../server/state-machine/key-range.ts";
import { transactionOf, type Operation } from "../../server/state-machine/transaction.ts";
import { Random } from "../raft/random.ts";
import { quietLeftMs } from "./quiet.ts";
import type { SimWorld } from "./world.ts";

const keys = ["net-0", "net-1", "net-2"];
const operationsMax = 5;
/** Empty: none. */
const contentTypes = ["", "text/plain", "application/json"];

export class MixedWrites {
  readonly #world: SimWorld;
  /** Drawn apart, so that older seeds still mean what they did. */
  readonly #types: Random;
  #isOver = false;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#types = new Random(world.options.seed ^ 0x165667b1);
  }

  start(): void {
    const { time, random, options } = this.#world;
    const meanMs = options.limits.electionTimeoutMs / 5;
    const writeMs = time.nowMs - Math.log(1 - random.float()) * meanMs;
    time.at(writeMs + quietLeftMs(options, writeMs), () => {
      if (this.#isOver) return;
      this.#write();
      this.start();
    });
  }

  stop(): void {
    this.#isOver = true;
  }

  #write(): void {
    const { random, processes, checks } = this.#world;
    const process = random.pick(processes);
    const then = Array.from({ length: 1 + random.below(operationsMax) }, () => this.#operation());
    const { life } = process;
    if (!life) return;
    const [first] = then;
    const command = encodeCommand({ ...transactionOf([], first as Operation), then });
    process.enter(life, () =>
      life.node.write(command, (answer) => {
        if (!answer.ok || !("revision" in answer.result)) return;
        process.look();
        checks.acknowledged(process.id, answer.result.revision);
      }),
    );
  }

  #operation(): Operation {
    const { random, options } = this.#world;
    const key = random.pick(keys);
    const value = Uint8Array.of(random.below(256));
    const contentType = this.#types.pick(contentTypes) || null;
    const put = { op: "put", key, value, contentType } as const;
    const ttlMs = Math.ceil(options.leaseMs * (0.5 + random.float()));
    return random.pick<Operation>([
      put,
      put,
      { ...put, ttlMs },
      { op: "touch", key, ttlMs },
      { op: "append", key, value },
      { op: "delete", key },
      { op: "delete", key },
      { op: "getdel", key },
      { op: "deleteRange", range: prefixRange("net-"), limit: null },
    ]);
  }
}
