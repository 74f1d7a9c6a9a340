/**
 * Whom to ask: the leader where it is known, else whoever answered last, else one after the other.
 * The given endpoints are candidates; what the nodes say of the members takes their place, and is
 * forgotten with them. The given ones are tried again when none of the members answers.
 */

/** What `GET /v1/status` says, as far as it matters here. */
export interface ClusterView {
  readonly nodeId: number;
  readonly clusterId: string;
  readonly term: number;
  readonly leaderId: number;
  readonly appliedIndex: number;
  readonly members: readonly { readonly id: number; readonly http: string }[];
}

/** How long an endpoint that failed comes after the others; doubled with every failure. */
const restMsFirst = 250;
const restMsMax = 10_000;
/** More members than a cluster has. */
const membersMax = 64;

interface Health {
  readonly failures: number;
  readonly restsUntilMs: number;
}

const healthy: Health = { failures: 0, restsUntilMs: 0 };

export class Endpoints {
  readonly #given: readonly string[];
  readonly #scheme: string;
  readonly #nowMs: () => number;
  /** URL by node id, as the members stand. */
  #members = new Map<number, string>();
  /** Whose answer the members are. */
  #view: ClusterView | null = null;
  #leaderId: number | null = null;
  #answeredLast: string | null = null;
  /** Those that were members, or spoke like one, and are none. */
  readonly #strangers = new Set<string>();
  readonly #health = new Map<string, Health>();

  /** Throws a TypeError where one is more or less than `http://host:port` or `host:port`. */
  constructor(endpoints: string | readonly string[], nowMs: () => number) {
    const texts = typeof endpoints === "string" ? endpoints.split(",") : endpoints;
    this.#given = texts.map(originOf);
    if (this.#given.length === 0) throw new TypeError("there is no endpoint to ask");
    this.#scheme = this.#given[0]?.startsWith("https:") === true ? "https" : "http";
    this.#nowMs = nowMs;
  }

  /** In the order in which they are to be asked; never empty. */
  candidates(): string[] {
    const members = [...this.#members.values()];
    const given = this.#given.filter((url) => !members.includes(url) && !this.#strangers.has(url));
    // A proxy in front of the nodes may be all that can be reached from here.
    const all = [...members, ...given];
    const nowMs = this.#nowMs();
    const rests = (url: string): boolean => (this.#health.get(url) ?? healthy).restsUntilMs > nowMs;
    const first = this.#leaderUrl() ?? this.#answeredLast;
    const order = (url: string): number =>
      (rests(url) ? 4 : 0) + (url === first ? 0 : url === this.#answeredLast ? 1 : 2);
    const sorted = all.sort((a, b) => order(a) - order(b));
    return sorted.length > 0 ? sorted : [...this.#given];
  }

  answered(url: string): void {
    this.#health.delete(url);
    this.#answeredLast = url;
  }

  /** It gave no answer, or none that helped. */
  failed(url: string): void {
    const failures = (this.#health.get(url)?.failures ?? 0) + 1;
    const restMs = Math.min(restMsMax, restMsFirst * 2 ** (failures - 1));
    this.#health.set(url, { failures, restsUntilMs: this.#nowMs() + restMs });
    if (this.#answeredLast === url) this.#answeredLast = null;
    if (this.#leaderUrl() === url) this.#leaderId = null;
  }

  /** A refusal named the leader. */
  hint(leaderId: number): void {
    if (!this.#members.has(leaderId)) return;
    this.#leaderId = leaderId;
  }

  /** What the node at `url` says of the cluster; nothing is learned of an older or another one. */
  learn(url: string, view: ClusterView): void {
    const before = this.#view;
    if (view.members.length > membersMax || (before !== null && isOlder(view, before))) return;
    if (!view.members.some(({ id }) => id === view.nodeId)) this.#strangers.add(url);
    this.#view = view;
    this.#leaderId = view.leaderId;
    for (const member of this.#members.values()) this.#strangers.add(member);
    this.#members = new Map();
    for (const { id, http } of view.members) {
      const origin = originIn(`${this.#scheme}://${http}`);
      if (origin !== null) this.#members.set(id, origin);
    }
    const current = new Set([...this.#members.values(), ...this.#given]);
    for (const known of this.#health.keys()) if (!current.has(known)) this.#health.delete(known);
    for (const member of this.#members.values()) this.#strangers.delete(member);
    for (const gone of this.#strangers) if (!current.has(gone)) this.#strangers.delete(gone);
  }

  #leaderUrl(): string | null {
    return this.#leaderId === null ? null : (this.#members.get(this.#leaderId) ?? null);
  }
}

function isOlder(view: ClusterView, than: ClusterView): boolean {
  if (view.clusterId !== than.clusterId || view.term < than.term) return true;
  return view.term === than.term && view.appliedIndex < than.appliedIndex;
}

function originOf(text: string): string {
  const trimmed = text.trim();
  const url = trimmed.includes("://") ? trimmed : `http://${trimmed}`;
  const origin = originIn(url);
  if (origin === null) throw new TypeError(`${JSON.stringify(text)} is not HOST:PORT or a URL`);
  const { href } = new URL(url);
  // What is behind it would be left out of every request.
  if (href !== `${origin}/`) {
    throw new TypeError(
      `${JSON.stringify(text)} is more than ${origin}, which is all that is asked`,
    );
  }
  return origin;
}

function originIn(url: string): string | null {
  if (!URL.canParse(url)) return null;
  const { origin, protocol } = new URL(url);
  return protocol === "http:" || protocol === "https:" ? origin : null;
}

/** The view in the body of `GET /v1/status`; null where there is none, or no leader. */
export function viewIn(status: Readonly<Record<string, unknown>>): ClusterView | null {
  const { nodeId, clusterId, term, leaderId, appliedIndex, members } = status;
  const numbers = [nodeId, term, leaderId, appliedIndex];
  if (numbers.some((value) => typeof value !== "number")) return null;
  if (typeof clusterId !== "string" || !Array.isArray(members)) return null;
  const isMember = (each: unknown): boolean => {
    const { id, http } = (each ?? {}) as { id?: unknown; http?: unknown };
    return typeof id === "number" && typeof http === "string";
  };
  return members.every(isMember) ? (status as unknown as ClusterView) : null;
}
