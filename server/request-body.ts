/** Reads a request's body whole or not at all, with a limit on each and on all together. */

import type { Failure } from "./client-port.ts";
import { badRequest } from "./problem.ts";

/** Bodies up to this size count for nothing: the connections' own buffers are as large. */
const smallBytesMax = 64 << 10;
/** Bytes of larger bodies that may be on their way in at one time. */
const readingBytesMax = 64 << 20;
/** A larger body that takes longer than this gives its room back. */
const readingMsMax = 30_000;

const overloaded: Failure = {
  ok: false,
  code: "overloaded",
  detail: "too many large values are being received at once; send it again",
  outcome: "not_applied",
};

const cutShort = badRequest("the body ended before it was complete; nothing was changed");

function tooLarge(bytesMax: number): Failure {
  return {
    ok: false,
    code: "too_large",
    detail: `the value is larger than ${bytesMax} bytes; store it in parts`,
  };
}

export class BodyReader {
  readonly #bytesMax: number;
  #readingBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that belong to the caller. A declared length over the limit is refused unread. */
  async read(request: Request): Promise<Uint8Array | Failure> {
    const declared = request.headers.get("content-length");
    if (declared === null) return this.#reserved(this.#bytesMax, () => this.#stream(request));
    const length = /^\d{1,15}$/.test(declared) ? Number(declared) : Infinity;
    if (length > this.#bytesMax) return tooLarge(this.#bytesMax);
    if (length <= smallBytesMax) return whole(request, length);
    return this.#reserved(length, () => withDeadline(whole(request, length)));
  }

  async #reserved(
    bytes: number,
    read: () => Promise<Uint8Array | Failure>,
  ): Promise<Uint8Array | Failure> {
    if (this.#readingBytes + bytes > readingBytesMax) return overloaded;
    this.#readingBytes += bytes;
    try {
      return await read();
    } finally {
      this.#readingBytes -= bytes;
    }
  }

  /** A body of unannounced length, as chunked encoding sends it. */
  async #stream(request: Request): Promise<Uint8Array | Failure> {
    if (request.body === null) return new Uint8Array(0);
    const reader = request.body.getReader();
    const read = this.#chunks(reader);
    const body = await withDeadline(read);
    // Frees what a refused body still holds; the answer does not wait for it.
    if (!(body instanceof Uint8Array)) reader.cancel().catch(() => {});
    return body;
  }

  async #chunks(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | Failure> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        length += part.value.length;
        if (length > this.#bytesMax) return tooLarge(this.#bytesMax);
        chunks.push(part.value);
      }
    } catch {
      return cutShort;
    }
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  }
}

/** The HTTP parser lets no more through than was declared; less is a connection that broke off. */
async function whole(request: Request, length: number): Promise<Uint8Array | Failure> {
  if (length === 0) return new Uint8Array(0);
  try {
    const bytes = new Uint8Array(await request.arrayBuffer());
    return bytes.length === length ? bytes : cutShort;
  } catch {
    return cutShort;
  }
}

function withDeadline(body: Promise<Uint8Array | Failure>): Promise<Uint8Array | Failure> {
  const deadline = AbortSignal.timeout(readingMsMax);
  return new Promise((resolve, reject) => {
    const late = () => {
      resolve(
        badRequest(`the body took longer than ${readingMsMax / 1000} s; nothing was changed`),
      );
    };
    deadline.addEventListener("abort", late, { once: true });
    body.then(resolve, reject).finally(() => deadline.removeEventListener("abort", late));
  });
}
