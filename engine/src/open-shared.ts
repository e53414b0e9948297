/**
 * What an engine has beside its ledger when many machines work on one database: artifacts and logs that all of them reach,
 * and the upkeep of what others left behind.
 *
 * Invariants: (1) connections of their own, so that bytes never stand in the way of the ledger's commits; (2) folders of this
 * machine are removed only when their run is in the ledger no more.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type DatabaseObjects, databaseObjects } from "./artifacts/database.ts";
import { openFileStore } from "./artifacts/filesystem.ts";
import { s3Blobs } from "./artifacts/s3.ts";
import { sharedStore } from "./artifacts/shared.ts";
import { openDatabase } from "./ledger/postgres/index.ts";
import { type DatabaseLogs, openDatabaseLogs } from "./logs/database.ts";
import { openLogFiles } from "./logs/files.ts";
import type { ArtifactStore } from "./ports/artifact-store.ts";
import type { Clock } from "./ports/clock.ts";
import type { Ledger } from "./ports/ledger.ts";
import type { Service } from "./runtime/engine.ts";

export interface SharedOptions {
  clock: Clock;
  onFault: (error: unknown) => void;
  /** Where the bytes of artifacts go, as `s3://…`. Default `TENUTO_ARTIFACT_STORE`, else the database. */
  artifacts?: string;
  /** What copies of artifacts may take on this machine. */
  cacheBytes?: number;
}

export interface Shared {
  store: ArtifactStore;
  logs: DatabaseLogs;
  objects: DatabaseObjects;
  upkeep(ledger: Ledger): SharedUpkeep;
}

/** The ledger has made the tables. Closed with its logs. */
export async function openShared(url: string, home: string, options: SharedOptions): Promise<Shared> {
  const { clock, onFault, cacheBytes } = options;
  const artifacts = options.artifacts ?? (process.env["TENUTO_ARTIFACT_STORE"] || undefined);
  const db = openDatabase({ url, writers: 2, readers: 0 });
  try {
    const blobs = artifacts === undefined ? undefined : await s3Blobs({ address: artifacts, env: process.env });
    const objects = databaseObjects(db, blobs === undefined ? {} : { blobs });
    const local = await openFileStore(join(home, "artifacts"));
    const store = sharedStore(local, objects, cacheBytes === undefined ? {} : { cacheBytes });
    const files = openLogFiles(join(home, "logs"), { clock, onProblem: onFault });
    const logs = openDatabaseLogs(db, files, { clock, onProblem: onFault, onClosed: () => db.close() });
    const upkeep = (ledger: Ledger) => new SharedUpkeep({ objects, logs }, ledger, home, clock);
    return { store, logs, objects, upkeep };
  } catch (error) {
    await db.close();
    throw error;
  }
}

const EVERY_MS = 60 * 60_000;
const FIRST_MS = 60_000;
const OLD_MS = 24 * 3_600_000;

/** Sweeps what died uploads and pruned runs have left in the database and in this machine's folders. */
export class SharedUpkeep implements Service {
  readonly startsRuns = false;
  onFault: (error: unknown) => void = () => {};
  private readonly shared: Pick<Shared, "objects" | "logs">;
  private readonly ledger: Ledger;
  private readonly home: string;
  private readonly clock: Clock;
  private timer: { cancel(): void } | null = null;
  private working: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(shared: Pick<Shared, "objects" | "logs">, ledger: Ledger, home: string, clock: Clock) {
    this.shared = shared;
    this.ledger = ledger;
    this.home = home;
    this.clock = clock;
  }

  async start(): Promise<void> {
    this.later(FIRST_MS);
  }

  private later(ms: number): void {
    this.timer = this.clock.after(ms, () => {
      this.working = this.sweep()
        .catch((error) => this.onFault(error))
        .then(() => {
          if (!this.stopped) this.later(EVERY_MS);
        });
    });
  }

  async sweep(): Promise<void> {
    while (!this.stopped && (await this.shared.objects.sweep()) > 0);
    if (!this.stopped) await this.shared.logs.sweep();
    for (const folder of ["workspaces", "baselines", "logs"]) await this.removeStrays(join(this.home, folder));
  }

  /** Another machine may have pruned the run. */
  private async removeStrays(folder: string): Promise<void> {
    for (const name of await readdir(folder).catch(() => [])) {
      if (this.stopped) return;
      const path = join(folder, name);
      const found = await stat(path).catch(() => null);
      // What is young may belong to a run that starts just now; names with signs in them are not ids as they are.
      if (found === null || Date.now() - found.mtimeMs < OLD_MS || /[%~]/.test(name)) continue;
      if ((await this.ledger.runById(name)) === null) await rm(path, { recursive: true, force: true });
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    await this.working;
  }
}
