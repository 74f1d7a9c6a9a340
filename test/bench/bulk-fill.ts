/** Very many keys in little time: in transactions, as many puts in each as it takes. */

import { operationsMax } from "../../server/state-machine/transaction.ts";
import type { Running } from "./cluster.ts";
import { keyOf } from "./subject.ts";

const transactionsAtOnce = 16;

async function writePart(node: Running, first: number, end: number, value: string): Promise<void> {
  const operations = Array.from({ length: end - first }, (_, i) => ({
    op: "put",
    key: keyOf(first + i),
    value,
  }));
  const response = await fetch(`http://127.0.0.1:${node.httpPort}/v1/txn`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ if: [], then: operations, else: [] }),
  });
  const answer = await response.text();
  if (response.status !== 200) throw new Error(`the keys could not be written: ${answer}`);
}

/** Writes the keys from `first` to before `end`, which nobody else writes meanwhile. */
export async function bulkFill(
  node: Running,
  { first, end, valueBytes }: { first: number; end: number; valueBytes: number },
): Promise<void> {
  const value = "x".repeat(valueBytes);
  let next = first;
  const worker = async (): Promise<void> => {
    while (next < end) {
      const own = next;
      next = Math.min(end, own + operationsMax);
      await writePart(node, own, next, value);
    }
  };
  await Promise.all(Array.from({ length: transactionsAtOnce }, worker));
}
