/**
 * A node among peers that have proved who they are and then say anything: fields from nowhere, indexes
 * and terms out of order, matches beyond the log. Nothing of it may end the process or take back what
 * is committed.
 */

import * as assert from "uvu/assert";
import { payloadBytesMax } from "../../server/frame.ts";
import { decodePeerMessage } from "../../server/peer-codec.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { configuration, encodeConfiguration } from "../../server/raft/configuration.ts";
import {
  index,
  nodeId,
  term,
  type Entry,
  type EntryKind,
  type NodeId,
  type Term,
} from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import { SimulatedNodes } from "../server/simulated-nodes.ts";
import { mutate } from "./mutation.ts";
import { encoded } from "./peer.ts";
import type { Tape } from "./tape.ts";

const victim = nodeId(1);
/** Two members, and one nobody has heard of. */
const speakers: readonly NodeId[] = [nodeId(2), nodeId(3), nodeId(9)];

const member = {
  id: nodeId(2),
  role: "voter",
  raft: "raft-2",
  http: "http-2",
  incarnation: "2",
} as const;

class Scene {
  readonly tape: Tape;
  readonly nodes: SimulatedNodes;
  #highestTerm = 0;
  #highestCommit = 0;

  constructor(tape: Tape) {
    this.tape = tape;
    this.nodes = new SimulatedNodes({ count: 3, seed: 1 + tape.seed() });
    // A leader it may be, a follower, a candidate, or a node that has heard nobody yet.
    if (tape.once(2)) {
      const leader = this.nodes.awaitLeader();
      this.nodes.put(leader, "k", "v");
      this.nodes.time.run(tape.pick([50, 300]));
    }
    const isAlone = tape.once(2);
    this.nodes.onMessage = (from, _, message) => {
      if (from === victim) this.#checkSpoken(message);
      return isAlone ? 0 : 1;
    };
  }

  /** What it was made to say by what it heard can be sent, and is no nonsense either. */
  #checkSpoken(message: PeerMessage): void {
    const bytes = encoded(message);
    assert.ok(bytes.byteLength <= payloadBytesMax, `a ${message.type} that no frame can hold`);
    const decoded = decodePeerMessage(bytes);
    assert.ok(decoded.ok, decoded.ok ? "" : `a ${message.type} nobody takes: ${decoded.detail}`);
  }

  /** The term, or one near it, or any. */
  #term(): number {
    const { tape } = this;
    const own = this.nodes.node(victim).leadership.term;
    const far = tape.pick([own + 5, own + 2 ** 31, own + 2 ** 33, tape.edge()]);
    return Math.max(0, tape.pick([own, own, own, own + 1, own - 1, far]));
  }

  #index(): number {
    const { tape } = this;
    const { commitIndex, lastLogIndex } = this.nodes.node(victim);
    const near = tape.pick([commitIndex, lastLogIndex, lastLogIndex + 1]);
    return Math.max(0, tape.pick([near, near - 1, near + tape.below(5), 0, 1, tape.edge()]));
  }

  #count(): number {
    return this.tape.pick([0, 1, 2, 3, this.tape.edge()]);
  }

  #data(kind: EntryKind): Uint8Array {
    const { tape } = this;
    if (tape.once(4)) return tape.bytes(tape.below(40));
    if (kind === "configuration") {
      const data = encodeConfiguration(configuration([member, { ...member, id: victim }]));
      return tape.once(2) ? data : mutate(data, tape);
    }
    return this.#command();
  }

  #command(): Uint8Array {
    const { tape } = this;
    const value = new Uint8Array(tape.pick([0, 3, 2_000, 1 << 20, 3 << 20, (8 << 20) - 64]));
    const command = encodeCommand({ op: "put", key: "key", value, contentType: null });
    const origin = tape.pick([...speakers, victim]);
    const header = { origin, session: tape.below(4), sequence: tape.below(400) };
    const framed = frameCommand(header, command);
    return tape.once(4) ? mutate(framed, tape) : framed;
  }

  #entries(first: number, previousTerm: number, termMax: number): Entry[] {
    const { tape } = this;
    let entryTerm = previousTerm;
    return Array.from({ length: tape.below(5) }, (_, i) => {
      entryTerm = Math.min(termMax, Math.max(entryTerm, tape.pick([entryTerm, termMax])));
      const kind = tape.pick(["command", "command", "noop", "configuration"] as const);
      // What our own encoder takes; that larger ones are refused is the codec's to show.
      const timeMs = tape.once(4) ? Math.min(tape.edge(), Number.MAX_SAFE_INTEGER) : 0;
      return {
        index: index(first + i),
        term: term(entryTerm),
        kind,
        timeMs,
        data: this.#data(kind),
      };
    });
  }

  message(): PeerMessage {
    const { tape } = this;
    const now = term(this.#term());
    const last = { lastLogIndex: index(this.#index()), lastLogTerm: term(this.#term()) };
    switch (tape.below(15)) {
      case 0:
        return { type: "preVote", term: now, ...last };
      case 1:
        return { type: "preVoteResponse", term: now, granted: tape.once(2) };
      case 2:
        return { type: "vote", term: now, ...last, transfer: tape.once(2) };
      case 3:
        return { type: "voteResponse", term: now, granted: tape.once(2) };
      case 4:
      case 5:
        return this.#append(now);
      case 6:
        return { type: "appendAccepted", term: now, matchIndex: index(this.#index()) };
      case 7:
        return {
          type: "appendRejected",
          term: now,
          previousIndex: index(this.#index()),
          hintIndex: index(this.#index()),
          hintTerm: term(this.#term()),
        };
      case 8:
        return {
          type: "heartbeat",
          term: now,
          commitIndex: index(this.#index()),
          readRound: this.#count(),
        };
      case 9:
        return { type: "heartbeatResponse", term: now, readRound: this.#count() };
      case 10:
        return {
          type: "snapshotOffer",
          term: now,
          lastIndex: index(this.#index()),
          lastTerm: term(this.#term()),
          configuration: configuration([member]),
          id: this.#count(),
          bytes: this.#count(),
        };
      case 11:
        return { type: "timeoutNow", term: now };
      case 12:
        return { type: "readIndex", term: now, requestId: this.#count() };
      case 13:
        return tape.once(2)
          ? { type: "forward", commands: [this.#command(), this.#command()] }
          : {
              type: "forwardRefused",
              reason: "notLeader",
              session: this.#count(),
              sequences: [this.#count(), 1, 2],
            };
      default:
        return {
          type: "readIndexResponse",
          term: now,
          requestId: this.#count(),
          readIndex: index(this.#index()),
        };
    }
  }

  #append(now: Term): PeerMessage {
    // So that the entries behind it have numbers that our own encoder takes.
    const previousIndex = Math.min(this.#index(), Number.MAX_SAFE_INTEGER - 16);
    const previousTerm = Math.min(now, this.#term());
    return {
      type: "append",
      term: now,
      previousIndex: index(previousIndex),
      previousTerm: term(previousTerm),
      commitIndex: index(this.#index()),
      entries: this.#entries(previousIndex + 1, previousTerm, now),
    };
  }

  /** What the codec lets through reaches the node; the rest would end the connection. */
  say(): void {
    const decoded = decodePeerMessage(encoded(this.message()));
    if (!decoded.ok) return;
    const speaker = this.tape.pick(speakers);
    this.nodes.host(victim).node?.receive(speaker, decoded.message, String(speaker));
    if (!this.tape.once(3)) this.nodes.time.run(this.tape.pick([1, 30, 200, 1_500]));
    this.#verify();
  }

  #verify(): void {
    for (const id of this.nodes.ids) {
      const { died } = this.nodes.host(id);
      if (died !== null) throw new Error(`node ${id} died of a message`, { cause: died });
    }
    const { leadership, commitIndex, lastLogIndex } = this.nodes.node(victim);
    assert.ok(leadership.term >= this.#highestTerm, "the term never goes back");
    assert.ok(commitIndex >= this.#highestCommit, "nothing committed is taken back");
    assert.ok(commitIndex <= lastLogIndex, "only what is in the log is committed");
    this.#highestTerm = leadership.term;
    this.#highestCommit = commitIndex;
  }
}

const messagesMax = 40;

export function checkNode(tape: Tape): void {
  const scene = new Scene(tape);
  for (let said = 0; said < messagesMax && !tape.isAtEnd; said++) scene.say();
}
