/** The version this program says it is: the package's. */

import manifest from "../package.json" with { type: "json" };

export const version: string = manifest.version;

/** With the runtime and its own version: Bun and Deno call themselves some Node as well. */
export function versionLine(): string {
  const { versions, platform, arch } = process;
  const runtime = ["bun", "deno", "node"].find((name) => versions[name] !== undefined) ?? "node";
  return `kv/${version} ${platform}-${arch} ${runtime}-v${versions[runtime] ?? "?"}`;
}
