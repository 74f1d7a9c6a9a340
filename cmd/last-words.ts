/** What a process says when it has to end at once, and with which exit code. */

import { renderLine } from "../repl/render.ts";
import { UsageError } from "./arguments.ts";
import { DiskError, isFullDisk } from "../storage/disk.ts";
import { StateDamaged } from "../storage/key-value-store.ts";
import { LogDamaged } from "../storage/log-damage.ts";
import { SqliteError } from "../storage/sqlite/port.ts";
import { exitCodes, StartError, type ExitCode } from "./exit.ts";
import { OutputError } from "./output.ts";

/**
 * One line for what a person can mend, whatever was typed that it repeats; the stack only for a bug of
 * ours, where it is what helps.
 */
export function lastWords(error: unknown): { line: string; code: ExitCode } {
  if (error instanceof UsageError || error instanceof StartError) {
    const code = error instanceof UsageError ? exitCodes.usage : error.exitCode;
    return { line: `kv: ${renderLine(error.message)}`, code };
  }
  if (error instanceof OutputError) {
    return { line: `kv: ${error.message}`, code: exitCodes.unreachable };
  }
  if (isFull(error)) {
    const line = `kv: the disk is full: ${oneLine(error.message)}; make room and try again`;
    return { line, code: exitCodes.refused };
  }
  const trouble = diskTrouble(error);
  if (trouble) {
    const what = oneLine(`${trouble.path}: ${trouble.what}`);
    const line = `kv: the disk failed and nothing more can be promised: ${what}`;
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

/** What the disk refused, and where; null where the error is not the disk's. */
export function diskTrouble(
  error: unknown,
): { readonly path: string; readonly what: string; readonly code: string } | null {
  if (error instanceof DiskError) {
    const { path, operation, code } = error;
    return { path, what: `${operation}: ${code}`, code };
  }
  if (error instanceof SqliteError)
    return { path: error.path, what: error.detail, code: error.code };
  // Of the database's files some things are asked without the database.
  if (!(error instanceof Error)) return null;
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined || !/^E[A-Z]+$/.test(code)) return null;
  return { path: path ?? "a file", what: `${syscall}: ${code}`, code };
}

const oneLine = (text: string): string => renderLine(text.replaceAll(/\s+/g, " "));
