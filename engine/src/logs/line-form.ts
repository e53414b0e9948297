/**
 * The two forms of a log line: the source documents' `{timestamp} | {job_id} | {agent_type} | {level} | {message}`,
 * and JSON with everything.
 *
 * Owner: logs. One line of the engine is one line of the file, whatever the message holds.
 */
import type { LogLine } from "../ports/log-sink.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const UNSAFE_ALL = new RegExp(UNSAFE, "g");
const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

const MAX_MESSAGE_CHARS = 64 * 1024;
const MAX_FIELD_CHARS = 256 * 1024;

let stampSecond = Number.NaN;
let stamp = "";

/** The line that people read, with seconds as in the source documents; the JSON line has milliseconds. */
export function textForm(line: LogLine): string {
  const second = Math.floor(line.at / 1_000);
  if (second !== stampSecond) {
    stamp = `${new Date(second * 1_000).toISOString().slice(0, -5)}Z`;
    stampSecond = second;
  }
  return `${stamp} | ${plain(line.run)} | ${plain(line.agent)} | ${line.level} | ${plain(shortened(line.message))}\n`;
}

/** One JSON object; keys that are undefined are left out. Fields that are no JSON or too large give way to a note. */
export function jsonForm(line: LogLine): string {
  const { at, run, job, attempt, item, agent, level } = line;
  const message = shortened(line.message);
  const rest = { at, run, job, attempt, item, agent, level, message };
  if (line.fields === undefined) return `${JSON.stringify(rest)}\n`;
  let fault = `more than ${MAX_FIELD_CHARS} characters`;
  try {
    const text = JSON.stringify({ ...rest, fields: line.fields });
    if (text.length - message.length <= MAX_FIELD_CHARS) return `${text}\n`;
  } catch (error) {
    fault = (error as Error).message.split("\n")[0]!;
  }
  return `${JSON.stringify({ ...rest, fields: { omitted: fault } })}\n`;
}

/** The line of a JSON form, or null if it is not whole (a crash in the middle of a write, a damaged file). */
export function parseJsonForm(text: string): LogLine | null {
  try {
    const line = JSON.parse(text) as LogLine;
    return typeof line === "object" && line !== null && typeof line.message === "string" ? line : null;
  } catch {
    return null;
  }
}

/** Control characters, and those that turn the reading direction of a terminal, as escapes. */
function plain(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed();
  if (!UNSAFE.test(whole)) return whole;
  return whole.replaceAll(
    UNSAFE_ALL,
    (char) => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function shortened(message: string): string {
  if (message.length <= MAX_MESSAGE_CHARS) return message;
  const more = message.length - MAX_MESSAGE_CHARS;
  return `${message.slice(0, MAX_MESSAGE_CHARS)} … (${more} more characters; use an artifact for large text)`;
}
