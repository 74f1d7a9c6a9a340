/** What a listener is asked for, and gives. */

import type { Admission } from "../admission.ts";
import type { Answer, Asker } from "../answer.ts";
import type { Failure } from "../client-port.ts";
import type { HttpEnv } from "../http.ts";
import type { Clock } from "../ports.ts";
import type { Head } from "./http1-head.ts";
import type { Http1Limits } from "./http1-limits.ts";

export interface ListenOptions {
  /**
   * Answers without the standard's classes, or leaves the request to `fetch` with null. Never throws
   * and never rejects. `body` is the bytes, or why they were not read.
   */
  direct(head: Head, body: Uint8Array | Failure, asker: Asker): Answer | Promise<Answer> | null;
  fetch(request: Request, env: HttpEnv): Response | Promise<Response>;
  /** Gives a refusal that comes from here what a page needs to read it; without it, nothing. */
  readable?(head: Head, refusal: Answer): Answer;
  /** Is told of every answer as it begins, `ms` after the request was there. */
  answered?(
    asked: { readonly method: string; readonly target: string },
    status: number,
    ms: number,
  ): void;
  readonly hostname: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Larger bodies are refused unread. */
  bodyBytesMax(target: string): number;
  readonly clock: Clock;
  /** Who is let in; without it everybody is. */
  readonly admission?: Admission;
  readonly limits?: Partial<Http1Limits>;
}

export interface Listener {
  readonly port: number;
  /** Whether a connection has been open since `drain`. */
  readonly hasClients: boolean;
  /**
   * Goes on as before, but every answer is the last of its connection: whoever keeps one open learns
   * that it ends, and does not send into a closing one.
   */
  drain(): void;
  /**
   * Takes no more connections, lets requests in flight finish for up to `graceMs` milliseconds, and
   * cuts what is left.
   */
  close(graceMs: number): Promise<void>;
}
