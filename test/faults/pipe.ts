/** One direction of a proxied connection: passes bytes on, late or not before a cut link is healed. */

import type { Socket } from "node:net";

/** Bytes that one direction holds back; then the sender is no longer read from. */
const heldBytesMax = 4 << 20;

/** The way from one node to another, for all connections between the two. */
export class Link {
  readonly from: number;
  readonly to: number;
  readonly pipes = new Set<Pipe>();
  isCut = false;
  delayMs = 0;
  /** Bytes that came to the link at all, while it was cut, and while it was slow. */
  passed = 0;
  held = 0;
  delayed = 0;

  constructor(from: number, to: number) {
    this.from = from;
    this.to = to;
  }

  set(state: { isCut?: boolean; delayMs?: number }): void {
    this.isCut = state.isCut ?? this.isCut;
    this.delayMs = state.delayMs ?? this.delayMs;
    for (const pipe of this.pipes) pipe.pump();
  }
}

interface Held {
  /** Null: the sender has closed. */
  readonly chunk: Buffer | null;
  readonly dueMs: number;
}

export interface Ends {
  readonly source: Socket;
  readonly sink: Socket;
}

/**
 * Keeps the order whatever the link does. As with lost packets, what is sent into a cut link arrives
 * when it is healed, a close included, if the connection is still there.
 */
export class Pipe {
  readonly #ends: Ends;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #link: Link | null = null;
  /** While the connection is being made it needs both ways, as TCP itself does. */
  #back: Link | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(ends: Ends) {
    this.#ends = ends;
    const { source, sink } = ends;
    source.on("close", () => this.add(null));
    sink.on("drain", () => this.#resume());
    sink.on("close", () => this.#end());
  }

  /** From now on it is subject to the link; `back` is given where the connection is still new. */
  follow(link: Link, back: Link | null): void {
    this.#link = link;
    this.#back = back;
    link.pipes.add(this);
    back?.pipes.add(this);
  }

  add(chunk: Buffer | null): void {
    const size = chunk?.byteLength ?? 0;
    const link = this.#link;
    if (link !== null) {
      link.passed += size;
      if (this.#isCut(link)) link.held += size;
      else if (link.delayMs > 0) link.delayed += size;
    }
    this.#held.push({ chunk, dueMs: performance.now() + (link?.delayMs ?? 0) });
    this.#heldBytes += size;
    if (this.#heldBytes > heldBytesMax) this.#ends.source.pause();
    this.pump();
  }

  /** Passes on what may go now. */
  pump(): void {
    const link = this.#link;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (link !== null && this.#isCut(link)) return;
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer ??= setTimeout(() => {
          this.#timer = null;
          this.pump();
        }, waitMs);
        return;
      }
      this.#held.shift();
      this.#pass(first.chunk);
    }
    this.#resume();
  }

  #isCut(link: Link): boolean {
    return link.isCut || this.#back?.isCut === true;
  }

  #pass(chunk: Buffer | null): void {
    if (chunk === null) {
      this.#ends.sink.destroySoon();
      return;
    }
    this.#heldBytes -= chunk.byteLength;
    this.#back?.pipes.delete(this);
    this.#back = null;
    if (!this.#ends.sink.write(chunk)) this.#ends.source.pause();
  }

  #resume(): void {
    if (this.#heldBytes <= heldBytesMax && !this.#ends.sink.writableNeedDrain) {
      this.#ends.source.resume();
    }
  }

  /** The receiver is gone; the sender learns of it when its own way there and back is open. */
  #end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#held.length = 0;
    this.#link?.pipes.delete(this);
    this.#back?.pipes.delete(this);
  }
}
