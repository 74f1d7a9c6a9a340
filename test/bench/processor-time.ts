/** What processes cost, as the kernel counts it. */

import { readdirSync, readFileSync } from "node:fs";

/** Processor time of the processes, all threads, in microseconds; NaN where the system does not tell. */
export function cpuUs(processIds: readonly number[]): number {
  let ticks = 0;
  for (const id of processIds) {
    try {
      const stat = readFileSync(`/proc/${id}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      return Number.NaN;
    }
  }
  return ticks * 10_000;
}

/** A process and all that it has started, and they. */
export function familyOf(processId: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${processId}/task`);
    const children = tasks.flatMap((task) =>
      readFileSync(`/proc/${processId}/task/${task}/children`, "latin1").split(" ").filter(Boolean),
    );
    return [processId, ...children.flatMap((child) => familyOf(Number(child)))];
  } catch {
    return [processId];
  }
}
