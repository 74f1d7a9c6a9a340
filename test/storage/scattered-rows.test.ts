/** How many pages rows change that hardly share any, which is what decides when they are written. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { pageBytes } from "../../storage/state-schema.ts";
import { withScene, type Scene } from "./store-scene.ts";

const valueBytes = 1_000;
const count = 1_500;
const keyOf = (at: number): string => `key-${String(at).padStart(5, "0")}`;

/** Three rows or four on a page. */
function filled(scene: Scene): void {
  for (let at = 0; at < count; at++) scene.put(keyOf(at), "v".repeat(valueBytes));
  scene.store.sync();
}

test("rows in the place of others that are far apart count as a page each, and what they fill besides", () => {
  withScene((scene) => {
    filled(scene);
    assert.is(scene.store.scatteredPages(50_000), 0, "nothing waits");
    for (let at = 0; at < 20; at++) scene.put(keyOf(70 * at), "w".repeat(valueBytes));
    const { uncommittedBytes } = scene.store;
    const filledPages = Math.floor(uncommittedBytes / pageBytes);
    assert.ok(filledPages > 0);
    assert.is(scene.store.scatteredPages(50_000), 20 + filledPages);
    scene.put(keyOf(70), "x");
    assert.is(scene.store.scatteredPages(50_000), 20 + filledPages, "the same row once more");
    scene.store.commit();
    assert.is(scene.store.scatteredPages(50_000), 0);
  });
});

test("where as many rows would be gathered as there are pages, they share some", () => {
  withScene((scene) => {
    filled(scene);
    for (let at = 0; at < 20; at++) scene.put(keyOf(70 * at), "w".repeat(valueBytes));
    assert.is(scene.store.scatteredPages(4 << 20), 0);
  });
});

test("new rows come one behind the other", () => {
  withScene((scene) => {
    filled(scene);
    for (let at = 0; at < 20; at++) scene.put(keyOf(count + at), "w".repeat(valueBytes));
    assert.is(scene.store.scatteredPages(50_000), 0);
  });
});

test.run();
