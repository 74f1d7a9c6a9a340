/** The observer itself: what it takes for lost, and what it does not. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { configuration } from "../../server/raft/configuration.ts";
import { nodeId, term, type NodeId } from "../../server/raft/entry.ts";
import { entryOf } from "../raft/message-text.ts";
import { Checks } from "./checks.ts";
import { emptyShadow } from "./shadow.ts";
import type { DatedConfiguration } from "./electorates.ts";

const ids = [1, 2, 3].map((id) => nodeId(id));
const [damaged, second, third] = ids as [NodeId, NodeId, NodeId];

const formed = configuration(
  ids.map((id) => ({
    id,
    role: "voter",
    raft: `raft-${id}`,
    http: `http-${id}`,
    incarnation: `${id}`,
  })),
);

function newChecks(): Checks {
  const trail = (): DatedConfiguration[] => [{ index: 0, configuration: formed }];
  const nodes = ids.map((id) => ({ id, shadow: { ...emptyShadow(`${id}`), trail: trail() } }));
  const checks = new Checks(() => nodes, formed);
  for (const { shadow } of nodes) checks.opened(shadow);
  return checks;
}

function commits(checks: Checks, id: NodeId, commitIndex: number): void {
  const seen = { id, term: 5, isLeader: false, commitIndex, durableIndex: 0 };
  checks.observed({ ...seen, configuration: formed, isWritten: true });
}

/** Entries as "index/term". */
function writes(checks: Checks, id: NodeId, entries: string): void {
  checks.appending(id, entries.split(" ").map(entryOf));
  checks.synced(id);
}

function losesItsLog(checks: Checks, id: NodeId): void {
  checks.restarted(id, {
    firstIndex: 1,
    baseTerm: 0,
    entries: [],
    hardState: { term: term(0), vote: null },
    appliedIndex: 0,
    isRecovering: true,
  });
}

test("a lost entry that another leader's has replaced need not come back", () => {
  const checks = newChecks();
  writes(checks, damaged, "1/4");
  losesItsLog(checks, damaged);
  for (const id of [second, third]) writes(checks, id, "1/5");
  commits(checks, second, 1);
  assert.ok(checks.hasLost(damaged));
  checks.recovered(damaged);
  assert.not(checks.hasLost(damaged));
});

test("a lost entry that is committed has to come back", () => {
  const checks = newChecks();
  for (const id of ids) writes(checks, id, "1/4 2/4");
  losesItsLog(checks, damaged);
  commits(checks, second, 2);
  writes(checks, damaged, "1/4");
  assert.throws(() => checks.recovered(damaged), /recovered without the committed entry 2/);
  writes(checks, damaged, "2/4");
  checks.recovered(damaged);
});

test("a lost entry counts for its own commit, and for that of no other entry in its place", () => {
  const own = newChecks();
  for (const id of [damaged, second]) writes(own, id, "1/4");
  losesItsLog(own, damaged);
  commits(own, second, 1);

  const other = newChecks();
  writes(other, damaged, "1/4");
  losesItsLog(other, damaged);
  writes(other, second, "1/5");
  assert.throws(() => commits(other, second, 1), /it is durable on 2 only/);
});

/** A start finds no log but the place behind entry 1, and the state that goes with it. */
function beginsBehindOne(checks: Checks, id: NodeId, baseTerm: number): void {
  checks.restarted(id, {
    firstIndex: 2,
    baseTerm,
    entries: [],
    hardState: { term: term(0), vote: null },
    appliedIndex: 1,
    isRecovering: false,
  });
}

test("a snapshot may take away a log that contradicts it, and none that agrees with it", () => {
  const contradicting = newChecks();
  writes(contradicting, damaged, "1/4 2/4");
  for (const id of [second, third]) writes(contradicting, id, "1/5");
  commits(contradicting, second, 1);
  beginsBehindOne(contradicting, damaged, 5);

  const agreeing = newChecks();
  writes(agreeing, damaged, "1/5 2/5");
  for (const id of [second, third]) writes(agreeing, id, "1/5");
  commits(agreeing, second, 1);
  assert.throws(() => beginsBehindOne(agreeing, damaged, 5), /its log ends at 1, and 2 was synced/);

  const early = newChecks();
  writes(early, damaged, "1/4 2/4");
  for (const id of [second, third]) writes(early, id, "1/5");
  assert.throws(() => beginsBehindOne(early, damaged, 5), /its log ends at 1, and 2 was synced/);
});

test.run();
