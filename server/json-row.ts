/** Rows, values and numbers as JSON holds them: what is not UTF-8 text is given in base64. */

import { Buffer } from "node:buffer";
import type { Row } from "./state-machine/command.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of `bytes`, or undefined where they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function valueJson(bytes: Uint8Array): { value: string } | { valueBase64: string } {
  const value = textOf(bytes);
  if (value !== undefined) return { value };
  const { buffer, byteOffset, byteLength } = bytes;
  return { valueBase64: Buffer.from(buffer, byteOffset, byteLength).toString("base64") };
}

export function rowJson(row: Row): object {
  const { key, revision, createRevision } = row;
  const contentType = row.contentType ?? undefined;
  const { ttlMs, lease } = row;
  return { key, ...valueJson(row.value), contentType, revision, createRevision, ttlMs, lease };
}

export const keyJson = ({ key, revision }: Row): object => ({ key, revision });

/** Numbers that a double does not hold exactly are strings. */
export const integerJson = (value: bigint): number | string =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();

/** A row as `rowJson` or `keyJson` gave it. */
export interface JsonRow {
  readonly key: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly contentType?: string;
  readonly revision: Row["revision"];
  readonly createRevision?: Row["revision"];
  readonly ttlMs?: number;
  readonly lease?: number;
}

export function rowOfJson(json: JsonRow): Row {
  const { key, contentType = null, revision } = json;
  const createRevision = json.createRevision ?? revision;
  const row = { key, value: valueOfJson(json), contentType, revision, createRevision };
  if (json.lease !== undefined) return { ...row, lease: json.lease };
  return json.ttlMs === undefined ? row : { ...row, ttlMs: json.ttlMs };
}

export function valueOfJson({ value = "", valueBase64 }: Partial<JsonRow>): Uint8Array {
  return valueBase64 === undefined ? Buffer.from(value) : Buffer.from(valueBase64, "base64");
}
