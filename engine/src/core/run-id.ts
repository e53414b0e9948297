/**
 * Run ids from a pattern such as `mig-{timestamp}-{seq}`.
 *
 * Owner: core. Invariants:
 * 1. A pattern holds something unique, {seq} or {random}; without it two runs would collide.
 * 2. A run id is a name (see names.ts) and safe as a file name on Linux, macOS and Windows.
 * 3. Times are UTC: {timestamp} is 20261120T233113Z, {date} is 2026-11-20. {seq:4} pads with zeros.
 */
import { TenutoError } from "./errors.ts";
import { didYouMean, isName, NAME_RULE } from "./names.ts";

export const DEFAULT_RUN_ID = "{pipeline}-{seq}";

const PARTS = ["pipeline", "timestamp", "date", "seq", "random"] as const;
/** Windows keeps these names for devices, with any extension. */
const RESERVED = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

export interface RunIdFacts {
  pipeline: string;
  /** Time of the start in milliseconds. */
  at: number;
  /** A number that no other run of this ledger has. */
  seq: number;
  /** Random characters, letters and digits only. */
  random: string;
}

/** What is wrong with a pattern, with a hint, or null if it may be used. */
export function checkRunIdPattern(pattern: string): { message: string; hint: string } | null {
  const unknown = [...pattern.matchAll(/\{([^{}]*)\}/g)].find((match) => !isPart(match[1]!));
  if (unknown !== undefined) {
    const near = didYouMean(unknown[1]!, PARTS);
    return {
      message: `run id pattern "${pattern}" has an unknown placeholder {${unknown[1]}}`,
      hint: near === null ? `Known are ${PARTS.map((part) => `{${part}}`).join(" ")}.` : `Did you mean {${near}}?`,
    };
  }
  if (!/\{(seq(:\d)?|random)\}/.test(pattern)) {
    return {
      message: `run id pattern "${pattern}" makes the same id for every run`,
      hint: "Put {seq} or {random} into it, for example {pipeline}-{seq}.",
    };
  }
  const sample = fill(pattern, { pipeline: "p", at: 0, seq: 1, random: "a" });
  const problem = checkRunId(sample);
  if (problem !== null)
    return { message: `run id pattern "${pattern}" makes ids such as "${sample}"`, hint: problem.hint };
  return null;
}

/** What is wrong with a run id, given or made, or null if it may be used. */
export function checkRunId(id: string): { message: string; hint: string } | null {
  if (!isName(id)) return { message: `"${id.slice(0, 120)}" is not a run id`, hint: `A run id has ${NAME_RULE}.` };
  if (id.endsWith(".") || RESERVED.test(id)) {
    return {
      message: `run id "${id}" is not safe as a file name`,
      hint: "Don't end it with '.' or begin it with the name of a device.",
    };
  }
  return null;
}

/** Most starts are of the same pipeline as the one before. */
let lastSound: string | null = null;

/** The id of a new run. @throws invalid_definition for a pattern that `checkRunIdPattern` refuses, or an id above 100 characters */
export function formatRunId(pattern: string, facts: RunIdFacts): string {
  if (pattern !== lastSound) {
    const wrong = checkRunIdPattern(pattern);
    if (wrong !== null) throw new TenutoError("invalid_definition", wrong.message, { hint: wrong.hint });
    lastSound = pattern;
  }
  const id = fill(pattern, facts);
  const problem = checkRunId(id);
  if (problem !== null)
    throw new TenutoError("invalid_definition", problem.message, { hint: problem.hint, details: { pattern } });
  return id;
}

function isPart(text: string): boolean {
  return (PARTS as readonly string[]).includes(text) || /^seq:[1-9]$/.test(text);
}

function fill(pattern: string, facts: RunIdFacts): string {
  const iso = () => new Date(facts.at).toISOString();
  return pattern.replace(/\{(\w+)(?::(\d))?\}/g, (_, part: (typeof PARTS)[number], width?: string) => {
    if (part === "pipeline") return facts.pipeline;
    if (part === "timestamp") return `${iso().slice(0, 19).replace(/[-:]/g, "")}Z`;
    if (part === "date") return iso().slice(0, 10);
    if (part === "seq") return String(facts.seq).padStart(width === undefined ? 0 : Number(width), "0");
    return facts.random;
  });
}
