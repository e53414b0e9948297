/**
 * What the harness asks of a coding agent's command line: how it is called, and what its lines of output mean.
 *
 * Invariants:
 * 1. A reader takes any line without throwing: unknown events are passed over, lines that are no JSON are remembered as talk.
 * 2. Success needs the agent's own final word. An exit code of 0 without it, or with a final error, is a failure.
 */
import type { Json } from "tenuto";

export interface Usage {
  inputTokens: number;
  outputTokens: number;
  costUsd: number | null;
}

export interface Outcome {
  ok: boolean;
  /** The agent's last message. */
  text: string;
  /** What it handed back as data, where its protocol has that. */
  data?: Json;
  error: string | null;
  /** Whether another try may help. */
  retryable: boolean;
  usage: Usage;
  turns: number;
}

export interface EventReader {
  /** Reads a line of standard output; true when it was the last one that matters. */
  line(text: string): boolean;
  /** A short line for the log on what the last line was; null if there is nothing to say. */
  note(): string | null;
  outcome(exit: { exitCode: number | null; ended: string | null; tail: string }): Outcome;
}

export interface AdapterOptions {
  /** Program and leading arguments; default: the agent's own name. */
  command?: readonly string[];
  model?: string | undefined;
  maxTurns?: number | undefined;
  /** The role may not change files. */
  readOnly: boolean;
}

export interface Adapter {
  name: string;
  /** The prompt goes to standard input. */
  argv(options: AdapterOptions): string[];
  /** Variables that hold this agent's login. */
  passEnv: readonly string[];
  reader(): EventReader;
}

export const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, costUsd: null };

/** A JSON object of one line, or null. */
export function objectOf(line: string): Record<string, unknown> | null {
  if (!line.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

export function textAt(value: unknown, ...path: string[]): string | null {
  const found = at(value, path);
  return typeof found === "string" ? found : null;
}

export function numberAt(value: unknown, ...path: string[]): number {
  const found = at(value, path);
  return typeof found === "number" && Number.isFinite(found) && found >= 0 ? found : 0;
}

export function at(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const key of path) {
    if (typeof here !== "object" || here === null || !Object.hasOwn(here, key)) return undefined;
    here = (here as Record<string, unknown>)[key];
  }
  return here;
}

/** Why a program that gave no final word ended. */
export function silentEnd(exit: { exitCode: number | null; ended: string | null; tail: string }): string {
  if (exit.ended === "timeout") return "it did not end in time";
  const how = exit.exitCode === null ? "was ended by a signal" : `exited with code ${exit.exitCode}`;
  const tail = exit.tail.trim().split("\n").at(-1) ?? "";
  return `it ${how} without a result${tail === "" ? "" : `: ${tail.slice(0, 500)}`}`;
}
