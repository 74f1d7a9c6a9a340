/** What clients ask for, as the histories that the checker reads tell it: registers, counters, extremes, twins. */

import { must, unreachable } from "../../server/raft/assert.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import {
  fingerprintBytes,
  type CommandResult,
  type PlainCommand,
  type Row,
} from "../../server/state-machine/command.ts";
import { integerOfBytes } from "../../server/state-machine/integer.ts";
import { afterKey } from "../../server/state-machine/key-range.ts";
import type { StateMachine } from "../../server/state-machine/port.ts";
import {
  transactionOf,
  type Operation,
  type OperationResult,
} from "../../server/state-machine/transaction.ts";
import { HistoryRecorder } from "../linearizability/history.ts";
import type {
  CompareAndSetInput,
  CompareAndSetOutput,
  CounterInput,
  CounterOutput,
  ExtremesInput,
} from "../linearizability/models.ts";
import { claim } from "./trace.ts";

export abstract class Workload<Input extends { readonly kind: string }, Output> {
  readonly history = new HistoryRecorder<Input, Output>();

  /** Null for what is read. */
  abstract commandOf(key: string, input: Input): PlainCommand | null;
  abstract outputOf(result: CommandResult): Output;
  abstract read(machine: StateMachine, key: string): Output;
}

/** A call that is under way, whatever it asks. */
export interface Asked {
  readonly kind: string;
  readonly key: string;
  /** Null for what is read. */
  readonly command: Uint8Array | null;
  /** May be sent as often as one likes. */
  readonly isOnce: boolean;
  /** Of the write, or of the row that was read; 0 where there is none, or no answer yet. */
  readonly revision: number;
  answered(result: CommandResult, nowMs: number): void;
  read(machine: StateMachine): void;
  /** The output that `answered` or `read` took is told at this time. */
  end(nowMs: number): void;
  unknown(): void;
  failed(): void;
}

export function ask<Input extends { readonly kind: string }, Output>(
  workload: Workload<Input, Output>,
  call: {
    readonly client: number;
    readonly key: string;
    readonly input: Input;
    readonly isOnce: boolean;
  },
  nowMs: number,
): Asked & { readonly id: number } {
  const { client, key, input } = call;
  const { history } = workload;
  const id = history.begin(client, key, input, nowMs);
  const plain = workload.commandOf(key, input);
  const isOnce = call.isOnce && plain !== null;
  const requestKey = `${key}/${client}/${id}`;
  const command = isOnce
    ? ({ op: "once", requestKey, fingerprint, command: plain } as const)
    : plain;
  let output: Output | undefined;
  let revision = 0;
  return {
    id,
    kind: input.kind,
    key,
    get revision() {
      return revision;
    },
    command: command && encodeCommand(command),
    isOnce,
    answered: (result) => {
      output = workload.outputOf(result);
      revision = "revision" in result ? result.revision : 0;
    },
    read: (machine) => {
      output = workload.read(machine, key);
      revision = rowIn(machine, key)?.revision ?? 0;
      const listed = id % listEvery === 0 ? listedRow(machine, key)?.revision : revision;
      claim((listed ?? 0) === revision, () => `${key}: a get shows ${revision}, a list ${listed}`);
    },
    end: (endMs) => history.end(id, must(output, "it was answered"), endMs),
    unknown: () => history.unknown(id),
    failed: () => history.failed(id),
  };
}

/** No key is used for two requests here. */
const fingerprint = new Uint8Array(fingerprintBytes);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One read in so many looks at a listing too. */
const listEvery = 4;

function listedRow(machine: StateMachine, key: string): Row | null {
  const found = machine.lookup({
    ...{ type: "list", range: { start: key, end: afterKey(key) }, after: null, reverse: false },
    ...{ limit: 10, keysOnly: false, bytesMax: Infinity, groups: null },
  });
  return found.type === "list" ? (found.rows.find((row) => row.key === key) ?? null) : null;
}

export function rowIn(machine: StateMachine, key: string): Row | null {
  const found = machine.lookup({ type: "get", key });
  return found.type === "get" ? found.row : null;
}

/** The results of a transaction. */
function resultsOf(result: CommandResult): readonly OperationResult[] {
  claim(result.op === "transaction", () => `a transaction is answered as ${result.op}`);
  return result.op === "transaction" ? result.results : [];
}

/** Puts, gets, deletes and conditional puts of a few keys. */
export class Registers extends Workload<CompareAndSetInput, CompareAndSetOutput> {
  /** What the last answer about each key said, which the next condition may build on. */
  readonly #seen = new Map<string, number | null>();

  lastSeen(key: string): number | null {
    return this.#seen.get(key) ?? null;
  }

  commandOf(key: string, input: CompareAndSetInput): PlainCommand | null {
    switch (input.kind) {
      case "put":
        return { op: "put", key, value: encoder.encode(input.value), contentType: null };
      case "putIf": {
        const { revision, value } = input;
        const put = { op: "put", key, value: encoder.encode(value), contentType: null } as const;
        const condition = { kind: "revision", key, not: false, revision: revision ?? 0 } as const;
        return transactionOf([condition], put, { op: "revision", key });
      }
      case "delete": {
        // A range of one key does the same, by the way of ranges.
        const range = { start: key, end: afterKey(key) };
        return key.length % 2 === 0
          ? { op: "delete", key }
          : transactionOf([], { op: "deleteRange", range, limit: null });
      }
      case "get":
        return null;
      default:
        return unreachable(input);
    }
  }

  outputOf(result: CommandResult): CompareAndSetOutput {
    if (result.op === "put") {
      return { kind: "put", created: result.created, revision: result.revision };
    }
    if (result.op === "delete") {
      return { kind: "delete", deleted: result.deleted, revision: result.revision };
    }
    const [done] = resultsOf(result);
    const { revision } = result as Extract<CommandResult, { op: "transaction" }>;
    switch (done?.op) {
      case "put":
        return { kind: "put", created: done.created, revision };
      case "deleteRange":
        return { kind: "delete", deleted: done.deleted === 0 ? 0 : 1, revision };
      case "revision":
        return { kind: "conflict", revision: done.revision };
      default:
        throw new Error(`no register answers ${done?.op}`);
    }
  }

  read(machine: StateMachine, key: string): CompareAndSetOutput {
    const row = rowIn(machine, key);
    this.#seen.set(key, row?.revision ?? null);
    return this.outputOfRow(row);
  }

  outputOfRow(row: Row | null): CompareAndSetOutput {
    return {
      kind: "get",
      row: row && { value: decoder.decode(row.value), revision: row.revision },
    };
  }
}

const numberIn = (row: Row | null): number =>
  row === null ? 0 : Number(must(integerOfBytes(row.value) ?? undefined, "it is a number"));

export class Counters extends Workload<CounterInput, CounterOutput> {
  commandOf(key: string, input: CounterInput): PlainCommand | null {
    return input.kind === "get" ? null : transactionOf([], increment(key, input.by));
  }

  outputOf(result: CommandResult): CounterOutput {
    return valueOf(resultsOf(result)[0]);
  }

  read(machine: StateMachine, key: string): CounterOutput {
    return numberIn(rowIn(machine, key));
  }
}

/** Numbers that are only ever raised and lowered to a value. */
export class Extremes extends Workload<ExtremesInput, number> {
  commandOf(key: string, input: ExtremesInput): PlainCommand | null {
    if (input.kind === "get") return null;
    return transactionOf([], { op: input.kind, key, value: BigInt(input.value) });
  }

  outputOf(result: CommandResult): number {
    const [done] = resultsOf(result);
    const isOne = done?.op === "max" || done?.op === "min";
    claim(isOne, () => `a maximum or minimum is answered as ${done?.op}`);
    return isOne ? Number(done.value) : NaN;
  }

  read(machine: StateMachine, key: string): number {
    return numberIn(rowIn(machine, key));
  }
}

const twinOf = (key: string): string => `${key}-twin`;

/** Two counters that are only ever incremented together: whoever sees one sees the other. */
export class Twins extends Workload<CounterInput, CounterOutput> {
  commandOf(key: string, input: CounterInput): PlainCommand | null {
    if (input.kind === "get") return null;
    const { by } = input;
    // The failing side is never to leave anything behind.
    const impossible = { kind: "exists", key: "nobody", not: false } as const;
    return {
      op: "transaction",
      conditions: [impossible],
      then: [increment(key, 1_000_000)],
      otherwise: [increment(key, by), increment(twinOf(key), by)],
    };
  }

  outputOf(result: CommandResult): CounterOutput {
    const [one, other] = resultsOf(result);
    return this.#same(valueOf(one), valueOf(other));
  }

  read(machine: StateMachine, key: string): CounterOutput {
    return this.#same(numberIn(rowIn(machine, key)), numberIn(rowIn(machine, twinOf(key))));
  }

  #same(one: number, other: number): number {
    claim(one === other, () => `half of a transaction is seen: ${one} and ${other}`);
    return one;
  }
}

const increment = (key: string, by: number): Operation => ({
  op: "incr",
  key,
  by: BigInt(by),
  min: null,
  max: null,
});

function valueOf(result: OperationResult | undefined): number {
  claim(result?.op === "incr", () => `an increment is answered as ${result?.op}`);
  return result?.op === "incr" ? Number(result.value) : NaN;
}
