/** Plain sockets on either side of the peer port: ends that behave only as well as a test wants. */

import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { AcceptorHandshake, DialerHandshake, type HandshakeStep } from "../../server/handshake.ts";
import { must } from "../../server/raft/assert.ts";
import { nodeId } from "../../server/raft/entry.ts";
import { systemRandom } from "../../cmd/system.ts";
import { identityOf } from "./peer-identities.ts";

/** Resolves once `condition` holds; rejects with `what` when that takes too long. */
export async function until(what: string, condition: () => boolean, ms = 10_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export class RawSocket {
  readonly socket: Socket;
  received = 0;
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => (this.received += chunk.length));
    socket.on("end", () => (this.isClosed = true));
    socket.on("error", () => (this.isClosed = true));
    socket.on("close", () => (this.isClosed = true));
  }

  static async open(port: number): Promise<RawSocket> {
    const socket = connect({ host: "127.0.0.1", port });
    const raw = new RawSocket(socket);
    await until("a raw connection", () => !socket.connecting || raw.isClosed);
    return raw;
  }

  closed(ms?: number): Promise<void> {
    return until("the other end closes the connection", () => this.isClosed, ms);
  }
}

const handshakeOf = (id: number, secret: Uint8Array | null) => ({
  self: nodeId(id),
  secret,
  nonce: systemRandom.bytes(16),
  identity: () => identityOf(id),
  judge: () => null,
});

/** Dials as node `from`, and is node `from` once this resolves. */
export async function dialAs(from: number, to: number, port: number): Promise<RawSocket> {
  const raw = await RawSocket.open(port);
  const handshake = new DialerHandshake({ ...handshakeOf(from, null), to: nodeId(to) });
  let state = "waiting";
  raw.socket.on("data", (chunk: Uint8Array) => {
    if (state !== "waiting") return;
    const step = handshake.receive(chunk);
    state = step.state;
    if (step.send) raw.socket.write(step.send);
  });
  raw.socket.write(handshake.hello);
  await until("the raw handshake", () => state !== "waiting" || raw.isClosed);
  if (state !== "accepted") throw new Error(`the raw handshake ended ${state}`);
  return raw;
}

/** A peer port that admits everybody and then reads nothing until told to. */
export class DeafPeer {
  readonly port: number;
  readonly sockets: Socket[] = [];
  readonly #close: () => void;

  constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  static async open(id: number): Promise<DeafPeer> {
    const accepted: Socket[] = [];
    const server = createServer((socket) => {
      const handshake = new AcceptorHandshake(handshakeOf(id, null));
      const greet = (chunk: Uint8Array): void => {
        const step: HandshakeStep = handshake.receive(chunk);
        if (step.send) socket.write(step.send);
        if (step.state !== "accepted") return;
        socket.off("data", greet);
        socket.pause();
        peer.sockets.push(socket);
      };
      accepted.push(socket);
      socket.on("error", () => {});
      socket.on("data", greet);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = must(server.address(), "the server listens") as AddressInfo;
    const peer = new DeafPeer(port, () => {
      for (const socket of accepted) socket.destroy();
      server.close();
    });
    return peer;
  }

  /** Starts to read and hands every chunk of the newest connection on. */
  hear(take: (chunk: Uint8Array) => void): void {
    const socket = must(this.sockets[this.sockets.length - 1], "somebody has connected");
    socket.on("data", take);
    socket.resume();
  }

  close(): void {
    this.#close();
  }
}
