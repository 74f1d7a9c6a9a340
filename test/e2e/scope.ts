/**
 * What a test has opened and how it is closed again: processes, directories, sockets. A scope ends
 * with its test whether that passes or not, and tells what its processes said when it does not.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import { inTime } from "./wait.ts";

/** A single test that takes longer than this hangs. */
const testTimeoutMs = 120_000;

/** Of the processes that a test started, the last ones are told about when it fails. */
const witnessesMax = 8;

type Cleanup = () => void | Promise<void>;

const open = new Set<Scope>();

export class Scope {
  readonly #cleanups: Cleanup[] = [];
  readonly #witnesses: (() => string)[] = [];

  constructor() {
    open.add(this);
  }

  /** Runs when the scope ends, the last one first. */
  onEnd(cleanup: Cleanup): void {
    this.#cleanups.push(cleanup);
  }

  /** What to print when a test fails while the scope is open. */
  onFailure(witness: () => string): void {
    this.#witnesses.push(witness);
  }

  temporaryDirectory(): string {
    const directory = mkdtempSync(join(tmpdir(), "kv-e2e-"));
    this.onEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
    return directory;
  }

  get testimony(): string {
    const last = this.#witnesses.slice(-witnessesMax);
    return last.map((witness) => witness()).join("");
  }

  async end(): Promise<void> {
    open.delete(this);
    const errors: unknown[] = [];
    for (const cleanup of this.#cleanups.splice(0).toReversed()) {
      try {
        await cleanup();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 0) return;
    throw new AggregateError(errors, `a test could not be cleaned up: ${errors.join("; ")}`);
  }
}

/** A test with a scope of its own, which may also use what a `shared` scope of the file holds. */
export function scenario(name: string, run: (scope: Scope) => Promise<void>): void {
  test(name, async () => {
    const scope = new Scope();
    try {
      await inTime(`the end of "${name}"`, testTimeoutMs, run(scope));
    } catch (error) {
      for (const { testimony } of open) console.log(testimony);
      throw error;
    } finally {
      await scope.end();
    }
  });
}

/** What `create` makes, once for all tests of the file; it ends after the last. */
export function shared<T>(create: (scope: Scope) => Promise<T>): () => T {
  let value: T | undefined;
  let scope: Scope | undefined;
  test.before(async () => {
    scope = new Scope();
    try {
      value = await create(scope);
    } catch (error) {
      console.log(scope.testimony);
      await scope.end();
      throw error;
    }
  });
  test.after(() => scope?.end());
  return () => {
    if (value === undefined) throw new Error("used before the tests began");
    return value;
  };
}
