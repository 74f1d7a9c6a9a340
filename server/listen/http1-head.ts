/**
 * The head of an HTTP/1.1 request (RFC 9112), strictly: what two programs could understand differently
 * is refused, and nothing is mended. Text in, a value out, no I/O.
 */

/** Fields of one request; more are refused. */
const fieldsMax = 100;

export interface Head {
  readonly method: string;
  /** As it came over the wire. */
  readonly target: string;
  readonly headers: HeaderFields;
  /** Bytes that follow, or that they are chunked. */
  readonly body: number | "chunked";
  /** Another request may come on this connection. */
  readonly isKeepAlive: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly awaitsContinue: boolean;
  /** Understands chunks in an answer: HTTP/1.0 does not. */
  readonly takesChunks: boolean;
}

export type HeadResult =
  | { readonly ok: true; readonly head: Head }
  | { readonly ok: false; readonly detail: string };

/** Names are in lower case. */
export class HeaderFields {
  readonly #names: string[] = [];
  readonly #values: string[] = [];

  get count(): number {
    return this.#names.length;
  }

  add(name: string, value: string): void {
    this.#names.push(name);
    this.#values.push(value);
  }

  has(name: string): boolean {
    return this.#names.includes(name.toLowerCase());
  }

  /** Joined by commas where there are several. */
  get(name: string): string | null {
    const wanted = name.toLowerCase();
    const first = this.#names.indexOf(wanted);
    if (first < 0) return null;
    let joined = this.#values[first] ?? "";
    for (let i = first + 1; i < this.#names.length; i++) {
      if (this.#names[i] === wanted) joined += `, ${this.#values[i]}`;
    }
    return joined;
  }

  isRepeated(name: string): boolean {
    const first = this.#names.indexOf(name);
    return first >= 0 && this.#names.includes(name, first + 1);
  }

  *[Symbol.iterator](): IterableIterator<[string, string]> {
    for (let i = 0; i < this.#names.length; i++)
      yield [this.#names[i] ?? "", this.#values[i] ?? ""];
  }
}

/** No control character but tabs and whole line ends. */
const foreignCharacter = /[^\t\r\n -~\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
const requestLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP\/1\.([01])$/;
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const length = /^\d{1,15}$/;

const refuse = (detail: string): HeadResult => ({ ok: false, detail });

/** Whether a line ends in a line feed alone, which some programs take for a line end. */
export const hasBareLineFeed = (text: string): boolean => /(?<!\r)\n/.test(text);

/** `text` is everything before the empty line, one character a byte. */
export function parseHead(text: string): HeadResult {
  if (foreignCharacter.test(text)) return refuse("a control character in its head");
  const firstEnd = text.indexOf("\r\n");
  const line = requestLine.exec(firstEnd < 0 ? text : text.slice(0, firstEnd));
  if (line === null) return refuse("its first line is no HTTP/1.1 request");
  const headers = new HeaderFields();
  const problem = firstEnd < 0 ? null : parseFields(text, firstEnd + 2, headers);
  if (problem !== null) return refuse(problem);
  if (!headers.has("host") || headers.isRepeated("host")) {
    return refuse("it does not have one Host header");
  }
  const body = framingOf(headers, line[3] === "1");
  if (typeof body === "object") return refuse(body.problem);
  const expects = headers.get("expect");
  if (expects !== null && expects.toLowerCase() !== "100-continue") {
    return refuse("it expects what this server does not do");
  }
  const head: Head = {
    method: line[1] ?? "",
    target: line[2] ?? "",
    headers,
    body,
    isKeepAlive: line[3] === "1" && !asksToClose(headers),
    awaitsContinue: expects !== null && line[3] === "1" && body !== 0,
    takesChunks: line[3] === "1",
  };
  return { ok: true, head };
}

/** Reads the lines from `start` on into `headers`; returns what is wrong with them. */
export function parseFields(text: string, start: number, headers: HeaderFields): string | null {
  for (let at = start; at < text.length;) {
    const lineEnd = text.indexOf("\r\n", at);
    const end = lineEnd < 0 ? text.length : lineEnd;
    const colon = text.indexOf(":", at);
    if (colon < 0 || colon >= end) return "a header without a colon";
    const name = text.slice(at, colon);
    // Also a line that goes on where the one before ended, and a space before the colon.
    if (!token.test(name)) return "a header's name is none";
    if (headers.count >= fieldsMax) return `more than ${fieldsMax} headers`;
    headers.add(name.toLowerCase(), withoutMargins(text, colon + 1, end));
    at = end + 2;
  }
  return null;
}

/** Spaces and tabs around a value are not part of it; what else `trim` takes is. */
function withoutMargins(text: string, start: number, end: number): string {
  const isBlank = (at: number): boolean => text[at] === " " || text[at] === "\t";
  while (start < end && isBlank(start)) start++;
  while (end > start && isBlank(end - 1)) end--;
  return text.slice(start, end);
}

/** RFC 9112 §6.3. Two lengths, even two equal ones, are how requests are smuggled past a proxy. */
function framingOf(headers: HeaderFields, isCurrent: boolean): Head["body"] | { problem: string } {
  const declared = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding !== null) {
    if (declared !== null) return { problem: "it has both a length and a transfer coding" };
    if (!isCurrent || coding.toLowerCase() !== "chunked") {
      return { problem: "its transfer coding is not `chunked` alone" };
    }
    return "chunked";
  }
  if (declared === null) return 0;
  return length.test(declared) ? Number(declared) : { problem: "its Content-Length is no number" };
}

function asksToClose(headers: HeaderFields): boolean {
  const wishes = headers.get("connection");
  if (wishes === null) return false;
  return wishes.split(",").some((wish) => wish.trim().toLowerCase() === "close");
}
