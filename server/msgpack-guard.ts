/**
 * A look at msgpack bytes before the decoder sees them. A few kilobytes of nested arrays end a process
 * that uses @msgpack/msgpack 3.1.3 with its defaults, and a length field can claim four gigabytes; this
 * scan touches every head byte once, allocates nothing that grows, and lets through only what
 * `peer-codec.ts` writes: arrays, texts, bytes, booleans and unsigned integers.
 */

export interface GuardLimits {
  /** Arrays inside arrays. */
  readonly depthMax: number;
  /** Values of all kinds, the arrays themselves included. */
  readonly valuesMax: number;
}

/** What one head byte announces: a leaf of so many bytes, or an array of so many values. */
interface Head {
  kind: "leaf" | "array" | "refused";
  /** Bytes of the leaf after its head and length, or values of the array. */
  size: number;
  /** Bytes of the length field after the head byte. */
  lengthBytes: number;
}

/** Null where `bytes` are exactly one value that is safe to decode, otherwise what is wrong with them. */
export function refuseUnsafe(bytes: Uint8Array, limits: GuardLimits): string | null {
  /** For every array that is open, how many of its values are still to come. */
  const open: number[] = [];
  const head: Head = { kind: "leaf", size: 0, lengthBytes: 0 };
  let offset = 0;
  let values = 0;
  do {
    if (offset >= bytes.length) return "the bytes end inside a value";
    if (++values > limits.valuesMax) return `more than ${limits.valuesMax} values`;
    readHead(bytes, offset, head);
    if (head.kind === "refused") return `a value of type 0x${bytes[offset]?.toString(16)}`;
    offset += 1 + head.lengthBytes;
    // A value takes at least one byte, so this holds for the size of an array too.
    if (head.size > bytes.length - offset) return "a length beyond the end of the bytes";
    if (head.kind === "leaf") {
      offset += head.size;
      closeFull(open);
    } else {
      if (open.length >= limits.depthMax) return `nested deeper than ${limits.depthMax}`;
      if (head.size > 0) open.push(head.size);
      else closeFull(open);
    }
  } while (open.length > 0);
  return offset === bytes.length ? null : "bytes after the value";
}

/** One value is complete; with it may be the array it closes, and the one around that. */
function closeFull(open: number[]): void {
  for (;;) {
    const left = open.pop();
    if (left === undefined) return;
    if (left > 1) {
      open.push(left - 1);
      return;
    }
  }
}

/** Head bytes as in the msgpack specification, "Formats". */
function readHead(bytes: Uint8Array, offset: number, into: Head): void {
  const byte = bytes[offset] ?? 0;
  if (byte < 0x80 || byte === 0xc2 || byte === 0xc3) set(into, "leaf", 0, 0);
  else if (byte >= 0x90 && byte <= 0x9f) set(into, "array", byte & 0x0f, 0);
  else if (byte >= 0xa0 && byte <= 0xbf) set(into, "leaf", byte & 0x1f, 0);
  else if (byte >= 0xc4 && byte <= 0xc6) setLong(into, "leaf", bytes, offset, 1 << (byte - 0xc4));
  else if (byte >= 0xcc && byte <= 0xcf) set(into, "leaf", 1 << (byte - 0xcc), 0);
  else if (byte >= 0xd9 && byte <= 0xdb) setLong(into, "leaf", bytes, offset, 1 << (byte - 0xd9));
  else if (byte === 0xdc || byte === 0xdd)
    setLong(into, "array", bytes, offset, byte === 0xdc ? 2 : 4);
  else set(into, "refused", 0, 0);
}

function set(into: Head, kind: Head["kind"], size: number, lengthBytes: number): void {
  into.kind = kind;
  into.size = size;
  into.lengthBytes = lengthBytes;
}

/** The size stands in the bytes after the head; missing ones make it too large for what is left. */
function setLong(
  into: Head,
  kind: Head["kind"],
  bytes: Uint8Array,
  offset: number,
  lengthBytes: number,
): void {
  let size = 0;
  for (let i = 1; i <= lengthBytes; i++) size = size * 256 + (bytes[offset + i] ?? 0xff);
  const isCut = offset + lengthBytes >= bytes.length;
  set(into, kind, isCut ? Infinity : size, lengthBytes);
}
