/** Rows as the oracles of the simulator see them: in byte order, and as texts that can be compared. */

import { crc32 } from "node:zlib";
import type { Row } from "../../server/state-machine/command.ts";

/** The order of keys. */
export const byBytes = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

export const inOrder = (rows: readonly Row[]): Row[] =>
  [...rows].sort((a, b) => byBytes(a.key, b.key));

/** No user's key. */
export const isHiddenKey = (key: string): boolean => key.startsWith("\0");

const shownBytesMax = 30;

/** Equal for what is equal, whatever the order of its fields; short. */
export function shown(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Uint8Array) return shownBytes(value);
  if (Array.isArray(value)) return `[${value.map((each) => shown(each)).join(" ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
  const fields = Object.entries(value).filter(([, each]) => each !== undefined);
  const texts = fields.map(([name, each]) => `${name}: ${shown(each)}`);
  return `{${texts.sort().join(", ")}}`;
}

function shownBytes(bytes: Uint8Array): string {
  const { byteLength } = bytes;
  if (byteLength > shownBytesMax) return `<${byteLength} bytes, ${crc32(bytes).toString(16)}>`;
  return `<${Buffer.from(bytes).toString("latin1")}>`;
}

/** What is left of a row's time depends on who is asked. */
export function withoutTtl(row: Row): Row {
  const { ttlMs, ...rest } = row;
  return ttlMs === undefined ? row : rest;
}
