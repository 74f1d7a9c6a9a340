/**
 * One keep-alive HTTP/1.1 connection with as little in the way as possible, so that the server is
 * measured: one request at a time, and of an answer only what a measurement asks for.
 */

import { Buffer } from "node:buffer";
import { sockets } from "../../server/socket/runtime.ts";
import type { SocketAddress, StreamSocket } from "../../server/socket/socket.ts";

/** An answer's head is not longer, or it is not one of ours. */
const headBytesMax = 64 << 10;
/** Of a refusal's body as much is kept; the code stands in it. */
const refusalBytesMax = 16 << 10;
/** Values up to here are sent in one piece with their head. */
const joinedBytesMax = 16 << 10;

const lastChunk = Buffer.from("0\r\n\r\n");
const none = Buffer.alloc(0);

export interface Reply {
  readonly status: number;
  /** Of a refusal (400 and more), as far as it is kept; empty otherwise. */
  readonly body: string;
  /** Of a refusal: when to come again, as it was told; otherwise 0. */
  readonly retryAfterMs: number;
}

export interface ConnectionEvents {
  readonly opened: () => void;
  readonly answered: (reply: Reply) => void;
  /** Not after `close`. */
  readonly closed: () => void;
}

export class BenchConnection {
  readonly #socket: StreamSocket;
  readonly #events: ConnectionEvents;
  readonly #host: string;
  /** The answer's head so far, or what of its body is kept. */
  #held: Buffer | null = null;
  #status = 0;
  #retryAfterMs = 0;
  /** The end of what came in chunks so far: the last of them may come in pieces. */
  #tail: Buffer = none;
  /** Bytes of the body that are to come; null while the head does, -1 where chunks tell its end. */
  #bodyLeft: number | null = null;

  constructor(address: SocketAddress, events: ConnectionEvents) {
    this.#events = events;
    const { host, port } = address;
    this.#host = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    this.#socket = sockets.dial(address, {
      connected: () => events.opened(),
      data: (chunk) => this.#take(chunk),
      drained: () => {},
      ended: () => {
        this.#socket.destroy();
        events.closed();
      },
      closed: () => events.closed(),
    });
  }

  get(path: string): void {
    this.#socket.write(
      Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n\r\n`, "latin1"),
    );
  }

  /** `value` is not to be changed any more. */
  put(path: string, value: Buffer): void {
    const length = value.byteLength;
    const head = `PUT ${path} HTTP/1.1\r\nHost: ${this.#host}\r\nContent-Length: ${length}\r\n\r\n`;
    if (length > joinedBytesMax) {
      this.#socket.write(Buffer.from(head, "latin1"));
      this.#socket.write(value);
      return;
    }
    const bytes = Buffer.allocUnsafe(head.length + length);
    bytes.write(head, 0, "latin1");
    value.copy(bytes, head.length);
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    if (this.#bodyLeft !== null) return this.#takeBody(chunk);
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) {
      this.#held = bytes;
      if (bytes.byteLength > headBytesMax) this.#giveUp();
      return;
    }
    this.#held = null;
    const head = bytes.toString("latin1", 0, end);
    this.#status = Number(head.slice(9, 12));
    const isRefused = this.#status >= 400;
    const retry = isRefused
      ? /\r\nretry-after: *(\d{1,6})\r\n/i.exec(`${head}\r\n`)?.[1]
      : undefined;
    this.#retryAfterMs = retry === undefined ? 0 : 1_000 * Number(retry);
    const length = /content-length: *(\d+)/i.exec(head)?.[1];
    this.#bodyLeft = length === undefined ? -1 : Number(length);
    if (this.#status === 204 || this.#status === 304) this.#bodyLeft = 0;
    this.#takeBody(bytes.subarray(end + 4));
  }

  #takeBody(chunk: Buffer): void {
    if (this.#status >= 400) this.#keep(chunk);
    if (this.#bodyLeft === -1) {
      this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-lastChunk.byteLength);
      if (!this.#tail.equals(lastChunk)) return;
      this.#tail = none;
      this.#bodyLeft = 0;
    } else {
      this.#bodyLeft = (this.#bodyLeft ?? 0) - chunk.byteLength;
    }
    if (this.#bodyLeft > 0) return;
    const body = this.#held === null ? "" : this.#held.toString("utf8");
    this.#held = null;
    this.#bodyLeft = null;
    this.#events.answered({ status: this.#status, body, retryAfterMs: this.#retryAfterMs });
  }

  #keep(chunk: Buffer): void {
    const kept = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = kept.subarray(0, refusalBytesMax);
  }

  #giveUp(): void {
    this.#socket.destroy();
    this.#events.closed();
  }
}
