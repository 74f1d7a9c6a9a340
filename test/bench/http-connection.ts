/** One keep-alive connection with as little in the way as possible, so that the server is measured. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";

export class HttpConnection {
  readonly #socket: Socket;
  #buffer = "";
  readonly #waiting: ((status: number) => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      this.#buffer += chunk.toString("latin1");
      this.#takeAnswers();
    });
  }

  static async open(port: number): Promise<HttpConnection> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new HttpConnection(socket);
  }

  /** Sends a PUT and resolves with the status of its answer; several may be on the way. */
  put(key: string, value: string): Promise<number> {
    this.#socket.write(
      `PUT /v1/kv/${key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${value.length}\r\n\r\n${value}`,
    );
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#socket.destroy();
  }

  #takeAnswers(): void {
    for (;;) {
      const end = this.#buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#buffer.slice(0, end);
      const total = this.#answerLength(head, end + 4);
      if (total === null || this.#buffer.length < total) return;
      this.#buffer = this.#buffer.slice(total);
      this.#waiting.shift()?.(Number(head.slice(9, 12)));
    }
  }

  #answerLength(head: string, start: number): number | null {
    const length = /content-length: *(\d+)/i.exec(head);
    if (length) return start + Number(length[1]);
    const end = this.#buffer.indexOf("0\r\n\r\n", start);
    return end < 0 ? null : end + 5;
  }
}
