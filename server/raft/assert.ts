/** Assertions that stay on in production: a failed one is a bug of ours, and the process must not go on. */

export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Claims that `condition` holds. `claim` is the sentence that turned out to be false. */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new AssertionError(claim);
}

/** Ends every switch over a union: the compiler proves it is never reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`a case nobody handles: ${JSON.stringify(value)}`);
}

/** The value, which is known to be there although its type cannot say so. */
export function must<T>(value: T | undefined | null, claim: string): T {
  assert(value !== undefined && value !== null, claim);
  return value;
}
