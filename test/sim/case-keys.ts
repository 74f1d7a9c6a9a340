/** The keys of those who try every case: such that bytes, characters and groups order them differently. */

/** The last two are the other way round where characters of 16 bits are compared. */
export const plainKeys = [
  "case-a",
  "case-a/1",
  "case-a/2",
  "case-a/b/1",
  "case-a0",
  "case-b",
  "case-b/1",
  "case-é/1",
  "case-\uff5e",
  "case-\u{1f600}",
];

export const numberKeys = ["case-a/n", "case-n"];

export const caseKeys = [...plainKeys, ...numberKeys];

/** Of an election, and how its queue is called. */
export const caseElection = "case";
export const caseQueue: string = `election/${caseElection}`;
