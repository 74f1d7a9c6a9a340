/** What standard input is, and which signals mean "end". */

import { fstatSync } from "node:fs";

export const shutdownSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * - `terminal`: a person types.
 * - `pipe`: lines to run as commands (also a file, or a socket).
 * - `none`: closed, or a device such as /dev/null.
 */
export type StandardInput = "terminal" | "pipe" | "none";

export function standardInput(): StandardInput {
  if (process.stdin.isTTY) return "terminal";
  try {
    const stat = fstatSync(0);
    return stat.isFIFO() || stat.isFile() || stat.isSocket() ? "pipe" : "none";
  } catch {
    return "none";
  }
}

/**
 * Set for a process whose standard input is a pipe that nothing is written to: its end says that
 * whoever started the process is gone, however that ended.
 */
export const lifelineVariable = "KV_LIFELINE";

/** Resolves when standard input ends; never, where it is not a lifeline. */
export function lifelineEnd(): Promise<void> {
  if (process.env[lifelineVariable] !== "stdin") return new Promise(() => {});
  return new Promise((resolve) => {
    for (const event of ["end", "close", "error"]) process.stdin.once(event, () => resolve());
    process.stdin.resume();
  });
}
