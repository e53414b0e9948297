/**
 * What a stream may show: colours, redrawing, signs beyond ASCII, and how wide.
 *
 * Invariants: (1) nothing but a terminal gets an escape byte, unless FORCE_COLOR asks for colours; (2) nothing moves
 * unless the stream is a terminal that is watched by a person, so never with CI or TERM=dumb.
 */
import type { CliStream } from "./io.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
export type Paint = (style: Style, text: string) => string;

const CODES: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

type Environment = Record<string, string | undefined>;

/** Whether colours are wanted. The flag goes before FORCE_COLOR, that before NO_COLOR, that before what the stream is. */
export function wantsColour(stream: CliStream, env: Environment, flag: boolean | undefined): boolean {
  if (flag === false) return false;
  const force = env.FORCE_COLOR;
  if (force !== undefined) return force !== "0" && force !== "false";
  if ((env.NO_COLOR ?? "") !== "") return false;
  return stream.isTTY && env.TERM !== "dumb";
}

/** Whether lines may be drawn again in place. */
export function mayAnimate(stream: CliStream, env: Environment): boolean {
  const ci = env.CI;
  return stream.isTTY && env.TERM !== "dumb" && (ci === undefined || ci === "" || ci === "false");
}

/** A painter: escape codes, or the text as it is. */
export function painter(colour: boolean): Paint {
  if (!colour) return (_style, text) => text;
  return (style, text) => `\u001b[${CODES[style][0]}m${text}\u001b[${CODES[style][1]}m`;
}

export interface Signs {
  done: string;
  failed: string;
  skipped: string;
  running: string;
  waiting: string;
  pending: string;
  full: string;
  empty: string;
  more: string;
}

/** Signs for states; plain ASCII where the terminal is not known to show more. */
export function signsFor(env: Environment): Signs {
  const plain = env.TERM === "dumb" || env.TERM === "linux" || /^(C|POSIX)$/.test(env.LC_ALL ?? "");
  return plain
    ? {
        done: "+",
        failed: "x",
        skipped: "-",
        running: ">",
        waiting: "~",
        pending: ".",
        full: "#",
        empty: ".",
        more: "...",
      }
    : {
        done: "✔",
        failed: "✖",
        skipped: "↷",
        running: "▸",
        waiting: "◌",
        pending: "·",
        full: "█",
        empty: "░",
        more: "…",
      };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
const ESCAPES = /\u001b\[[0-9;]*m/g;

/** Columns that a text takes, colours not counted; wide characters count as two. */
export function widthOf(text: string): number {
  const bare = text.includes("\u001b") ? text.replaceAll(ESCAPES, "") : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  if (/^[\u0000-\u007f]*$/.test(bare)) return bare.length;
  let width = 0;
  for (const char of bare) width += columnsOf(char.codePointAt(0)!);
  return width;
}

function columnsOf(code: number): number {
  if ((code >= 0x300 && code <= 0x36f) || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f)) return 0;
  const wide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff);
  return wide ? 2 : 1;
}

/** The text cut to that many columns, with a sign where something is missing. Colours must be added afterwards. */
export function cut(text: string, columns: number, more = "…"): string {
  if (widthOf(text) <= columns) return text;
  let kept = "";
  let width = 0;
  const room = Math.max(0, columns - more.length);
  for (const char of text) {
    const next = width + columnsOf(char.codePointAt(0)!);
    if (next > room) break;
    kept += char;
    width = next;
  }
  return kept + more;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g;

/** Text from outside as one line that can't steer the terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(CONTROLS, " ").trim();
}

/** The same for text of several lines. */
export function plainText(text: string): string {
  return text
    .split("\n")
    .map((line) => line.replaceAll("\t", "  ").replaceAll(CONTROLS, " ").trimEnd())
    .join("\n");
}
