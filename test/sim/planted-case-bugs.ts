/**
 * Mistakes about what one request comes to: conditions, operations, listings, leases, elections, requests
 * under a key. Like those of `planted-bugs.ts`.
 */

import type { PlantedBug } from "./planted-bugs.ts";

const transact = "server/state-machine/transact.ts";
const rows = "server/state-machine/rows.ts";
const listing = "server/state-machine/listing.ts";
const order = "server/state-machine/key-range.ts";
const once = "server/state-machine/once.ts";
const leases = "server/state-machine/lease-operations.ts";
const sessions = "server/store-sessions.ts";
const answers = "server/command-answers.ts";

export const plantedCaseBugs: readonly PlantedBug[] = [
  {
    name: "cases: values of the same length are the same",
    file: transact,
    find: "return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);",
    replace: "return a.byteLength === b.byteLength;",
  },
  {
    name: "cases: a key without a row has an empty value",
    file: transact,
    find: "return row !== null && areEqual(row.value, condition.value);",
    replace: "return areEqual(row?.value ?? new Uint8Array(), condition.value);",
  },
  {
    name: "cases: a condition on who created a row looks at who wrote it",
    file: transact,
    find: "return (reader.revisions(key)?.createRevision ?? 0) === condition.revision;",
    replace: "return (reader.revisions(key)?.revision ?? 0) === condition.revision;",
  },
  {
    name: "cases: a condition on a value is not turned round",
    file: transact,
    find: "return isTrue(reader, condition) !== condition.not;",
    replace: 'return isTrue(reader, condition) !== (condition.not && condition.kind !== "value");',
  },
  {
    name: "cases: a range within a transaction shows what stood there before",
    file: rows,
    find: "    if (this.#changes.size === 0) return base;\n",
    replace: "    if (this.#changes.size >= 0) return base;\n",
  },
  {
    name: "cases: a range that is cut says that it is whole",
    file: transact,
    find: 'if (rows.length === limit) return { op: "range", rows, more: true };',
    replace: 'if (rows.length === limit) return { op: "range", rows, more: false };',
  },
  {
    name: "cases: a range is deleted to one more than its limit",
    file: transact,
    find: "if (keys.length === limit) break;",
    replace: "if (limit !== null && keys.length > limit) break;",
  },
  {
    name: "cases: an increment does not reach its lower bound",
    file: transact,
    find: "if ((min !== null && value < min) || (max",
    replace: "if ((min !== null && value <= min) || (max",
  },
  {
    name: "cases: an increment goes one over its upper bound",
    file: transact,
    find: "(max !== null && value > max)) {",
    replace: "(max !== null && value > max + 1n)) {",
  },
  {
    name: "cases: of a transaction that cannot be done the first half is",
    file: transact,
    find: 'if (result.op === "failed") return { ...result, position: results.length };',
    replace:
      'if (result.op === "failed") {\n      overlay.flush(revision);\n      return { ...result, position: results.length };\n    }',
  },
  {
    name: "cases: another operation is named than the one that cannot be done",
    file: transact,
    find: "return { ...result, position: results.length };",
    replace: "return { ...result, position: 0 };",
  },
  {
    name: "cases: what goes and comes within a transaction was there all the time",
    file: rows,
    find: "const before = this.revisions(row.key);\n    const createRevision",
    replace: "const before = this.#base.revisions(row.key);\n    const createRevision",
  },
  {
    name: "cases: what a value is made longer by takes its type",
    file: transact,
    find: "const { contentType = null } = row ?? {};",
    replace: "const contentType = null;",
  },
  {
    name: "cases: a number that changes stays for good",
    file: transact,
    find: "{ ...lasting(lasts), key, value: integerBytes(value), contentType },",
    replace: "{ ...lasting(row ? {} : lasts), key, value: integerBytes(value), contentType },",
  },
  {
    name: "cases: any row is in the way of one that is not to be there",
    file: answers,
    find: "conditions.push(conditionOf(key, ifNoneMatch, true));",
    replace: 'conditions.push(conditionOf(key, "*", true));',
  },
  {
    name: "listings: where it is cut nothing more follows",
    file: listing,
    find: "if (answer.count === limit || !answer.addRow(row)) return answer.made(true);",
    replace: "if (answer.count === limit || !answer.addRow(row)) return answer.made(false);",
  },
  {
    name: "listings: going back it begins with what was given last",
    file: listing,
    find: "if (reverse) return { start, end: compareKeys(key, end) < 0 ? key : end };",
    replace: "if (reverse) return { start, end: compareKeys(key, end) < 0 ? afterKey(key) : end };",
  },
  {
    name: "listings: keys are in the order of their 16-bit characters",
    file: order,
    find: "if (left !== right) return rank(left) - rank(right);",
    replace: "if (left !== right) return left - right + 0 * rank(left);",
  },
  {
    name: "listings: a delimiter within the prefix makes a group",
    file: listing,
    find: "const at = key.indexOf(delimiter, prefix.length);",
    replace: "const at = key.indexOf(delimiter);",
  },
  {
    name: "listings: whoever goes on behind a group is given it again",
    file: listing,
    find: "const group = last === null ? null : groupOf(last, groups);",
    replace: "const group = last === null || last === query.after ? null : groupOf(last, groups);",
  },
  {
    name: "listings: beside groups keys come with their values, asked for or not",
    file: listing,
    find: "const row = keysOnly ? { key, ...rest } : reader.get(key);",
    replace: "const row = keysOnly && rest === null ? { key } : reader.get(key);",
  },
  {
    name: "listings: an end beyond the prefix is one",
    file: "server/selection.ts",
    find: "end: end !== undefined && compareKeys(end, range.end) < 0 ? end : range.end,",
    replace: "end: end !== undefined && compareKeys(end, range.start) > 0 ? end : range.end,",
  },
  {
    name: "listings: the revision it names is the one before",
    file: "server/node-client.ts",
    find: "return { ok: true, ...first.meta, rows, prefixes, more, last, revision: first.revision };",
    replace:
      "return { ok: true, ...first.meta, rows, prefixes, more, last, revision: index(first.revision - 1) };",
  },
  {
    name: "counts: they do not mind where to begin",
    file: "server/node-client.ts",
    find: "let range: KeyRange | null = rangeOf(options);",
    replace: 'let range: KeyRange | null = rangeOf({ ...options, start: options.prefix ?? "" });',
  },
  {
    name: "counts: the first row is none",
    file: listing,
    find: "  let found = 0;\n",
    replace: "  let found = -1;\n",
  },
  {
    name: "leases: one that is revoked leaves a key behind",
    file: leases,
    find: "for (const leased of rows.leased.keysOf(lease)) {",
    replace: "for (const leased of rows.leased.keysOf(lease).slice(1)) {",
  },
  {
    name: "leases: places in queues count among the keys that go",
    file: leases,
    find: "if (!isHidden(leased)) deleted++;",
    replace: "deleted++;",
  },
  {
    name: "leases: keys go with one that is gone already",
    file: leases,
    find: "  if (rows.revisions(leaseKey(lease)) === null) return leaseGone(lease);\n  const { leased } = rows;",
    replace: "  const { leased } = rows;",
  },
  {
    name: "leases: a key that is written without one stays with its lease",
    file: transact,
    find: "const row = { ...operation, expiresMs: this.#after(ttlMs) };",
    replace:
      "const row = { lease: this.#rows.get(key)?.lease, ...operation, expiresMs: this.#after(ttlMs) };",
  },
  {
    name: "leases: a renewal gives twice the time",
    file: leases,
    find: "rows.touch(row.key, rows.timeMs + ttlMs);",
    replace: "rows.touch(row.key, rows.timeMs + 2 * ttlMs);",
  },
  {
    name: "leases: all of its time is always left",
    file: sessions,
    find: "ttlMs: Number(integerOfBytes(value)), remainingMs, revision }",
    replace:
      "ttlMs: Number(integerOfBytes(value)), remainingMs: Math.max(remainingMs, Number(integerOfBytes(value))), revision }",
  },
  {
    name: "elections: who came last is said to lead",
    file: sessions,
    find: '"election", name }));\n    const listed = await this.#store.list({ ...options, prefix, limit: 1 });',
    replace:
      '"election", name }));\n    const listed = await this.#store.list({ ...options, prefix, limit: 1, reverse: true });',
  },
  {
    name: "elections: another value of who leads is not told",
    file: sessions,
    find: "const now = `${rows[0]?.createRevision} ${rows[0]?.revision}`;",
    replace: "const now = `${rows[0]?.createRevision}`;",
  },
  {
    name: "elections: whoever has a place may proclaim",
    file: sessions,
    find: "transact(transactionOf([holds], operation), options);",
    replace: "transact(transactionOf([holds].slice(1), operation), options);",
  },
  {
    name: "elections: whoever waits is let in at once",
    file: "server/queue-waits.ts",
    find: "before: before?.key ?? null, revision };",
    replace: "before: before === undefined ? null : null, revision };",
  },
  {
    name: "elections: a proclaimed value frees its place from the lease",
    file: leases,
    find: "rows.put({ key, value, contentType: null, lease: row.lease }, revision);",
    replace: "rows.put({ key, value, contentType: null }, revision);",
  },
  {
    name: "elections: who comes again under his lease keeps his old value",
    file: leases,
    find: "rows.put({ key: own, value, contentType: null, lease }, revision);",
    replace: "",
  },
  {
    name: "elections: who comes again under his lease frees his place from it",
    file: leases,
    find: "rows.put({ key: own, value, contentType: null, lease }, revision);",
    replace: "rows.put({ key: own, value, contentType: null }, revision);",
  },
  {
    name: "once: another request under the key is given the first one's answer",
    file: once,
    find: 'if (!areEqual(known.fingerprint, fingerprint)) return { op: "mismatch", why: "other request" };',
    replace: "",
  },
  {
    name: "once: what is asked for does not tell a request from another",
    file: answers,
    find: "fingerprintOf(encodeCommand(command));",
    replace: "fingerprintOf(encodeCommand(command).subarray(0, 2));",
  },
  {
    name: "once: what could not be done is tried anew",
    file: once,
    find: "  remember(requests, { key",
    replace: '  if (result.op !== "failed") remember(requests, { key',
  },
  {
    name: "once: an answer that is given again has forgotten who created a row",
    file: "server/state-machine/result-codec.ts",
    find: "writer.integer(BigInt(row.revision)).integer(BigInt(row.createRevision));",
    replace: "writer.integer(BigInt(row.revision)).integer(BigInt(row.revision));",
  },
  {
    name: "once: an answer is given again, however long ago it was",
    file: once,
    find: 'if (ageMs >= requestKeptMs) return { op: "mismatch", why: "expired" };',
    replace: "",
  },
  {
    name: "once: a key is forgotten with its answer",
    file: once,
    find: "if (known !== null && ageMs < requestKnownMs) {",
    replace: "if (known !== null && ageMs < requestKeptMs) {",
  },
  {
    name: "counts: between two steps a row is left out",
    file: listing,
    find: "rest: { ...range, start: key } };",
    replace: "rest: { ...range, start: afterKey(key) } };",
  },
  {
    name: "listings: what keys take of the bytes is not counted",
    file: listing,
    find: "this.#bytes += Buffer.byteLength(row.key) + row.value.byteLength;",
    replace: "this.#bytes += row.value.byteLength;",
  },
  {
    name: "listings: a local one is of what its node had before it was asked to wait",
    file: "server/node-client.ts",
    find: "const first = await this.#read({ ...query, goneMax }, options);",
    replace:
      "const { minRevision: _, ...now } = options;\n    const first = await this.#read({ ...query, goneMax }, now);",
  },
  {
    name: "leases: one that is revoked by whoever leaves a queue keeps its keys",
    file: leases,
    find: "if (rows.revisions(leaseKey(token)) !== null) revoke(rows, token);",
    replace: "if (rows.revisions(leaseKey(token)) !== null) rows.remove(leaseKey(token));",
  },
];
