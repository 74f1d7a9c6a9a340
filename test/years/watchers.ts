/** Many watchers follow a cluster whose leaders are killed: each sees every acknowledged change once. */

import { watchUnderKills } from "../e2e/watchers.ts";
import { numbers, run, seconds } from "./run.ts";

const { watchers, writers, kills, writes } = numbers({
  ...{ watchers: 100, writers: 8, kills: 10 },
  writes: 200,
});

await run(async (scope) => {
  const startMs = performance.now();
  console.log(await watchUnderKills(scope, { watchers, writers, kills, writes }));
  console.log(`in ${seconds(startMs)}`);
});
