/** What a process says when it has to end at once, and with which exit code. */

import { renderLine } from "../repl/render.ts";
import { UsageError } from "./arguments.ts";
import { DiskError, isFullDisk } from "../storage/disk.ts";
import { StateDamaged } from "../storage/key-value-store.ts";
import { LogDamaged } from "../storage/log-damage.ts";
import { SqliteError } from "../storage/sqlite/port.ts";
import { exitCodes, StartError, type ExitCode } from "./exit.ts";

/**
 * One line for what a person can mend, whatever was typed that it repeats; the stack only for a bug of
 * ours, where it is what helps.
 */
export function lastWords(error: unknown): { line: string; code: ExitCode } {
  if (error instanceof UsageError || error instanceof StartError) {
    const code = error instanceof UsageError ? exitCodes.usage : error.exitCode;
    return { line: `kv: ${renderLine(error.message)}`, code };
  }
  if (isFull(error)) {
    const line = `kv: the disk is full: ${oneLine(error.message)}; make room and try again`;
    return { line, code: exitCodes.refused };
  }
  if (error instanceof DiskError || error instanceof SqliteError) {
    const line = `kv: the disk failed and nothing more can be promised: ${oneLine(error.message)}`;
    return { line, code: exitCodes.refused };
  }
  if (error instanceof LogDamaged || error instanceof StateDamaged) {
    const line = `kv: ${oneLine(error.message)}; the node ends, so that nothing wrong is served`;
    return { line, code: exitCodes.damaged };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { line: `kv: a bug, please report it: ${stack}`, code: exitCodes.refused };
}

const isFull = (error: unknown): error is DiskError | SqliteError =>
  (error instanceof SqliteError && error.isFull) || isFullDisk(error);

const oneLine = (text: string): string => renderLine(text.replaceAll(/\s+/g, " "));
