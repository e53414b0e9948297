/**
 * The jobs that a worker holds: running ones, which use a slot, and parked ones, which wait without slot or lease while their
 * function stays in memory.
 */
import { TenutoError } from "../core/errors.ts";
import type { JobSeq, RunSeq } from "../core/model.ts";
import type { Clock } from "../ports/clock.ts";
import type { Execution } from "./execution.ts";

export type EndReason = "cancel" | "stop" | "lease";

export interface Held {
  /** Null until the job's definition has been resolved. */
  execution: Execution | null;
  run: RunSeq;
  job: JobSeq;
  suspect: boolean;
  /** Why it must end, if that came before there was anything to abort. */
  early: EndReason | null;
  timer: { cancel(): void } | null;
  ended: Promise<void>;
}

export class HeldJobs {
  readonly running = new Map<JobSeq, Held>();
  readonly parked = new Map<JobSeq, Held>();
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  runs(): RunSeq[] {
    return [...this.running.values(), ...this.parked.values()].map((entry) => entry.run);
  }

  hasSuspect(): boolean {
    for (const entry of this.running.values()) if (entry.suspect) return true;
    return false;
  }

  /** False if the execution is no longer the one that runs this job. */
  park(job: JobSeq, execution: Execution): boolean {
    const entry = this.running.get(job);
    if (entry === undefined || entry.execution !== execution) return false;
    entry.timer?.cancel();
    this.running.delete(job);
    this.parked.set(job, entry);
    return true;
  }

  /** Takes an ended entry out; by now another claim of the same job may have taken its place. */
  drop(entry: Held): void {
    entry.timer?.cancel();
    if (this.running.get(entry.job) === entry) this.running.delete(entry.job);
    if (this.parked.get(entry.job) === entry) this.parked.delete(entry.job);
  }

  /** Starts the time of an attempt, up to the limit of the attempt or of the whole job, whichever comes first. */
  armTimeout(entry: Held): void {
    entry.timer?.cancel();
    const { execution } = entry;
    if (execution === null) return;
    const { timeoutMs } = execution.facts.resolved.policy;
    const leftMs = (execution.deadline ?? Number.POSITIVE_INFINITY) - this.clock.now();
    if (leftMs <= 0) return execution.abort("deadline");
    entry.timer = this.clock.after(Math.min(timeoutMs, leftMs), () =>
      execution.abort(leftMs < timeoutMs ? "deadline" : "timeout"),
    );
  }

  endRunning(reason: EndReason, run?: RunSeq): void {
    for (const entry of this.running.values()) if (run === undefined || entry.run === run) end(entry, reason);
  }

  endParked(reason: EndReason, run?: RunSeq): void {
    for (const [job, entry] of this.parked) {
      if (run !== undefined && entry.run !== run) continue;
      end(entry, reason);
      this.parked.delete(job);
    }
  }
}

function end(entry: Held, reason: EndReason): void {
  entry.early ??= reason;
  entry.execution?.abort(reason);
}

/** What a worker tells when it learns that others have buried it. */
export const declaredDead = () =>
  new TenutoError(
    "lease_lost",
    "this worker was not heard of for longer than its lease and counts as dead: it ends what it was doing, which runs elsewhere, and begins anew",
  );
