/** The sockets of this runtime: the same promises, whichever it is. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { sockets } from "../../server/socket/runtime.ts";
import type { SocketEvents, SocketListener, StreamSocket } from "../../server/socket/socket.ts";
import { until } from "./raw-peer.ts";

/** One end of a connection, writing down what happens to it. */
class End implements SocketEvents {
  socket: StreamSocket | null = null;
  readonly happened: string[] = [];
  received = 0;
  /** The end of it. */
  text = "";

  connected(): void {
    this.happened.push("connected");
  }

  data(chunk: Uint8Array): void {
    this.received += chunk.byteLength;
    this.text = (this.text + new TextDecoder().decode(chunk.subarray(-20))).slice(-20);
  }

  drained(): void {
    this.happened.push("drained");
  }

  ended(): void {
    this.happened.push("ended");
  }

  closed(): void {
    this.happened.push("closed");
  }

  get open(): StreamSocket {
    return must(this.socket, "it has a socket");
  }

  saw(what: string): Promise<void> {
    return until(`an end is ${what}`, () => this.happened.includes(what));
  }

  say(text: string): void {
    this.open.write(new TextEncoder().encode(text));
  }
}

const host = "127.0.0.1";
const listeners: SocketListener[] = [];
const dialed: End[] = [];

test.after.each(() => {
  for (const { socket } of dialed.splice(0)) socket?.destroy();
  for (const listener of listeners.splice(0)) listener.close();
});

async function listen(accept: (socket: StreamSocket) => SocketEvents): Promise<number> {
  const listener = await sockets.listen({ host, port: 0 }, accept);
  listeners.push(listener);
  return listener.port;
}

function dial(port: number): End {
  const end = new End();
  end.socket = sockets.dial({ host, port }, end);
  dialed.push(end);
  return end;
}

/** The dialer's end and the acceptor's. */
async function pair(): Promise<[End, End]> {
  const far = new End();
  const port = await listen((socket) => {
    far.socket = socket;
    return far;
  });
  const near = dial(port);
  await near.saw("connected");
  await until("it is accepted", () => far.socket !== null);
  return [near, far];
}

test("what is written arrives, both ways", async () => {
  const [near, far] = await pair();
  near.say("hello");
  far.say("and back");
  await until("both have come", () => far.text === "hello" && near.text === "and back");
  assert.match(far.open.remote, /^127\.0\.0\.1:\d+$/);
});

test("more than the kernel takes waits, is counted, and arrives in order and whole", async () => {
  const [near, far] = await pair();
  far.open.pause();
  const bytes = 16 << 20;
  near.open.write(new Uint8Array(bytes));
  near.say("last");
  assert.ok(near.open.waitingBytes > 0);
  near.open.end();
  far.open.resume();
  await far.saw("ended");
  assert.is(far.received, bytes + 4);
  assert.ok(far.text.endsWith("\0last"));
});

test("a socket whose bytes are all taken says so", async () => {
  const [near, far] = await pair();
  far.open.pause();
  near.open.write(new Uint8Array(16 << 20));
  far.open.resume();
  await near.saw("drained");
  assert.is(near.open.waitingBytes, 0);
});

test("after the end of one side the other may go on, and then both are closed", async () => {
  const [near, far] = await pair();
  near.say("question");
  near.open.end();
  await far.saw("ended");
  far.say("answer");
  far.open.end();
  await near.saw("closed");
  await far.saw("closed");
  assert.equal([far.text, near.text], ["question", "answer"]);
  assert.is(near.happened.filter((what) => what === "closed").length, 1);
});

test("destroy delivers what was written, ends the other side, and no event follows it", async () => {
  const [near, far] = await pair();
  near.say("last words");
  near.open.destroy();
  near.open.destroy();
  await far.saw("ended");
  far.open.end();
  await far.saw("closed");
  assert.is(far.text, "last words");
  assert.equal(near.happened, ["connected"]);
  near.say("into nothing");
});

test("a dialed connection that nobody takes is closed, once, and never connected", async () => {
  const port = await listen(() => new End());
  must(listeners.pop(), "it listens").close();
  const near = dial(port);
  await near.saw("closed");
  assert.equal(near.happened, ["closed"]);
});

test("a dialed connection that is given up at once tells nothing", async () => {
  const accepted: End[] = [];
  const port = await listen(() => {
    const end = new End();
    accepted.push(end);
    return end;
  });
  const given = dial(port);
  given.open.destroy();
  await dial(port).saw("connected");
  assert.equal(given.happened, []);
});

test("a paused socket hears nothing until it is resumed", async () => {
  const [near, far] = await pair();
  far.open.pause();
  near.say("early");
  const other = await pair();
  other[0].say("x");
  await until("a later connection has heard", () => other[1].text === "x");
  assert.is(far.text, "");
  far.open.resume();
  await until("it has heard", () => far.text === "early");
});

test("a taken port is an error with the code EADDRINUSE, a closed listener's is free", async () => {
  const port = await listen(() => new End());
  let code: unknown = null;
  try {
    await sockets.listen({ host, port }, () => new End());
  } catch (error) {
    code = (error as { code: string }).code;
  }
  assert.is(code, "EADDRINUSE");
  must(listeners.pop(), "it listens").close();
  listeners.push(await sockets.listen({ host, port }, () => new End()));
});

test.run();
