/** What a snapshot says of itself before its first row. */

import { decodeConfiguration } from "../server/raft/configuration.ts";
import { index, term } from "../server/raft/entry.ts";
import type { AppliedState, StateDigest } from "../server/state-machine/port.ts";

export interface SnapshotHead {
  readonly group: number;
  readonly clusterId: string;
  /** Drawn when it was made: two of the same state are two files, and their bytes may differ. */
  readonly id: number;
  /** `configuration` is not null. */
  readonly applied: AppliedState;
  readonly digest: StateDigest;
}

export const encodeHead = ({ group, clusterId, id, applied, digest }: SnapshotHead): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify({
      format: 3,
      group,
      clusterId,
      id,
      lastIndex: applied.appliedIndex,
      lastTerm: applied.appliedTerm,
      logTimeMs: applied.appliedTimeMs,
      configuration: applied.configuration,
      stateHash: digest.stateHash,
      historyHash: digest.historyHash,
      bookHash: digest.bookHash,
    }),
  );

/** Null where the bytes are no head of this version. */
export function decodeHead(bytes: Uint8Array): SnapshotHead | null {
  try {
    return readHead(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    // JSON that is none, or a configuration that is none.
    return null;
  }
}

function readHead(head: unknown): SnapshotHead | null {
  if (typeof head !== "object" || head === null) return null;
  const found = head as Record<string, unknown>;
  const numbers = ["group", "id", "lastIndex", "lastTerm", "logTimeMs"].map((name) => found[name]);
  const [group, id, lastIndex, lastTerm, logTimeMs] = numbers as number[];
  const { format, clusterId, configuration, stateHash, historyHash, bookHash } = found;
  const isHead =
    format === 3 &&
    numbers.every(Number.isSafeInteger) &&
    typeof clusterId === "string" &&
    typeof stateHash === "string" &&
    /^[0-9a-f]{16}$/.test(stateHash) &&
    typeof historyHash === "string" &&
    /^[0-9a-f]{8}$/.test(historyHash) &&
    typeof bookHash === "string" &&
    /^[0-9a-f]{16}$/.test(bookHash);
  if (!isHead) return null;
  const appliedIndex = index(lastIndex ?? 0);
  return {
    group: group ?? 0,
    clusterId,
    id: id ?? 0,
    applied: {
      appliedIndex,
      appliedTerm: term(lastTerm ?? 0),
      appliedTimeMs: logTimeMs ?? 0,
      configuration: decodeConfiguration(new TextEncoder().encode(JSON.stringify(configuration))),
    },
    digest: { appliedIndex, stateHash, historyHash, bookHash },
  };
}
