/** The sockets of the runtime at hand. */

import type { SocketRuntime } from "./socket.ts";

export const sockets: SocketRuntime =
  "Bun" in globalThis
    ? (await import("./bun.ts")).bunSockets
    : (await import("./node.ts")).nodeSockets;
