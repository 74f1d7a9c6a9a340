/**
 * A program that uses the client, run on each runtime against real nodes: the endpoints are its
 * argument, `done` is its last word, and it has to end by itself.
 */

import { exercise } from "./client-exercise.ts";

const [endpoints = "", prefix = ""] = process.argv.slice(2);
await exercise(endpoints, prefix);
console.log("done");
