/** System calls of a running node that are counted, fail, hang or kill it, by way of strace. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterNode } from "./cluster.ts";
import { KvProcess } from "./process.ts";
import type { Scope } from "./scope.ts";
import { until } from "./wait.ts";

function look(): string | null {
  const filter = ["-e", "trace=getpid", "-e", "inject=getpid:error=EIO", "-o", "/dev/null"];
  const tried = spawnSync("strace", ["-f", ...filter, "true"], { encoding: "utf8" });
  if (tried.error) return "no strace";
  return tried.status === 0 ? null : `strace may not trace: ${tried.stderr.trim()}`;
}

let looked: { why: string | null } | null = null;

/** Why system calls cannot be made to fail here; null where they can. */
export function whyNoInjection(): string | null {
  looked ??= { why: look() };
  return looked.why;
}

/** The system calls of a running node, as strace sees them. */
export class Tracing {
  readonly #tracer: KvProcess;
  readonly #output: string;

  private constructor(tracer: KvProcess, output: string) {
    this.#tracer = tracer;
    this.#output = output;
  }

  /** `filter`: arguments of strace that say which calls, and what becomes of them. */
  static async attach(
    scope: Scope,
    node: ClusterNode,
    filter: readonly string[],
  ): Promise<Tracing> {
    const output = join(scope.temporaryDirectory(), "strace");
    const command = ["strace", "-f", "-o", output, ...filter, "-p", String(node.process.pid)];
    const tracer = new KvProcess(scope, { name: "strace", command });
    await until("strace has attached", 5_000, () => {
      if (tracer.stderr.includes("attached")) return true;
      throw new Error(tracer.stderr);
    });
    return new Tracing(tracer, output);
  }

  /** What was traced so far: a line for every call. */
  get text(): string {
    return readFileSync(this.#output, "utf8");
  }

  /** The node goes on without the tracer. */
  async detach(): Promise<void> {
    this.#tracer.signal("SIGINT");
    await this.#tracer.endsWithin(5_000);
  }
}

/** System calls of a running node that do as they are told. */
export class Injection {
  readonly #tracing: Tracing;

  private constructor(tracing: Tracing) {
    this.#tracing = tracing;
  }

  /** From now on the system calls of the running node do as `what` says, in strace's words. */
  static async attach(scope: Scope, node: ClusterNode, what: string): Promise<Injection> {
    const [calls = ""] = what.split(":");
    const filter = ["-e", `trace=${calls}`, "-e", `inject=${what}`];
    return new Injection(await Tracing.attach(scope, node, filter));
  }

  /** System calls that were tampered with so far. */
  get count(): number {
    return this.#tracing.text.split(/INJECTED|DELAYED/).length - 1;
  }

  /** The node goes on without the tracer. */
  detach(): Promise<void> {
    return this.#tracing.detach();
  }
}
