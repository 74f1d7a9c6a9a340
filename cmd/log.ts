/** Log lines on standard error: for people as text, for machines as JSON. */

import type { LogFormat, LogLevel } from "./config.ts";

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

export interface Log {
  debug(text: string, fields?: LogFields): void;
  info(text: string, fields?: LogFields): void;
  warn(text: string, fields?: LogFields): void;
  error(text: string, fields?: LogFields): void;
}

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** `write` takes whole lines without their end; a prompt puts them above the line being typed. */
export function createLog(options: {
  level: LogLevel;
  format: LogFormat;
  wallMs: () => number;
  write: (line: string) => void;
}): Log {
  const { level, format, wallMs, write } = options;
  const at =
    (rank: LogLevel) =>
    (text: string, fields: LogFields = {}) => {
      if (ranks[rank] < ranks[level]) return;
      const time = new Date(wallMs()).toISOString();
      if (format === "json") {
        write(JSON.stringify({ time, level: rank, message: text, ...fields }));
        return;
      }
      const details = Object.entries(fields).map(([name, value]) => ` ${name}=${value}`);
      write(`${time} ${rank.toUpperCase().padEnd(5)} ${text}${details.join("")}`);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
