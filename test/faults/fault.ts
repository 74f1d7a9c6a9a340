/** What a fault is to the schedule: it is drawn, injected and proved, and healed again. */

import type { Random } from "../raft/random.ts";
import type { World } from "./world.ts";

export interface Fault {
  /** What it does to whom, as far as it is known before it starts. */
  readonly name: string;
  /**
   * Injects it, and resolves with the proof that it happened (bytes held back, an exit code, a process
   * that is stopped); rejects where there is no proof in time: a fault that does nothing is a defect.
   */
  start(world: World): Promise<string>;
  /** Takes it back. Nodes that it ended run again, or are about to. */
  heal(world: World): Promise<void>;
}

export interface FaultKind {
  readonly name: string;
  /**
   * The promises hold if a minority at a time has lost something. So a node that did must have it back
   * before any other fault comes.
   */
  readonly isAlone?: boolean;
  /** Its proof needs requests that are served as usual: nothing else stands when it begins. */
  readonly needsLoad?: boolean;
  /** It matters only where it outlasts an election; what others do is done when they start. */
  readonly lasts?: boolean;
  /** Why it cannot be injected here; null where it can. */
  whyNot(): string | null;
  /** Everything random about it is drawn here, so that the seed alone determines it. */
  draw(random: Random): Fault;
}

/** Whom a fault is meant for: the leader of the moment where there is one, or somebody else. */
export type Target = "leader" | "follower";

export const targets: readonly Target[] = ["leader", "follower"];
