/**
 * Serves HTTP/1.1 over plain sockets, on every runtime alike. `Bun.serve` tells only a parsed URL, in
 * which `/v1/kv/a/%2e%2e/b` has become `/v1/kv/b`, and `node:http` on Bun costs more than all the rest
 * of a small request.
 */

import type { Admission, Lane } from "../admission.ts";
import { type Answer, type Asker, responseOf } from "../answer.ts";
import type { Failure } from "../client-port.ts";
import { badRequest, problem, refusal } from "../problem.ts";
import type { Timer } from "../ports.ts";
import { sockets } from "../socket/runtime.ts";
import type { SocketEvents, SocketListener, StreamSocket } from "../socket/socket.ts";
import { encodeAnswer } from "./http1-answer.ts";
import { Http1Connection, type Http1Host } from "./http1-connection.ts";
import type { Head } from "./http1-head.ts";
import { http1Limits, type Http1Limits } from "./http1-limits.ts";
import type { Listener, ListenOptions } from "./listen.ts";

/** Targets that survive being parsed as part of a URL. The others travel beside the request. */
const plainTarget = /^\/(?!\/)[A-Za-z0-9_~!$&'()*+,;=:@/?-]*$/;
const plainHost = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

const notTaken = badRequest("the method is not one this server takes");

const manyKeys = badRequest("`idempotency-key` is given twice", "idempotency-key");

const full = refusal(
  { ok: false, code: "overloaded", detail: "too many connections are open; try again later" },
  { write: true, status: 503 },
);

const unread = { method: "", target: "" };

const ignored: SocketEvents = { data() {}, drained() {}, ended() {}, closed() {} };

class Http1Server implements Http1Host, Listener {
  readonly limits: Http1Limits;
  readonly admission: Admission | null;
  readonly #options: ListenOptions;
  readonly #connections = new Set<Http1Connection>();
  readonly #sweeper: Timer;
  /** In the order in which they are woken. */
  readonly #resting = new Set<Http1Connection>();
  #waker: Timer | null = null;
  #listener: SocketListener | null = null;
  #readingBytes = 0;
  /** Connections that are being told that there is no room. */
  #turnedAway = 0;
  #whenEmpty: (() => void) | null = null;
  date: string;
  isClosing = false;
  isDraining = false;
  hasClients = false;

  constructor(options: ListenOptions) {
    this.#options = options;
    this.limits = { ...http1Limits, ...options.limits };
    this.admission = options.admission ?? null;
    this.date = this.#dateText();
    this.#sweeper = options.clock.every(this.limits.sweepMs, () => this.#sweep());
  }

  async open(): Promise<void> {
    const { hostname, port } = this.#options;
    try {
      const address = { host: hostname, port };
      this.#listener = await sockets.listen(address, (socket) => this.#accept(socket));
    } catch (error) {
      this.#sweeper.cancel();
      throw error;
    }
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  /** See `Listener`. */
  drain(): void {
    this.isDraining = true;
    this.hasClients = this.#connections.size > 0;
  }

  /** See `Listener`. */
  async close(graceMs: number): Promise<void> {
    this.isClosing = true;
    this.isDraining = true;
    this.#listener?.close();
    for (const connection of this.#connections) if (connection.isIdle) connection.destroy();
    if (graceMs > 0 && this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#options.clock.after(graceMs, resolve);
        this.#whenEmpty = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    this.#sweeper.cancel();
    this.#waker?.cancel();
    for (const connection of this.#connections) connection.destroy();
  }

  // ------------------------------------------------------------------ for the connections

  bodyBytesMax({ target }: Head): number {
    return this.#options.bodyBytesMax(target);
  }

  reserve(bytes: number): boolean {
    if (this.#readingBytes + bytes > this.limits.readingBytesMax) return false;
    this.#readingBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#readingBytes -= bytes;
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  readable(head: Head, refused: Answer): Answer {
    return this.#options.readable?.(head, refused) ?? refused;
  }

  answered(head: Head | null, status: number, askedMs: number): void {
    this.#options.answered?.(head ?? unread, status, this.nowMs() - askedMs);
  }

  rests(connection: Http1Connection): void {
    this.#resting.add(connection);
    this.#waker ??= this.#options.clock.after(this.limits.wakeMs, () => this.#wake());
  }

  closed(connection: Http1Connection): void {
    this.#connections.delete(connection);
    this.#resting.delete(connection);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  answer(
    head: Head,
    body: Uint8Array | Failure,
    asker: Asker,
  ): Answer | Response | Promise<Answer | Response> {
    // Joined, as headers are from here on, two keys would look like a third.
    if (head.headers.isRepeated("idempotency-key")) {
      return this.readable(head, refusal(manyKeys, { write: true }));
    }
    const direct = this.#options.direct(head, body, asker);
    return direct ?? this.#answerResponse(head, body, asker);
  }

  /** By the standard's classes, for all that is not worth a shorter way. */
  async #answerResponse(head: Head, body: Uint8Array | Failure, asker: Asker): Promise<Response> {
    const { target, method } = head;
    const host = head.headers.get("host") ?? "";
    const takesBody = method !== "GET" && method !== "HEAD";
    const path = plainTarget.test(target) ? target : "/";
    let request: Request;
    try {
      request = new Request(`http://${plainHost.test(host) ? host : "localhost"}${path}`, {
        method,
        headers: [...head.headers],
        body: takesBody && body instanceof Uint8Array ? (body as BodyInit) : null,
      });
    } catch {
      // The standard keeps CONNECT, TRACE and TRACK from its users.
      return responseOf(refusal(notTaken, { write: true }));
    }
    try {
      return await this.#options.fetch(request, { target, body, asker });
    } catch {
      return problem({ ok: false, code: "internal", detail: "the server failed to answer" });
    }
  }

  // ------------------------------------------------------------------ inside

  #accept(socket: StreamSocket): SocketEvents {
    const isFull = this.#connections.size >= this.limits.connectionsMax;
    if (this.isClosing || (isFull && !this.#makeRoom())) return this.#turnAway(socket);
    const connection = new Http1Connection(socket, this);
    this.#connections.add(connection);
    this.hasClients = true;
    return connection;
  }

  /** Says that there is no room, where not too many are being told so already. */
  #turnAway(socket: StreamSocket): SocketEvents {
    if (this.isClosing || this.#turnedAway >= this.limits.turnedAwayMax) {
      socket.destroy();
      return ignored;
    }
    this.#turnedAway++;
    let isOver = false;
    const over = (): void => {
      if (isOver) return;
      isOver = true;
      this.#turnedAway--;
      socket.destroy();
    };
    socket.write(encodeAnswer(full, { date: this.date, isHead: false, closes: true }));
    socket.end();
    this.#options.clock.after(this.limits.sweepMs, over);
    return { data() {}, drained() {}, ended: over, closed: over };
  }

  /** Closes a connection on which nothing is asked; false where there is none. */
  #makeRoom(): boolean {
    for (const connection of this.#connections) {
      if (!connection.isIdle) continue;
      connection.destroy();
      return true;
    }
    return false;
  }

  #sweep(): void {
    this.date = this.#dateText();
    for (const connection of this.#connections) connection.sweep();
  }

  /** Whose rest is over, and the first of the others as far as there is room for what they may ask. */
  #wake(): void {
    this.#waker = null;
    const nowMs = this.nowMs();
    const spare = { read: this.#takeSpare("read"), write: this.#takeSpare("write") };
    for (const connection of this.#resting) {
      const lane = connection.lane ?? "write";
      if (connection.restsUntilMs > nowMs && spare[lane] <= 0) break;
      spare[lane]--;
      this.#resting.delete(connection);
      connection.wake();
    }
    if (this.#resting.size === 0) return;
    this.#waker ??= this.#options.clock.after(this.limits.wakeMs, () => this.#wake());
  }

  #takeSpare(lane: Lane): number {
    return this.admission?.lanes[lane].takeSpare() ?? 0;
  }

  #dateText(): string {
    return new Date(this.#options.clock.wallMs()).toUTCString();
  }
}

/** See `listen.ts`. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const server = new Http1Server(options);
  await server.open();
  return server;
}
