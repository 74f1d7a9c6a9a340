/** Values as bytes, as text and in base64, without anything that only one runtime has. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

export type Value = string | Uint8Array;

export const bytesOf = (value: Value): Uint8Array =>
  typeof value === "string" ? encoder.encode(value) : value;

/** What is not UTF-8 comes out as U+FFFD. */
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Throws a TypeError where `bytes` are not UTF-8. */
export const strictTextOf = (bytes: Uint8Array): string => strict.decode(bytes);

/** More arguments than this at once are too many for some engines. */
const charactersAtOnce = 8_192;

export function base64Of(bytes: Uint8Array): string {
  let binary = "";
  for (let start = 0; start < bytes.length; start += charactersAtOnce) {
    binary += String.fromCharCode(...bytes.subarray(start, start + charactersAtOnce));
  }
  return btoa(binary);
}

export function bytesOfBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
