/** Large files: written back as they come, and gone without anybody waiting for their room. */

import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { removeLarge, replaceLarge } from "../../storage/large-file.ts";
import { WriteBack } from "../../storage/write-back.ts";

const directory = mkdtempSync(join(tmpdir(), "kv-large-"));
test.after(() => rmSync(directory, { recursive: true }));

/** Until `done`; what is waited for is another thread's. */
async function until(done: () => boolean): Promise<void> {
  const endMs = performance.now() + 5_000;
  while (!done()) {
    assert.ok(performance.now() < endMs, "not within 5 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const failure = (run: () => void): string | null => {
  try {
    run();
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
};

test("the name of a large file is free at once, and its descriptor soon", async () => {
  const path = join(directory, "large");
  writeFileSync(path, "");
  truncateSync(path, 300 << 20);
  removeLarge(path);
  assert.not(existsSync(path));
  const others = (): number => {
    const fd = openSync(directory, "r");
    closeSync(fd);
    return fd;
  };
  const before = others();
  await until(() => others() < before);
  removeLarge(path);
});

test("a file takes the place of a large one", () => {
  const [old, next] = [join(directory, "old"), join(directory, "next")];
  writeFileSync(old, "old");
  writeFileSync(next, "next");
  replaceLarge(old, () => renameSync(next, old));
  assert.is(readFileSync(old, "utf8"), "next");
  assert.throws(() => replaceLarge(old, () => renameSync(next, old)), /ENOENT/);
  assert.is(readFileSync(old, "utf8"), "next");
});

test("a sync that failed on another thread is told to the next who writes", async () => {
  const path = join(directory, "failing");
  writeFileSync(path, "");
  const fd = openSync(path, "r+");
  closeSync(fd);
  const writeBack = new WriteBack(fd);
  assert.is(
    failure(() => writeBack.wrote(2 << 20)),
    null,
  );
  await until(() => failure(() => writeBack.wrote(1)) === "EBADF");
});

test.run();
