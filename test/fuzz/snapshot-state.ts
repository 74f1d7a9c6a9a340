/**
 * The making of a state from rows that no node wrote, behind checksums that are right: it is the state
 * that was sent, or what is wrong is said, and nothing else ends.
 */

import * as assert from "uvu/assert";
import type { SqliteValue } from "../../storage/sqlite/port.ts";
import { members, roomy, withScene } from "../storage/store-scene.ts";
import type { Tape } from "./tape.ts";

type Rows = SqliteValue[][];

export function checkState(tape: Tape): void {
  withScene((scene, other) => {
    for (let at = 0; at < 6; at++)
      scene.put(`k${at}`, "x".repeat(at), at % 2 === 0 ? "text/plain" : null);
    const view = roomy(scene.store.prepareSnapshot());
    const recovery = other.store.beginRecovery(
      { ...view.applied, configuration: members },
      view.digest,
    );
    let wrong: string | null = null;
    for (let batch = view.read(200); batch && wrong === null; batch = view.read(200)) {
      const rows = batch.rows.map((row) => [...row]) as Rows;
      for (let changes = tape.below(4); changes > 0; changes--) change(rows, tape);
      wrong = recovery.add({ table: tape.once(16) ? "other" : batch.table, rows });
    }
    view.close();
    wrong ??= recovery.finish();
    if (wrong === null) {
      recovery.install();
      assert.equal(other.store.digest(), scene.store.digest());
    } else {
      assert.ok(wrong.length > 0);
      recovery.abandon();
      assert.is(other.store.applied.appliedIndex, 0);
    }
  });
}

const values: readonly SqliteValue[] = [
  null,
  0,
  -1,
  1.5,
  NaN,
  Infinity,
  2 ** 53,
  "",
  "k1",
  "\0",
  new Uint8Array(0),
  new Uint8Array([0xff]),
];

function change(rows: Rows, tape: Tape): void {
  const row = rows[tape.below(rows.length)];
  if (!row) return;
  switch (tape.below(5)) {
    case 0:
      rows.push([...row]);
      break;
    case 1:
      rows.splice(tape.below(rows.length), 1);
      break;
    case 2:
      row.splice(tape.below(row.length), 1);
      break;
    case 3:
      row[tape.below(row.length)] = tape.pick(values);
      break;
    default:
      row.push(tape.pick(values));
  }
}
