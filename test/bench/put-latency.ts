/**
 * How long one client waits for a PUT against the leader, beside one `fdatasync` of 4 KiB on the same
 * disk: both in one run, in alternating rounds.
 */

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

const cluster = await BenchCluster.start(3);
const leader = await cluster.leader();
const connection = await HttpConnection.open(leader.httpPort);
for (let round = 0; round < warmUpRounds; round++) await putTimes(connection, round);
const syncs: number[] = [];
const puts: number[] = [];
for (let round = 1; round <= rounds; round++) {
  syncs.push(...syncTimes(cluster.directory));
  puts.push(...(await putTimes(connection, round)));
}
connection.close();
cluster.end();
syncs.sort((a, b) => a - b);
puts.sort((a, b) => a - b);
const line = (name: string, times: readonly number[]): string =>
  `${name.padEnd(22)} p50 ${percentile(times, 0.5).toFixed(3)} ms   p99 ${percentile(times, 0.99).toFixed(3)} ms`;
console.log(line("fdatasync of 4 KiB", syncs));
console.log(line("PUT, one client", puts));
const ratio = percentile(puts, 0.5) / percentile(syncs, 0.5);
console.log(`ratio of the medians   ${ratio.toFixed(2)} (goal: under 4)`);
process.exit(ratio < 4 ? 0 : 1);
