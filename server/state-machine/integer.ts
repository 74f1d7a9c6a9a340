/** Counters: whole numbers of 64 bits, stored as decimal text. */

export const integerMin: bigint = -(2n ** 63n);
export const integerMax: bigint = 2n ** 63n - 1n;

/** A sign and 20 digits hold every number of 64 bits. */
const decimal = /^-?\d{1,20}$/;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Null where `text` is no number of 64 bits. */
export function parseInteger(text: string): bigint | null {
  if (!decimal.test(text)) return null;
  const value = BigInt(text);
  return isInteger(value) ? value : null;
}

export const isInteger = (value: bigint): boolean => value >= integerMin && value <= integerMax;

export function integerOfBytes(bytes: Uint8Array): bigint | null {
  // A sign and 20 digits.
  if (bytes.byteLength > 21) return null;
  try {
    return parseInteger(decoder.decode(bytes));
  } catch {
    return null;
  }
}

export const integerBytes = (value: bigint): Uint8Array =>
  new TextEncoder().encode(value.toString());

/** From digits alone; null where they are none, or too many to be exact. */
export function revisionOfText(text: string): number | null {
  const revision = /^\d{1,16}$/.test(text) ? Number(text) : -1;
  return Number.isSafeInteger(revision) && revision >= 0 ? revision : null;
}
