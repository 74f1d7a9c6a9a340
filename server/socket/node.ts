/** Connections over `node:net`: on Node and on Deno. */

import type { Buffer } from "node:buffer";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type {
  SocketAddress,
  SocketEvents,
  SocketListener,
  SocketRuntime,
  StreamSocket,
} from "./socket.ts";

class NodeSocket implements StreamSocket {
  readonly #socket: Socket;
  #isOver = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** `events` is asked for when the connection can already be handed on. */
  attach(events: SocketEvents): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.on("connect", () => this.#isOver || events.connected?.());
    socket.on("data", (chunk: Buffer) => this.#isOver || events.data(chunk));
    socket.on("drain", () => this.#isOver || events.drained());
    socket.on("end", () => this.#isOver || events.ended());
    // What an error means for the connection is said by the `close` that follows it.
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#isOver) return;
      this.#isOver = true;
      events.closed();
    });
  }

  write(bytes: Uint8Array): void {
    if (!this.#isOver && this.#socket.writable) this.#socket.write(bytes);
  }

  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  end(): void {
    if (!this.#isOver) this.#socket.end();
  }

  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  get remote(): string {
    return `${this.#socket.remoteAddress}:${this.#socket.remotePort}`;
  }
}

async function listen(
  { host, port }: SocketAddress,
  accept: (socket: StreamSocket) => SocketEvents,
): Promise<SocketListener> {
  const server = createServer({ allowHalfOpen: true }, (accepted) => {
    const socket = new NodeSocket(accepted);
    socket.attach(accept(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  // A connection that could not be accepted (no descriptor is left) is the other side's to try again.
  server.on("error", () => {});
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

export const nodeSockets: SocketRuntime = {
  listen,
  dial({ host, port }, events) {
    const socket = new NodeSocket(connect({ host, port, allowHalfOpen: true }));
    socket.attach(events);
    return socket;
  },
};
