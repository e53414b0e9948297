/**
 * Upkeep of the SQLite ledger: boots and their heartbeat thread, backup while running, checks. The public class `SqliteLedger` is completed here.
 */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { Worker } from "node:worker_threads";
import Database from "better-sqlite3";
import { TenutoError } from "../../core/errors.ts";
import type { BootRow, BootSeq } from "../../core/model.ts";
import type { KeepAlive, Ledger, PruneResult } from "../../ports/ledger.ts";
import { superviseKeeper } from "../keeper-thread.ts";
import { type SqliteOptions, SqliteWriter } from "./ledger.ts";
import { pruneRuns } from "./prune.ts";
import { SQL } from "./sql.ts";
import { isBusy, storageError } from "./storage-error.ts";

/** Rows that name no foreign key, since they are written with every job. */
const ORPHANS = {
  job: "SELECT seq AS id FROM job WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.seq = job.run)",
  event: "SELECT id FROM event WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.seq = event.run)",
  dependency:
    "SELECT source AS id FROM dependency WHERE NOT EXISTS (SELECT 1 FROM job WHERE seq = source) OR NOT EXISTS (SELECT 1 FROM job WHERE seq = target)",
};

/** @throws ledger_corrupt if the copy, and so the ledger, is damaged */
function assertSound(copy: string, original: string): void {
  const db = new Database(copy, { readonly: true });
  try {
    const found = db.pragma("quick_check(1)", { simple: true });
    if (found !== "ok")
      throw new TenutoError(
        "ledger_corrupt",
        `the ledger ${original} is damaged, and so would be its copy: ${String(found)}`,
        {
          hint: "Restore an earlier backup; `tenuto doctor` tells more.",
        },
      );
  } finally {
    db.close();
  }
}

export class SqliteLedger extends SqliteWriter implements Ledger {
  private keepers = new Set<KeepAlive>();

  /** A write outside the group commit, for rows that no decision looks at; waits for a lock without blocking. */
  private async write<T>(work: () => T): Promise<T> {
    const deadline = performance.now() + (this.options.lockWaitMs ?? 60_000);
    for (;;) {
      try {
        this.forgetRows();
        return work();
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw storageError(error, this.options.path);
        await new Promise((next) => setTimeout(next, 5));
      }
    }
  }

  async registerBoot(boot: Omit<BootRow, "seq" | "heartbeatAt" | "state">): Promise<BootSeq> {
    return this.write(() =>
      Number(
        this.statements
          .of(SQL.insertBoot)
          .run(boot.id, boot.host, boot.machine, boot.pid, boot.pidStart, boot.startedAt, this.now()).lastInsertRowid,
      ),
    );
  }

  async putOffers(boot: BootSeq, agents: readonly string[]): Promise<void> {
    await this.write(() => this.statements.of(SQL.putOffers).run(JSON.stringify(agents), boot));
  }

  async endBoot(boot: BootSeq, state: "stopped" | "dead", heartbeatAt?: number): Promise<void> {
    await this.write(() => this.statements.of(SQL.endBoot).run(state, boot, heartbeatAt ?? null));
  }

  async forgetProcess(marker: string): Promise<void> {
    await this.write(() => this.statements.of(SQL.dropProcess).run(marker));
  }

  keepAlive(boot: BootSeq, options: { everyMs: number; stallMs: number; onDead: () => void }): KeepAlive {
    if (this.options.path === ":memory:") return { tick: () => {}, stop: async () => {} };
    // From here on the keeper's thread checkpoints; see keepLogShort for the case that it can't keep up.
    this.db.pragma("wal_autocheckpoint = 0");
    const ticks = new Int32Array(new SharedArrayBuffer(8));
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const thread = new Worker(new URL(`./keeper.${extension}`, import.meta.url), {
      workerData: { path: resolve(this.options.path), boot, ticks, everyMs: options.everyMs, stallMs: options.stallMs },
    });
    const keeper = superviseKeeper(thread, ticks, {
      onDead: options.onDead,
      onError: (error) => this.reportFailure(error),
      onStop: (stopped) => this.keepers.delete(stopped),
    });
    this.keepers.add(keeper);
    return keeper;
  }

  async putDefinition(version: string, name: string, document: string): Promise<void> {
    if ((await this.definition(version)) !== null) return;
    await this.write(() => this.statements.of(SQL.putDefinition).run(version, name, document, this.now()));
  }

  /** A consistent copy of the ledger as of now, made while others write. */
  async backup(file: string): Promise<void> {
    const target = resolve(file);
    if (existsSync(target))
      throw new TenutoError("conflict", `${target} exists already`, {
        hint: "Give a file name that is not taken yet.",
      });
    // Whole and sound before it gets the name that it was asked for.
    const partial = `${target}.partial`;
    try {
      rmSync(partial, { force: true });
      await this.db.backup(partial, { progress: () => 10_000 });
      assertSound(partial, this.options.path);
      renameSync(partial, target);
    } catch (error) {
      throw storageError(error, this.options.path);
    } finally {
      rmSync(partial, { force: true });
    }
  }

  async prune(olderThan: number, limit: number): Promise<PruneResult> {
    const { db, statements } = this;
    return await pruneRuns({ db, statements, write: (work) => this.write(work) }, olderThan, limit);
  }

  async forgetDataset(sha256: string): Promise<void> {
    // Somebody may have stored and registered the same records since.
    const unused =
      "NOT EXISTS (SELECT 1 FROM artifact WHERE sha256 = dataset.sha256) AND NOT EXISTS (SELECT 1 FROM fanout WHERE source = dataset.sha256)";
    await this.write(() => this.db.prepare(`DELETE FROM dataset WHERE sha256 = ? AND ${unused}`).run(sha256));
  }

  async check(): Promise<{ ok: boolean; problems: string[] }> {
    const problems = (this.db.pragma("quick_check(20)") as { quick_check: string }[])
      .map((row) => row.quick_check)
      .filter((text) => text !== "ok");
    for (const row of this.db.pragma("foreign_key_check") as { table: string; rowid: number }[])
      problems.push(`${row.table} row ${row.rowid} refers to a row that is not there`);
    for (const [table, sql] of Object.entries(ORPHANS))
      for (const { id } of this.db.prepare(`${sql} LIMIT 20`).all() as { id: number }[])
        problems.push(`${table} row ${id} belongs to a row that is not there`);
    return { ok: problems.length === 0, problems };
  }

  async info(): Promise<{ path: string; schema: number; bytes: number; engine: string }> {
    const schema = this.db.prepare("SELECT max(number) FROM schema_migration").pluck().get() as number;
    const version = this.db.prepare("SELECT sqlite_version()").pluck().get() as string;
    const bytes = this.options.path === ":memory:" ? 0 : statSync(this.options.path).size;
    return { path: this.options.path, schema, bytes, engine: `SQLite ${version}` };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.drainQueue();
    this.closed = true;
    this.stopTimers();
    for (const keeper of [...this.keepers]) await keeper.stop();
    this.db.close();
  }
}

/** Opens the SQLite ledger at `path`, migrating it if needed. @throws schema_newer, sqlite_too_old, unsupported_filesystem */
export function openSqliteLedger(options: SqliteOptions): SqliteLedger {
  return new SqliteLedger(options);
}
