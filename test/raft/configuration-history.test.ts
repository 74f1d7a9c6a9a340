/** Which configuration is in force, as entries come, go and are committed. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ConfigurationHistory } from "../../server/raft/configuration-history.ts";
import { index, nodeId } from "../../server/raft/entry.ts";
import { entryOf, membersOf, membersText } from "./message-text.ts";

const historyOf = (...texts: string[]): ConfigurationHistory => {
  const history = new ConfigurationHistory(membersOf("1,2,3"));
  history.appended(texts.map(entryOf));
  return history;
};

test("the newest configuration counts from its entry on", () => {
  const history = historyOf("4/1:a", "5/1:{1,2}", "6/1:b");
  assert.is(membersText(history.current), "1,2");
  assert.is(history.currentIndex, 5);
  assert.is(membersText(history.at(index(4))), "1,2,3");
  assert.is(membersText(history.at(index(5))), "1,2");
});

test("a truncation takes back every configuration at or after it", () => {
  const history = historyOf("5/1:{1,2}", "6/1:{1}");
  assert.is(history.appended([entryOf("5/2")]), true);
  assert.is(membersText(history.current), "1,2,3");
});

test("entries without a configuration change nothing", () => {
  const history = historyOf("5/1:{1,2}");
  assert.is(history.appended([entryOf("6/1:a")]), false);
});

test("what is committed is no longer taken back", () => {
  const history = historyOf("5/1:{1,2}", "6/1:{1}");
  history.committed(index(5));
  history.appended([entryOf("6/2")]);
  assert.is(membersText(history.current), "1,2");
});

test("a voter may still be one until the entry that removes it is committed", () => {
  const history = historyOf("5/1:{1,2}");
  assert.ok(history.mayBeVoter(nodeId(3)));
  history.committed(index(5));
  assert.not(history.mayBeVoter(nodeId(3)));
});

test.run();
