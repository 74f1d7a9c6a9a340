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
