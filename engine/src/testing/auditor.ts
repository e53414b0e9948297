/**
 * Audits a SQLite ledger file from outside: opens it read-only, takes one consistent snapshot, checks the invariants, the
 * soundness of the file, and that every artifact referred to exists and hashes to its name (R-01's oracle).
 *
 * Owner: testing. It uses the driver only, none of the engine's statements.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { checkInvariants } from "../core/invariants.ts";
import { dumpSqlite } from "./sqlite-dump.ts";

export interface Audit {
  problems: string[];
  runs: number;
  jobs: number;
  items: number;
  artifacts: number;
}

export interface AuditOptions {
  /** The ledger's file. */
  database: string;
  /** Folder of the artifact store; without it artifacts are not looked at. */
  artifacts?: string;
  /** Ids of runs that somebody was told have been started. */
  acknowledged?: readonly string[];
}

export async function auditFile(options: AuditOptions): Promise<Audit> {
  const db = new Database(options.database, { readonly: true, fileMustExist: true, timeout: 10_000 });
  try {
    db.exec("BEGIN");
    const dump = dumpSqlite(db);
    const problems = [...checkInvariants(dump), ...soundness(db)];
    const known = new Set(dump.runs.map((run) => run.id));
    for (const id of options.acknowledged ?? [])
      if (!known.has(id)) problems.push(`run ${id} was acknowledged and is lost`);
    const hashes = db
      .prepare("SELECT DISTINCT sha256 FROM artifact UNION SELECT DISTINCT source FROM fanout")
      .pluck()
      .all() as string[];
    if (options.artifacts !== undefined) problems.push(...(await artifactProblems(options.artifacts, hashes)));
    return {
      problems,
      runs: dump.runs.length,
      jobs: dump.jobs.length,
      items: dump.items.length,
      artifacts: hashes.length,
    };
  } finally {
    db.close();
  }
}

function soundness(db: Database.Database): string[] {
  const problems = (db.pragma("integrity_check") as { integrity_check: string }[])
    .map((row) => row.integrity_check)
    .filter((text) => text !== "ok");
  for (const row of db.pragma("foreign_key_check") as { table: string; rowid: number; parent: string }[])
    problems.push(`${row.table} row ${row.rowid} refers to a row of ${row.parent} that is not there`);
  const orphans = (table: string, column: string, parent: string): void => {
    const sql = `SELECT count(*) FROM ${table} WHERE ${column} NOT IN (SELECT seq FROM ${parent})`;
    const n = db.prepare(sql).pluck().get() as number;
    if (n > 0) problems.push(`${n} rows of ${table} have a ${column} that is no ${parent}`);
  };
  orphans("job", "run", "run");
  orphans("event", "run", "run");
  orphans("dependency", "source", "job");
  orphans("dependency", "target", "job");
  return problems;
}

async function artifactProblems(folder: string, hashes: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  for (const sha256 of hashes) {
    const path = objectPath(folder, sha256);
    if (path === null) problems.push(`artifact ${sha256} is not in the store`);
    else if ((await hashOf(path)) !== sha256) problems.push(`artifact ${sha256} does not hash to its name`);
  }
  return problems;
}

/** The store's layout, written down here once more so that a change of it does not go unnoticed. */
function objectPath(folder: string, sha256: string): string | null {
  const path = join(folder, "objects", sha256.slice(0, 2), sha256.slice(2));
  return existsSync(path) ? path : null;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
