/** Request headers that are known and not executed yet. */

import type { RequestHead } from "./answer.ts";
import type { Failure } from "./client-port.ts";
import { notImplemented } from "./problem.ts";

const laterHeaders = ["if", "if-modified-since", "if-unmodified-since", "ttl", "lease"];

export function laterHeader(name: string): Failure {
  return notImplemented(`the header \`${name}\` is not implemented yet; leave it out`, name);
}

/** To write without looking at them would be wrong in a way that nobody notices. */
export function refusedHeader({ headers }: RequestHead): Failure | null {
  for (const name of laterHeaders) if (headers.has(name)) return laterHeader(name);
  return null;
}
