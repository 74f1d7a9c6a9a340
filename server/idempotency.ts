/** `Idempotency-Key`: a request that is sent again under the same key is not executed again. */

import { createHash } from "node:crypto";
import type { RequestHead } from "./answer.ts";
import type { Result, WriteOptions } from "./client-port.ts";
import { badRequest } from "./problem.ts";
import { requestKeyBytesMax } from "./state-machine/command.ts";

export type Once = Pick<WriteOptions, "idempotencyKey" | "fingerprint">;

const name = "idempotency-key";
const often: Once = {};

/** Two requests are the same where method, path with query, and body are. */
export function onceOf(
  { method, headers }: RequestHead,
  { target, body }: { readonly target: string; readonly body: Uint8Array },
): Result<{ readonly once: Once }> {
  const idempotencyKey = headers.get(name);
  if (idempotencyKey === null) return { ok: true, once: often };
  if (!isIdempotencyKey(idempotencyKey)) {
    return badRequest(`\`${name}\` is 1 to ${requestKeyBytesMax} printable ASCII characters`, name);
  }
  const hash = createHash("sha256").update(`${method} ${target}\n`).update(body);
  return { ok: true, once: { idempotencyKey, fingerprint: new Uint8Array(hash.digest()) } };
}

const isIdempotencyKey = (text: string): boolean =>
  text.length <= requestKeyBytesMax && /^[ -~]+$/.test(text);

/** Of a request that did not come over HTTP: what it asks for is all there is of it. */
export const fingerprintOf = (command: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update("command\n").update(command).digest());
