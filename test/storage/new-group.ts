/** The files of a group as a node's first start makes them, open, on a real disk. */

import { createGroup, openGroup, type LogSizes } from "../../storage/group-files.ts";
import { KeyValueStore } from "../../storage/key-value-store.ts";
import { NodeDisk } from "../../storage/node-disk.ts";
import { setStateAside } from "../../storage/state-aside.ts";
import { driver } from "./store-scene.ts";

/** Group 0 in `directory`, of a node that has peers. Its log, state and hard state are to be closed. */
export function newGroup(directory: string, logSizes: LogSizes = {}) {
  const options = { disk: new NodeDisk(), directory, group: 0, drawSalt: () => 7, logSizes };
  createGroup(options);
  const opened = openGroup({
    ...options,
    openMachine: (file) => KeyValueStore.open({ driver, path: file }),
    setMachineAside: setStateAside,
    hasPeers: () => true,
  });
  if (!opened.ok) throw new Error(opened.damage.detail);
  return opened.files;
}
