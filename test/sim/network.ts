/** The simulated network: every pair of nodes has two links, each of which is cut, slow or lossy by itself. */

import { PeerEncoder, decodePeerMessage } from "../../server/peer-codec.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { assert } from "../../server/raft/assert.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import type { Random } from "../raft/random.ts";
import type { SimTime } from "./time.ts";

interface Link {
  isCut: boolean;
  /** How many times slower than usual. */
  slowness: number;
  lastArrivalMs: number;
  /** Grows with every reset: what was on the way is gone. */
  epoch: number;
  /** No connection before then. */
  downUntilMs: number;
  /** What leaves later than `sinceMs` takes so many times that much longer; null: it does not. */
  lag: { readonly sinceMs: number; readonly factor: number } | null;
}

export interface Delivery {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: PeerMessage;
  /** The sender's, when it sent. */
  readonly incarnation: string;
}

/** Of the directories on both sides: a connection is between these two and no others. */
interface Ends {
  readonly from: string;
  readonly to: string;
}

interface Sending {
  readonly message: PeerMessage;
  readonly sentAtMs: number;
  readonly ends: Ends;
  /** Neither waits for what was sent before it, nor does anything wait for it. */
  readonly isAlone?: boolean;
}

export interface NetworkOptions {
  readonly time: SimTime;
  readonly random: Random;
  readonly nodeCount: number;
  readonly latencyMs: number;
  /** Of the directory that the node has now. */
  readonly incarnationOf: (id: NodeId) => string;
  readonly deliver: (delivery: Delivery) => void;
}

/** One message in so many goes through the real codec. */
const codecEvery = 16;

/** Messages of each sender that can come again. */
const rememberedMax = 6;

export class SimNetwork {
  readonly #options: NetworkOptions;
  readonly #links: Link[];
  readonly #encoder = new PeerEncoder();
  #sent = 0;
  /** By sender, its newest messages. */
  readonly #last = new Map<
    NodeId,
    { readonly to: NodeId; readonly message: PeerMessage; readonly ends: Ends }[]
  >();
  dropRate = 0;
  duplicateRate = 0;
  reorderRate = 0;
  /** So many appends are preceded by another that the sender could as well have sent. */
  otherAppendRate = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    const size = (options.nodeCount + 1) ** 2;
    this.#links = Array.from({ length: size }, () => ({
      isCut: false,
      slowness: 1,
      lastArrivalMs: 0,
      epoch: 0,
      downUntilMs: 0,
      lag: null,
    }));
  }

  link(from: NodeId, to: NodeId): Link {
    return this.#links[from * (this.#options.nodeCount + 1) + to] as Link;
  }

  /** Leaves at `sentAtMs`, which may lie ahead: a process whose disk is slow sends late. */
  send(from: NodeId, to: NodeId, sending: { message: PeerMessage; sentAtMs: number }): void {
    const { random } = this.#options;
    if (this.link(from, to).isCut || random.float() < this.dropRate) return;
    this.#sent++;
    const message =
      this.#sent % codecEvery === 0 ? this.#throughCodec(sending.message) : sending.message;
    const { sentAtMs } = sending;
    const ends = this.#ends(from, to);
    this.#carry(from, to, { message, sentAtMs, ends });
    const last = this.#last.get(from) ?? [];
    this.#last.set(from, last);
    last.push({ to, message, ends });
    if (last.length > rememberedMax) last.shift();
    if (random.float() < this.duplicateRate) this.#carry(from, to, { message, sentAtMs, ends });
  }

  /**
   * What a node sent last comes a second time, long after. Not so what it passed on for a client: no
   * connection carries it twice, and a leader need not know it again for ever.
   */
  sayAgain(from: NodeId, afterMs: number): void {
    const { time, random } = this.#options;
    for (const { to, message, ends } of this.#last.get(from) ?? []) {
      if (message.type === "forward") continue;
      const sentAtMs = time.nowMs + afterMs * random.float();
      this.#carry(from, to, { message, sentAtMs, ends, isAlone: true });
    }
  }

  /** Everything on the way between the two is gone, and there is no connection for a while. */
  reset(a: NodeId, b: NodeId, downMs: number): void {
    for (const link of [this.link(a, b), this.link(b, a)]) {
      link.epoch++;
      link.downUntilMs = this.#options.time.nowMs + downMs;
    }
  }

  isUp(from: NodeId, to: NodeId): boolean {
    return this.link(from, to).downUntilMs <= this.#options.time.nowMs;
  }

  heal(): void {
    this.dropRate = 0;
    this.duplicateRate = 0;
    this.reorderRate = 0;
    this.otherAppendRate = 0;
    for (const link of this.#links) {
      link.isCut = false;
      link.slowness = 1;
      link.downUntilMs = 0;
      link.lag = null;
    }
  }

  #ends(from: NodeId, to: NodeId): Ends {
    const { incarnationOf } = this.#options;
    return { from: incarnationOf(from), to: incarnationOf(to) };
  }

  #carry(from: NodeId, to: NodeId, { message, sentAtMs, ends, isAlone = false }: Sending): void {
    const { time, random, latencyMs, deliver, incarnationOf } = this.#options;
    const link = this.link(from, to);
    const lagMs = link.lag ? (sentAtMs - link.lag.sinceMs) * link.lag.factor : 0;
    const arrivalMs = sentAtMs + lagMs + latencyMs * link.slowness * (0.5 + random.float());
    const isOutOfOrder = random.float() < this.reorderRate || isAlone;
    const atMs = isOutOfOrder ? arrivalMs : Math.max(arrivalMs, link.lastArrivalMs);
    if (!isOutOfOrder) link.lastArrivalMs = atMs;
    const { epoch } = link;
    time.at(atMs, () => {
      if (link.epoch !== epoch || incarnationOf(to) !== ends.to) return;
      deliver({ from, to, message, incarnation: ends.from });
    });
  }

  #throughCodec(message: PeerMessage): PeerMessage {
    const { head, tail } = this.#encoder.encode(message);
    this.#encoder.forgetEntries();
    const decoded = decodePeerMessage(tail === null ? head.slice() : Buffer.concat([head, tail]));
    assert(decoded.ok, "what we say can be understood");
    return decoded.message;
  }
}
