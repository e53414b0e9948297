/**
 * Rerun from a job, and dry run: which values of a job's spec depend on other jobs, and whether they still say the same.
 *
 * Owner: core. Invariants:
 * 1. A job is answered from the origin only if nothing that could have gone into its result has changed: its work, the version
 *    of its agent, its resolved values, the artifacts that it was offered.
 * 2. What is not looked at (retries, timeouts, priority, place in the graph) has no part in a good result.
 */
import type { JobSpec } from "./document.ts";
import type { Json } from "./model.ts";
import { canonicalJson } from "./pipeline.ts";
import { references } from "./placeholders.ts";

/** Parts of a spec that may hold placeholders and are known before the work begins, by name. */
export function declaredValues(spec: JobSpec): { [name: string]: Json } {
  const { command } = spec;
  const parts = {
    input: spec.input,
    when: spec.when,
    "forEach source": spec.forEach?.source,
    "forEach key": spec.forEach?.key,
    command: command?.argv,
    env: command?.env,
    cwd: command?.cwd,
    stdin: command?.stdin,
    approval: spec.approval,
    "multiply source": spec.multiply?.source,
    artifacts: spec.artifacts,
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as unknown as {
    [name: string]: Json;
  };
}

/** Placeholders of these values that refer to results of these jobs, as they are written. */
export function unknownReferences(values: { [name: string]: Json }, unknown: ReadonlySet<string>): string[] {
  const found = new Set<string>();
  for (const value of Object.values(values))
    for (const { path, text } of references(value))
      if (path[0] === "jobs" && unknown.has(String(path[1]))) found.add(text);
  return [...found];
}

const WORK: readonly (keyof JobSpec)[] = [
  "agent",
  "command",
  "input",
  "when",
  "forEach",
  "cache",
  "approval",
  "gate",
  "spawns",
  "multiply",
  "artifacts",
  "effects",
];

/** The first part of a job's work that two specs say differently; null if they say the same. */
export function changedWork(before: JobSpec, now: JobSpec): string | null {
  for (const key of WORK)
    if (canonicalJson((before[key] ?? null) as Json) !== canonicalJson((now[key] ?? null) as Json)) return key;
  return null;
}

/** What a job that is only planned would have done; its output in a dry run, under `$planned`. */
export interface Planned {
  job: string;
  agent: string;
  /** Why it was not run. */
  why: string;
  argv: Json | null;
  /** Resolved; where something is unknown, as it is written. */
  input: Json;
  /** Number of items of a fan-out, or elements of a multiplied job, where it is known. */
  items: number | null;
  /** Placeholders whose values only a real run would know. */
  unknown: string[];
}

export const PLANNED = "planned";
