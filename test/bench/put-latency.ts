/**
 * How long one client waits for a PUT against the leader, beside one `fdatasync` of 4 KiB on the same
 * disk: both in one run, in alternating rounds. A PUT wakes five sleeping processes one after the other,
 * and on a virtual machine a core that has halted takes tens of microseconds to come back; so the same
 * is measured again with loops of the lowest priority on all cores, which keep them from halting.
 */

import { spawn } from "node:child_process";
import { availableParallelism, constants, setPriority } from "node:os";
import { BenchCluster } from "./cluster.ts";
import { percentile, syncTimes } from "./disk-sync.ts";
import { HttpConnection } from "./http-connection.ts";

/** Until the compilers of all three processes are done. */
const warmUpRounds = 10;
const rounds = 5;
const putsPerRound = 1_000;

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

interface Medians {
  readonly sync: number;
  readonly put: number;
}

async function measure(name: string, measured: BenchCluster, to: HttpConnection): Promise<Medians> {
  const syncs: number[] = [];
  const puts: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    syncs.push(...syncTimes(measured.directory));
    puts.push(...(await putTimes(to, round)));
  }
  syncs.sort((a, b) => a - b);
  puts.sort((a, b) => a - b);
  const medians = { sync: percentile(syncs, 0.5), put: percentile(puts, 0.5) };
  console.log(name);
  console.log(line("  fdatasync of 4 KiB", syncs));
  console.log(line("  PUT, one client", puts));
  console.log(
    `  ratio of the medians   ${(medians.put / medians.sync).toFixed(2)} (goal: under 4)`,
  );
  return medians;
}

const line = (name: string, times: readonly number[]): string =>
  `${name.padEnd(24)} p50 ${percentile(times, 0.5).toFixed(3)} ms   p99 ${percentile(times, 0.99).toFixed(3)} ms`;

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
const connection = await HttpConnection.open(leader.httpPort);
for (let round = 0; round < warmUpRounds; round++) await putTimes(connection, round);
await measure("as it is", cluster, connection);
const letCoresSleep = keepCoresAwake();
const awake = await measure("cores kept from halting", cluster, connection);
letCoresSleep();
connection.close();
cluster.end();
process.exit(awake.put < 4 * awake.sync ? 0 : 1);
