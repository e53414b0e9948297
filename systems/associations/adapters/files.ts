/** Files that are either old or new, never half: written beside the target, flushed, then renamed. */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes JSON, readable. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeAtomically(path, [`${JSON.stringify(value, null, 2)}\n`]);
}

/** Writes one record a line and gives their number; takes any number of them. */
export async function writeJsonl(path: string, records: Iterable<unknown> | AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  async function* lines() {
    for await (const record of records) {
      count++;
      yield `${JSON.stringify(record)}\n`;
    }
  }
  await writeAtomically(path, lines());
  return count;
}

/** The records of a JSONL file. Lines that are no JSON are left out and counted. */
export async function readJsonl<T = any>(path: string): Promise<{ records: T[]; unreadable: number }> {
  const records: T[] = [];
  let unreadable = 0;
  for (const line of (await readFile(path, "utf8")).replace(/^\uFEFF/, "").split("\n")) {
    if (line.trim() === "") continue;
    try {
      records.push(JSON.parse(line));
    } catch {
      unreadable++;
    }
  }
  return { records, unreadable };
}

/** Writes text as it comes, in parts. */
export async function writeLines(path: string, parts: Iterable<string> | AsyncIterable<string>): Promise<void> {
  await writeAtomically(path, parts);
}

const CHUNK_CHARACTERS = 1 << 18;

async function writeAtomically(path: string, parts: Iterable<string> | AsyncIterable<string>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      let buffer = "";
      for await (const part of parts) {
        buffer += part;
        if (buffer.length < CHUNK_CHARACTERS) continue;
        await file.appendFile(buffer, "utf8");
        buffer = "";
      }
      await file.appendFile(buffer, "utf8");
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
