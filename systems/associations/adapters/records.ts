/**
 * Records from wherever they are: a list, a dataset of the engine, JSONL files. Read as often as wanted, never all at once.
 *
 * A line that is no JSON object is left out and counted, never silently.
 */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Context, DatasetRef } from "tenuto";
import { z } from "zod";
import { ConfigError } from "../domain/errors.ts";
import { linesOfFile } from "./lines.ts";

export type AnyRecord = { [field: string]: unknown };

/** Read anew by each loop over it. */
export interface RecordSource extends AsyncIterable<AnyRecord> {
  /** Lines that were no records, of the latest complete reading. */
  unreadable(): number;
}

const isObject = (value: unknown): value is AnyRecord =>
  value !== null && typeof value === "object" && !Array.isArray(value);

export const recordSchema = z.custom<AnyRecord>(isObject, "must be a record");

export const datasetSchema = z.custom<DatasetRef>(
  (value) => typeof (value as DatasetRef | null)?.$dataset === "string",
  "must be a dataset",
);

/** A list of records, or a dataset of them or of batches `{records}` of them. */
export const recordsSchema = z.union([z.array(recordSchema), datasetSchema]);
export type Records = z.infer<typeof recordsSchema>;

/** The records of an input; a batch `{batch, records}` in a dataset stands for its records. */
export function openRecords(ctx: Context, records: Records): RecordSource {
  if (Array.isArray(records)) return fromList(records);
  let unreadable = 0;
  return {
    unreadable: () => unreadable,
    async *[Symbol.asyncIterator]() {
      let bad = 0;
      for await (const value of ctx.open<unknown>(records)) {
        if (isBatch(value)) yield* value.records;
        else if (isObject(value)) yield value;
        else bad++;
      }
      unreadable = bad;
    },
  };
}

function isBatch(value: unknown): value is { records: AnyRecord[] } {
  return isObject(value) && Array.isArray(value.records) && ("batch" in value || "records_processed" in value);
}

export function fromList(records: readonly AnyRecord[]): RecordSource {
  return {
    unreadable: () => 0,
    async *[Symbol.asyncIterator]() {
      yield* records;
    },
  };
}

/** All of it at once; for what was a list to begin with. */
export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** JSONL files one after the other. @throws ConfigError for a file that is not there */
export function fromFiles(paths: readonly string[]): RecordSource {
  let unreadable = 0;
  return {
    unreadable: () => unreadable,
    async *[Symbol.asyncIterator]() {
      let bad = 0;
      for (const path of paths) {
        for await (const value of linesOf(path)) {
          if (isObject(value)) yield value;
          else bad++;
        }
      }
      unreadable = bad;
    },
  };
}

/** `processed/<CODE>/enriched.jsonl` of these associations, or of all there are. @throws ConfigError when there is none */
export async function enrichedFiles(dataDir: string, associations: readonly string[]): Promise<string[]> {
  const folder = join(dataDir, "processed");
  const fileOf = (code: string) => join(folder, code, "enriched.jsonl");
  if (associations.length > 0) return associations.map(fileOf);
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const codes = found.filter((entry) => entry.isDirectory() && existsSync(fileOf(entry.name))).map(({ name }) => name);
  if (codes.length > 0) return codes.sort().map(fileOf);
  throw new ConfigError(`there is no enriched.jsonl below ${folder}`, { hint: "Run the mode enrich first." });
}

async function* linesOf(path: string): AsyncGenerator<unknown> {
  try {
    for await (const line of linesOfFile(path)) {
      if (line === null) yield null;
      else if (line.trim() !== "") yield parseLine(line);
    }
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "ENOENT" && code !== "EISDIR") throw error;
    throw new ConfigError(code === "ENOENT" ? `${path} does not exist` : `${path} is a folder, not a file`, {
      hint: "Run the mode before this one, or name the associations that have been processed.",
      cause: error,
    });
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
