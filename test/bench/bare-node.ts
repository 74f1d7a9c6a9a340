/**
 * A node that does only what no replicated, synced write and no linearizable read can do without: what a
 * machine, its disk, its sockets and the runtime take for that, whoever does it. The first of three takes all
 * writes that have come, sends their appends to the others, writes and syncs their records, and answers
 * once one of them has synced, too. All reads that have come share a question to the others, and are
 * answered with the first that answers it. There is no algorithm, no parsing, no checksum, no state;
 * nothing here is safe.
 *
 * `bun test/bench/bare-node.ts FILE [PORT PORT]`: with the ports of two others it is the first. It prints
 * its own port.
 */

import { Buffer } from "node:buffer";
import { fdatasyncSync, openSync, writeSync } from "node:fs";

/** As many as those of a put of 100 bytes under a short key. */
const recordBytes = 184;
const appendBytes = 170;
const acknowledgementBytes = 18;
const questionBytes = 24;
const valueBytes = 100;
const fileBytes = 16 << 20;
/** More than are ever on their way at once, with the clients that are measured. */
const batchMax = 16_384;

/** First bytes of messages: a connection carries one kind. */
const appendKind = 2;
const questionKind = 5;

const [file = "", ...others] = process.argv.slice(2);
const records = Buffer.alloc(batchMax * recordBytes, 1);
const descriptor = openSync(file, "w+");
let offset = 0;
// Room that is there already, as in the log's segments.
writeSync(descriptor, Buffer.alloc(fileBytes));
fdatasyncSync(descriptor);

function sync(count: number): void {
  const bytes = count * recordBytes;
  if (offset + bytes > fileBytes) offset = 0;
  writeSync(descriptor, records, 0, bytes, offset);
  offset += bytes;
  fdatasyncSync(descriptor);
}

/** Handles data that comes in pieces of any size as messages of `bytes` each. */
function inMessages<T>(bytes: number, handle: (from: T, count: number) => void) {
  let rest = 0;
  return (from: T, data: Uint8Array): void => {
    const whole = Math.floor((rest + data.byteLength) / bytes);
    rest = (rest + data.byteLength) % bytes;
    if (whole > 0) handle(from, whole);
  };
}

const open = (socket: Bun.Socket): void => {
  socket.setNoDelay(true);
};

function follow(): Bun.TCPSocketListener {
  const acknowledgements = Buffer.alloc(batchMax * acknowledgementBytes, 3);
  const acknowledge = (leader: Bun.Socket, count: number): void => {
    leader.write(acknowledgements.subarray(0, count * acknowledgementBytes));
  };
  const appended = inMessages(appendBytes, (leader: Bun.Socket, count) => {
    sync(count);
    acknowledge(leader, count);
  });
  const asked = inMessages(questionBytes, acknowledge);
  const data = (leader: Bun.Socket, bytes: Uint8Array): void =>
    (bytes[0] === questionKind ? asked : appended)(leader, bytes);
  return Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data } });
}

const answerOf = (body: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

interface Kind {
  readonly answer: string;
  readonly firstByte: number;
  readonly messageBytes: number;
  /** What is done here before an answer, while the others do their part. */
  readonly here: (count: number) => void;
}

/** Requests of one kind, which wait until one of the others has said yes. */
class Requests {
  readonly #answer: Buffer;
  readonly #messages: Buffer;
  readonly #kind: Kind;
  readonly #acknowledged = others.map(() => 0);
  #followers: readonly Bun.Socket[] = [];
  /** Who has asked since the others were sent something, and who waits for them, oldest first. */
  #asking: Bun.Socket[] = [];
  readonly #waiting: Bun.Socket[] = [];
  #doneHere = 0;
  answered = 0;

  constructor(kind: Kind) {
    this.#kind = kind;
    this.#answer = Buffer.from(kind.answer);
    this.#messages = Buffer.alloc(batchMax * kind.messageBytes, kind.firstByte);
  }

  async connect(): Promise<void> {
    const dial = (port: string, i: number): Promise<Bun.Socket> => {
      const data = inMessages(acknowledgementBytes, (_: Bun.Socket, count) => {
        this.#acknowledged[i] = (this.#acknowledged[i] ?? 0) + count;
        this.#answerDone();
      });
      return Bun.connect({ hostname: "127.0.0.1", port: Number(port), socket: { open, data } });
    };
    this.#followers = await Promise.all(others.map(dial));
  }

  /** Goes with all others that come in the same turn of the loop. */
  ask(client: Bun.Socket): void {
    this.#asking.push(client);
    if (this.#asking.length === 1) setImmediate(() => this.#send());
  }

  #send(): void {
    const count = this.#asking.length;
    this.#waiting.push(...this.#asking);
    this.#asking = [];
    const bytes = this.#messages.subarray(0, count * this.#kind.messageBytes);
    for (const follower of this.#followers) follower.write(bytes);
    this.#kind.here(count);
    this.#doneHere += count;
    this.#answerDone();
  }

  #answerDone(): void {
    const done = Math.min(this.#doneHere, Math.max(...this.#acknowledged));
    for (const client of this.#waiting.splice(0, done - this.answered)) client.write(this.#answer);
    this.answered = done;
  }
}

async function lead(): Promise<Bun.TCPSocketListener> {
  const writes = new Requests({
    answer: answerOf('{"revision":1000000}'),
    firstByte: appendKind,
    messageBytes: appendBytes,
    here: sync,
  });
  const reads = new Requests({
    answer: answerOf("x".repeat(valueBytes)),
    firstByte: questionKind,
    messageBytes: questionBytes,
    here: () => {},
  });
  await Promise.all([writes.connect(), reads.connect()]);
  // Each client has one request at a time, which fits into one piece.
  const data = (client: Bun.Socket, request: Uint8Array): void => {
    const [method = 0, , , , , path = 0] = request;
    if (method !== "G".charCodeAt(0)) writes.ask(client);
    else if (path !== "c".charCodeAt(0)) reads.ask(client);
    else client.write(answerOf(String(writes.answered))); // GET /count
  };
  return Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data } });
}

console.log((others.length === 0 ? follow() : await lead()).port);
