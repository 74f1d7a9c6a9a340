/** Which of the two forms of the fault tests runs: the short one of `npm test`, or the long one. */

export const isLongForm = process.env["KV_FAULTS"] === "long";
