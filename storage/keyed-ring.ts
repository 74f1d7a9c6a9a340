/**
 * Small items by their keys, in as little memory as they can be put into: the newest stay, the oldest make
 * room. An object for each would take several times the room, and the collector would look at all of them
 * again and again.
 *
 * Items stand one behind the other in chunks of bytes; the chunk that is oldest is emptied when there may be
 * no more. A table says where the item of a key is: the key's hash selects a bucket of eight slots, each of
 * which holds a place and some more of the hash. Keys are compared to their end: no hash stands for a key.
 * Whoever chooses keys with the same hash fills a bucket, and no more: then one of the eight is forgotten.
 */

import { assert } from "../server/raft/assert.ts";

/** Of what is forgotten at once, and of what a ring with one item takes. */
const chunkBytes = 64 << 10;
/** Items begin at multiples of eight bytes, which is what places count. */
const chunkPlaces = chunkBytes / 8;
const chunkShift = Math.log2(chunkPlaces);

/** In a slot, below the bits of the hash. 0 is no item's place. */
const placeBits = 21;
const placeMask = (1 << placeBits) - 1;
/** As many as there are places for. */
const mostChunks = 1 << (placeBits - chunkShift);

const slotsPerBucket = 8;
const firstBuckets = 1 << 7;
/** With more items than slots, buckets forget theirs. */
const tableBytesMax = 1 << 20;

/** The head of an item: its hash; what it consists of; and the words and numbers of its owner. */
const hashWord = 0;
const shapeWord = 1;
const ownWords = 2;
const ownNumbers = 2;
/** Place, in eights of bytes, of the first number, and, in bytes, of the key. */
const numbersPlace = 2;
const keyByte = 8 * (numbersPlace + ownNumbers);

/** In the shape: whether the key takes two bytes a unit; how many units; and all of the item in places. */
const unitsShift = 1;
const unitsMask = 0x1fff;
const placesShift = 14;

/** Of a key and of what is kept with it, in bytes. Nothing longer is kept. */
export const itemBytesMax = chunkBytes / 8;

interface Chunk {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly numbers: Float64Array;
  /** What is behind is not in use. */
  end: number;
}

export interface KeyedRingOptions {
  /** Besides the table, which takes 1 MiB at most. A multiple of 64 KiB, 16 MiB at most. */
  readonly bytesMax: number;
}

/**
 * Where an item is: good until the next `add` or `clear`. 0: nowhere. Invariant: a place in a slot is that
 * of an item in a chunk; an item whose place is in no slot is forgotten, and only takes room.
 */
export type Place = number;

export class KeyedRing {
  readonly #chunksMax: number;
  readonly #chunks: Chunk[] = [];
  /** The one that is being filled. */
  #current = -1;
  #slots = new Int32Array(0);
  #bucketMask = 0;
  #count = 0;

  constructor({ bytesMax }: KeyedRingOptions) {
    this.#chunksMax = bytesMax / chunkBytes;
    const isSound = Number.isInteger(this.#chunksMax) && this.#chunksMax > 1;
    assert(isSound && this.#chunksMax <= mostChunks, "a ring has 2 to 256 chunks");
  }

  /** Items that can be found. */
  get count(): number {
    return this.#count;
  }

  /** Bytes set aside. */
  get byteLength(): number {
    return this.#chunks.length * chunkBytes + this.#slots.byteLength;
  }

  find(key: string): Place {
    if (this.#count === 0) return 0;
    const hash = hashOf(key);
    const first = (hash & this.#bucketMask) * slotsPerBucket;
    for (let at = first; at < first + slotsPerBucket; at++) {
      const slot = this.#slots[at] as number;
      if (((slot ^ hash) & ~placeMask) !== 0) continue;
      const place = slot & placeMask;
      if (place !== 0 && this.#isKeyAt(place, key)) return place;
    }
    return 0;
  }

  /**
   * Of a key that is not here. `bytesLength`: what is kept behind the numbers, of which nothing is set yet.
   * 0: it is too long to be kept.
   */
  add(key: string, bytesLength: number): Place {
    const unitBytes = isWide(key) ? 2 : 1;
    const length = keyByte + key.length * unitBytes + bytesLength;
    if (length > itemBytesMax) return 0;
    const places = (length + 7) >>> 3;
    const place = this.#makeRoom(places);
    const { bytes, words } = this.#chunkOf(place);
    const at = place & (chunkPlaces - 1);
    const hash = hashOf(key);
    words[2 * at + hashWord] = hash;
    words[2 * at + shapeWord] =
      (unitBytes - 1) | (key.length << unitsShift) | (places << placesShift);
    writeKey(key, bytes, { at: 8 * at + keyByte, unitBytes });
    const isFull = this.#count >= this.#slots.length / 2;
    if (isFull && this.#slots.byteLength < tableBytesMax) this.#growTable();
    this.#putInto(this.#slots, hash, place);
    return place;
  }

  /** Of an item that was found. */
  remove(place: Place): void {
    const { words } = this.#chunkOf(place);
    const hash = words[2 * (place & (chunkPlaces - 1)) + hashWord] as number;
    const first = (hash & this.#bucketMask) * slotsPerBucket;
    for (let at = first; at < first + slotsPerBucket; at++) {
      if (((this.#slots[at] as number) & placeMask) !== place) continue;
      this.#slots[at] = 0;
      this.#count--;
      return;
    }
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#current = -1;
    this.#slots = new Int32Array(0);
    this.#bucketMask = 0;
    this.#count = 0;
  }

  /** One of two numbers below 2^32. */
  word(place: Place, which: 0 | 1): number {
    const at = 2 * (place & (chunkPlaces - 1)) + ownWords + which;
    return this.#chunkOf(place).words[at] as number;
  }

  setWord(place: Place, which: 0 | 1, word: number): void {
    const at = 2 * (place & (chunkPlaces - 1)) + ownWords + which;
    this.#chunkOf(place).words[at] = word;
  }

  /** One of two numbers of any kind. */
  number(place: Place, which: 0 | 1): number {
    const at = (place & (chunkPlaces - 1)) + numbersPlace + which;
    return this.#chunkOf(place).numbers[at] as number;
  }

  setNumber(place: Place, which: 0 | 1, number: number): void {
    const at = (place & (chunkPlaces - 1)) + numbersPlace + which;
    this.#chunkOf(place).numbers[at] = number;
  }

  /** A copy of the first `length` bytes. */
  bytes(place: Place, length: number): Uint8Array {
    const { bytes, words } = this.#chunkOf(place);
    const at = place & (chunkPlaces - 1);
    const from = 8 * at + bytesByte(words[2 * at + shapeWord] as number);
    return bytes.slice(from, from + length);
  }

  /** At most `room` of them. */
  setBytes(place: Place, from: Uint8Array): void {
    const { bytes, words } = this.#chunkOf(place);
    const at = place & (chunkPlaces - 1);
    bytes.set(from, 8 * at + bytesByte(words[2 * at + shapeWord] as number));
  }

  /** For bytes. */
  room(place: Place): number {
    const { words } = this.#chunkOf(place);
    const shape = words[2 * (place & (chunkPlaces - 1)) + shapeWord] as number;
    return 8 * (shape >>> placesShift) - bytesByte(shape);
  }

  /** In the last eight bytes of the room. */
  lastNumber(place: Place): number {
    const { numbers, words } = this.#chunkOf(place);
    const at = place & (chunkPlaces - 1);
    return numbers[at + ((words[2 * at + shapeWord] as number) >>> placesShift) - 1] as number;
  }

  setLastNumber(place: Place, number: number): void {
    const { numbers, words } = this.#chunkOf(place);
    const at = place & (chunkPlaces - 1);
    numbers[at + ((words[2 * at + shapeWord] as number) >>> placesShift) - 1] = number;
  }

  #chunkOf(place: Place): Chunk {
    return this.#chunks[place >>> chunkShift] as Chunk;
  }

  #isKeyAt(place: Place, key: string): boolean {
    const { bytes, words } = this.#chunkOf(place);
    const at = place & (chunkPlaces - 1);
    const shape = words[2 * at + shapeWord] as number;
    const { length } = key;
    if (((shape >>> unitsShift) & unitsMask) !== length) return false;
    let byte = 8 * at + keyByte;
    if ((shape & 1) === 0) {
      for (let i = 0; i < length; i++) {
        if (bytes[byte + i] !== key.charCodeAt(i)) return false;
      }
      return true;
    }
    for (let i = 0; i < length; i++, byte += 2) {
      const unit = (bytes[byte] as number) | ((bytes[byte + 1] as number) << 8);
      if (unit !== key.charCodeAt(i)) return false;
    }
    return true;
  }

  #makeRoom(places: number): Place {
    let chunk = this.#chunks[this.#current];
    if (chunk === undefined || chunk.end + places > chunkPlaces) chunk = this.#nextChunk();
    const place = this.#current * chunkPlaces + chunk.end;
    chunk.end += places;
    return place;
  }

  #nextChunk(): Chunk {
    this.#current = (this.#current + 1) % this.#chunksMax;
    const oldest = this.#chunks[this.#current];
    if (oldest !== undefined) {
      this.#forget(oldest);
      return oldest;
    }
    const buffer = new ArrayBuffer(chunkBytes);
    const chunk = {
      bytes: new Uint8Array(buffer),
      words: new Uint32Array(buffer),
      numbers: new Float64Array(buffer),
      end: this.#firstPlace,
    };
    this.#chunks.push(chunk);
    return chunk;
  }

  /** In the chunk that is current. */
  get #firstPlace(): number {
    return this.#current === 0 ? 1 : 0;
  }

  #forget(chunk: Chunk): void {
    const base = this.#current * chunkPlaces;
    for (let at = this.#firstPlace; at < chunk.end;) {
      this.remove(base + at);
      at += (chunk.words[2 * at + shapeWord] as number) >>> placesShift;
    }
    chunk.end = this.#firstPlace;
  }

  #growTable(): void {
    const old = this.#slots;
    const buckets = Math.max(firstBuckets, (2 * old.length) / slotsPerBucket);
    const slots = new Int32Array(buckets * slotsPerBucket);
    this.#bucketMask = buckets - 1;
    this.#count = 0;
    for (const slot of old) {
      const place = slot & placeMask;
      if (place === 0) continue;
      const { words } = this.#chunkOf(place);
      const hash = words[2 * (place & (chunkPlaces - 1)) + hashWord] as number;
      this.#putInto(slots, hash, place);
    }
    this.#slots = slots;
  }

  #putInto(slots: Int32Array, hash: number, place: Place): void {
    const slot = (hash & ~placeMask) | place;
    const first = (hash & this.#bucketMask) * slotsPerBucket;
    for (let at = first; at < first + slotsPerBucket; at++) {
      if (slots[at] !== 0) continue;
      slots[at] = slot;
      this.#count++;
      return;
    }
    slots[first + (place & (slotsPerBucket - 1))] = slot;
  }
}

/** Where the bytes of an item of this shape begin in it. */
const bytesByte = (shape: number): number =>
  keyByte + (((shape >>> unitsShift) & unitsMask) << (shape & 1));

/** It has units that take two bytes. */
function isWide(key: string): boolean {
  let all = 0;
  for (let i = 0; i < key.length; i++) all |= key.charCodeAt(i);
  return all > 0xff;
}

function writeKey(
  key: string,
  bytes: Uint8Array,
  { at, unitBytes }: { readonly at: number; readonly unitBytes: number },
): void {
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    bytes[at + i * unitBytes] = unit;
    if (unitBytes === 2) bytes[at + 2 * i + 1] = unit >>> 8;
  }
}

/** FNV-1a over the units, and Murmur3's finalizer, without which neighbours would share their high bits. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
