/** Answers as bytes (RFC 9112 §4, §7.1). */

import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http";
import type { Answer } from "../answer.ts";

export interface AnswerForm {
  /** The text of the `Date` header. */
  readonly date: string;
  readonly isHead: boolean;
  /** Says that the connection ends with this answer. */
  readonly closes: boolean;
}

const noBody = (status: number): boolean => status === 204 || status === 304;

const statusLine = (status: number): string =>
  `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`;

const lineEnd = /[\r\n]/;

function fieldLines(headers: Iterable<readonly [string, string]>): string {
  let text = "";
  for (const [name, value] of headers) {
    // Would end the header, and let a stored value speak for the server.
    if (!lineEnd.test(name) && !lineEnd.test(value)) text += `${name}: ${value}\r\n`;
  }
  return text;
}

const closing = (form: AnswerForm): string =>
  form.closes ? `Date: ${form.date}\r\nConnection: close\r\n` : `Date: ${form.date}\r\n`;

/** A whole answer as one piece. */
export function encodeAnswer({ status, headers, body }: Answer, form: AnswerForm): Uint8Array {
  let head = statusLine(status);
  for (const name in headers) {
    const value = headers[name] ?? "";
    if (!lineEnd.test(value)) head += `${name}: ${value}\r\n`;
  }
  head += closing(form);
  const isText = typeof body === "string";
  const length = body === null ? 0 : isText ? Buffer.byteLength(body) : body.byteLength;
  // A HEAD's answer tells the length of what it leaves out, or none.
  const isTold =
    noBody(status) || headers["Content-Length"] !== undefined || (form.isHead && body === null);
  head += isTold ? "\r\n" : `Content-Length: ${length}\r\n\r\n`;
  if (body === null || form.isHead || length === 0) return Buffer.from(head, "latin1");
  const bytes = Buffer.allocUnsafe(head.length + length);
  bytes.write(head, 0, "latin1");
  if (isText) bytes.write(body, head.length, "utf8");
  else bytes.set(body, head.length);
  return bytes;
}

/** How the end of a streamed body is told: by its length, by chunks, or by the end of the connection. */
export type StreamFraming = "length" | "chunks" | "close";

/** The head of an answer whose body follows piece by piece. */
export function encodeStreamHead(
  response: Response,
  framing: StreamFraming,
  form: AnswerForm,
): Uint8Array {
  const coding = framing === "chunks" ? "Transfer-Encoding: chunked\r\n" : "";
  const head = statusLine(response.status) + fieldLines(response.headers) + closing(form) + coding;
  return Buffer.from(`${head}\r\n`, "latin1");
}

export function encodeChunk(bytes: Uint8Array): Uint8Array {
  const size = `${bytes.byteLength.toString(16)}\r\n`;
  const chunk = Buffer.allocUnsafe(size.length + bytes.byteLength + 2);
  chunk.write(size, 0, "latin1");
  chunk.set(bytes, size.length);
  chunk.write("\r\n", size.length + bytes.byteLength, "latin1");
  return chunk;
}

export const lastChunk: Uint8Array = Buffer.from("0\r\n\r\n", "latin1");
export const goOn: Uint8Array = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
