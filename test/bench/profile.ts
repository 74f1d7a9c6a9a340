/**
 * Where the processor time of a request goes: each step of a put and of a get alone, in a loop in this
 * process, and then all three nodes under `h2load` by their threads, so that it shows what is left for
 * sockets, turns of the loop and the kernel.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../cmd/system.ts";
import { defaultLimits } from "../../server/limits.ts";
import { encodeAnswer } from "../../server/listen/http1-answer.ts";
import { parseHead } from "../../server/listen/http1-head.ts";
import { decodePeerMessage, PeerEncoder } from "../../server/peer-codec.ts";
import { index, nodeId, term, type Entry } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import { Watches } from "../../server/watch/watches.ts";
import { KeyValueStore } from "../../storage/key-value-store.ts";
import { NodeDisk } from "../../storage/node-disk.ts";
import { RaftLog } from "../../storage/raft-log.ts";
import { bunDriver } from "../../storage/sqlite/bun.ts";
import { isInstalled, measure } from "./h2load.ts";
import { HttpWords } from "./http-words.ts";
import { OwnCluster, profiledLoad } from "./own.ts";
import { keyOf, type Operation } from "./subject.ts";

const { clients, keyCount, valueBytes } = profiledLoad;
const value = new Uint8Array(valueBytes).fill(120);
/** What 64 clients bring together, about. */
const batch = 32;
const warmUpPuts = 60_000;
const measuredPuts = 100_000;
const seconds = 4;
const rounds = 3;

/** Processor time of this process by now, all its threads, in microseconds. */
function usedUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Sums by name, and the longest of each: that is how long everybody waits. */
class Steps {
  readonly #sums = new Map<string, { us: number; longestUs: number }>();

  run<T>(name: string, step: () => T): T {
    const before = usedUs();
    const result = step();
    this.add(name, usedUs() - before);
    return result;
  }

  add(name: string, us: number): void {
    const sum = this.#sums.get(name) ?? { us: 0, longestUs: 0 };
    this.#sums.set(name, { us: sum.us + us, longestUs: Math.max(sum.longestUs, us) });
  }

  clear(): void {
    this.#sums.clear();
  }

  print(count: number): void {
    for (const [name, { us, longestUs }] of this.#sums) {
      const each = (us / count).toFixed(2).padStart(7);
      console.log(`  ${name.padEnd(44)}${each} us   at most ${(longestUs / 1000).toFixed(1)} ms`);
    }
  }
}

const random = (): number => Math.floor(Math.random() * keyCount);

const putFields = `Host: 127.0.0.1\r\nUser-Agent: h2load\r\nContent-Length: ${value.byteLength}`;

const putHead = (key: string): string => `PUT /v1/kv/${key} HTTP/1.1\r\n${putFields}`;

const date = new Date(0).toUTCString();

function answerPut(key: string, revision: number): Uint8Array {
  const headers = { "Content-Type": "application/json", ETag: `"${revision}"` };
  const body = JSON.stringify({ key, revision });
  return encodeAnswer({ status: 200, headers, body }, { date, isHead: false, closes: false });
}

/** One put after the other through all that is no socket, in batches as they come. */
async function stepsAlone(directory: string): Promise<void> {
  const steps = new Steps();
  const disk = new NodeDisk();
  const made = { disk, directory, group: 0, drawSalt: () => 1 };
  RaftLog.create(made);
  const opened = RaftLog.open({ ...made, replayFrom: index(1) });
  const state = KeyValueStore.open({ driver: bunDriver, path: join(directory, "state.db") });
  if (!opened.ok || !state.ok) throw new Error("an empty directory is opened");
  const { log } = opened;
  const { store } = state;
  store.watch(new Watches({ clock: systemClock, limits: defaultLimits, appliedIndex: index(0) }));
  const encoder = new PeerEncoder();
  let last = 0;
  let isSyncing = false;

  const commit = (): void => {
    if (isSyncing) {
      isSyncing =
        steps.run("store: checkpoint, between its syncs", () => store.syncSome()) === "more";
      return;
    }
    if (!store.isCommitting && store.uncommittedBytes < defaultLimits.commitBytes) return;
    const before = usedUs();
    const outcome = store.commitSome(defaultLimits.commitRows);
    const took = usedUs() - before;
    steps.add(outcome === "done" ? "store: end of a transaction" : "store: rows written", took);
    isSyncing = outcome === "done" && store.unsyncedBytes >= defaultLimits.checkpointBytes / 2;
  };

  const put = (keys: readonly string[]): void => {
    const heads = keys.map(putHead);
    steps.run("HTTP: head parsed", () => heads.forEach((head) => parseHead(head)));
    const entries: Entry[] = steps.run("command encoded", () =>
      keys.map((key) => {
        last++;
        const command = encodeCommand({ op: "put", key, value, contentType: null });
        const data = frameCommand({ origin: nodeId(1), session: 1, sequence: last }, command);
        return { index: index(last), term: term(1), kind: "command", timeMs: last, data };
      }),
    );
    const previousIndex = index(last - keys.length);
    const message = {
      type: "append",
      term: term(1),
      previousIndex,
      previousTerm: term(1),
    } as const;
    const { head, tail } = steps.run("append encoded, once for both followers", () =>
      encoder.encode({ ...message, commitIndex: previousIndex, entries }),
    );
    encoder.forgetEntries();
    const bytes = Buffer.concat([head, tail ?? new Uint8Array(0)]);
    steps.run("append decoded (followers alone)", () => decodePeerMessage(bytes));
    steps.run("log: records written", () => log.append(entries));
    steps.run("log: synced", () => log.sync());
    steps.run("store: applied", () => entries.forEach((entry) => store.apply(entry)));
    steps.run("HTTP: answer encoded", () => keys.forEach((key) => answerPut(key, last)));
    commit();
  };

  const puts = async (count: number, next: () => number): Promise<void> => {
    for (let at = 0; at < count; at += batch) {
      put(Array.from({ length: batch }, () => keyOf(next())));
      // What other threads sync is noticed between two turns.
      if (isSyncing || at % (8 * batch) === 0) await new Promise((done) => setImmediate(done));
    }
  };
  let filled = 0;
  await puts(keyCount, () => filled++ % keyCount);
  await puts(warmUpPuts, random);
  steps.clear();
  await puts(measuredPuts, random);
  console.log(
    `a put of ${value.byteLength} bytes, steps alone, in batches of ${batch}, on one node`,
  );
  steps.print(measuredPuts);
  steps.clear();
  const gets = (name: string, next: () => number): void => {
    for (let at = 0; at < keyCount; at += batch) {
      const keys = Array.from({ length: batch }, () => keyOf(next()));
      steps.run(name, () => keys.forEach((key) => store.lookup({ type: "get", key })));
    }
  };
  gets("store: row looked up and checked", () => filled++ % keyCount);
  gets("store: row read again", random);
  gets("store: row read again, once more", random);
  console.log("a get");
  steps.print(keyCount);
  store.close();
  log.close();
}

/** Nanoseconds of processor time that each thread has had, by name; the kernel's part of all of them. */
function threadsOf(processId: number): { threads: Map<string, number>; systemUs: number } {
  const threads = new Map<string, number>();
  for (const id of readdirSync(`/proc/${processId}/task`)) {
    const path = `/proc/${processId}/task/${id}`;
    const name = id === String(processId) ? "main" : readFileSync(`${path}/comm`, "utf8").trim();
    const [ran = "0"] = readFileSync(`${path}/schedstat`, "latin1").split(" ");
    threads.set(name, (threads.get(name) ?? 0) + Number(ran) / 1000);
  }
  const stat = readFileSync(`/proc/${processId}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { threads, systemUs: Number(fields[12]) * 10_000 };
}

async function underLoad(
  cluster: OwnCluster,
  operation: Operation,
  scratch: string,
): Promise<void> {
  const generators = await cluster.generators(operation);
  await measure(generators, { scratch, seconds });
  const before = cluster.processIds.map(threadsOf);
  let total = 0;
  for (let round = 0; round < rounds; round++) {
    total += (await measure(generators, { scratch, seconds })).total;
  }
  console.log(
    `a ${operation} under ${clients} clients at the leader, by thread (${total} requests)`,
  );
  let all = 0;
  for (const [at, id] of cluster.processIds.entries()) {
    const after = threadsOf(id);
    const parts = [...after.threads]
      .map(([name, us]) => [name, (us - (before[at]?.threads.get(name) ?? 0)) / total] as const)
      .sort(([, a], [, b]) => b - a);
    const sum = parts.reduce((so, [, us]) => so + us, 0);
    const system = (after.systemUs - (before[at]?.systemUs ?? 0)) / total;
    const told = parts
      .filter(([, us]) => us >= 0.2)
      .map(([name, us]) => `${name} ${us.toFixed(1)}`);
    all += sum;
    console.log(
      `  node ${at + 1}  ${sum.toFixed(1).padStart(6)} us, of which kernel ${system.toFixed(1)}: ${told.join(", ")}`,
    );
  }
  console.log(`  all     ${all.toFixed(1).padStart(6)} us`);
}

const directory = mkdtempSync(join(process.cwd(), "kv-data-bench-"));
try {
  await stepsAlone(directory);
} finally {
  rmSync(directory, { recursive: true });
}
if (isInstalled("h2load")) {
  const scratch = mkdtempSync(join(tmpdir(), "kv-profile-"));
  const cluster = await OwnCluster.start(new HttpWords(scratch));
  await cluster.fill(keyCount, value.byteLength);
  await underLoad(cluster, "put", scratch);
  await underLoad(cluster, "get", scratch);
  cluster.end();
  rmSync(scratch, { recursive: true });
}
process.exit(0);
