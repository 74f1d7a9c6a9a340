/** What the core hands to its surroundings: the result of all steps since the last time. */

import type { Configuration } from "./configuration.ts";
import type { Entry, HardState, Index, Term } from "./entry.ts";
import type { Envelope } from "./message.ts";

/** A read that may be answered once `readIndex` is applied here. */
export interface ReadState {
  readonly requestId: number;
  readonly readIndex: Index;
}

export interface SnapshotToInstall {
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  readonly configuration: Configuration;
}

/**
 * To be handled in this order, without an await in between: send `messages`; write `hardState` and
 * sync it; install `snapshot`; append `entries` and sync the log; call `persisted`; send
 * `messagesAfterSync`; apply up to `commitIndex`; answer `reads`.
 */
export interface Ready {
  /**
   * May leave before the write: nothing in them depends on it. A leader's append is among them; the
   * leader counts itself only after its own sync (thesis §10.2.1).
   */
  readonly messages: readonly Envelope[];
  /** Set where term or vote changed. */
  readonly hardState: HardState | null;
  readonly snapshot: SnapshotToInstall | null;
  /** To append; whatever the log has from the first one's index on is replaced. */
  readonly entries: readonly Entry[];
  /** Votes, acknowledgements, and everything that shows a new term: promises about what is on disk. */
  readonly messagesAfterSync: readonly Envelope[];
  readonly commitIndex: Index;
  readonly reads: readonly ReadState[];
}
