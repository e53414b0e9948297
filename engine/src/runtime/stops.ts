/**
 * Ends what a worker does for runs that are being cancelled or halted, whoever has asked for that.
 *
 * Invariant: what another process has written is found with one question to the ledger, however many runs are at work here.
 */
import type { RunSeq } from "../core/model.ts";
import type { Ledger } from "../ports/ledger.ts";
import type { FanoutJobs } from "./fanout-jobs.ts";
import type { HeldJobs } from "./held.ts";

export class Stops {
  private readonly ledger: Pick<Ledger, "runsToStop">;
  private readonly held: HeldJobs;
  private readonly fanouts: FanoutJobs;

  constructor(ledger: Pick<Ledger, "runsToStop">, held: HeldJobs, fanouts: FanoutJobs) {
    this.ledger = ledger;
    this.held = held;
    this.fanouts = fanouts;
  }

  cancel(run: RunSeq): void {
    this.held.endRunning("cancel", run);
    this.held.endParked("cancel", run);
    this.fanouts.stopRun(run, "cancel");
  }

  /** Running attempts are stopped gracefully. */
  halt(run: RunSeq): void {
    this.held.endRunning("stop", run);
    this.fanouts.stopRun(run, "stop");
  }

  /** Cancels and halts that another process has written. */
  async check(): Promise<void> {
    const runs = new Set([...this.held.runs(), ...this.fanouts.runs()]);
    if (runs.size === 0) return;
    for (const { seq, cancelRequestedAt } of await this.ledger.runsToStop([...runs]))
      if (cancelRequestedAt !== null) this.cancel(seq);
      else this.halt(seq);
  }
}
