/** How answers are shown: as text, as JSON on one line, or as tables where they have rows. */

export const modes = ["text", "json", "table"] as const;

export type Mode = (typeof modes)[number];
