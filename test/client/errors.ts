/** What a call failed with, for tests that expect it to. */

import { KvError } from "../../client/client.ts";

export async function failureOf(promise: Promise<unknown>): Promise<KvError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!KvError.is(error)) throw new Error(`no KvError, but ${String(error)}`);
  return error;
}
