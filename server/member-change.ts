/**
 * What may become of a configuration: each function makes one change of one member, as the log takes
 * it, or says why not. What a person wants may take several of them.
 */

import { isAddressText } from "./address.ts";
import { configuration, memberOf, retiredMax } from "./raft/configuration.ts";
import { membersMax, voters, type Configuration, type Member } from "./raft/configuration.ts";
import type { MemberRole } from "./raft/configuration.ts";
import type { NodeId } from "./raft/entry.ts";

/** What a person asks for. `replace` is a removal whose second and third change follow by themselves. */
export type MemberChange =
  | { readonly kind: "add"; readonly id: NodeId; readonly raft: string; readonly http: string }
  | { readonly kind: "replace"; readonly id: NodeId; readonly raft: string; readonly http: string }
  | { readonly kind: "promote"; readonly id: NodeId }
  | { readonly kind: "remove"; readonly id: NodeId };

/** A directory that asks to be a member: what it said when it met one. */
export interface Newcomer {
  readonly id: NodeId;
  readonly incarnation: string;
  readonly raft: string;
  readonly http: string;
}

/**
 * A newcomer, and the directory that had its place when it was refused; null: none. Only that one is
 * retired for it: a knock is known for a while, to a node that lags or is to lead, and the place may
 * have been given to another one since. The entry that retires it follows from the configuration that
 * still names it, and from no other.
 */
export interface Knock extends Newcomer {
  readonly insteadOf: string | null;
  /** It has been there for `takeInMs`, and whoever has its place was away. */
  readonly hasWaited: boolean;
}

/** The next configuration, or a sentence that says why there is none. */
export type Changed =
  | { readonly ok: true; readonly next: Configuration }
  | { readonly ok: false; readonly detail: string };

const refused = (detail: string): Changed => ({ ok: false, detail });

const unknown = (id: NodeId): Changed => refused(`node ${id} is not a member`);

/** `newcomer`, where its machine is there already. */
export function changed(
  before: Configuration,
  change: MemberChange,
  newcomer: Newcomer | null,
): Changed {
  const { id } = change;
  const member = memberOf(before, id);
  switch (change.kind) {
    case "add":
      return addLearner(before, placeFor(change, newcomer));
    case "promote":
      return member ? promote(before, id) : unknown(id);
    case "remove":
      return member || isAwaited(before, id) ? retire(before, id, null) : unknown(id);
    case "replace":
      if (!member) return unknown(id);
      return replace(before, { ...placeFor(change, newcomer), role: finalRole(member) });
  }
}

const finalRole = ({ role }: Member): MemberRole => (role === "learner" ? "learner" : "voter");

/** A newcomer fills the place where it says it is at that address. */
function placeFor(
  { id, raft, http }: Omit<Newcomer, "incarnation">,
  newcomer: Newcomer | null,
): Member {
  const isThere = newcomer !== null && newcomer.id === id && newcomer.raft === raft;
  const incarnation = isThere ? newcomer.incarnation : "";
  return { id, role: "learner", raft, http, incarnation };
}

const isAwaited = (config: Configuration, id: NodeId): boolean =>
  config.successors.some((successor) => successor.id === id);

const others = (members: readonly Member[], id: NodeId): readonly Member[] =>
  members.filter((member) => member.id !== id);

/** Whoever it is comes as a learner, whatever it is to be in the end. */
function addLearner(before: Configuration, newcomer: Member): Changed {
  const { id, raft, http, incarnation } = newcomer;
  if (memberOf(before, id)) return refused(`node ${id} is a member already; use replace`);
  if (before.members.length >= membersMax) {
    return refused(`a cluster has at most ${membersMax} members; remove one first`);
  }
  // Who asks may be another node, or the newcomer itself: what stands in the log is for ever.
  const wrong = [raft, http].find((text) => !isAddressText(text));
  if (wrong !== undefined) return refused(`${JSON.stringify(wrong)} is not HOST:PORT`);
  const own = [raft, http].map(comparable);
  if (own[0] === own[1])
    return refused(`${raft} is for peers or for HTTP; each has its own address`);
  const taken = before.members.find((member) =>
    [member.raft, member.http].some((address) => own.includes(comparable(address))),
  );
  if (taken) return refused(`node ${taken.id} has one of these addresses; each is one member's`);
  if (before.retired.includes(incarnation)) {
    return refused(
      `the directory of node ${id} was removed and does not come back; empty it first`,
    );
  }
  const members = [...before.members, { ...newcomer, role: "learner" as const }];
  return { ok: true, next: configuration(members, before) };
}

const comparable = (address: string): string => address.toLowerCase();

export function promote(before: Configuration, id: NodeId): Changed {
  const learner = memberOf(before, id);
  if (learner?.role === "voter") return refused(`node ${id} is a voter already`);
  if (learner?.role !== "learner") return refused(`node ${id} is being promoted`);
  const members = [...others(before.members, id), { ...learner, role: "promoted" as const }];
  return { ok: true, next: configuration(members, { ...before, successors: without(before, id) }) };
}

/** The second half of a promotion, after the first is committed. */
const enfranchise = (before: Configuration, promoted: Member): Configuration =>
  configuration([...others(before.members, promoted.id), { ...promoted, role: "voter" }], before);

/** The member goes for good; the successor's turn comes with the changes after this one. */
function retire(before: Configuration, id: NodeId, successor: Member | null): Changed {
  const rest = others(before.members, id);
  if (!rest.some(({ role }) => role === "voter")) {
    return refused(`node ${id} is the only voter; a cluster needs one`);
  }
  const gone = memberOf(before, id)?.incarnation ?? "";
  const retired = gone === "" ? before.retired : [...before.retired, gone].slice(-retiredMax);
  const successors = [...without(before, id), ...(successor ? [successor] : [])];
  return { ok: true, next: configuration(rest, { retired, successors }) };
}

/** The member with that id goes, and the newcomer could be added then. */
function replace(before: Configuration, newcomer: Member): Changed {
  const removal = retire(before, newcomer.id, newcomer);
  if (!removal.ok) return removal;
  const addition = addLearner(removal.next, newcomer);
  return addition.ok ? removal : addition;
}

/** A learner was added before its machine came: from now on it is this directory and no other. */
function identify(before: Configuration, { id, incarnation }: Newcomer): Changed {
  const learner = memberOf(before, id);
  if (learner?.incarnation !== "") return refused(`node ${id} has a directory already`);
  const members = [...others(before.members, id), { ...learner, incarnation }];
  return { ok: true, next: configuration(members, before) };
}

/** Nothing is left to do for it. */
export const settle = (before: Configuration, id: NodeId): Changed => ({
  ok: true,
  next: configuration(before.members, { ...before, successors: without(before, id) }),
});

const without = (config: Configuration, id: NodeId): readonly Member[] =>
  others(config.successors, id);

/** What the leader knows of the world, for the changes that nobody has to ask for. */
export interface Surroundings {
  /** Directories that knocked lately and that the configuration does not name. */
  readonly newcomers: readonly Knock[];
  isConnected(id: NodeId): boolean;
  /** It answers, and lacks little of the log. */
  isCaughtUp(id: NodeId): boolean;
  /** Whether a majority of these voters answers. */
  isMajorityThere(ids: readonly NodeId[]): boolean;
}

/**
 * The next change that needs no person: a successor's coming and promotion, and the removal of a
 * directory whose id has come back without its memory. Null where there is nothing to do, or not yet.
 */
export function nextStep(before: Configuration, world: Surroundings): Configuration | null {
  const promoted = before.members.find(({ role }) => role === "promoted");
  if (promoted) return enfranchise(before, promoted);
  for (const successor of before.successors) {
    const step = followSuccessor(before, successor, world);
    if (step?.ok) return step.next;
  }
  for (const newcomer of world.newcomers) {
    const step = takeIn(before, newcomer, world);
    if (step?.ok) return step.next;
  }
  return null;
}

function followSuccessor(
  before: Configuration,
  successor: Member,
  world: Surroundings,
): Changed | null {
  const { id, role } = successor;
  const member = memberOf(before, id);
  if (!member) {
    const isGone = before.retired.includes(successor.incarnation);
    return isGone ? settle(before, id) : addLearner(before, successor);
  }
  if (role === member.role) return settle(before, id);
  return member.incarnation !== "" && world.isCaughtUp(id) ? promote(before, id) : null;
}

function takeIn(before: Configuration, knock: Knock, world: Surroundings): Changed | null {
  const { insteadOf, hasWaited, ...newcomer } = knock;
  const { id, incarnation, raft } = newcomer;
  const member = memberOf(before, id);
  if (!member || member.incarnation === incarnation) return null;
  if (before.retired.includes(incarnation)) return null;
  if (member.incarnation === "") return member.raft === raft ? identify(before, newcomer) : null;
  if (member.incarnation !== insteadOf || !hasWaited) return null;
  // The directory that we know is in use: two nodes claim one id.
  if (world.isConnected(id)) return null;
  const left = voters(before).filter((voter) => voter !== id);
  if (!world.isMajorityThere(left)) return null;
  const awaited = before.successors.find((successor) => successor.id === id);
  return replace(before, { ...newcomer, role: awaited?.role ?? finalRole(member) });
}
