/**
 * The slots of one fan-out among several workers. Whoever comes first takes all of them, which is best while items are quick:
 * one process reports many in one commit. Where items are slow, it leaves the other workers that take the agent their share.
 *
 * Invariants: (1) a slot is given away only when nothing is at work on it, so that the fan-out's own limit holds; (2) what
 * nobody takes is taken back, and the next try comes after a longer while.
 */
import type { JobSeq } from "../core/model.ts";
import type { ItemsDriver } from "./items.ts";
import { takersOf } from "./offers.ts";
import type { Parts } from "./parts.ts";

export interface SharedFanout {
  job: JobSeq;
  agent: string;
  /** Slots over all workers. */
  concurrency: number;
  /** When the work on it began here. */
  since: number;
  driver: Pick<ItemsDriver, "pace" | "give">;
}

interface Known {
  at: number;
  ended: number;
  /** Left to others until then. */
  leftUntil: number;
  nextTryAt: number;
  pauseMs: number;
}

/** Time of an item, waiting included, from which on other workers make the fan-out quicker. */
const SLOW_MS = 50;
/** How long others have to take what was left to them. */
export const PATIENCE_MS = 3_000;
const PAUSE_MS = 10_000;
const MOST_PAUSE_MS = 300_000;

export class FairShare {
  private readonly parts: Pick<Parts, "ledger" | "probe" | "clock">;
  private readonly takeAgain: () => void;
  private known = new Map<JobSeq, Known>();

  constructor(parts: Pick<Parts, "ledger" | "probe" | "clock">, takeAgain: () => void) {
    this.parts = parts;
    this.takeAgain = takeAgain;
  }

  /** Whether this fan-out's free slots are for others just now. */
  leaves(job: JobSeq): boolean {
    const known = this.known.get(job);
    return known !== undefined && this.parts.clock.now() < known.leftUntil;
  }

  /** Looks at all fan-outs at work here; called every second or so. */
  async look(fanouts: readonly SharedFanout[]): Promise<void> {
    const jobs = new Set(fanouts.map((fanout) => fanout.job));
    for (const job of this.known.keys()) if (!jobs.has(job)) this.known.delete(job);
    for (const fanout of fanouts) await this.lookAt(fanout);
  }

  private async lookAt(fanout: SharedFanout): Promise<void> {
    const { job, driver, concurrency } = fanout;
    const now = this.parts.clock.now();
    const { ended, atWork, slots } = driver.pace;
    const known = this.known.get(job) ?? {
      at: fanout.since,
      ended: 0,
      leftUntil: 0,
      nextTryAt: 0,
      pauseMs: PAUSE_MS,
    };
    this.known.set(job, known);
    const itemMs = (atWork * (now - known.at)) / Math.max(1, ended - known.ended);
    known.at = now;
    known.ended = ended;
    if (slots <= 1 || itemMs < SLOW_MS || now < known.nextTryAt) return;
    const share = Math.ceil(concurrency / Math.max(1, await takersOf(this.parts, fanout.agent)));
    if (slots <= share) return;
    known.leftUntil = known.nextTryAt = Number.POSITIVE_INFINITY;
    driver.give(slots - share, (given) => {
      const at = this.parts.clock.now();
      known.leftUntil = given ? at + PATIENCE_MS : 0;
      known.nextTryAt = at + PATIENCE_MS + known.pauseMs;
      known.pauseMs = Math.min(2 * known.pauseMs, MOST_PAUSE_MS);
      if (given) this.parts.clock.after(PATIENCE_MS, this.takeAgain);
    });
  }
}
