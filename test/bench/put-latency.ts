/**
 * How long one client waits for a PUT against the leader, beside one `fdatasync` of 4 KiB on the same
 * disk, and beside three processes that do nothing but the syncs and messages without which there can be no
 * answer: all in one run, in alternating rounds. A PUT wakes five sleeping processes one after the other,
 * and on a virtual machine a core that has halted takes tens of microseconds to come back; so the same is
 * measured again with loops of the lowest priority on all cores, which keep them from halting.
 */

import { spawn } from "node:child_process";
import { availableParallelism, constants, setPriority } from "node:os";
import { BareCluster } from "./bare.ts";
import { BenchCluster } from "./cluster.ts";
import { percentile, syncTimes } from "./disk-sync.ts";
import { HttpConnection } from "./http-connection.ts";

/** Until the compilers of all three processes are done. */
const warmUpRounds = 10;
const rounds = 5;
const putsPerRound = 1_000;
/** Of one client's PUT, in `fdatasync`s. */
const syncsGoal = 4;

async function putTimes(connection: HttpConnection, round: number): Promise<number[]> {
  const value = "x".repeat(100);
  const times: number[] = [];
  for (let i = 0; i < putsPerRound; i++) {
    const start = performance.now();
    const status = await connection.put(`key-${(round * putsPerRound + i) % 10_000}`, value);
    if (status !== 200 && status !== 201) throw new Error(`a PUT was answered with ${status}`);
    times.push(performance.now() - start);
  }
  return times;
}

interface Measured {
  readonly directory: string;
  readonly ours: HttpConnection;
  readonly bare: HttpConnection;
}

/** The median PUT in median syncs. */
async function measure(name: string, { directory, ours, bare }: Measured): Promise<number> {
  const times = { sync: [] as number[], put: [] as number[], bare: [] as number[] };
  for (let round = 1; round <= rounds; round++) {
    times.sync.push(...syncTimes(directory));
    times.put.push(...(await putTimes(ours, round)));
    times.bare.push(...(await putTimes(bare, round)));
  }
  for (const each of Object.values(times)) each.sort((a, b) => a - b);
  const syncMs = percentile(times.sync, 0.5);
  const line = (what: string, sorted: readonly number[]): string => {
    const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
    return `  ${what.padEnd(22)} p50 ${p50.toFixed(3)} ms   p99 ${p99.toFixed(3)} ms`;
  };
  console.log(name);
  console.log(line("fdatasync of 4 KiB", times.sync));
  const inSyncs = (what: string, sorted: readonly number[]): number => {
    const syncs = percentile(sorted, 0.5) / syncMs;
    console.log(`${line(what, sorted)}   ${syncs.toFixed(2)} syncs`);
    return syncs;
  };
  inSyncs("bare nodes", times.bare);
  return inSyncs("PUT, one client", times.put);
}

/** One loop a core, which gives way to everybody else. Returns how to end them. */
function keepCoresAwake(): () => void {
  const loops = Array.from({ length: availableParallelism() }, () => {
    const loop = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
    if (loop.pid !== undefined) setPriority(loop.pid, constants.priority.PRIORITY_LOW);
    return loop;
  });
  const end = (): void => loops.forEach((loop) => loop.kill("SIGKILL"));
  process.once("exit", end);
  return end;
}

const cluster = await BenchCluster.start(3);
const leader = await cluster.leader();
const measured = {
  directory: cluster.directory,
  ours: await HttpConnection.open(leader.httpPort),
  bare: await HttpConnection.open((await BareCluster.start(cluster.directory)).port),
};
for (let round = 0; round < warmUpRounds; round++) {
  await putTimes(measured.ours, round);
  await putTimes(measured.bare, round);
}
await measure("as it is", measured);
const letCoresSleep = keepCoresAwake();
const syncsOfAPut = await measure("cores kept from halting", measured);
letCoresSleep();
measured.ours.close();
measured.bare.close();
cluster.end();
console.log(
  `PUT, cores kept from halting: ${syncsOfAPut.toFixed(2)} syncs (goal: under ${syncsGoal})`,
);
process.exit(syncsOfAPut < syncsGoal ? 0 : 1);
