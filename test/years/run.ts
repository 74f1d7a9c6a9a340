/** What a script of this directory is made of: a scope that ends with it, and its exit code. */

import { parseArgs } from "node:util";
import { Scope } from "../e2e/scope.ts";

/** Runs it to its end, tells what its processes said where it fails, and exits. */
export async function run(show: (scope: Scope) => Promise<void>): Promise<never> {
  const scope = new Scope();
  let code = 0;
  try {
    await show(scope);
  } catch (error) {
    console.log(scope.testimony);
    console.log(error);
    code = 1;
  }
  await scope.end();
  process.exit(code);
}

/** The flags of a script, all of them positive numbers. */
export function numbers<Name extends string>(defaults: Record<Name, number>): Record<Name, number> {
  const names = Object.keys(defaults) as Name[];
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
  });
  const found = { ...defaults };
  for (const name of names) {
    const text = values[name];
    if (text === undefined) continue;
    found[name] = Number(text);
    if (!(found[name] > 0)) throw new Error(`--${name} ${text} is not a positive number`);
  }
  return found;
}

export const seconds = (sinceMs: number): string =>
  `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
