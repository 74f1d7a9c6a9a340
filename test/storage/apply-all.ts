/** Several entries, one after the other. */

import type { Entry } from "../../server/raft/entry.ts";
import type { CommandResult } from "../../server/state-machine/command.ts";
import type { StateMachine } from "../../server/state-machine/port.ts";

/** One result for each. */
export const applyAll = (
  machine: Pick<StateMachine, "apply">,
  entries: readonly Entry[],
): (CommandResult | null)[] => entries.map((entry) => machine.apply(entry));
