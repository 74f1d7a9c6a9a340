/**
 * A TCP connection as the peer transport and the HTTP listener see it. Two implementations: Bun's own
 * sockets, and `node:net`. On Bun the latter is a layer of streams over the former, and costs as much
 * as everything else that a small request passes through.
 */

import type { Buffer } from "node:buffer";

export interface StreamSocket {
  /**
   * Takes all of `bytes`, which are not to be changed any more: what the kernel does not take now waits
   * here. Whoever writes much looks at `waitingBytes` and goes on when `drained` comes. After the end
   * of the connection it does nothing.
   */
  write(bytes: Uint8Array): void;
  /** Written, and not yet taken by the kernel. */
  readonly waitingBytes: number;
  /** Sends what waits, then says that nothing more comes from here. The other side may go on. */
  end(): void;
  /** Ends both directions at once. No event follows. */
  destroy(): void;
  /** Until `resume` no `data` comes, and the other side finds its way blocked. */
  pause(): void;
  resume(): void;
  /** Address and port of the other end, for people. */
  readonly remote: string;
}

/** What happens to one connection. Nothing comes after `closed`, and nothing before it is known here. */
export interface SocketEvents {
  /** Only of a dialed connection: it stands. */
  connected?(): void;
  /** The chunk belongs to the receiver. */
  data(chunk: Buffer): void;
  /** Nothing waits any more. */
  drained(): void;
  /**
   * The other side has said that nothing more comes from it. Where our own end went out before, the
   * connection may be `closed` at once instead.
   */
  ended(): void;
  /** For whatever reason; a connection that never stood included. */
  closed(): void;
}

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

export interface SocketListener {
  readonly port: number;
  /** Frees the port. Connections that stand are left alone. */
  close(): void;
}

export interface SocketRuntime {
  /**
   * Port 0 takes any free one. Rejects with the system's error, whose `code` says `EADDRINUSE` where
   * the port is taken.
   */
  listen(
    address: SocketAddress,
    accept: (socket: StreamSocket) => SocketEvents,
  ): Promise<SocketListener>;
  /** Returns at once; nothing is written before `connected`. */
  dial(address: SocketAddress, events: SocketEvents): StreamSocket;
}
