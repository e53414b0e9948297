/**
 * What nobody else notices: jobs whose time has come, workers that died, runs that stand still, old runs to prune, objects
 * that nobody uses.
 *
 * Invariants: (1) a boot on this host is judged by its process identity and taken over at once; any other is dead when its
 * heartbeat has not changed for a lease by this process's own monotonic clock, so a clock that jumps reaps nobody, and neither
 * does a process that was itself stopped or cut off: time in which it had no answer counts for nobody; (2) what a dead boot of this machine left running is ended before its jobs run again; on another machine its own worker ends
 * it, when it learns that its boot is dead.
 */
import * as changes from "../core/changes.ts";
import type { BootRow, BootSeq, JobSeq } from "../core/model.ts";
import { collectGarbage } from "./garbage.ts";
import type { EngineOptions, Parts } from "./parts.ts";

interface Seen {
  heartbeatAt: number;
  /** Monotonic: when it had been read. */
  since: number;
}

/** When the boots were asked for, and when the answer was there: days may lie between, with the network down. Monotonic. */
interface Asked {
  asked: number;
  answered: number;
}

const DUE_BATCH = 500;
const LEASE_BATCH = 500;
const BOOTS_EVERY_MS = 1_000;
/** How often leases of boots that ended long ago are looked for: there should be none. */
const LEFTOVERS_EVERY_MS = 60_000;
const STANDING_EVERY_MS = 5_000;
const RETENTION_EVERY_MS = 60_000;
/** A machine that has sent nothing for so long does not look after its processes any more. */
const GONE_MS = 24 * 60 * 60_000;
const GARBAGE_EVERY_MS = 60 * 60_000;

export class Sweeper {
  private readonly parts: Parts;
  private readonly options: EngineOptions;
  private readonly self: () => BootSeq;
  private readonly seen = new Map<BootSeq, Seen>();
  /** As they were read last; null before that. */
  private alive: ReadonlySet<BootSeq> | null = null;
  /** Monotonic: until when leases of ended boots are looked for each time, and when they were looked for last. */
  private lookUntil = 0;
  private lookedAt = 0;
  private timers: { cancel(): void }[] = [];
  private dueTimer: { at: number; cancel(): void } | null = null;
  private stopped = false;
  /** When objects that nobody uses were last looked for. */
  private collectedAt: number | null = null;
  private off: (() => void)[] = [];
  private working = new Set<Promise<unknown>>();
  onFault: (error: unknown) => void = () => {};
  /** How many crashes of its worker a job survives. */
  crashLimit: (job: JobSeq) => Promise<number> = async () => this.options.maxCrashes;
  /** Removes the files of pruned runs. */
  onPruned: (ids: string[]) => Promise<void> = async () => {};

  constructor(parts: Parts, options: EngineOptions, self: () => BootSeq) {
    this.parts = parts;
    this.options = options;
    this.self = self;
  }

  /** Takes over from dead workers of this host, then keeps watch. */
  async start(): Promise<void> {
    await this.checkBoots();
    this.off = [
      this.parts.ledger.onCommit((hints) => {
        if (hints.dueAt !== null) this.armDue(hints.dueAt);
      }),
      this.parts.ledger.onForeignWrite(() => this.run(this.moveDue())),
    ];
    await this.moveDue();
    this.every(BOOTS_EVERY_MS, () => this.checkBoots());
    this.every(STANDING_EVERY_MS, () => this.checkStanding());
    if (this.options.retentionMs !== null) this.every(RETENTION_EVERY_MS, () => this.prune());
  }

  private every(ms: number, work: () => Promise<void>): void {
    const timer = this.parts.clock.after(ms, () => {
      this.timers = this.timers.filter((entry) => entry !== timer);
      if (this.stopped) return;
      this.run(work()).finally(() => {
        if (!this.stopped) this.every(ms, work);
      });
    });
    this.timers.push(timer);
  }

  private run(work: Promise<unknown>): Promise<unknown> {
    const guarded = work.catch((error) => this.onFault(error)).finally(() => this.working.delete(guarded));
    this.working.add(guarded);
    return guarded;
  }

  private armDue(at: number): void {
    if (this.stopped || (this.dueTimer !== null && this.dueTimer.at <= at)) return;
    this.dueTimer?.cancel();
    const timer = this.parts.clock.after(Math.max(0, Math.min(at - this.parts.clock.now(), 60_000)), () => {
      this.dueTimer = null;
      this.run(this.moveDue());
    });
    this.dueTimer = { at, cancel: () => timer.cancel() };
  }

  private async moveDue(): Promise<void> {
    for (;;) {
      const { due, nextAt } = await this.parts.ledger.dueJobs(DUE_BATCH);
      await Promise.all(due.map((job) => this.parts.ledger.apply(changes.timerDue(job))));
      if (due.length === DUE_BATCH) continue;
      const next = due.length > 0 ? (await this.parts.ledger.dueJobs(0)).nextAt : nextAt;
      if (next !== null) this.armDue(next);
      return;
    }
  }

  async checkBoots(): Promise<void> {
    const asked = performance.now();
    const boots = await this.parts.ledger.boots("alive");
    const times = { asked, answered: performance.now() };
    const alive = new Set<BootSeq>();
    for (const boot of boots) {
      if (boot.seq !== this.self() && this.isDead(boot, times)) await this.reap(boot);
      else alive.add(boot.seq);
    }
    const someEnded =
      this.alive === null || [...this.alive].some((boot) => !alive.has(boot)) || alive.size < boots.length;
    this.alive = alive;
    // A claim that was under way when its boot was declared dead may be committed after that: a lease later it is not.
    if (someEnded) this.lookUntil = times.answered + this.options.leaseMs;
    if (times.answered < this.lookUntil || times.answered - this.lookedAt >= LEFTOVERS_EVERY_MS)
      await this.takeLeftovers(times.answered);
  }

  /** Not each second for boots long gone: a ledger without an index of leases reads the jobs of all runs at work for it. */
  private async takeLeftovers(now: number): Promise<void> {
    for (const boot of await this.parts.ledger.abandoned()) await this.takeLeases(boot);
    this.lookedAt = now;
  }

  private isDead(boot: BootRow, { asked, answered }: Asked): boolean {
    if (this.parts.probe.alive(boot) === false) return true;
    const seen = this.seen.get(boot.seq);
    if (seen === undefined || seen.heartbeatAt !== boot.heartbeatAt) {
      this.seen.set(boot.seq, { heartbeatAt: boot.heartbeatAt, since: answered });
      return false;
    }
    return asked - seen.since > this.options.leaseMs;
  }

  private async reap(boot: BootRow): Promise<void> {
    await this.parts.ledger.endBoot(boot.seq, "dead", boot.heartbeatAt);
    this.seen.delete(boot.seq);
  }

  /** Ends the processes of a dead boot, then gives its jobs and windows back. */
  private async takeLeases(boot: BootRow): Promise<void> {
    const first = await this.parts.ledger.leasesOf(boot.seq, 1);
    const processes = await this.parts.ledger.processesOf(boot.seq);
    if (first.jobs.length === 0 && first.windows.length === 0 && processes.length === 0) return;
    // The marker's prefix belongs to the process; while that lives on under a new boot only what was recorded is ended.
    const alive = this.parts.probe.alive(boot);
    const prefixes = alive === false ? [boot.id.replace(/\.\d+$/, "")] : [];
    if (alive !== null) await this.parts.probe.endOrphans(processes, prefixes);
    // Those of another machine are left to it, as long as it may come back.
    if (alive !== null || this.parts.clock.now() - boot.heartbeatAt > GONE_MS)
      for (const process of processes) await this.parts.ledger.forgetProcess(process.marker);
    for (;;) {
      const leases = await this.parts.ledger.leasesOf(boot.seq, LEASE_BATCH);
      if (leases.jobs.length === 0 && leases.windows.length === 0) return;
      await Promise.all([
        ...leases.windows.map((window) =>
          this.parts.ledger.apply(
            changes.releaseWindow(window.job, window.start, { epoch: window.epoch, boot: boot.seq }),
          ),
        ),
        ...leases.jobs.map(async (job) =>
          this.parts.ledger.apply(changes.loseLease(job, boot.seq, await this.crashLimit(job))),
        ),
      ]);
    }
  }

  private async checkStanding(): Promise<void> {
    for (const run of await this.parts.ledger.standing(50)) await this.parts.ledger.apply(changes.breakDeadlock(run));
  }

  private async prune(): Promise<void> {
    const { retentionMs } = this.options;
    if (retentionMs === null) return;
    for (;;) {
      const pruned = await this.parts.ledger.prune(this.parts.clock.now() - retentionMs, 100);
      if (pruned.ids.length > 0) await this.onPruned(pruned.ids);
      if (this.stopped) return;
      if (pruned.runs < 100) break;
    }
    const now = this.parts.clock.now();
    if (this.collectedAt !== null && now - this.collectedAt < GARBAGE_EVERY_MS) return;
    this.collectedAt = now;
    await collectGarbage(this.parts, { stopped: () => this.stopped });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const off of this.off) off();
    for (const timer of this.timers) timer.cancel();
    this.dueTimer?.cancel();
    await Promise.allSettled(this.working);
  }
}
