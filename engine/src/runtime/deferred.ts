/**
 * Jobs that a limiter sent back: they look again after a while, and at once when a job of this process has ended, which may
 * have made room. The while grows, so that a long queue behind a full limiter costs little.
 *
 * The ledger holds the time of the next look; what is kept here only makes it earlier.
 */
import type { JobSeq } from "../core/model.ts";

interface Entry {
  limiter: string;
  looks: number;
}

const FIRST_LOOK_MS = 250;
const LAST_LOOK_MS = 4_000;
const MAX_KEPT = 10_000;

export class DeferredJobs {
  private readonly jobs = new Map<JobSeq, Entry>();

  /** How long this job waits before it looks again. */
  add(job: JobSeq, limiter: string, waitMs: number): number {
    const looks = (this.jobs.get(job)?.looks ?? 0) + 1;
    // Behind those that have waited longer.
    this.jobs.delete(job);
    if (this.jobs.size < MAX_KEPT) this.jobs.set(job, { limiter, looks });
    if (waitMs > FIRST_LOOK_MS) return waitMs;
    return Math.min(LAST_LOOK_MS, FIRST_LOOK_MS * 2 ** (looks - 1));
  }

  forget(job: JobSeq): void {
    this.jobs.delete(job);
  }

  /** The job of each limiter that has waited longest; it should look now. */
  first(): JobSeq[] {
    const found = new Map<string, JobSeq>();
    for (const [job, { limiter }] of this.jobs) if (!found.has(limiter)) found.set(limiter, job);
    return [...found.values()];
  }

  get size(): number {
    return this.jobs.size;
  }
}
