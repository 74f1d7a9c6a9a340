/** Reads from the first bytes of a peer connection which node has dialled. */

import { nonceBytes } from "../../server/handshake.ts";

/** Magic, protocol version, nonce: see `server/handshake.ts`. */
const helloBytes = 4 + 2 + nonceBytes;
/** More than any identity has: whoever sends more without a name is not a node. */
const lookedAtMax = 16 << 10;

export class DialerName {
  #seen = Buffer.alloc(0);

  /** The id as soon as enough has come; null before that. */
  read(chunk: Uint8Array): number | null {
    if (this.#seen.length > lookedAtMax) return null;
    this.#seen = Buffer.concat([this.#seen, chunk]);
    if (this.#seen.length < helloBytes + 2) return null;
    const end = helloBytes + 2 + this.#seen.readUInt16BE(helloBytes);
    if (this.#seen.length < end) return null;
    const text = this.#seen.toString("utf8", helloBytes + 2, end);
    const { identity } = JSON.parse(text) as { identity: { nodeId: number } };
    return identity.nodeId;
  }
}
