/** What `kv --help` says of single commands, where the words alone would mislead. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { helpText } from "../../cmd/commands.ts";

test("touch says that its time is needed, in either place", () => {
  assert.match(helpText("touch"), /a word, or --ttl; one of them is needed/);
});

test("a read that waits, and a transaction to be done once, have their flags", () => {
  assert.match(helpText("get"), /--wait <TIME>.*\n.*--after <REVISION>/);
  assert.match(helpText("txn"), /--idempotency-key <KEY>/);
});

test.run();
