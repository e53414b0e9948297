/** Figures as people read them: durations, sizes, counts, times. Pure, and the same in tables, progress and reports. */
import { TenutoError } from "../core/errors.ts";

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `4 d 3 h`. */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1_440) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1_440)} d ${Math.floor((minutes % 1_440) / 60)} h`;
}

/** From one time to another; `-` if it has not begun, up to `now` if it has not ended. */
export function span(from: number | null, to: number | null, now: number): string {
  return from === null ? "-" : duration((to ?? now) - from);
}

/** `1,134`. By hand: loading Intl costs a tenth of the start of the command line. */
export function count(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 job`, `4 jobs`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function bytes(value: number): string {
  if (value < 1_000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let size = value;
  let unit = -1;
  do {
    size /= 1_000;
    unit += 1;
  } while (size >= 999.5 && unit < units.length - 1);
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

export function rate(perSecond: number): string {
  return perSecond >= 10 ? `${count(Math.round(perSecond))}/s` : `${perSecond.toFixed(1)}/s`;
}

/** A share as a whole percentage that is 100 only when everything is done. */
export function percent(done: number, total: number): number {
  return total <= 0 ? 0 : Math.min(100, Math.floor((100 * done) / total));
}

/** UTC, as in the log lines: `2026-01-29T12:00:00Z`. */
export function stamp(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

/** UTC without seconds, for tables. */
export function shortStamp(at: number): string {
  return new Date(at).toISOString().slice(0, 16).replace("T", " ");
}

const UNITS: Record<string, number> = { s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of `90s`, `15m`, `12h`, `30d`, `2w`. @throws invalid_input */
export function parseDuration(text: string, option: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*$/.exec(text);
  if (match === null) {
    throw new TenutoError("invalid_input", `${option}: ${JSON.stringify(text)} is not a length of time`, {
      hint: "Write a figure and a unit: 90s, 15m, 12h, 30d, 2w.",
    });
  }
  return Number(match[1]) * UNITS[match[2]!]!;
}

/** A whole number of at least `least`. @throws invalid_input */
export function parseCount(text: string, option: string, least = 1): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new TenutoError(
    "invalid_input",
    `${option}: ${JSON.stringify(text)} is not a whole number of at least ${least}`,
    {
      hint: `Write for example ${option} ${Math.max(least, 10)}.`,
    },
  );
}
