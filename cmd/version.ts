/** The version this program says it is: the package's. */

import manifest from "../package.json" with { type: "json" };

export const version: string = manifest.version;
