/** Every fuzz target by name. */

import { listen } from "../../server/listen/http1.ts";
import * as commandLine from "./command-line.ts";
import { checkApp } from "./http.ts";
import * as peer from "./peer.ts";
import { checkNode } from "./peer-node.ts";
import * as prompt from "./prompt.ts";
import { rawHttpTarget } from "./raw-http.ts";
import * as record from "./record.ts";
import * as smallFiles from "./small-files.ts";
import * as snapshot from "./snapshot.ts";
import { checkState } from "./snapshot-state.ts";
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
  onTape("peer-codec", { tapeBytesMax: 256, testRuns: 5_000 }, peer.checkCodec),
  onTape("peer-frames", { tapeBytesMax: 128, testRuns: 200 }, peer.checkFrames),
  onTape("peer-stranger", { tapeBytesMax: 128, testRuns: 400 }, peer.checkStranger),
  onTape("peer-dialer", { tapeBytesMax: 128, testRuns: 400 }, peer.checkDialer),
  onTape("peer-session", { tapeBytesMax: 512, testRuns: 100 }, peer.checkSession),
  onTape("peer-node", { tapeBytesMax: 1024, testRuns: 20 }, checkNode),
  onTape("log-crashes", { tapeBytesMax: 512, testRuns: 20 }, record.checkCrashes),
  onTape("log-flips", { tapeBytesMax: 256, testRuns: 40 }, record.checkFlips),
  onTape("log-losses", { tapeBytesMax: 256, testRuns: 40 }, record.checkLosses),
  onTape("log-anything", { tapeBytesMax: 512, testRuns: 40 }, record.checkAnything),
  onTape("hard-state", { tapeBytesMax: 128, testRuns: 200 }, smallFiles.checkHardState),
  onTape("identity", { tapeBytesMax: 128, testRuns: 300 }, smallFiles.checkIdentity),
  onTape("truncation-note", { tapeBytesMax: 64, testRuns: 1_000 }, smallFiles.checkNote),
  onTape("snapshot-transfer", { tapeBytesMax: 64, testRuns: 300 }, snapshot.checkTransfer),
  onTape("snapshot-forged", { tapeBytesMax: 128, testRuns: 400 }, snapshot.checkForged),
  onTape("snapshot-state", { tapeBytesMax: 64, testRuns: 20 }, checkState),
  onTape("http-app", { tapeBytesMax: 256, testRuns: 50 }, checkApp),
  onTape("prompt-parser", { tapeBytesMax: 64, testRuns: 150 }, prompt.checkParser),
  onTape("prompt-rendering", { tapeBytesMax: 128, testRuns: 100 }, prompt.checkRendering),
  onTape("prompt-keys", { tapeBytesMax: 128, testRuns: 10 }, prompt.checkKeys),
  onTape("prompt-editor", { tapeBytesMax: 256, testRuns: 20 }, prompt.checkEditor),
  onTape("prompt-completion", { tapeBytesMax: 128, testRuns: 60 }, prompt.checkCompletion),
  onTape("prompt-pipe", { tapeBytesMax: 128, testRuns: 60 }, prompt.checkPipe),
  onTape("prompt-terminal", { tapeBytesMax: 128, testRuns: 20 }, prompt.checkTerminal),
  onTape("config", { tapeBytesMax: 64, testRuns: 500 }, commandLine.checkConfig),
  onTape("arguments", { tapeBytesMax: 64, testRuns: 500 }, commandLine.checkArguments),
  onTape("command-line", { tapeBytesMax: 64, testRuns: 1 }, commandLine.checkProcess),
  rawHttpTarget([{ name: "listen", listen }]),
];
