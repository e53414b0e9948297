/**
 * What two ledgers hold, made comparable: numbers of runs, jobs and boots, which each ledger gives in its own way, become what
 * they stand for, and rows lie in one order.
 */
import type { Dump } from "../../src/core/dump.ts";
import type { Ledger } from "../../src/ports/ledger.ts";

type Row = Record<string, unknown>;

/** How often a row was written, and numbers that only this ledger knows. */
const OWN: ReadonlySet<string> = new Set(["rowVersion", "firstJob", "outcome", "requestHash"]);
const RUNS: ReadonlySet<string> = new Set(["run", "origin"]);
const JOBS: ReadonlySet<string> = new Set(["job", "parent", "from", "to"]);
const BOOTS: ReadonlySet<string> = new Set(["boot", "attemptBoot"]);

class Names {
  private readonly runs = new Map<number, string>();
  private readonly jobs = new Map<number, string>();
  private readonly boots = new Map<number, string>();

  constructor(dump: Dump) {
    for (const [at, run] of [...dump.runs].sort((a, b) => a.seq - b.seq).entries()) this.runs.set(run.seq, `run ${at}`);
    for (const job of dump.jobs) this.jobs.set(job.seq, `${this.runs.get(job.run)}/${job.id}`);
    for (const [at, boot] of [...dump.boots].sort((a, b) => a.seq - b.seq).entries())
      this.boots.set(boot.seq, `boot ${at}`);
  }

  private known(names: ReadonlyMap<number, string>, value: unknown): unknown {
    return typeof value === "number" ? (names.get(value) ?? `unknown ${value}`) : value;
  }

  of(table: string, row: Row): Row {
    const named: Row = {};
    for (const [key, value] of Object.entries(row)) {
      if (OWN.has(key) || (table === "events" && key === "id")) continue;
      if (key === "seq" && table === "runs") named[key] = this.known(this.runs, value);
      else if (key === "seq" && table === "jobs") named[key] = this.known(this.jobs, value);
      else if (key === "seq" && table === "boots") named[key] = this.known(this.boots, value);
      else if (key === "seq" && table === "propagations") continue;
      else if (key === "id" && table === "runs") continue;
      else if (key === "id" && table === "approvals")
        named[key] = String(value).replace(/^\d+/, (seq) => String(this.runs.get(Number(seq))));
      else if (RUNS.has(key)) named[key] = this.known(this.runs, value);
      else if (JOBS.has(key)) named[key] = this.known(this.jobs, value);
      else if (BOOTS.has(key)) named[key] = this.known(this.boots, value);
      else named[key] = value;
    }
    return named;
  }
}

const inOrder = (rows: readonly Row[]): string[] =>
  rows
    .map((row) => JSON.stringify(Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))))
    .sort();

/** All rows of the dump, and what reads say of each run: results, errors, events with their data. */
export async function comparable(ledger: Ledger, dump: Dump): Promise<Record<string, string[]>> {
  const names = new Names(dump);
  const tables: Record<string, string[]> = {};
  for (const [table, rows] of Object.entries(dump) as [string, Row[]][])
    tables[table] = inOrder(rows.map((row) => names.of(table, row)));
  const payloads: Row[] = [];
  const told: Row[] = [];
  for (const { seq } of dump.runs) {
    for (const { seq: job, output, error } of await ledger.jobs(seq)) payloads.push({ job, output, error });
    for (const row of await ledger.events(seq, 0, 100_000)) told.push({ ...row });
  }
  tables["payloads"] = inOrder(payloads.map((row) => names.of("payloads", row)));
  tables["told"] = inOrder(told.map((row) => names.of("told", row)));
  tables["limiters"] = inOrder((await ledger.limiters()).map((row) => ({ ...row })));
  return tables;
}
