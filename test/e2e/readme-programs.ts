/** The programs in the README, and what they promise to print. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterNode } from "./cluster.ts";
import { root } from "./executable.ts";

interface Program {
  readonly name: string;
  readonly code: string;
  /** The comments behind `console.log`, or on the lines after it. */
  readonly prints: readonly string[];
}

export function readmePrograms(language: "ts" | "html"): Program[] {
  const markdown = readFileSync(join(root, "README.md"), "utf8");
  const blocks = markdown.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"));
  return Array.from(blocks, ({ 1: code = "" }, at) => ({
    name: `${at + 1}`,
    code,
    prints: code.split("\n").flatMap((line) => {
      const [, said] = /^(?:.*console\.log\(.*\); )?\/\/ (.*)$/.exec(line) ?? [];
      return said === undefined ? [] : [said];
    }),
  }));
}

/** The code with the built-in cluster's addresses replaced by those of `nodes`. */
export function aimed(code: string, nodes: readonly ClusterNode[]): string {
  return nodes.reduce(
    (text, { id, httpPort }) => text.replaceAll(`localhost:800${id}`, `127.0.0.1:${httpPort}`),
    code,
  );
}
