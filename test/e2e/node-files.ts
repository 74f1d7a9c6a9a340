/** A stopped node's files on disk, found by walking its directory, and ways to damage them. */

import {
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import type { ClusterNode } from "./cluster.ts";

/** All files below the directory of `node` whose name fits, the largest first. */
export function filesOf(node: ClusterNode, name: RegExp): string[] {
  const all = readdirSync(node.directory, { recursive: true, encoding: "utf8" });
  const files = all
    .map((path) => join(node.directory, path))
    .filter((path) => name.test(basename(path)) && statSync(path).isFile());
  const found = files.sort((a, b) => statSync(b).size - statSync(a).size);
  if (found.length === 0) throw new Error(`node ${node.id} has no file like ${name}`);
  return found;
}

export const logFile = /\.log$/;
export const hardStateFile = /^hard-state/;
export const databaseFile = /\.(?:sqlite|db|sqlite3)$/;

/** Bytes up to the last one that is not zero: log files are longer than what is written in them. */
export function usedBytes(path: string): number {
  const bytes = readFileSync(path);
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used--;
  return used;
}

/** Turns one bit at each of the offsets. */
export function flip(path: string, ...offsets: number[]): void {
  const bytes = readFileSync(path);
  for (const offset of offsets) bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

/** Turns a bit of every byte in the given part of the file. */
export function flipAll(path: string, from = 0, to = statSync(path).size): void {
  flip(path, ...Array.from({ length: to - from }, (_, count) => from + count));
}

export function cut(path: string, size: number): void {
  truncateSync(path, size);
}

/** Where `text` stands in the file; empty where it does not. */
export function offsetsOf(path: string, text: string): number[] {
  const bytes = readFileSync(path);
  const found: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) found.push(at);
  return found;
}

/** Keeps a copy of a stopped node's directory; the returned function puts it back. */
export function keepCopy(node: ClusterNode, directory: string): () => void {
  const copy = join(directory, basename(node.directory));
  rmSync(copy, { recursive: true, force: true });
  cpSync(node.directory, copy, { recursive: true });
  return () => {
    node.wipe();
    cpSync(copy, node.directory, { recursive: true });
  };
}
