/**
 * The 16 bytes before every command in the log, in network order: which state machine it is for, and
 * which request of which node it answers, so that the node that took the request recognises it.
 *
 * | bytes | field |
 * |---|---|
 * | 0 | state machine: 1 is the key-value store |
 * | 1 | version of the command's form: 1 |
 * | 2–3 | zero |
 * | 4–7 | origin: the node that took the request |
 * | 8–11 | session: drawn at that node's start |
 * | 12–15 | sequence: counts that session's attempts |
 */

import { nodeId, type NodeId } from "../raft/entry.ts";

export const commandHeaderBytes = 16;

const machineId = 1;
const version = 1;

export interface CommandHeader {
  readonly origin: NodeId;
  readonly session: number;
  readonly sequence: number;
}

export function frameCommand(header: CommandHeader, command: Uint8Array): Uint8Array {
  const data = new Uint8Array(commandHeaderBytes + command.byteLength);
  data[0] = machineId;
  data[1] = version;
  writeUint32(data, 4, header.origin);
  writeUint32(data, 8, header.session);
  writeUint32(data, 12, header.sequence);
  data.set(command, commandHeaderBytes);
  return data;
}

/** Null where the bytes are no command of this version. */
export function readCommandHeader(data: Uint8Array): CommandHeader | null {
  if (data.byteLength < commandHeaderBytes) return null;
  if (data[0] !== machineId || data[1] !== version || data[2] !== 0 || data[3] !== 0) return null;
  return {
    origin: nodeId(readUint32(data, 4)),
    session: readUint32(data, 8),
    sequence: readUint32(data, 12),
  };
}

// By hand: a `DataView`, or any other view, of bytes that are kept makes them dearer for good.

function writeUint32(data: Uint8Array, at: number, value: number): void {
  data[at] = value >>> 24;
  data[at + 1] = value >>> 16;
  data[at + 2] = value >>> 8;
  data[at + 3] = value;
}

function readUint32(data: Uint8Array, at: number): number {
  const low = ((data[at + 1] ?? 0) << 16) | ((data[at + 2] ?? 0) << 8) | (data[at + 3] ?? 0);
  return (data[at] ?? 0) * 2 ** 24 + low;
}

/** The command behind the header, as a view. */
export const commandBytes = (data: Uint8Array): Uint8Array => data.subarray(commandHeaderBytes);
