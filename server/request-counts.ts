/** How many requests were answered, how, and how fast. Bounded, whatever clients ask for. */

import { isFolderPath, keyPathPrefix, pathOf } from "./key-path.ts";
import type { Sample } from "./metrics.ts";

/** Upper bounds in seconds. */
const buckets = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]);

/** Paths as they are; what is asked for besides, and is not there, is `other`. */
const routes: ReadonlySet<string> = new Set([
  "/v1/kv",
  "/v1/txn",
  "/v1/leases",
  "/v1/status",
  "/v1/members",
  "/v1/transfer",
  "/v1/compact",
  "/v1/backup",
  "/v1/watch",
  "/livez",
  "/readyz",
  "/version",
  "/openapi.json",
  "/metrics",
]);

const prefixes = [
  [keyPathPrefix, "/v1/kv/{key}"],
  ["/v1/members/", "/v1/members/{id}"],
  ["/v1/leases/", "/v1/leases/{id}"],
  ["/v1/locks/", "/v1/locks/{name}"],
  ["/v1/elections/", "/v1/elections/{name}"],
] as const;

/** The route that stands for `target` in metrics. */
export function routeOf(target: string): string {
  const path = pathOf(target);
  if (path.startsWith(keyPathPrefix) && isFolderPath(path)) return "/v1/kv/{folder}/:";
  for (const [prefix, route] of prefixes) if (path.startsWith(prefix)) return route;
  return routes.has(path) ? path : "other";
}

interface Route {
  /** By method and status, such as `GET 200`. */
  readonly counts: Map<string, number>;
  /** Of each bucket by itself; the last is of what took longer. */
  readonly durations: number[];
  seconds: number;
}

export class RequestCounts {
  readonly #routes = new Map<string, Route>();

  /** `ms`: from the whole request until the head of its answer was there. */
  answered(
    asked: { readonly method: string; readonly target: string },
    status: number,
    ms: number,
  ) {
    const name = routeOf(asked.target);
    let route = this.#routes.get(name);
    if (route === undefined) {
      route = {
        counts: new Map(),
        durations: new Array<number>(buckets.length + 1).fill(0),
        seconds: 0,
      };
      this.#routes.set(name, route);
    }
    const method = methods.has(asked.method) ? asked.method : "other";
    const label = `${method} ${status}`;
    route.counts.set(label, (route.counts.get(label) ?? 0) + 1);
    const seconds = ms / 1_000;
    route.seconds += seconds;
    let bucket = 0;
    while (bucket < buckets.length && seconds > (buckets[bucket] ?? 0)) bucket++;
    route.durations[bucket] = (route.durations[bucket] ?? 0) + 1;
  }

  get totals(): Sample[] {
    return [...this.#routes].flatMap(([route, { counts }]) =>
      [...counts].map(([label, value]) => {
        const [method = "", status = ""] = label.split(" ");
        return { labels: { method, route, status }, value };
      }),
    );
  }

  get durations(): Sample[] {
    return [...this.#routes].flatMap(([route, { durations, seconds }]) => {
      let count = 0;
      const cumulative = durations.map((own, at) => {
        count += own;
        return {
          suffix: "_bucket",
          labels: { route, le: String(buckets[at] ?? "+Inf") },
          value: count,
        };
      });
      const labels = { route };
      return [
        ...cumulative,
        { suffix: "_sum", labels, value: seconds },
        { suffix: "_count", labels, value: count },
      ];
    });
  }
}
