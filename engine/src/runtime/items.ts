/**
 * The work on the items of one fan-out in this process: windows are leased ahead, items run up to the slots granted, ends
 * are reported in groups, each group one commit.
 *
 * Invariants: (1) at most `slots` items are at work or reported but not yet committed; (2) at most a few windows are in
 * memory, whatever the number of items; (3) when the windows are given up, nothing of them is left running here.
 */
import * as changes from "../core/changes.ts";
import type { ItemRow } from "../core/decision.ts";
import type { StoredError } from "../core/errors.ts";
import type { ItemsSettled } from "../core/fanout.ts";
import type { Json } from "../core/model.ts";
import { chunk, rowOf } from "./item-row.ts";
import type { GrantedWindow, ItemOutcome, ItemsHost, ItemTask } from "./item-work.ts";

interface OpenWindow extends GrantedWindow {
  /** Raw records, by unit. */
  values: (string | null)[];
  attempts: Map<number, number>;
  /** Next index into `values`. */
  next: number;
  outbox: ItemRow[];
  open: number;
  reporting: boolean;
}

interface Later {
  at: number;
  window: OpenWindow;
  ordinal: number;
}

/** Failed items waiting here for their next try; beyond this no new windows are leased. */
const MAX_LATER = 10_000;
const TIMEOUT_CHECK_MS = 250;
const TURNS_TO_GATHER = 12;

export class ItemsDriver {
  private readonly host: ItemsHost;
  private windows: OpenWindow[] = [];
  private later: Later[] = [];
  private atWork = new Set<ItemTask>();
  private uncommitted = 0;
  private slots = 0;
  /** Slots that others shall have as soon as nothing is at work on them. */
  private giving = 0;
  private given: (taken: boolean) => void = () => {};
  private endedCount = 0;
  private exhausted = false;
  private leasing = false;
  private stopping: "cancel" | "stop" | "lease" | null = null;
  private noMore = false;
  private ticks = 0;
  private finish: (() => void) | null = null;
  private failure: unknown = null;
  private laterTimer: { cancel(): void } | null = null;
  private timeoutTimer: { cancel(): void } | null = null;
  private flushing = false;

  constructor(host: ItemsHost) {
    this.host = host;
  }

  /** Works until nothing can be leased any more, or until stopped. Resolves with everything given up. */
  async run(first: GrantedWindow | null, wantSlots: number): Promise<void> {
    if (first === null) await this.lease(wantSlots);
    else await this.take(first);
    if (this.windows.length === 0) return;
    this.watchTimeouts();
    await new Promise<void>((resolve) => {
      this.finish = resolve;
      this.pump();
    });
    this.laterTimer?.cancel();
    this.timeoutTimer?.cancel();
    await this.releaseAll();
    if (this.failure !== null) throw this.failure;
  }

  /** Whether windows can still be added. */
  get isOpen(): boolean {
    return this.finish !== null;
  }

  /** How it goes: items that have ended so far, items at work, slots. */
  get pace(): { ended: number; atWork: number; slots: number } {
    return { ended: this.endedCount, atWork: this.atWork.size, slots: this.slots - this.giving };
  }

  /** Leaves slots to other workers once they are free. `given` is told whether there was anything for these to do. */
  give(slots: number, given: (taken: boolean) => void): void {
    if (this.giving > 0 || slots >= this.slots || this.finish === null || this.exhausted) return given(false);
    this.giving = slots;
    this.given = given;
    this.pump();
  }

  /** Adds slots that another claim of the same fan-out has granted. */
  async add(window: GrantedWindow): Promise<void> {
    await this.take(window);
    this.pump();
  }

  /** Starts nothing new; what is at work may end. */
  drain(): void {
    this.noMore = true;
    this.pump();
  }

  stop(reason: "cancel" | "stop" | "lease"): void {
    if (this.stopping !== null) return;
    this.stopping = reason;
    for (const task of this.atWork) task.abort?.(reason);
    this.pump();
  }

  private async take(window: GrantedWindow): Promise<void> {
    const { host } = this;
    const size = host.batch ?? 1;
    const raw = await host.parts.datasets.read(host.source, window.start * size, window.stop * size);
    const values: (string | null)[] = host.batch === null ? raw : chunk(raw, size);
    const attempts = new Map<number, number>();
    let open = values.length;
    if (window.hasRows) {
      const rows = await host.parts.ledger.items(host.job.seq, {
        from: window.start,
        to: window.stop,
        limit: window.stop - window.start,
      });
      for (const row of rows) {
        if (row.state === "pending") attempts.set(row.ordinal, row.attempts);
        else {
          values[row.ordinal - window.start] = null;
          open -= 1;
        }
      }
    }
    const taken: OpenWindow = { ...window, values, attempts, next: 0, outbox: [], open, reporting: false };
    this.windows.push(taken);
    this.slots += window.slots;
    // Everything had ended already: an empty report gives the window up.
    if (open === 0) void this.report(taken);
  }

  private async lease(wantSlots: number): Promise<void> {
    const holder = this.windows.find((window) => window.slots > 0) ?? null;
    const lease = await this.host.insist(
      changes.leaseWindow(this.host.job.seq, this.host.boot, holder?.start ?? null, wantSlots),
    );
    if (lease === null) {
      this.exhausted = true;
      return;
    }
    if (holder !== null) {
      this.slots -= holder.slots;
      holder.slots = 0;
      if (holder.open === 0) this.windows = this.windows.filter((window) => window !== holder);
    }
    await this.take(lease);
  }

  private pump(): void {
    if (this.finish === null) return;
    if (this.stopping === null && this.failure === null && !this.noMore) {
      while (this.atWork.size + this.uncommitted < this.slots - this.giving) {
        const task = this.nextTask();
        if (task === null) break;
        this.begin(task.window, task.ordinal);
      }
      if (this.giving > 0 && !this.leasing && this.atWork.size + this.uncommitted <= this.slots - this.giving)
        void this.giveNow();
      this.leaseAhead();
    }
    if (this.isOver()) {
      const finish = this.finish;
      this.finish = null;
      finish();
    }
  }

  private isOver(): boolean {
    if (this.atWork.size > 0 || this.uncommitted > 0 || this.leasing || this.windows.some((window) => window.reporting))
      return false;
    if (this.stopping !== null || this.failure !== null || this.noMore) return true;
    return this.exhausted && this.windows.every((window) => window.open === 0);
  }

  private leaseAhead(): void {
    if (this.leasing || this.exhausted || this.later.length >= MAX_LATER) return;
    let waiting = 0;
    for (const window of this.windows) waiting += window.values.length - window.next;
    if (waiting >= this.slots) return;
    this.leasing = true;
    this.lease(0)
      .catch((error) => this.fail(error))
      .finally(() => {
        this.leasing = false;
        this.pump();
      });
  }

  private async giveNow(): Promise<void> {
    const { job, boot } = this.host;
    const holder = this.windows.reduce<OpenWindow | null>((a, b) => (a === null || b.slots > a.slots ? b : a), null);
    const slots = Math.min(this.giving, (holder?.slots ?? 0) - 1);
    let taken = false;
    // Slots must not move on to another window meanwhile.
    this.leasing = true;
    try {
      if (holder !== null && slots > 0)
        taken = await this.host.insist(changes.yieldSlots(job.seq, holder.start, { epoch: holder.epoch, boot }, slots));
      if (holder !== null && taken) {
        holder.slots -= slots;
        this.slots -= slots;
      }
    } catch {
      // The window was done by then; its other reports say so if it was lost.
    }
    this.giving = 0;
    this.leasing = false;
    this.given(taken);
    this.pump();
  }

  private nextTask(): { window: OpenWindow; ordinal: number } | null {
    const now = this.host.parts.clock.now();
    const due = this.later[0];
    if (due !== undefined && due.at <= now) {
      this.later.shift();
      return { window: due.window, ordinal: due.ordinal };
    }
    for (const window of this.windows) {
      while (window.next < window.values.length) {
        const index = window.next;
        window.next += 1;
        if (window.values[index] != null) return { window, ordinal: window.start + index };
      }
    }
    return null;
  }

  private begin(window: OpenWindow, ordinal: number): void {
    const raw = window.values[ordinal - window.start] as string;
    const attempt = (window.attempts.get(ordinal) ?? 0) + 1;
    const task: ItemTask = {
      ordinal,
      attempt,
      value: JSON.parse(raw) as Json,
      window: { start: window.start, epoch: window.epoch },
      again: attempt > 1 || window.hasRows,
      startedTick: this.ticks,
      hold: () => {
        task.startedTick = Number.POSITIVE_INFINITY;
      },
      start: () => {
        task.startedTick = this.ticks;
      },
      abort: null,
    };
    this.atWork.add(task);
    this.host.work(task).then(
      (outcome) => this.ended(window, task, outcome),
      (error) => {
        this.atWork.delete(task);
        this.fail(error);
      },
    );
  }

  private ended(window: OpenWindow, task: ItemTask, outcome: ItemOutcome): void {
    this.atWork.delete(task);
    this.endedCount += 1;
    if (outcome.kind === "stopped" || this.stopping === "lease") return this.pump();
    const { job, parts, resolved } = this.host;
    const row = rowOf(job.seq, task, outcome, {
      policy: resolved.policy,
      now: parts.clock.now(),
      mayRetry: this.stopping === null,
    });
    if (row.dueAt !== null) {
      window.attempts.set(task.ordinal, task.attempt);
      this.tryLater({ at: row.dueAt, window, ordinal: task.ordinal });
    }
    window.outbox.push(row);
    this.uncommitted += 1;
    if (row.state !== "pending") window.values[task.ordinal - window.start] = null;
    this.flushSoon();
  }

  private tryLater(entry: Later): void {
    let index = this.later.length;
    while (index > 0 && this.later[index - 1]!.at > entry.at) index -= 1;
    this.later.splice(index, 0, entry);
    if (index === 0) this.wakeForLater();
  }

  private wakeForLater(): void {
    this.laterTimer?.cancel();
    const first = this.later[0];
    if (first === undefined) return;
    this.laterTimer = this.host.parts.clock.after(Math.max(1, first.at - this.host.parts.clock.now()), () => {
      this.pump();
      this.wakeForLater();
    });
  }

  /**
   * Reports what ended, all windows in one commit. A commit waits for the disk, so a busy process gathers the ends of some turns
   * of the event loop first, up to half of its slots; an idle one goes through those turns in no time.
   */
  private flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    let turns = TURNS_TO_GATHER;
    const look = () => {
      turns -= 1;
      if (turns > 0 && this.atWork.size > 0 && this.uncommitted * 2 < this.slots && this.stopping === null) {
        setImmediate(look);
        return;
      }
      this.flushing = false;
      for (const window of this.windows) if (window.outbox.length > 0 && !window.reporting) void this.report(window);
    };
    queueMicrotask(look);
  }

  private async report(window: OpenWindow): Promise<void> {
    window.reporting = true;
    const rows = window.outbox;
    window.outbox = [];
    try {
      const keep = !this.exhausted || this.windows.length > 1;
      const settled = await this.host.insist(
        changes.settleItems(this.host.job.seq, window.start, { epoch: window.epoch, boot: this.host.boot }, rows, keep),
      );
      this.settled(window, settled, keep);
      const critical = rows.find((row) => row.state === "failed" && row.error?.includes('"category":"critical"'));
      if (critical?.error != null) await this.host.halt(JSON.parse(critical.error) as StoredError);
    } catch (error) {
      this.fail(error);
    } finally {
      this.uncommitted -= rows.length;
      window.reporting = false;
      if (window.outbox.length > 0) void this.report(window);
      this.pump();
    }
  }

  private settled(window: OpenWindow, result: ItemsSettled, keep: boolean): void {
    window.open = result.open;
    if (result.stop) this.noMore = true;
    if (result.open === 0 && !(keep && window.slots > 0)) {
      this.windows = this.windows.filter((entry) => entry !== window);
      this.slots -= window.slots;
    }
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const task of this.atWork) task.abort?.("lease");
    this.pump();
  }

  private watchTimeouts(): void {
    const { timeoutMs } = this.host.resolved.policy;
    const everyMs = Math.min(TIMEOUT_CHECK_MS, timeoutMs);
    this.timeoutTimer = this.host.parts.clock.after(everyMs, () => {
      this.ticks += 1;
      for (const task of this.atWork)
        if ((this.ticks - task.startedTick) * everyMs >= timeoutMs) task.abort?.("timeout");
      if (this.finish !== null) this.watchTimeouts();
    });
  }

  private async releaseAll(): Promise<void> {
    const { job, boot } = this.host;
    const open = this.windows;
    this.windows = [];
    await Promise.all(
      open.map((window) =>
        this.host
          .insist(changes.releaseWindow(job.seq, window.start, { epoch: window.epoch, boot }))
          .catch(() => false),
      ),
    );
  }
}
