/** Free ports for nodes that are killed and started again, and no other test's at the same time. */

import { randomInt } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Below the range from which systems take the local ports of outgoing connections: while a node is
 * down, none of its peers' connections may happen to occupy its port, or even connect to itself.
 */
const lowest = 20_000;
const highest = 32_000;
const triesMax = 1_000;

/** A file for each port that a test holds, with its process's id, whether a node listens there or not. */
const claims = join(tmpdir(), `kv-test-ports-${process.getuid?.() ?? "all"}`);
const given = new Set<number>();

const claimOf = (port: number): string => join(claims, String(port));

process.on("exit", () => {
  for (const port of given) rmSync(claimOf(port), { force: true });
});

/** Whether the process that claimed the port still runs, or has given it back just now. */
function isHeld(port: number): boolean {
  try {
    return process.kill(Number(readFileSync(claimOf(port), "utf8")), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** False where another process, of those that still run, holds the port. */
function claim(port: number): boolean {
  mkdirSync(claims, { recursive: true });
  try {
    writeFileSync(claimOf(port), String(process.pid), { flag: "wx" });
    return true;
  } catch {
    // What a process that was killed has left behind is free for the next who comes by.
    if (!isHeld(port)) rmSync(claimOf(port), { force: true });
    return false;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > triesMax) throw new Error("found no free ports");
    const port = randomInt(lowest, highest);
    if (given.has(port) || !claim(port)) continue;
    given.add(port);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}
