/**
 * Machines as the tests see them: engine processes that share nothing but a database, each with a home of its own. What the
 * ledger holds in the end is moved into a file by the command line, and judged there by the auditor of the crash tests.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OpenOptions } from "tenuto";
import { expect } from "vitest";
import { MemoryIo } from "../../src/cli/fixtures/memory-io.ts";
import { run } from "../../src/cli/main.ts";
import { type Database, openDatabase } from "../../src/ledger/postgres/index.ts";
import { audit, query } from "../crash/audit.ts";
import { type ChildOrders, EngineProcess, readLines, survivors, until } from "../crash/process.ts";

export class Cluster {
  readonly root: string;
  readonly url: string;
  readonly journal: string;
  /** Asked by the test itself. */
  readonly db: Database;
  private readonly app: string;
  private readonly started: EngineProcess[] = [];
  private moved = 0;

  /** The app's path from here. */
  constructor(app: string, url: string) {
    this.root = mkdtempSync(join(tmpdir(), "tenuto-machines-"));
    this.journal = join(this.root, "journal");
    this.url = url;
    this.app = new URL(`${app}.app.ts`, import.meta.url).href;
    this.db = openDatabase({ url, writers: 1, readers: 1 });
  }

  home(name: string): string {
    return join(this.root, name);
  }

  /** Starts a process without waiting for its engine to be open. */
  launch(
    name: string,
    open: Partial<OpenOptions> = {},
    more: Partial<ChildOrders> = {},
    within: readonly string[] = [],
  ): EngineProcess {
    const home = this.home(name);
    mkdirSync(home, { recursive: true });
    const orders = { home, app: this.app, open: { database: this.url, ...open }, ...more };
    const started = new EngineProcess(orders, { CRASH_HOME: this.root, CRASH_JOURNAL: this.journal }, [], within);
    this.started.push(started);
    return started;
  }

  async machine(
    name: string,
    open: Partial<OpenOptions> = {},
    more: Partial<ChildOrders> = {},
    within: readonly string[] = [],
  ): Promise<EngineProcess> {
    const started = this.launch(name, open, more, within);
    await started.signal("open");
    return started;
  }

  /** A command line on one of the machines. */
  async cli(home: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const io = new MemoryIo(this.root, { TENUTO_DATABASE: this.url });
    const code = await run(["--home", this.home(home), ...args], io);
    return { code, out: io.stdout.text, err: io.stderr.text };
  }

  /** The whole ledger in a file, with its artifacts and logs. All workers have stopped. */
  async toFile(): Promise<string> {
    this.moved += 1;
    const home = `file-${this.moved}`;
    const file = join(this.home(home), "ledger.db");
    mkdirSync(this.home(home), { recursive: true });
    const { code, err } = await this.cli(home, "migrate", "--from", this.url, "--to", file);
    if (code !== 0) throw new Error(`the ledger can't be moved into a file: ${err}`);
    return file;
  }

  /** What the auditor says of it. */
  async audit(file: string, quiet = true): Promise<string[]> {
    return await audit(file, { quiet });
  }

  /**
   * Stops feeder and workers, and expects of the ledger that it is sound and holds the runs that were acknowledged, each of
   * them completed, and no others. Gives the ledger as a file.
   */
  async expectCompleted(
    { feeder, workers }: { feeder: EngineProcess; workers: Iterable<EngineProcess> },
    { acks, runs, jobs, note }: { acks: string; runs: number; jobs: number; note: string },
  ): Promise<string> {
    await feeder.stop();
    for (const worker of workers) await worker.signal("open").then(() => worker.stop());
    const file = await this.toFile();
    expect(await this.audit(file), note).toEqual([]);
    const acked = readLines(acks);
    expect(new Set(acked).size, note).toBe(runs);
    const found = query<{ id: string; state: string }>(file, "SELECT id, state FROM run");
    expect(found.map((run) => `${run.id} ${run.state}`).sort(), note).toEqual(
      acked.map((id) => `${id} completed`).sort(),
    );
    expect(query<{ n: number }>(file, "SELECT count(*) AS n FROM job")[0]?.n, note).toBe(jobs);
    return file;
  }

  async close(): Promise<void> {
    for (const entry of this.started) {
      entry.send("SIGCONT");
      await entry.kill();
    }
    await until("no process of the test to be left", () => survivors(this.root).length === 0, 15_000);
    await this.db.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Length of a file; 0 where there is none yet. */
export const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

export const pause = (ms: number) => new Promise<void>((next) => setTimeout(next, ms));
