/** What everybody in a simulated world works with. */

import type { Random } from "../raft/random.ts";
import type { CommittedChanges } from "./changes.ts";
import type { Checks } from "./checks.ts";
import type { SimOptions } from "./options.ts";
import type { SimProcess } from "./process.ts";
import type { SimTime } from "./time.ts";
import type { Coverage, Trace } from "./trace.ts";

export interface SimWorld {
  readonly options: SimOptions;
  readonly time: SimTime;
  readonly random: Random;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly checks: Checks;
  /** Null where nobody watches. */
  readonly changes: CommittedChanges | null;
  readonly processes: readonly SimProcess[];
}

/** How long something is on its way between a client and a node: half of what is usual to half as much again. */
export const latencyMs = ({ options, random }: Pick<SimWorld, "options" | "random">): number =>
  options.latencyMs * (0.5 + random.float());
