/**
 * Plays the transcripts in `transcripts/` at a prompt of their own: what each line says must be what
 * stands under it. With KV_REWRITE=1 that is written anew, for a person to read.
 */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Session } from "../../repl/session.ts";
import { formatBlock, parseScript } from "../raft/script-parser.ts";
import { MemoryStore } from "./memory-store.ts";

const directory = fileURLToPath(new URL("transcripts/", import.meta.url));
const isRewriting = process.env["KV_REWRITE"] === "1";

/** The whole text with what is said today. */
async function replay(text: string): Promise<string> {
  let nowMs = 0;
  // Between the beginning and the end of each command lie 1.5 milliseconds.
  const session = new Session(new MemoryStore(), () => (nowMs += 1.5));
  const blocks: string[] = [];
  for (const block of parseScript(text)) {
    const output: string[] = [];
    for (const line of block.commands) {
      const said = await session.execute(line, { columns: null });
      if (said.text !== null) output.push(...said.text.split("\n"));
    }
    blocks.push(formatBlock(block, output));
  }
  return `${blocks.join("\n\n")}\n`;
}

for (const file of readdirSync(directory).sort()) {
  test(file.slice(0, -".txt".length).replaceAll("-", " "), async () => {
    const path = `${directory}${file}`;
    const text = readFileSync(path, "utf8");
    const actual = await replay(text);
    if (isRewriting) writeFileSync(path, actual);
    else assert.fixture(actual, text);
  });
}

test.run();
