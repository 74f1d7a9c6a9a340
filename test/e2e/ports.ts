/** Free ports for nodes that are killed and started again. */

import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below the range from which systems take the local ports of outgoing connections: while a node is
 * down, none of its peers' connections may happen to occupy its port, or even connect to itself.
 */
const lowest = 20_000;
const highest = 32_000;
const triesMax = 1_000;

const given = new Set<number>();

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
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}
