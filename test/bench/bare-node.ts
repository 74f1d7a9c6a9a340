/**
 * A node that does only what no replicated, synced write can do without: what a machine, its disk and
 * its sockets take for that, whoever does it. The first of three takes a request, sends an append to the
 * others, writes and syncs its record, and answers once one of them has synced, too. There is no
 * algorithm, no parsing, no checksum, no state; nothing here is safe.
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
const fileBytes = 16 << 20;

const [file = "", ...others] = process.argv.slice(2);
const record = Buffer.alloc(recordBytes, 1);
const descriptor = openSync(file, "w+");
let offset = 0;
// Room that is there already, as in the log's segments.
writeSync(descriptor, Buffer.alloc(fileBytes));
fdatasyncSync(descriptor);

function sync(): void {
  writeSync(descriptor, record, 0, recordBytes, offset);
  offset = (offset + recordBytes) % (fileBytes - recordBytes);
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
  const acknowledgement = Buffer.alloc(acknowledgementBytes, 3);
  const data = inMessages(appendBytes, (leader: Bun.Socket, count) => {
    sync();
    for (let i = 0; i < count; i++) leader.write(acknowledgement);
  });
  return Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data } });
}

async function lead(): Promise<Bun.TCPSocketListener> {
  const append = Buffer.alloc(appendBytes, 2);
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  const acknowledged = others.map(() => 0);
  let asked = 0;
  let client: Bun.Socket | null = null;
  const answerIfDone = (): void => {
    if (client === null || Math.max(...acknowledged) < asked) return;
    client.write(answer);
    client = null;
  };
  const followers = await Promise.all(
    others.map((port, i) => {
      const data = inMessages(acknowledgementBytes, (_: Bun.Socket, count) => {
        acknowledged[i] = (acknowledged[i] ?? 0) + count;
        answerIfDone();
      });
      return Bun.connect({ hostname: "127.0.0.1", port: Number(port), socket: { open, data } });
    }),
  );
  // One client with one request at a time, which fits into one piece.
  const data = (from: Bun.Socket): void => {
    client = from;
    asked++;
    for (const follower of followers) follower.write(append);
    sync();
    answerIfDone();
  };
  return Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data } });
}

console.log((others.length === 0 ? follow() : await lead()).port);
