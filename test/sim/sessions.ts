/**
 * Clients whose keys and locks last for a time: nothing goes early, nobody holds a lock beside another,
 * and a token that was passed by never writes again.
 */

import { encodeCommand } from "../../server/state-machine/codec.ts";
import {
  fingerprintBytes,
  type Command,
  type CommandResult,
} from "../../server/state-machine/command.ts";
import {
  leaseKey,
  placeKey,
  queuePrefix,
  tokenOfPlace,
} from "../../server/state-machine/hidden-rows.ts";
import { prefixRange } from "../../server/state-machine/key-range.ts";
import type { StateMachine } from "../../server/state-machine/port.ts";
import {
  transactionOf,
  type Operation,
  type OperationResult,
} from "../../server/state-machine/transaction.ts";
import { Holdings, type Holding } from "./holdings.ts";
import { quietLeftMs } from "./quiet.ts";
import { claim } from "./trace.ts";
import { rowIn } from "./workloads.ts";
import { latencyMs, type SimWorld } from "./world.ts";

const noBytes = new Uint8Array();
/** No key is used for two requests here. */
const fingerprint = new Uint8Array(fingerprintBytes);
const queues = ["lock/a", "lock/b"];
/** Of one request that is done once, and of looks at a queue that does not move. */
const triesMax = 6;
const looksMax = 12;
/** What is stamped is whole milliseconds. */
const roundingMs = 2;

interface Place {
  readonly queue: string;
  readonly token: number;
  readonly lease: number;
  /** Before then the lease cannot have ended. */
  sureUntilMs: number;
}

export class Sessions {
  readonly #world: SimWorld;
  readonly #holdings: Holdings;
  /** Clocks that run at other rates than ours make other times of theirs. */
  readonly #isExact: boolean;
  #lastNumber = 0;
  #isOver = false;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#isExact = !world.options.faults.has("clockDrift");
    this.#holdings = new Holdings(this.#isExact);
  }

  start(): void {
    for (let count = 0; count < this.#world.options.sessions; count++) this.#think();
  }

  /** Nothing new; what lasts for a time is left to itself. */
  stop(): void {
    this.#isOver = true;
  }

  // ------------------------------------------------------------------ keys with a TTL

  #putForAWhile(): void {
    const { time, random, coverage } = this.#world;
    const key = `mortal-${++this.#lastNumber}`;
    const ttlMs = this.#ttlMs;
    const askedMs = time.nowMs;
    const put = { op: "put", key, value: noBytes, contentType: null, ttlMs } as const;
    this.#write(put, (result) => {
      if (result === null) return this.#think();
      this.#after(random.float() * 2 * ttlMs, () =>
        this.#look((machine) => {
          const isEarly = time.nowMs < askedMs + ttlMs - roundingMs;
          const row = rowIn(machine, key);
          claim(row !== null || !isEarly || !this.#isExact, () => `${key} went too early`);
          coverage.add(row === null ? "a key went with its time" : "a key lasted");
        }, this.#think),
      );
    });
  }

  // ------------------------------------------------------------------ locks

  #enter(): void {
    const { random } = this.#world;
    const key = random.pick(queues);
    const waits = random.float() < 0.7;
    const join = {
      op: "join",
      key,
      value: noBytes,
      lease: null,
      ttlMs: this.#ttlMs,
      waits,
    } as const;
    const requestKey = `session/${++this.#lastNumber}`;
    const command = transactionOf([], join);
    this.#try({ op: "once", requestKey, fingerprint, command }, join.ttlMs);
  }

  /** Who did not hear what came of it asks again, and finds the place that he has. */
  #try(command: Command & { readonly op: "once" }, ttlMs: number): void {
    const { time, coverage } = this.#world;
    const askedMs = time.nowMs;
    let tries = 0;
    const send = (): void =>
      this.#write(command, (result) => {
        if (result === null) {
          tries++;
          return tries < triesMax ? this.#after(ttlMs / 10, send) : this.#think();
        }
        const joined = resultOf(result);
        if (joined?.op !== "join") return this.#think();
        const { token, lease, isFirst } = joined;
        if (token === null || lease === null) {
          coverage.add("a lock was taken");
          return this.#think();
        }
        const [join] = command.command.op === "transaction" ? command.command.then : [];
        const queue = join?.op === "join" ? join.key : "";
        const place = { queue, token, lease, sureUntilMs: askedMs + ttlMs };
        if (isFirst) this.#hold(place, ttlMs);
        else this.#wait(place, ttlMs);
      });
    send();
  }

  #wait(place: Place, ttlMs: number, looks = 0): void {
    const { coverage } = this.#world;
    if (looks === looksMax) return this.#leave(place);
    this.#renew(place, ttlMs, () =>
      this.#look(
        (machine) => {
          const found = lookedAt(machine, place);
          if (!found.isThere) coverage.add("a place in a queue went with its lease");
          else if (found.isFirst) {
            coverage.add("a lock was waited for");
            return this.#hold(place, ttlMs);
          } else return this.#after(ttlMs / 4, () => this.#wait(place, ttlMs, looks + 1));
          this.#think();
        },
        () => {},
        // It is not known: the lease ends by itself.
        this.#think,
      ),
    );
  }

  #hold(place: Place, ttlMs: number): void {
    const { time, random } = this.#world;
    // An answer that came late is none.
    if (time.nowMs >= place.sureUntilMs) return this.#think();
    const holding = this.#holdings.begin(place, time.nowMs);
    this.#use(place, { ttlMs, holding, turns: random.below(4) });
  }

  #use(
    place: Place,
    use: { readonly ttlMs: number; readonly holding: Holding; readonly turns: number },
  ): void {
    const { time, random, coverage } = this.#world;
    const { ttlMs, holding, turns } = use;
    if (turns === 0) {
      if (random.float() < 0.3) {
        coverage.add("a lock was left to its time");
        return this.#think();
      }
      this.#holdings.release(holding, time.nowMs);
      return this.#leave(place);
    }
    this.#writeFenced(place, () =>
      this.#renew(place, ttlMs, () => {
        this.#holdings.extend(holding, place.sureUntilMs);
        this.#after(random.float() * ttlMs, () => this.#use(place, { ...use, turns: turns - 1 }));
      }),
    );
  }

  #writeFenced({ queue, token, sureUntilMs }: Place, next: () => void): void {
    const { time, coverage } = this.#world;
    const condition = { kind: "holder", key: queue, not: false, token } as const;
    const key = `guarded/${queue}`;
    const put = { op: "put", key, value: noBytes, contentType: null } as const;
    this.#write(transactionOf([condition], put), (result) => {
      if (result?.op !== "transaction") return next();
      if (result.succeeded) {
        coverage.add("a write under a lock");
        this.#holdings.wrote(queue, { token, revision: result.revision });
        return next();
      }
      const isEarly = time.nowMs < sureUntilMs - roundingMs;
      claim(!isEarly || !this.#isExact, () => `${queue}: ${token} is fenced off while it holds`);
      coverage.add("a write was fenced off");
      this.#think();
    });
  }

  #renew(place: Place, ttlMs: number, next: () => void): void {
    const { time, coverage } = this.#world;
    const askedMs = time.nowMs;
    this.#write(transactionOf([], { op: "leaseRenew", lease: place.lease }), (result) => {
      if (result?.op === "failed") {
        const isEarly = time.nowMs < place.sureUntilMs - roundingMs;
        claim(!isEarly || !this.#isExact, () => `lease ${place.lease} ended too early`);
        coverage.add("a lease ended");
        return this.#think();
      }
      if (result !== null) place.sureUntilMs = Math.max(place.sureUntilMs, askedMs + ttlMs);
      next();
    });
  }

  #leave({ queue, token }: Place): void {
    const leave: Operation = { op: "leave", key: queue, token };
    this.#write(transactionOf([], leave), this.#think);
  }

  // ------------------------------------------------------------------ the way to the nodes

  readonly #think = (): void => {
    const { time, random, options } = this.#world;
    const thinkMs = (-Math.log(1 - random.float()) * options.leaseMs) / 4;
    this.#after(thinkMs + quietLeftMs(options, time.nowMs + thinkMs), () =>
      random.float() < 0.3 ? this.#putForAWhile() : this.#enter(),
    );
  };

  get #ttlMs(): number {
    const { random, options } = this.#world;
    return Math.ceil(options.leaseMs * (0.5 + random.float()));
  }

  #after(ms: number, run: () => void): void {
    this.#world.time.after(ms, () => {
      if (!this.#isOver) run();
    });
  }

  /** Null: nobody knows what came of it. */
  #write(command: Command, done: (result: CommandResult | null) => void): void {
    const { random, processes, checks } = this.#world;
    const process = random.pick(processes);
    const settle = this.#settling(done);
    const { life } = process;
    if (!life) return settle(null);
    const bytes = encodeCommand(command);
    this.#after(latencyMs(this.#world), () =>
      process.enter(life, () =>
        life.node.write(bytes, (answer) => {
          if (!answer.ok) return settle(null);
          const { result } = answer;
          process.look();
          if ("revision" in result) checks.acknowledged(process.id, result.revision);
          settle(result);
        }),
      ),
    );
  }

  /** At a moment when the node has all that was acknowledged; `otherwise` where it does not come. */
  #look(
    look: (machine: StateMachine) => void,
    next: () => void,
    otherwise: () => void = next,
  ): void {
    const process = this.#world.random.pick(this.#world.processes);
    const { life } = process;
    const settle = this.#settling((isSeen: boolean | null) => (isSeen ? next() : otherwise()));
    if (!life) return settle(null);
    this.#after(latencyMs(this.#world), () =>
      process.enter(life, () =>
        life.node.read((answer) => {
          if (answer.ok && !this.#isOver) look(life.node.machine);
          settle(answer.ok ? true : null);
        }),
      ),
    );
  }

  /** Once, a moment later; with null where nothing comes for so long that nobody waits any more. */
  #settling<T>(done: (answer: T | null) => void): (answer: T | null) => void {
    const { options } = this.#world;
    let isSettled = false;
    const settle = (answer: T | null): void => {
      if (isSettled) return;
      isSettled = true;
      this.#after(latencyMs(this.#world), () => done(answer));
    };
    this.#after(4 * options.limits.requestDeadlineMs, () => settle(null));
    return settle;
  }
}

const resultOf = (result: CommandResult): OperationResult | undefined =>
  result.op === "transaction" ? result.results[0] : undefined;

function lookedAt(machine: StateMachine, { queue, token, lease }: Place) {
  const found = machine.lookup({
    ...{ type: "list", range: prefixRange(queuePrefix(queue)), after: null, reverse: false },
    ...{ limit: 1, keysOnly: true, bytesMax: Infinity, groups: null },
  });
  const first = found.type === "list" ? found.rows[0] : undefined;
  const isThere = rowIn(machine, placeKey(queue, token)) !== null;
  const hasLease = rowIn(machine, leaseKey(lease)) !== null;
  claim(isThere === hasLease, () => `${queue}: place ${token} and its lease part`);
  return { isThere, isFirst: first !== undefined && tokenOfPlace(first.key) === token };
}
