/** Mistakes about what lasts for a time, and about locks. Like those of `planted-bugs.ts`. */

import type { PlantedBug } from "./planted-bugs.ts";

export const plantedSessionBugs: readonly PlantedBug[] = [
  {
    name: "lasting: what is due soon goes at once",
    file: "server/state-machine/execute.ts",
    find: "next.timeMs >= rows.timeMs) break;",
    replace: "next.timeMs >= rows.timeMs + 50) break;",
  },
  {
    name: "lasting: the log's time follows the wall clock",
    file: "server/log-time.ts",
    find: "const now = this.#seen.timeMs + Math.max(0, atMs - this.#seen.atMs);",
    replace: "const now = this.#clock.wallMs();",
  },
  {
    name: "lasting: a lease leaves its keys behind",
    file: "server/state-machine/execute.ts",
    find: "lease === null ? [] : rows.leased.keysOf(lease)",
    replace: "lease === null ? rows.leased.keysOf(0) : []",
  },
  {
    name: "locks: whoever comes holds the lock",
    file: "server/state-machine/lease-operations.ts",
    find: "isFirst: first === null };",
    replace: "isFirst: true };",
  },
  {
    name: "locks: any token counts",
    file: "server/state-machine/transact.ts",
    find: "return holderToken(reader, key) === condition.token;",
    replace: "return holderToken(reader, key) <= condition.token * 1_000;",
  },
  {
    name: "locks: a renewal gives a lease nothing",
    file: "server/state-machine/lease-operations.ts",
    find: "  rows.touch(row.key, rows.timeMs + ttlMs);\n",
    replace: "",
  },
];
