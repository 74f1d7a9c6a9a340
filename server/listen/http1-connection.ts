/**
 * One connection of the HTTP port: requests are read and answered one after the other. RFC 9112 §9.3.2
 * lets only safe ones run beside each other when they are pipelined, and one connection should not
 * occupy the store with many. What is sent ahead waits here, and beyond a limit in the kernel.
 */

import { Buffer } from "node:buffer";
import { laneOf, type Admission, type Lane } from "../admission.ts";
import type { Answer, Asker } from "../answer.ts";
import type { Failure } from "../client-port.ts";
import { keyPathPrefix, keyTooLong } from "../key-path.ts";
import { badRequest, refusal } from "../problem.ts";
import { assert } from "../raft/assert.ts";
import type { SocketEvents, StreamSocket } from "../socket/socket.ts";
import {
  encodeAnswer,
  encodeChunk,
  encodeStreamHead,
  goOn,
  lastChunk,
  type AnswerForm,
  type StreamFraming,
} from "./http1-answer.ts";
import { ChunkedReader, LengthReader, type BodyReader, type BodyStep } from "./http1-body.ts";
import { hasBareLineFeed, parseHead, type Head } from "./http1-head.ts";
import type { Http1Limits } from "./http1-limits.ts";

/** What a connection needs of its listener. */
export interface Http1Host {
  readonly limits: Http1Limits;
  bodyBytesMax(head: Head): number;
  /** The text of the `Date` header. */
  readonly date: string;
  /** The next answer is the last. */
  readonly isDraining: boolean;
  /** Null: everybody is let in. */
  readonly admission: Admission | null;
  /** Room for a large body on its way in; false where there is none. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  /** Never throws, and never rejects. `body` is the bytes, or why they were not read. */
  answer(
    head: Head,
    body: Uint8Array | Failure,
    asker: Asker,
  ): Answer | Response | Promise<Answer | Response>;
  /** The refusal as the page that asked can read it, where a page did. */
  readable(head: Head, refusal: Answer): Answer;
  /** Milliseconds that never go back. */
  nowMs(): number;
  /** The answer begins; `head` is null where there was none that could be understood. */
  answered(head: Head | null, status: number, askedMs: number): void;
  /** To be woken when its rest is over, or there is room. */
  rests(connection: Http1Connection): void;
  /** Exactly once. */
  closed(connection: Http1Connection): void;
}

/**
 * - `head`, `body`: a request is coming in, or none is.
 * - `answering`: it is with the store, or its answer is on its way out.
 * - `resting`: its client was refused, and is not listened to for a while.
 * - `lingering`: the last answer is out; what still comes is thrown away.
 */
type Phase = "head" | "body" | "answering" | "resting" | "lingering" | "over";

const nothing = Buffer.alloc(0);
const emptyBody = new Uint8Array(0);
const headEnd = "\r\n\r\n";
const late = "it did not arrive in time; send it again as a whole";

const overloaded: Failure = {
  ok: false,
  code: "overloaded",
  detail: "too many large values are being received at once; send it again",
  outcome: "not_applied",
};

const tooLarge = (bytesMax: number, { target }: Head): Failure => ({
  ok: false,
  code: "too_large",
  detail: `the value, or the whole body, is larger than ${bytesMax} bytes; send it in parts`,
  field: target.startsWith(keyPathPrefix) ? "value" : "body",
});

export class Http1Connection implements SocketEvents {
  readonly #socket: StreamSocket;
  readonly #host: Http1Host;
  #phase: Phase = "head";
  /** Came in and is not looked at yet. */
  #input: Buffer = nothing;
  #isPaused = false;
  #head: Head | null = null;
  #lane: Lane | null = null;
  /** Decided from the head alone: nothing is done of the request in hand. */
  #isRefused = false;
  /** It is with the store, and counts. */
  #isCounted = false;
  /** It was refused: nothing more is read before that, unless there is room earlier. */
  #restsUntilMs = 0;
  /** When the request was there. */
  #askedMs = 0;
  #body: BodyReader | null = null;
  #reservedBytes = 0;
  /** Nothing can be understood behind the request in hand, or its client wants no more. */
  #isLast = false;
  /** The client has said that it sends nothing more. */
  #hasEnded = false;
  /** Sweeps since the phase began or since the client last took something. */
  #sweeps = 0;
  #lastWaitingBytes = 0;
  #lingeredBytes = 0;
  #isAdvancing = false;
  #whenDrained: (() => void) | null = null;
  #stream: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** Of the request in hand, where somebody wants to know. */
  #gone: AbortController | null = null;

  constructor(socket: StreamSocket, host: Http1Host) {
    this.#socket = socket;
    this.#host = host;
  }

  /** No request is under way, nor part of one. */
  get isIdle(): boolean {
    const isUnasked = this.#phase === "head" || this.#phase === "resting";
    return isUnasked && this.#input.byteLength === 0 && this.#isWrittenOut;
  }

  get #isWrittenOut(): boolean {
    return this.#socket.waitingBytes === 0;
  }

  /** Of the request in hand: its client has closed the connection, or his side of it. */
  gone(): AbortSignal {
    this.#gone ??= new AbortController();
    if (this.#hasEnded) this.#gone.abort();
    return this.#gone.signal;
  }

  // ------------------------------------------------------------------ what the socket says

  data(chunk: Buffer): void {
    const { limits } = this.#host;
    if (this.#phase === "over") return;
    if (this.#phase === "lingering") {
      this.#lingeredBytes += chunk.byteLength;
      if (this.#lingeredBytes > limits.lingerBytesMax) this.destroy();
      return;
    }
    this.#input = this.#input.byteLength === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    this.#advance();
  }

  drained(): void {
    this.#sweeps = 0;
    const proceed = this.#whenDrained;
    this.#whenDrained = null;
    proceed?.();
  }

  ended(): void {
    this.#hasEnded = true;
    this.#gone?.abort();
    // Half a request is none. A whole one is still answered: only that direction has ended.
    if (this.#phase !== "answering") this.destroy();
  }

  closed(): void {
    this.destroy();
  }

  /** Once every `sweepMs`. */
  sweep(): void {
    this.#sweeps++;
    const { limits } = this.#host;
    switch (this.#phase) {
      case "head": {
        const isIdle = this.#input.byteLength === 0;
        if (isIdle && this.#sweeps > limits.idleSweeps) this.destroy();
        if (!isIdle && this.#sweeps > limits.headSweeps) this.#refuse(late, 408);
        return;
      }
      case "body":
        if (this.#sweeps > limits.bodySweeps) this.#refuse(late, 408);
        return;
      case "answering":
        this.#sweepAnswer();
        return;
      case "lingering":
        if (this.#sweeps > limits.lingerSweeps) this.destroy();
        return;
      case "resting":
      case "over":
    }
  }

  /** Where something waits for the client, and has become no less. */
  #sweepAnswer(): void {
    const { waitingBytes } = this.#socket;
    if (waitingBytes === 0 || waitingBytes < this.#lastWaitingBytes) this.#sweeps = 0;
    this.#lastWaitingBytes = waitingBytes;
    if (this.#sweeps > this.#host.limits.stuckSweeps) this.destroy();
  }

  destroy(): void {
    if (this.#phase === "over") return;
    // What the store works on is held until it has answered, though nobody hears it.
    if (this.#phase !== "answering") this.#releaseBody();
    this.#phase = "over";
    this.#input = nothing;
    this.#whenDrained = null;
    this.#gone?.abort();
    // Lets the source of a stream know that nobody listens any more.
    this.#stream?.cancel().catch(() => {});
    this.#socket.destroy();
    this.#host.closed(this);
  }

  // ------------------------------------------------------------------ requests

  /** As far as the input goes. Not recursive, however many answers are there at once. */
  #advance(): void {
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    while (this.#input.byteLength > 0) {
      if (this.#phase === "head") {
        if (!this.#readHead()) break;
      } else if (this.#phase === "body") {
        this.#readBody();
      } else {
        break;
      }
    }
    this.#isAdvancing = false;
    this.#throttle();
  }

  #throttle(): void {
    const isFull =
      this.#phase === "resting" ||
      (this.#phase === "answering" &&
        this.#input.byteLength >= this.#host.limits.readAheadBytesMax);
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
  }

  /** False where more has to come first. */
  #readHead(): boolean {
    const { headBytesMax } = this.#host.limits;
    const input = this.#input;
    const text = input.toString("latin1", 0, headBytesMax);
    // RFC 9112 §2.2: some clients send an empty line behind a body.
    const start = text.startsWith("\r\n") ? 2 : 0;
    const end = text.indexOf(headEnd, start);
    if (end < 0) {
      if (text.length === headBytesMax) this.#refuseLong(text.slice(start));
      else if (hasBareLineFeed(text)) this.#refuse("a line of its head ends in a bare line feed");
      else return false;
      return true;
    }
    const parsed = parseHead(text.slice(start, end));
    if (!parsed.ok) {
      this.#refuse(parsed.detail);
      return true;
    }
    this.#input = input.subarray(end + headEnd.length);
    this.#beginBody(parsed.head);
    return true;
  }

  #beginBody(head: Head): void {
    const { admission, limits } = this.#host;
    this.#head = head;
    this.#lane = admission === null ? null : laneOf(head);
    this.#isRefused = this.#lane !== null && (admission?.refuses(this.#lane) ?? false);
    this.#sweeps = 0;
    this.#isLast = !head.isKeepAlive;
    if (head.body === 0) {
      this.#dispatch(emptyBody);
      return;
    }
    const bodyBytesMax = this.#host.bodyBytesMax(head);
    const length = head.body === "chunked" ? bodyBytesMax : head.body;
    if (length > bodyBytesMax) {
      this.#dispatchUnread(tooLarge(bodyBytesMax, head));
      return;
    }
    if (head.body !== "chunked" && length <= this.#input.byteLength) {
      const body = this.#input.subarray(0, length);
      this.#input = this.#input.subarray(length);
      this.#dispatch(body);
      return;
    }
    if (this.#isRefused && (length > limits.smallBodyBytesMax || head.awaitsContinue)) {
      this.#dispatchUnread(overloaded);
      return;
    }
    if (length > limits.smallBodyBytesMax) {
      if (!this.#host.reserve(length)) {
        this.#dispatchUnread(overloaded);
        return;
      }
      this.#reservedBytes = length;
    }
    this.#phase = "body";
    this.#body = head.body === "chunked" ? new ChunkedReader(length) : new LengthReader(length);
    if (head.awaitsContinue && this.#input.byteLength === 0) this.#socket.write(goOn);
  }

  #readBody(): void {
    assert(this.#body !== null && this.#head !== null, "a body is being read");
    const step: BodyStep = this.#body.push(this.#input);
    this.#input = nothing;
    switch (step.state) {
      case "more":
        return;
      case "complete":
        this.#input = step.rest;
        this.#dispatch(step.body);
        return;
      case "tooLarge":
        this.#dispatchUnread(tooLarge(this.#host.bodyBytesMax(this.#head), this.#head));
        return;
      case "malformed":
        this.#refuse(step.detail);
    }
  }

  /** Where nobody works on it; `keptBytes` stay reserved. */
  #releaseBody(keptBytes = 0): void {
    this.#body = null;
    if (this.#reservedBytes > keptBytes) this.#host.release(this.#reservedBytes - keptBytes);
    this.#reservedBytes = Math.min(this.#reservedBytes, keptBytes);
  }

  /** What follows the head is a body that nobody reads: no request can come behind it. */
  #dispatchUnread(why: Failure): void {
    this.#input = nothing;
    this.#isLast = true;
    this.#dispatch(why);
  }

  #dispatch(body: Uint8Array | Failure): void {
    const bytes = body instanceof Uint8Array ? body.byteLength : 0;
    this.#releaseBody(bytes > this.#host.limits.valueBodyBytesMax ? bytes : 0);
    this.#phase = "answering";
    this.#sweeps = 0;
    this.#askedMs = this.#host.nowMs();
    assert(this.#head !== null, "a request has a head");
    if (this.#isRefused && this.#lane !== null) {
      this.#turnAway(this.#head, this.#lane);
      return;
    }
    if (this.#lane !== null) {
      this.#host.admission?.began(this.#lane);
      this.#isCounted = true;
    }
    const answer = this.#host.answer(this.#head, body, this);
    if (answer instanceof Promise) void answer.then(this.#sendLater);
    else this.#send(answer);
  }

  /** The node cannot keep up. */
  #turnAway(head: Head, lane: Lane): void {
    const { admission } = this.#host;
    assert(admission !== null, "somebody has refused it");
    const { answer, untilMs } = admission.refused(lane, this.#askedMs);
    this.#restsUntilMs = untilMs;
    this.#send(this.#host.readable(head, answer));
  }

  /** The request cannot be understood, so neither can anything behind it. */
  #refuse(detail: string, status = 400): void {
    const failure = badRequest(`the request is malformed: ${detail}`);
    this.#refuseWith(refusal(failure, { write: true, status }));
  }

  /** `text` begins a head that has no end within its limit: its target is too long, or its headers are. */
  #refuseLong(text: string): void {
    const { headBytesMax } = this.#host.limits;
    if (text.includes("\r\n")) {
      this.#refuse(`its head is over ${headBytesMax} bytes`, 431);
      return;
    }
    const [method = "", target = ""] = text.split(" ", 2);
    const detail = `the request's target is over ${headBytesMax} bytes`;
    const failure = target.startsWith(keyPathPrefix) ? keyTooLong : badRequest(detail);
    const write = method !== "GET" && method !== "HEAD";
    this.#refuseWith(refusal(failure, { write, status: 414 }));
  }

  #refuseWith(answer: Answer): void {
    this.#releaseBody();
    this.#phase = "answering";
    this.#input = nothing;
    this.#head = null;
    this.#askedMs = this.#host.nowMs();
    this.#isLast = true;
    this.#send(answer);
  }

  // ------------------------------------------------------------------ answers

  /** Kept for all requests of the connection. */
  readonly #sendLater = (answer: Answer | Response): void => this.#send(answer);

  #send(answer: Answer | Response): void {
    this.#releaseBody();
    this.#settle(answer.status);
    if (this.#phase !== "answering") {
      if (answer instanceof Response) answer.body?.cancel().catch(() => {});
      return;
    }
    if (this.#hasEnded || this.#host.isDraining) this.#isLast = true;
    this.#host.answered(this.#head, answer.status, this.#askedMs);
    const form: AnswerForm = {
      date: this.#host.date,
      isHead: this.#head?.method === "HEAD",
      closes: this.#isLast,
    };
    if (answer instanceof Response) {
      this.#sendResponse(answer, form);
      return;
    }
    this.#socket.write(encodeAnswer(answer, form));
    this.#finish();
  }

  /** Also where the client has gone meanwhile. */
  #settle(status: number): void {
    if (!this.#isCounted) return;
    this.#isCounted = false;
    assert(this.#head !== null && this.#lane !== null, "a request that counts is in hand");
    const nowMs = this.#host.nowMs();
    const ms = nowMs - this.#askedMs;
    this.#host.admission?.ended(this.#lane, this.#head, { status, nowMs, ms });
  }

  #sendResponse(response: Response, form: AnswerForm): void {
    const isEmpty = response.body === null || form.isHead;
    const knowsLength = response.headers.has("content-length");
    if (isEmpty && !knowsLength) {
      const headers = Object.fromEntries(response.headers);
      this.#socket.write(encodeAnswer({ status: response.status, headers, body: null }, form));
      this.#finish();
      return;
    }
    const framing = this.#framingOf(knowsLength);
    this.#socket.write(encodeStreamHead(response, framing, { ...form, closes: this.#isLast }));
    if (isEmpty || response.body === null) {
      response.body?.cancel().catch(() => {});
      this.#finish();
      return;
    }
    this.#stream = response.body.getReader();
    void this.#pump(this.#stream, framing);
  }

  #framingOf(knowsLength: boolean): StreamFraming {
    if (knowsLength) return "length";
    if (this.#head?.takesChunks === true) return "chunks";
    this.#isLast = true;
    return "close";
  }

  /** Never rejects. A source that fails ends the connection: the client sees that the body is not whole. */
  async #pump(
    stream: ReadableStreamDefaultReader<Uint8Array>,
    framing: StreamFraming,
  ): Promise<void> {
    try {
      for (let part = await stream.read(); !part.done; part = await stream.read()) {
        if (this.#phase !== "answering") return;
        if (part.value.byteLength === 0) continue;
        this.#socket.write(framing === "chunks" ? encodeChunk(part.value) : part.value);
        if (this.#socket.waitingBytes > this.#host.limits.streamWaitingBytesMax) {
          const drained = new Promise<void>((resolve) => {
            this.#whenDrained = resolve;
          });
          // A source that fails meanwhile waits for nobody.
          await Promise.race([drained, stream.closed]);
        }
      }
    } catch {
      this.destroy();
      return;
    }
    if (this.#phase !== "answering") return;
    this.#stream = null;
    if (framing === "chunks") this.#socket.write(lastChunk);
    this.#finish();
  }

  #rest(): void {
    this.#phase = "resting";
    this.#throttle();
    this.#host.rests(this);
  }

  get restsUntilMs(): number {
    return this.#restsUntilMs;
  }

  /** Of the request that was read last. */
  get lane(): Lane | null {
    return this.#lane;
  }

  wake(): void {
    if (this.#phase === "resting") this.#goOn();
  }

  #goOn(): void {
    this.#phase = "head";
    this.#sweeps = 0;
    this.#restsUntilMs = 0;
    this.#advance();
  }

  /** The answer is written, though maybe not out. */
  #finish(): void {
    if (this.#phase !== "answering") return;
    if (!this.#isWrittenOut) {
      this.#whenDrained = () => this.#finish();
      return;
    }
    this.#head = null;
    this.#gone = null;
    this.#sweeps = 0;
    if (!this.#isLast) {
      if (this.#restsUntilMs > this.#host.nowMs()) this.#rest();
      else this.#goOn();
    } else if (this.#hasEnded) {
      this.destroy();
    } else {
      // Closing at once, with bytes of the client unread, would reset the connection, and he might
      // lose the answer.
      this.#phase = "lingering";
      this.#input = nothing;
      this.#throttle();
      this.#socket.end();
    }
  }
}
