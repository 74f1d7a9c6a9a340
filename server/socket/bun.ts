/** Connections over Bun's own sockets. */

import type { Buffer } from "node:buffer";
import type {
  SocketAddress,
  SocketEvents,
  SocketListener,
  SocketRuntime,
  StreamSocket,
} from "./socket.ts";

type Native = Bun.Socket<BunSocket>;

class BunSocket implements StreamSocket {
  /** Null before a dialed connection stands, and after the end. */
  #native: Native | null = null;
  #events: SocketEvents | null = null;
  /** What the kernel has not taken, oldest first, and how much that is. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isEnding = false;
  #isOver = false;

  /** The connection stands. */
  open(native: Native): void {
    if (this.#isOver) {
      native.end();
      return;
    }
    this.#native = native;
    native.setNoDelay(true);
  }

  attach(events: SocketEvents): void {
    this.#events = events;
  }

  write(bytes: Uint8Array): void {
    const native = this.#native;
    if (native === null || this.#isEnding) return;
    let taken = 0;
    // Behind what waits already, or it would overtake it.
    if (this.#waitingBytes === 0) {
      taken = Math.max(0, native.write(bytes));
      if (taken === bytes.byteLength) return;
    }
    this.#waiting.push(taken === 0 ? bytes : bytes.subarray(taken));
    this.#waitingBytes += bytes.byteLength - taken;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (this.#waitingBytes === 0) this.#native?.shutdown();
  }

  destroy(): void {
    this.#isOver = true;
    // Despite its name this closes both directions. `terminate` would reset the connection, and what
    // was written last would be lost on the way.
    this.#forget()?.end();
  }

  pause(): void {
    this.#native?.pause();
  }

  resume(): void {
    this.#native?.resume();
  }

  get remote(): string {
    return `${this.#native?.remoteAddress}:${this.#native?.remotePort}`;
  }

  // ------------------------------------------------------------------ what the runtime says

  connected(): void {
    if (!this.#isOver) this.#events?.connected?.();
  }

  data(chunk: Buffer): void {
    if (!this.#isOver) this.#events?.data(chunk);
  }

  drained(): void {
    const native = this.#native;
    if (native === null) return;
    let written = 0;
    for (const bytes of this.#waiting) {
      const taken = Math.max(0, native.write(bytes));
      this.#waitingBytes -= taken;
      if (taken < bytes.byteLength) {
        this.#waiting[written] = bytes.subarray(taken);
        break;
      }
      written++;
    }
    if (written > 0) this.#waiting.splice(0, written);
    if (this.#waitingBytes > 0) return;
    if (this.#isEnding) native.shutdown();
    else this.#events?.drained();
  }

  ended(): void {
    if (!this.#isOver) this.#events?.ended();
  }

  closed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const events = this.#events;
    this.#forget();
    events?.closed();
  }

  /** Lets go of everything: the runtime's own object may live on for a while. */
  #forget(): Native | null {
    const native = this.#native;
    this.#native = null;
    this.#events = null;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return native;
  }
}

/** One for all connections: which one it is about stands in `data`. */
const handlers: Bun.SocketHandler<BunSocket> = {
  data: (native, chunk) => native.data.data(chunk),
  drain: (native) => native.data.drained(),
  end: (native) => native.data.ended(),
  close: (native) => native.data.closed(),
  // Thrown by a receiver above: a bug, which ends the process. An error thrown from here would not.
  error(_native, error) {
    void Promise.reject(error);
  },
};

const dialed: Bun.SocketHandler<BunSocket> = {
  ...handlers,
  open(native) {
    native.data.open(native);
    native.data.connected();
  },
  connectError: (native) => native.data.closed(),
};

function listen(
  { host, port }: SocketAddress,
  accept: (socket: StreamSocket) => SocketEvents,
): Promise<SocketListener> {
  return new Promise((resolve) => {
    const listener = Bun.listen<BunSocket>({
      hostname: host,
      port,
      allowHalfOpen: true,
      exclusive: true,
      socket: {
        ...handlers,
        open(native) {
          const socket = new BunSocket();
          native.data = socket;
          socket.open(native);
          socket.attach(accept(socket));
        },
      },
    });
    resolve({ port: listener.port, close: () => listener.stop() });
  });
}

export const bunSockets: SocketRuntime = {
  listen,
  dial({ host, port }, events) {
    const socket = new BunSocket();
    socket.attach(events);
    const options = { hostname: host, port, allowHalfOpen: true, data: socket, socket: dialed };
    // `connectError` has told it by then.
    Bun.connect(options).catch(() => socket.closed());
    return socket;
  },
};
