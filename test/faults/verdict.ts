/** Whether what the clients of a round were told can be true. */

import * as assert from "uvu/assert";
import { checkHistory } from "../linearizability/checker.ts";
import { register } from "../linearizability/models.ts";
import type { Clients } from "./clients.ts";

export function assertSound(clients: Clients): void {
  assert.equal(clients.violations, []);
  const verdict = checkHistory(register, clients.history.operations());
  const { kind } = verdict;
  if (kind === "violation") throw new Error(`key ${verdict.key}\n${verdict.explanation}`);
  if (kind === "undecided") throw new Error(`undecided: the history of ${verdict.key} is too hard`);
}
