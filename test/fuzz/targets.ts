/** Every fuzz target by name. */

import { listen } from "../../server/listen/listen.ts";
import { checkApp } from "./http.ts";
import * as peer from "./peer.ts";
import { checkNode } from "./peer-node.ts";
import * as prompt from "./prompt.ts";
import { rawHttpTarget } from "./raw-http.ts";
import * as record from "./record.ts";
import * as smallFiles from "./small-files.ts";
import { Tape } from "./tape.ts";
import type { Target } from "./target.ts";

interface Options {
  readonly tapeBytesMax: number;
  /** Runs with a fixed seed in the unit tests: a fraction of a second of them. */
  readonly testRuns: number;
}

function onTape(
  name: string,
  { tapeBytesMax, testRuns }: Options,
  check: (tape: Tape) => void | Promise<void>,
): Target {
  return { name, tapeBytesMax, testRuns, check: (input) => check(new Tape(input)) };
}

export const targets: readonly Target[] = [
  onTape("peer-codec", { tapeBytesMax: 256, testRuns: 20000 }, peer.checkCodec),
  onTape("peer-frames", { tapeBytesMax: 128, testRuns: 1500 }, peer.checkFrames),
  onTape("peer-stranger", { tapeBytesMax: 128, testRuns: 1500 }, peer.checkStranger),
  onTape("peer-dialer", { tapeBytesMax: 128, testRuns: 1500 }, peer.checkDialer),
  onTape("peer-session", { tapeBytesMax: 512, testRuns: 500 }, peer.checkSession),
  onTape("peer-node", { tapeBytesMax: 1024, testRuns: 50 }, checkNode),
  onTape("log-crashes", { tapeBytesMax: 512, testRuns: 50 }, record.checkCrashes),
  onTape("log-flips", { tapeBytesMax: 256, testRuns: 100 }, record.checkFlips),
  onTape("log-losses", { tapeBytesMax: 256, testRuns: 100 }, record.checkLosses),
  onTape("log-anything", { tapeBytesMax: 512, testRuns: 100 }, record.checkAnything),
  onTape("hard-state", { tapeBytesMax: 128, testRuns: 1_000 }, smallFiles.checkHardState),
  onTape("identity", { tapeBytesMax: 128, testRuns: 1_000 }, smallFiles.checkIdentity),
  onTape("truncation-note", { tapeBytesMax: 64, testRuns: 2_000 }, smallFiles.checkNote),
  onTape("http-app", { tapeBytesMax: 256, testRuns: 200 }, checkApp),
  onTape("prompt-parser", { tapeBytesMax: 64, testRuns: 500 }, prompt.checkParser),
  onTape("prompt-rendering", { tapeBytesMax: 128, testRuns: 500 }, prompt.checkRendering),
  onTape("prompt-keys", { tapeBytesMax: 128, testRuns: 200 }, prompt.checkKeys),
  onTape("prompt-editor", { tapeBytesMax: 256, testRuns: 50 }, prompt.checkEditor),
  onTape("prompt-completion", { tapeBytesMax: 128, testRuns: 200 }, prompt.checkCompletion),
  onTape("prompt-pipe", { tapeBytesMax: 128, testRuns: 200 }, prompt.checkPipe),
  onTape("prompt-terminal", { tapeBytesMax: 128, testRuns: 50 }, prompt.checkTerminal),
  rawHttpTarget([{ name: "listen", listen }]),
];
