/**
 * Runs the transcripts in `scripts/`: each command's output must be what stands under it. With
 * KV_REWRITE=1 the outputs are written anew, for a person to read.
 */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Script } from "./script-commands.ts";
import { formatBlock, parseScript } from "./script-parser.ts";

const directory = fileURLToPath(new URL("scripts/", import.meta.url));
const isRewriting = process.env["KV_REWRITE"] === "1";

/** The whole text of the script with the output it gives today. */
function replay(text: string): string {
  const script = new Script();
  const blocks = parseScript(text).map((block) => {
    const output = block.commands.flatMap((line) => {
      try {
        return script.run(line);
      } catch (error) {
        throw new Error(`${line}: ${error instanceof Error ? error.message : ""}`, {
          cause: error,
        });
      }
    });
    return formatBlock(block, output);
  });
  return `${blocks.join("\n\n")}\n`;
}

for (const file of readdirSync(directory).sort()) {
  if (!file.endsWith(".txt")) continue;
  test(file.slice(0, -".txt".length).replaceAll("-", " "), () => {
    const path = `${directory}${file}`;
    const text = readFileSync(path, "utf8");
    const actual = replay(text);
    if (isRewriting) writeFileSync(path, actual);
    else assert.fixture(actual, text);
  });
}

test.run();
