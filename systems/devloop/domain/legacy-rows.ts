/**
 * Rows of an older database, and what their values mean: times, names, JSON in columns. Pure.
 *
 * Invariant: no value makes these functions throw.
 */
import type { Json } from "tenuto";

export type Row = Record<string, unknown>;

export interface LegacyDatabase {
  pipelines: Row[];
  templates: Row[];
  stages: Row[];
  jobs: Row[];
  dependencies: Row[];
  actions: Row[];
  artifacts: Row[];
  consumptions: number;
  tasks: Row[];
  agentStates: Row[];
  /** Tables with rows of which nothing is taken. */
  leftOut: { table: string; rows: number }[];
  /** Columns of known tables that nobody reads. */
  unknownColumns: string[];
}

const TEXT_MAX = 400_000;

export function plainRow(row: Row): Json {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, jsonOf(value)]));
}

/** Milliseconds of a time as older databases wrote it: ISO, SQLite's own form (UTC), or seconds since 1970. */
export function timeOf(value: unknown): number | null {
  if (typeof value === "number") return Math.round(value > 1e11 ? value : value * 1_000);
  if (typeof value !== "string" || value.trim() === "") return null;
  const text = value.trim().replace(" ", "T");
  const at = Date.parse(/[zZ]$|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(at) ? null : at;
}

export function nameOf(text: string): string {
  const name = text
    .normalize("NFKD")
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .replaceAll(/^[^A-Za-z0-9]+|-+$/g, "")
    .slice(0, 60);
  return name === "" ? "unnamed" : name;
}

export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : String(value);
}

/** Columns with JSON in them become that JSON; anything else stays what it is. */
export function jsonOf(value: unknown): Json {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean")
    return value ?? null;
  const text = textOf(value);
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

export function cutText(value: Json): Json {
  return typeof value === "string" && value.length > TEXT_MAX ? `${value.slice(0, TEXT_MAX)}… [cut]` : value;
}
