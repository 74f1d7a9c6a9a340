/** The prompt on a real pseudo-terminal. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster, type ClusterNode, electionMs, stopMs } from "./cluster.ts";
import { whyNoTerminal } from "./process.ts";
import { type Scope, scenario, shared } from "./scope.ts";
import { until } from "./wait.ts";

const noTerminal = whyNoTerminal();

const cluster = shared(async (scope) => {
  const prepared = await Cluster.prepare(scope);
  if (noTerminal !== null) return prepared;
  for (const node of prepared.nodes) node.start({ input: "terminal" });
  await prepared.whole();
  return prepared;
});

function terminalScenario(name: string, run: (scope: Scope) => Promise<void>): void {
  scenario(name, async (scope) => {
    if (noTerminal !== null) return skipped(noTerminal);
    await run(scope);
  });
}

const enter = "\r";
const controlC = "\x03";
const controlD = "\x04";
const arrowUp = "\x1b[A";

/** What stands at the left end of a row that was drawn: rows are drawn anew at every key. */
const row = (text: string): RegExp => new RegExp(`(?:^|[\\r\\n])${text}(?=[\\r\\n])`);

/** Types a line and waits for a row with the answer. */
async function type(node: ClusterNode, line: string, answer: string): Promise<void> {
  const from = node.process.stdout.length;
  node.process.write(line + enter);
  await node.process.says(row(answer), { from });
}

terminalScenario("the prompt shows the node and its role", async () => {
  const leader = await cluster().whole();
  for (const node of cluster().nodes) {
    const role = node === leader ? "leader" : "follower";
    await node.process.says(new RegExp(`kv\\[${node.id} ${role}\\]> `));
  }
});

terminalScenario("what is put at one prompt is got at another, and over HTTP", async () => {
  const [one, two, three] = [cluster().node(1), cluster().node(2), cluster().node(3)];
  one.process.write(`put typed "by hand"${enter}`);
  await until("the put", 5_000, async () => (await three.get("typed")).text === "by hand");
  await type(two, "get typed", "by hand");
  await type(three, "get typed", "by hand");
});

terminalScenario("watch shows changes until Ctrl-C, and then the prompt goes on", async () => {
  const [node, other] = [cluster().node(1), cluster().node(2)];
  const from = node.process.stdout.length;
  node.process.write(`watch seen/${enter}`);
  const revisions: number[] = [];
  await until("a change is shown", 5_000, async () => {
    revisions.push(await other.mustPut("seen/1", "x"));
    const shown = node.process.screen(from);
    return revisions.some((revision) => shown.includes(`${revision} put seen/1 = x`));
  });
  node.process.write(controlC);
  await node.process.says(/\(\d+ changes?\)/, { from });
  await type(node, "put after watching", "created, revision \\d+");
});

terminalScenario("Ctrl-C drops the line and not the node", async () => {
  const node = cluster().node(1);
  const from = node.process.stdout.length;
  node.process.write("put dropped line");
  await node.process.says(/put dropped line/, { from });
  node.process.write(controlC);
  await type(node, "get dropped", "not found");
  assert.ok(node.isRunning);
});

terminalScenario("Ctrl-C at an empty prompt does not end the node", async () => {
  const node = cluster().node(1);
  node.process.write(controlC + controlC + controlC);
  await node.mustPut("alive", "still");
  await type(node, "get alive", "still");
});

terminalScenario("a paste of many lines runs them all in order", async () => {
  const node = cluster().node(2);
  const lines = Array.from({ length: 40 }, (_, count) => `put paste value-${count}`);
  await type(node, [...lines, "get paste"].join(enter), "value-39");
});

terminalScenario("a value's escape codes are shown and not obeyed", async () => {
  const node = cluster().node(1);
  await node.mustPut("evil", "\x1b[31mred\x1b]0;title\x07");
  const from = node.process.stdout.length;
  node.process.write(`get evil${enter}`);
  await node.process.says(/red/, { from });
  assert.not.match(node.process.stdout.slice(from), /\x1b\[31mred|\x1b\]0;title/);
});

terminalScenario("a command is completed by the tabulator, and so is a key", async () => {
  const node = cluster().node(3);
  await node.mustPut("completion/unmistakable", "found it");
  // A read through this node makes sure that it has the key.
  await node.get("completion/unmistakable");
  const from = node.process.stdout.length;
  node.process.write("ge\t");
  await node.process.says(/> get /, { from });
  node.process.write("completion/unm\t");
  await node.process.says(/> get completion\/unmistakable/, { from });
  node.process.write(enter);
  await node.process.says(row("found it"), { from });
});

terminalScenario("the prompt follows the role", async () => {
  const leader = await cluster().whole();
  const others = cluster().nodes.filter((node) => node !== leader);
  const from = others.map((node) => node.process.stdout.length);
  await leader.kill();
  const next = await cluster().leader();
  const position = others.indexOf(next);
  await next.process.says(new RegExp(`kv\\[${next.id} leader\\]> `), {
    from: from[position] ?? 0,
    within: electionMs,
  });
  leader.start({ input: "terminal" });
  await cluster().whole();
});

terminalScenario("exit ends the node with 0 in time", async () => {
  const node = cluster().node(1);
  node.process.write(`exit${enter}`);
  assert.equal(await node.process.endsWithin(stopMs), { code: 0, signal: null });
});

terminalScenario("what was typed before comes back after a restart", async () => {
  const node = cluster().node(1);
  if (!node.isRunning) node.start({ input: "terminal" });
  await cluster().whole();
  await node.mustPut("history", "remembered");
  await type(node, "get history", "remembered");
  node.process.write(`exit${enter}`);
  await node.process.endsWithin(stopMs);
  node.start({ input: "terminal" });
  await cluster().whole();
  const from = node.process.stdout.length;
  // The last line is the `exit`, the one before it the `get`.
  node.process.write(arrowUp + arrowUp);
  await node.process.says(/> get history/, { from });
  node.process.write(enter);
  await node.process.says(row("remembered"), { from });
});

terminalScenario("Ctrl-D on an empty line ends the node with 0", async () => {
  const node = cluster().node(2);
  await node.process.says(/kv\[2 \w+\]> /);
  node.process.write(controlD);
  assert.equal(await node.process.endsWithin(stopMs), { code: 0, signal: null });
});

test.run();
