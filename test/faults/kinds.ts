/** All kinds of faults there are. */

import type { FaultKind } from "./fault.ts";
import { jumping } from "./clock-faults.ts";
import { damaging } from "./damage-faults.ts";
import { erring, hanging, killingAtCall } from "./disk-faults.ts";
import { cutting, cuttingOneWay, resetting, slowing } from "./network-faults.ts";
import { killing, killingAll, stopping } from "./process-faults.ts";
import { filling, losingAllPower, losingPower } from "./volume-faults.ts";

export const faultKinds: readonly FaultKind[] = [
  killing,
  killingAll,
  stopping,
  cutting,
  cuttingOneWay,
  slowing,
  resetting,
  erring,
  hanging,
  killingAtCall,
  jumping,
  filling,
  losingPower,
  losingAllPower,
  damaging,
];
