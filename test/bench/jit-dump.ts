/**
 * Names of the code that JavaScriptCore has compiled, by address and time, from what it writes with
 * `BUN_JSC_useJITDump=1`: the format that `perf inject --jit` reads
 * (https://github.com/torvalds/linux/blob/master/tools/perf/Documentation/jitdump-specification.txt).
 */

import { readFileSync } from "node:fs";

interface Code {
  readonly begin: bigint;
  readonly end: bigint;
  /** Nanoseconds of the monotonic clock. Other code may have stood there before. */
  readonly sinceNs: bigint;
  readonly name: string;
}

const codeLoad = 0;
const recordHeadBytes = 16;
/** Of a record about code, before its name: process, thread, two addresses, size and number. */
const codeHeadBytes = recordHeadBytes + 40;
/** Pieces of code that began at lower addresses, of which one may still be there. */
const lookBackMax = 64;

export class JitDump {
  readonly #codes: readonly Code[];

  constructor(path: string) {
    const bytes = readFileSync(path);
    const codes: Code[] = [];
    let at = bytes.readUInt32LE(8);
    while (at + recordHeadBytes <= bytes.byteLength) {
      const size = bytes.readUInt32LE(at + 4);
      // It was killed while it wrote.
      if (size < recordHeadBytes || at + size > bytes.byteLength) break;
      if (bytes.readUInt32LE(at) === codeLoad) codes.push(codeAt(bytes, at));
      at += size;
    }
    this.#codes = codes.sort((a, b) => (a.begin < b.begin ? -1 : a.begin > b.begin ? 1 : 0));
  }

  /** What stood at `address` then; null: nothing that was compiled. */
  nameAt(address: bigint, timeNs: bigint): string | null {
    let from = 0;
    let to = this.#codes.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#codes[middle] as Code).begin <= address) from = middle + 1;
      else to = middle;
    }
    let newest: Code | null = null;
    for (const code of this.#codes.slice(Math.max(0, from - lookBackMax), from)) {
      if (code.end <= address || code.sinceNs > timeNs) continue;
      if (newest === null || code.sinceNs > newest.sinceNs) newest = code;
    }
    return newest?.name ?? null;
  }
}

function codeAt(bytes: Buffer, at: number): Code {
  const sinceNs = bytes.readBigUInt64LE(at + 8);
  const begin = bytes.readBigUInt64LE(at + recordHeadBytes + 16);
  const end = begin + bytes.readBigUInt64LE(at + recordHeadBytes + 24);
  const nameAt = at + codeHeadBytes;
  const name = bytes.toString("utf8", nameAt, bytes.indexOf(0, nameAt));
  return { begin, end, sinceNs, name: plainName(name) };
}

/** "JSC-FTL: #send#AdLLk5" is `#send`, compiled at its best. */
function plainName(name: string): string {
  const plain = name.replace(/^JSC-\w+: /, "").replace(/#\w{6}$/, "");
  if (name.startsWith("JSC-YarrJIT")) return "a regular expression";
  return plain === "" ? "a function without a name" : plain;
}
