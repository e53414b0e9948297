/** Folders for one benchmark, and the bare SQLite that everything is measured against. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";

/** Runs `work` in a folder of its own and removes it afterwards. `TENUTO_BENCH_DIR` chooses the disk. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(process.env["TENUTO_BENCH_DIR"] ?? tmpdir(), "tenuto-bench-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A bare database with the same promises: WAL and synchronous=FULL. */
export function bareDatabase(folder: string): Database.Database {
  const db = new Database(join(folder, "bare.db"));
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.pragma("wal_autocheckpoint = 0");
  db.pragma("journal_size_limit = -1");
  return db;
}

export function elapsed(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000;
}
