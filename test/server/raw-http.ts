/** A listener around a map, and sockets that send it bytes no HTTP client would send. */

import { connect, type Socket } from "node:net";
import type { Admission } from "../../server/admission.ts";
import { Backups } from "../../server/backups.ts";
import { bodyBytesMax, createApp, createDirect, type HttpOptions } from "../../server/http.ts";
import { listen } from "../../server/listen/http1.ts";
import type { Http1Limits } from "../../server/listen/http1-limits.ts";
import type { Listener, ListenOptions } from "../../server/listen/listen.ts";
import { admitted } from "../../server/web-guard.ts";
import { systemClock } from "../../cmd/system.ts";
import { MapStore } from "./map-store.ts";

const deadlineMs = 10_000;

export interface TestServer {
  readonly store: MapStore;
  readonly port: number;
  readonly listener: Listener;
}

function optionsOf(store: MapStore, options: Partial<HttpOptions> = {}): HttpOptions {
  return {
    store,
    live: () => true,
    ready: () => true,
    version: "1.2.3",
    metrics: async () => "up 1\n",
    backups: new Backups({ clock: systemClock, source: () => null }),
    hosts: new Set(["localhost", "127.0.0.1"]),
    origins: new Set(["https://friend.example"]),
    ...options,
  };
}

export function appOf(store: MapStore, options: Partial<HttpOptions> = {}) {
  return createApp(optionsOf(store, options));
}

export interface ServeOptions {
  readonly http?: Partial<HttpOptions>;
  readonly limits?: Partial<Http1Limits>;
  readonly admission?: Admission;
  readonly port?: number;
}

/** To serve `store` as a node does. */
export function listenOptions(store: MapStore, options: ServeOptions = {}): ListenOptions {
  const { admission, http = {}, limits = {}, port = 0 } = options;
  const given = optionsOf(store, http);
  const app = createApp(given);
  return {
    direct: createDirect(given),
    fetch: (request, env) => app.fetch(request, env),
    readable: (head, refusal) => admitted(head, refusal, given),
    bodyBytesMax,
    hostname: "127.0.0.1",
    port,
    clock: systemClock,
    limits,
    ...(admission === undefined ? {} : { admission }),
  };
}

export async function serve(limits: Partial<Http1Limits> = {}): Promise<TestServer> {
  const store = new MapStore();
  const listener = await listen(listenOptions(store, { limits }));
  return { store, listener, port: listener.port };
}

/** Resolves when `condition` holds; rejects after a deadline that says what was waited for. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class RawConnection {
  received = "";
  closed = false;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setEncoding("latin1");
    this.socket.on("data", (chunk) => {
      this.received += chunk.toString();
    });
    this.socket.on("close", () => {
      this.closed = true;
    });
    this.socket.on("error", () => {});
  }

  send(text: string): this {
    this.socket.write(text, "latin1");
    return this;
  }

  /** The status of the last answer that has begun. */
  async status(): Promise<number> {
    await until("an answer came", () => /HTTP\/1\.1 \d+/.test(this.received) || this.closed);
    return Number([...this.received.matchAll(/HTTP\/1\.1 (\d+)/g)].at(-1)?.[1] ?? 0);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Sends one request as it stands and gives everything that comes back until the server closes. */
export async function exchange(port: number, text: string): Promise<string> {
  const connection = new RawConnection(port);
  connection.send(text);
  await until("the server closed", () => connection.closed);
  connection.close();
  return connection.received;
}

/** The text of a request on `target` whose answer ends the connection. */
export function requestText(method: string, target: string, more = "", body = ""): string {
  const head = `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${more}`;
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  return `${head}${length}\r\n${body}`;
}

export function statusIn(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
}
