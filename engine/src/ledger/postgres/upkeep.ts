/**
 * Upkeep of the PostgreSQL ledger: boots and their heartbeat thread, definitions, checks. The public class `PostgresLedger` is
 * completed here.
 */

import { Worker } from "node:worker_threads";
import { TenutoError } from "../../core/errors.ts";
import type { BootRow, BootSeq } from "../../core/model.ts";
import type { KeepAlive, Ledger, PruneResult } from "../../ports/ledger.ts";
import { superviseKeeper } from "../keeper-thread.ts";
import { type Database, type DatabaseOptions, openDatabase } from "./connection.ts";
import { type PostgresOptions, PostgresWriter } from "./ledger.ts";
import { migrate } from "./migrate.ts";
import { pruneRuns } from "./prune.ts";
import { storageError } from "./storage-error.ts";
import { CHECKS, UPKEEP } from "./upkeep-sql.ts";

export class PostgresLedger extends PostgresWriter implements Ledger {
  private readonly keepers = new Set<KeepAlive>();
  /** For the heartbeat thread, which has a connection of its own; null for a server in this process. */
  private readonly url: string | null;

  constructor(database: Database, options: PostgresOptions, url: string | null) {
    super(database, options);
    this.url = url;
  }

  private async attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw storageError(error, this.database.shown);
    }
  }

  /** A write of one row that may be made twice: tried again when the connection was lost meanwhile. */
  private async put(sql: string, ...values: unknown[]): Promise<void> {
    await this.attempt(() => this.database.put(sql, values));
  }

  async registerBoot(boot: Omit<BootRow, "seq" | "heartbeatAt" | "state">): Promise<BootSeq> {
    const { id, host, machine, pid, pidStart, startedAt } = boot;
    const values = [id, host, machine, pid, pidStart, startedAt, this.now()];
    const [row] = await this.attempt(() => this.database.put<{ seq: number }>(UPKEEP.insertBoot, values));
    return (row as { seq: number }).seq;
  }

  async endBoot(boot: BootSeq, state: "stopped" | "dead", heartbeatAt?: number): Promise<void> {
    await this.put(UPKEEP.endBoot, state, boot, heartbeatAt ?? null);
  }

  async putOffers(boot: BootSeq, agents: readonly string[]): Promise<void> {
    await this.put(UPKEEP.putOffers, JSON.stringify(agents), boot);
  }

  async forgetProcess(marker: string): Promise<void> {
    await this.put(UPKEEP.dropProcess, marker);
  }

  keepAlive(boot: BootSeq, options: { everyMs: number; stallMs: number; onDead: () => void }): KeepAlive {
    if (this.url === null) return { tick: () => {}, stop: async () => {} };
    const ticks = new Int32Array(new SharedArrayBuffer(8));
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const thread = new Worker(new URL(`./keeper.${extension}`, import.meta.url), {
      workerData: { url: this.url, boot, ticks, everyMs: options.everyMs, stallMs: options.stallMs },
    });
    const keeper = superviseKeeper(thread, ticks, {
      onDead: options.onDead,
      onNews: (text) =>
        this.reportFailure(new TenutoError("ledger_unavailable", `the ledger ${this.database.shown} ${text}`)),
      onError: (error) => this.reportFailure(error),
      onStop: (stopped) => this.keepers.delete(stopped),
    });
    this.keepers.add(keeper);
    return keeper;
  }

  async putDefinition(version: string, name: string, document: string): Promise<void> {
    if ((await this.definition(version)) !== null) return;
    await this.put(UPKEEP.putDefinition, version, name, document, this.now());
  }

  /** A server's database is backed up by the server's own tools. */
  async backup(file: string): Promise<void> {
    throw new TenutoError("invalid_input", `${this.database.shown} is not a file that could be copied to ${file}`, {
      hint: `pg_dump --format=custom --schema=${this.database.schema} --file=${file} "$TENUTO_DATABASE", or \`tenuto migrate --from\` it to a file.`,
    });
  }

  async prune(olderThan: number, limit: number): Promise<PruneResult> {
    return await this.attempt(() => pruneRuns(this.database, olderThan, limit));
  }

  async forgetDataset(sha256: string): Promise<void> {
    await this.put(UPKEEP.forgetDataset, sha256);
  }

  async check(): Promise<{ ok: boolean; problems: string[] }> {
    return await this.attempt(async () => {
      const problems = await this.database.snapshot(async (session) => {
        const found: string[] = [];
        for (const sql of CHECKS)
          for (const { problem } of await session.query<{ problem: string }>(sql)) found.push(problem);
        return found;
      });
      return { ok: problems.length === 0, problems };
    });
  }

  async info(): Promise<{ path: string; schema: number; bytes: number; engine: string }> {
    return await this.attempt(async () => {
      const { database } = this;
      const [schema] = await database.read<{ schema: number }>(UPKEEP.schema);
      const [size] = await database.read<{ bytes: number }>(UPKEEP.size, [database.schema]);
      const [server] = await database.read<{ version: string }>(UPKEEP.version);
      return {
        path: database.shown,
        schema: schema?.schema ?? 0,
        bytes: size?.bytes ?? 0,
        engine: `PostgreSQL ${server?.version}`,
      };
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    await this.drain();
    for (const keeper of [...this.keepers]) await keeper.stop();
    await this.database.close();
  }
}

/**
 * Opens the PostgreSQL ledger that a URL names, migrating it if needed.
 *
 * @throws schema_newer, schema_unstamped, migration_failed, ledger_unavailable, missing_prerequisites, invalid_input
 */
export async function openPostgresLedger(
  options: PostgresOptions & Omit<DatabaseOptions, "stream">,
): Promise<PostgresLedger> {
  return await openOn(openDatabase(options), options, options.url);
}

/** The ledger on a database that is open already. Closing the ledger closes it. */
export async function openOn(
  database: Database,
  options: PostgresOptions,
  url: string | null,
): Promise<PostgresLedger> {
  try {
    await migrate(database);
    const ledger = new PostgresLedger(database, options, url);
    await ledger.begin();
    return ledger;
  } catch (error) {
    await database.close();
    throw storageError(error, database.shown);
  }
}
