/**
 * Requests and answers without the standard's classes. Those cost, for a small request, more than all
 * of its work; a request on a key is read and answered with these alone.
 */

/** What a handler looks at. The standard's `Request` is one too. */
export interface RequestHead {
  readonly method: string;
  /** Known of a `Request` alone. */
  readonly url?: string;
  readonly headers: {
    /** In any case; several fields of one name are joined by commas. */
    get(name: string): string | null;
    has(name: string): boolean;
  };
}

/** Who has sent a request. */
export interface Asker {
  /** Its signal comes once he has gone: closed the connection, or his side of it. */
  gone(): AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array | null;
}

export function responseOf({ status, headers, body }: Answer): Response {
  return new Response(body as BodyInit | null, { status, headers });
}
