/** Plain HTTP to one node: paths and headers go out exactly as they are given. */

import { type Agent, type IncomingHttpHeaders, request } from "node:http";
import { connect, type Socket } from "node:net";
import type { Scope } from "./scope.ts";
import { inTime } from "./wait.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as text. */
  readonly text: string;
  /** The body as a JSON object; throws where it is none. */
  json(): Record<string, unknown>;
}

export interface Question {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** Default: a connection of its own. */
  readonly agent?: Agent;
}

/** No answer came. `neverSent`: there was nobody to take the request, so surely nothing happened. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
  readonly neverSent: boolean;

  constructor(message: string, neverSent: boolean) {
    super(message);
    this.neverSent = neverSent;
  }
}

/** Longer than any node may take: five seconds for a request, two for want of a leader. */
const timeoutMsDefault = 9_000;

export function ask(
  port: number,
  method: string,
  path: string,
  question: Question = {},
): Promise<Answer> {
  const { headers = {}, body, timeoutMs = timeoutMsDefault, agent = false } = question;
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
    const outgoing = request(
      { host: "127.0.0.1", port, method, path, agent, headers: { ...length, ...headers } },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", fail);
        incoming.on("end", () => {
          clearTimeout(timer);
          resolve(answer(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks)));
        });
      },
    );
    const fail = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      const neverSent = error.code === "ECONNREFUSED";
      reject(new NoAnswer(`${method} ${path} on port ${port}: ${error.message}`, neverSent));
    };
    const timer = setTimeout(() => {
      outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}

function answer(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const text = body.toString();
  return { status, headers, body, text, json: () => JSON.parse(text) as Record<string, unknown> };
}

/** A connection whose bytes the test writes itself. */
export class RawConnection {
  received = "";
  isClosed = false;
  readonly closed: Promise<void>;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => (this.received += text));
    // A reset is as good an end as a close.
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.isClosed = true;
        resolve();
      });
    });
    socket.on("end", () => socket.end());
  }

  static async open(scope: Scope, port: number): Promise<RawConnection> {
    const socket = connect(port, "127.0.0.1");
    scope.onEnd(() => void socket.destroy());
    await inTime(
      `a connection to port ${port}`,
      5_000,
      new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      }),
    );
    return new RawConnection(socket);
  }

  write(bytes: string | Uint8Array): void {
    if (!this.isClosed) this.#socket.write(bytes);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
