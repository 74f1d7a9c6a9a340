/** What a connection of `node:http` gets for bytes that are no request. */

import { badRequest, problemBody } from "../problem.ts";

interface Kind {
  readonly line: string;
  readonly status: number;
  readonly detail: string;
}

const malformed: Kind = {
  line: "400 Bad Request",
  status: 400,
  detail: "the request is malformed; it has to be HTTP/1.1 as in RFC 9112",
};

/** By the code of the parser's error. */
const kinds: Readonly<Record<string, Kind>> = {
  HPE_HEADER_OVERFLOW: {
    line: "431 Request Header Fields Too Large",
    status: 431,
    detail: "the request's headers are too large; send fewer or shorter ones",
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    line: "413 Content Too Large",
    status: 413,
    detail: "the body's chunk extensions are too large; leave them out",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    line: "408 Request Timeout",
    status: 408,
    detail: "the request did not arrive in time; send it again as a whole",
  },
};

/** The whole answer, after which the connection has to close. */
export function malformedAnswer(code: string | undefined): string {
  const { line, status, detail } = kinds[code ?? ""] ?? malformed;
  const body = problemBody(badRequest(detail), { write: true, status });
  return (
    `HTTP/1.1 ${line}\r\nContent-Type: application/problem+json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}
