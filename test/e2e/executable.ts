/** The program under test in its forms: the executable, and the same source on each runtime. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

export type Form = "executable" | "bun" | "deno" | "node" | "deno executable";

/** `KV_BINARY` names another executable than the one that the build leaves in the project. */
export const executable = resolve(process.env["KV_BINARY"] ?? join(root, "kv"));
export const denoExecutable = join(root, "kv-deno");

const source = join(root, "cmd/kv.ts");
const runtime = (name: string): string => join(root, "node_modules/.bin", name);

/** The program and its first arguments. */
export function commandOf(form: Form): [program: string, ...args: string[]] {
  switch (form) {
    case "executable":
      if (!existsSync(executable)) {
        throw new Error(`there is no ${executable}; build it with npm run build`);
      }
      return [executable];
    case "deno executable":
      return [denoExecutable];
    case "bun":
      return [runtime("bun"), source];
    case "deno":
      return [runtime("deno"), "run", "-A", source];
    case "node":
      return [runtime("node"), source];
    default:
      return form satisfies never;
  }
}

/** The environment without what would configure the program behind a test's back. */
export function cleanEnvironment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("KV_"));
  return { ...Object.fromEntries(own), TERM: "xterm", DENO_NO_UPDATE_CHECK: "1", ...more };
}
