/**
 * Numbers for runs and jobs while a batch is decided.
 *
 * Invariants: (1) runs are numbered without gaps in the order of their commits, because each commit that numbers runs moves
 * the row on from what it was; (2) jobs are numbered from blocks that a process takes at once; (3) numbers of a pass that is
 * thrown away are given again.
 */
import type { Numbers } from "../../core/run.ts";
import type { Session, Statement } from "./connection.ts";
import { SQL } from "./sql.ts";

const BLOCK = 1_000;

export class NumberStock implements Numbers {
  /** The next run's number as this process knows it; null if others may have taken it. */
  private nextRun: number | null = null;
  private block = { next: 0, end: 0 };
  /** What the present pass has taken. */
  private runs = 0;
  private at = 0;
  private wanted = 0;
  private lacksRun = false;
  private lacksJobs = false;

  /** Before each pass. */
  begin(): void {
    this.runs = 0;
    this.at = this.block.next;
    this.wanted = 0;
    this.lacksRun = false;
    this.lacksJobs = false;
  }

  get lacking(): boolean {
    return this.lacksRun || this.lacksJobs;
  }

  run(): number {
    if (this.nextRun === null) this.lacksRun = true;
    this.runs += 1;
    return (this.nextRun ?? 1) + this.runs - 1;
  }

  jobs(count: number): number {
    this.wanted += count;
    if (this.block.end - this.at < count) {
      this.lacksJobs = true;
      return 1;
    }
    this.at += count;
    return this.at - count;
  }

  /** Fetches what the last pass lacked. Within a transaction nobody else can take the next run's number any more. */
  async fetch(session: Session, within: boolean): Promise<void> {
    const { lacksRun, lacksJobs } = this;
    const size = Math.max(BLOCK, this.wanted);
    const statements: Statement[] = [];
    if (lacksRun) statements.push({ sql: within ? SQL.lockRunNumber : SQL.nextRun });
    if (lacksJobs) statements.push({ sql: SQL.takeJobs, values: [size] });
    const replies = (await session.pipeline(statements)) as Record<string, number>[][];
    if (lacksRun) this.nextRun = replies[0]![0]!["next"]!;
    if (!lacksJobs) return;
    const first = replies.at(-1)![0]!["first"]!;
    // Usually the block goes on where the last one ended.
    this.block =
      first === this.block.end ? { next: this.block.next, end: first + size } : { next: first, end: first + size };
  }

  /** What the commit has to write, if the pass has numbered runs. */
  statement(): Statement[] {
    if (this.runs === 0) return [];
    const next = this.nextRun ?? 1;
    return [{ name: "take_runs", sql: SQL.takeRuns, values: [next + this.runs, next] }];
  }

  committed(): void {
    if (this.nextRun !== null) this.nextRun += this.runs;
    this.block.next = this.at;
  }

  /** A block that was taken inside a transaction is gone with it. */
  failed(): void {
    this.nextRun = null;
    this.block = { next: 0, end: 0 };
  }
}
