/**
 * Rules of a fan-out: a fixed list of items, cut into windows that workers lease, each item with its own end.
 *
 * Invariants: (1) an ordinal belongs to at most one window; what is below `cursor` is in a window, has a row, or has ended;
 * (2) only the holder of a window (boot and epoch) settles its items; (3) completed + failed + skipped ≤ total, and equals
 * it exactly when every item has ended; (4) the work per settled item is constant.
 */
import type { Decision, Effect, ItemRow, Slice, Verdict } from "./decision.ts";
import { leaseLost, reject } from "./decision.ts";
import type { Lease } from "./job.ts";
import { parkJob, wakeJob } from "./job.ts";
import { PROGRESS_EVERY_MS } from "./limits.ts";
import type { BootSeq, FanoutRow, JobRow, JobSeq, WindowRow } from "./model.ts";
import { isJobEnd } from "./model.ts";

export interface Expansion {
  source: string;
  total: number;
  concurrency: number;
  windowSize: number;
  errorRate: number;
  /** Items that repeat the key of an earlier one, already written as skipped. */
  duplicates: number;
  /** When the job is out of time; null if it has no limit. */
  deadline: number | null;
}

/** Items of one fan-out as they were when they were chosen. */
export interface ChosenItems {
  job: JobSeq;
  ordinals: readonly number[];
  /** How many of them failed; the others were skipped or cancelled. */
  failed: number;
}

export function isSettled(fanout: FanoutRow): boolean {
  return fanout.completed + fanout.failed + fanout.skipped >= fanout.total;
}

/** Whether a worker could lease a window now. */
export function hasWindow(fanout: FanoutRow): boolean {
  if (fanout.stopped === 1 || fanout.slotsUsed >= fanout.concurrency) return false;
  return fanout.released > 0 || fanout.cursor < fanout.total || fanout.retryCursor !== null;
}

/** The list is known: from here on it is fixed. A `fanout` job gives its slot back, a `map` keeps running. */
export function expandFanout(slice: Slice, lease: Lease, expansion: Expansion, at: number): Verdict<"expanded"> {
  const { job } = slice;
  if (job.state !== "running" || job.epoch !== lease.epoch || job.boot !== lease.boot)
    return leaseLost(job, lease.epoch);
  if (slice.fanout !== null) return reject("illegal_transition", `the items of job ${job.id} are already fixed`);
  const fanout: FanoutRow = {
    job: job.seq,
    source: expansion.source,
    total: expansion.total,
    cursor: 0,
    concurrency: expansion.concurrency,
    slotsUsed: 0,
    leased: 0,
    retryCursor: null,
    released: 0,
    windowEpoch: 0,
    windowSize: expansion.windowSize,
    completed: 0,
    failed: 0,
    skipped: expansion.duplicates,
    duplicates: expansion.duplicates,
    errorRate: expansion.errorRate,
    stopped: 0,
    lastOrdinal: null,
    progressAt: at,
  };
  const effects: Effect[] = [
    { type: "insertFanout", row: fanout },
    {
      type: "event",
      name: "job.expanded",
      job: job.id,
      data: { total: expansion.total, duplicates: expansion.duplicates },
    },
  ];
  if (job.kind === "map" || isSettled(fanout)) return { ok: true, effects, result: "expanded" };
  const parked = parkJob({ ...slice, fanout }, lease, { dueAt: expansion.deadline, reason: "items" }, at);
  return parked.ok ? { ...parked, effects: [...effects, ...(parked.effects ?? [])], result: "expanded" } : parked;
}

/** What a lease of a window finds beside the fan-out itself. */
export interface WindowChoice {
  /** A window that no worker holds. */
  released: WindowRow | null;
  /** Reopened items from `retryCursor` on: [first, last] and how many, at most one window. */
  reopened: { first: number; last: number; count: number } | null;
  /** Rows that are already there in the next fresh range (duplicates). */
  existing: number;
}

export interface WindowLease {
  job: JobRow;
  start: number;
  stop: number;
  epoch: number;
  slots: number;
  /** Whether rows may exist in the range, so that the worker has to look. */
  hasRows: boolean;
}

/**
 * Leases the next window to `boot`. With `slice.window`, a window that it holds already, the slots move to the new one;
 * otherwise up to `wantSlots` are taken. Result null: nothing to lease now.
 */
export function leaseWindow(
  slice: Slice,
  choice: WindowChoice,
  boot: BootSeq,
  wantSlots: number,
  at: number,
): Verdict<WindowLease | null> {
  const { run, job, fanout } = slice;
  if (fanout === null || run.cancelRequestedAt !== null || run.haltedAt !== null || fanout.stopped === 1)
    return nothingToLease(slice);
  if (job.kind === "map" ? job.state !== "running" || job.boot !== boot : job.state !== "waiting")
    return nothingToLease(slice);
  const held = slice.window;
  if (held !== null && held.boot !== boot) return leaseLost(job, held.epoch);
  const slots = held !== null ? held.slots : Math.min(wantSlots, fanout.concurrency - fanout.slotsUsed);
  if (held === null && wantSlots <= 0) return { ok: true, result: null };
  if (held === null && slots <= 0) return nothingToLease(slice);
  const epoch = fanout.windowEpoch + 1;
  const spent = held !== null && held.open === 0;
  const patch: Partial<FanoutRow> = {
    windowEpoch: epoch,
    slotsUsed: held !== null ? fanout.slotsUsed : fanout.slotsUsed + slots,
    leased: fanout.leased + (spent ? 0 : 1),
  };
  const effects: Effect[] = [];
  let window: WindowRow;
  let hasRows = true;
  if (choice.released !== null) {
    window = { ...choice.released, epoch, boot, slots };
    patch.released = fanout.released - 1;
  } else if (fanout.retryCursor !== null && choice.reopened !== null) {
    const { first, last, count } = choice.reopened;
    window = { job: job.seq, start: first, stop: last + 1, open: count, epoch, boot, slots };
    patch.retryCursor = last + 1;
  } else if (fanout.cursor < fanout.total) {
    const stop = Math.min(fanout.cursor + fanout.windowSize, fanout.total);
    window = {
      job: job.seq,
      start: fanout.cursor,
      stop,
      open: stop - fanout.cursor - choice.existing,
      epoch,
      boot,
      slots,
    };
    patch.cursor = stop;
    if (fanout.retryCursor !== null) patch.retryCursor = null;
    hasRows = fanout.duplicates > 0;
  } else {
    return {
      ok: true,
      fanout: fanout.released > 0 ? {} : { retryCursor: null },
      job: job.kind === "fanout" ? { claimable: 0 } : {},
      result: null,
    };
  }
  effects.push({ type: "insertWindow", row: window });
  if (spent) effects.push(...freeHolds(job, held));
  const next = { ...fanout, ...patch };
  return {
    ok: true,
    run: run.startedAt === null ? { startedAt: at } : {},
    fanout: patch,
    ...(held === null ? {} : { window: spent ? ("drop" as const) : { slots: 0 } }),
    job: job.kind === "fanout" ? { claimable: hasWindow(next) ? 1 : 0 } : {},
    effects,
    result: { job, start: window.start, stop: window.stop, epoch, slots, hasRows },
  };
}

function nothingToLease(slice: Slice): Decision<null> {
  return {
    ok: true,
    job:
      slice.job.kind === "fanout" && slice.job.claimable === 1 && slice.job.state === "waiting" ? { claimable: 0 } : {},
    result: null,
  };
}

export interface ItemsSettled {
  /** Items of the window that have no end yet. */
  open: number;
  /** No further items are started: the run is being cancelled or halted, or too many failed. */
  stop: boolean;
  /** Every item of the fan-out has ended. */
  settled: boolean;
}

/**
 * The holder of a window reports ends of items, and failed tries that it will repeat (`pending`). `keep` holds on to the
 * window's slots when it is done, because the holder has other windows of this job.
 */
export function settleItems(
  slice: Slice,
  lease: Lease,
  rows: readonly ItemRow[],
  keep: boolean,
  at: number,
): Verdict<ItemsSettled> {
  const { run, job, fanout, window } = slice;
  if (fanout === null || window === null || window.boot !== lease.boot || window.epoch !== lease.epoch)
    return leaseLost(job, lease.epoch);
  let { completed, failed, skipped, lastOrdinal } = fanout;
  let ended = 0;
  for (const row of rows) {
    if (row.ordinal < window.start || row.ordinal >= window.stop)
      return reject(
        "illegal_transition",
        `item ${row.ordinal} of job ${job.id} is not in the window [${window.start}, ${window.stop})`,
      );
    if (row.state === "pending") continue;
    ended += 1;
    lastOrdinal = row.ordinal;
    if (row.state === "completed") completed += 1;
    else if (row.state === "failed") failed += 1;
    else skipped += 1;
  }
  if (ended > window.open)
    return reject("illegal_transition", `job ${job.id}: ${ended} items reported for a window with ${window.open} open`);
  const counters: Partial<FanoutRow> = { completed, failed, skipped, lastOrdinal };
  const next: FanoutRow = { ...fanout, ...counters };
  const effects: Effect[] = [{ type: "items", job: job.seq, rows }];
  if (isHopeless(next)) next.stopped = counters.stopped = 1;
  const settled = isSettled(next);
  if (settled || at - fanout.progressAt >= PROGRESS_EVERY_MS) {
    counters.progressAt = at;
    effects.push(progressEvent(job, next));
  }
  const open = window.open - ended;
  const result: ItemsSettled = {
    open,
    stop: run.cancelRequestedAt !== null || run.haltedAt !== null || next.stopped === 1 || isJobEnd(job.state),
    settled,
  };
  if (open > 0 || (keep && window.slots > 0)) return { ok: true, fanout: counters, window: { open }, effects, result };
  return windowDone(slice, next, counters, effects, result, at);
}

/** Limiters that items of a window still hold: their worker may have died before it could give them back. */
function freeHolds(job: JobRow, window: WindowRow | null): Effect[] {
  return window === null || job.holding === 0 ? [] : holdsOf(window);
}

function holdsOf(window: WindowRow): Effect[] {
  return [{ type: "release", limiter: null, key: null, job: window.job, epoch: window.epoch, item: null }];
}

function windowDone(
  slice: Slice,
  next: FanoutRow,
  counters: Partial<FanoutRow>,
  effects: Effect[],
  result: ItemsSettled,
  at: number,
): Verdict<ItemsSettled> {
  counters.slotsUsed = next.slotsUsed = next.slotsUsed - (slice.window?.slots ?? 0);
  counters.leased = next.leased = next.leased - 1;
  effects.push(...freeHolds(slice.job, slice.window));
  return { ok: true, fanout: counters, window: "drop", ...followUp(slice, next, effects, at), result };
}

/** What becomes of a waiting fan-out job when a window has been given up. */
function followUp(
  slice: Slice,
  next: FanoutRow,
  effects: Effect[],
  at: number,
): Pick<Decision, "run" | "job" | "effects"> {
  const { job } = slice;
  if (job.kind !== "fanout" || job.state !== "waiting") return { effects };
  if (
    next.leased === 0 &&
    (isSettled(next) || next.stopped === 1) &&
    slice.run.cancelRequestedAt === null &&
    slice.run.haltedAt === null
  ) {
    const woken = wakeJob(slice, at);
    if (woken.ok)
      return { run: woken.run ?? {}, job: woken.job ?? {}, effects: [...effects, ...(woken.effects ?? [])] };
  }
  if ((slice.run.cancelRequestedAt !== null || slice.run.haltedAt !== null) && next.leased === 0) {
    effects.push({
      type: "propagate",
      row: {
        kind: slice.run.cancelRequestedAt !== null ? "cancel" : "halt",
        run: slice.run.seq,
        subject: 0,
        cursor: job.seq - 1,
      },
    });
    return { job: { claimable: 0 }, effects };
  }
  const claimable = hasWindow(next) ? 1 : 0;
  return claimable === job.claimable ? { effects } : { job: { claimable }, effects };
}

/** Failed and skipped items, duplicates aside, that can no longer stay within the tolerated rate. */
export function isHopeless(fanout: FanoutRow): boolean {
  return fanout.failed + fanout.skipped - fanout.duplicates > fanout.errorRate * fanout.total;
}

function progressEvent(job: JobRow, fanout: FanoutRow): Effect {
  const { total, completed, failed, skipped, lastOrdinal } = fanout;
  return {
    type: "event",
    name: "job.progress",
    job: job.id,
    data: { total, completed, failed, skipped, lastProcessed: lastOrdinal },
  };
}

/**
 * The holder of a window gives some of its slots to whoever wants them, at least one stays. Nothing of these slots may be at
 * work. False if there is no window that another worker could lease.
 */
export function yieldSlots(slice: Slice, lease: Lease, slots: number): Verdict<boolean> {
  const { job, fanout, window } = slice;
  if (fanout === null || window === null || window.boot !== lease.boot || window.epoch !== lease.epoch)
    return leaseLost(job, lease.epoch);
  const next: FanoutRow = { ...fanout, slotsUsed: fanout.slotsUsed - slots };
  if (slots <= 0 || slots >= window.slots || job.kind !== "fanout" || job.state !== "waiting" || !hasWindow(next))
    return { ok: true, result: false };
  return {
    ok: true,
    fanout: { slotsUsed: next.slotsUsed },
    window: { slots: window.slots - slots },
    job: { claimable: 1 },
    result: true,
  };
}

/** The holder gives a window back (stop, cancel), or its boot is dead. Items under way count as not started. */
export function releaseWindow(slice: Slice, lease: Lease, at: number): Verdict<boolean> {
  const { fanout, window } = slice;
  if (fanout === null || window === null || window.boot !== lease.boot || window.epoch !== lease.epoch)
    return { ok: true, result: false };
  const spent = window.open === 0;
  const patch = {
    slotsUsed: fanout.slotsUsed - window.slots,
    leased: fanout.leased - 1,
    released: fanout.released + (spent ? 0 : 1),
  };
  const next: FanoutRow = { ...fanout, ...patch };
  return {
    ok: true,
    fanout: patch,
    window: spent ? "drop" : { boot: null, slots: 0 },
    ...followUp(slice, next, holdsOf(window), at),
    result: true,
  };
}

/**
 * A reopened fan-out: failed and skipped items are pending again, completed ones stay; windows are cut anew. Of some items,
 * all are tried whatever the others did: they are not stopped early. What is tolerated in the end is in the job's spec.
 */
export function reopenFanout(fanout: FanoutRow, some: ChosenItems | null): Partial<FanoutRow> {
  const others = some === null ? 0 : some.ordinals.length - some.failed;
  return {
    failed: some === null ? 0 : fanout.failed - some.failed,
    skipped: some === null ? fanout.duplicates : fanout.skipped - others,
    ...(some === null ? {} : { errorRate: 1 }),
    stopped: 0,
    retryCursor: 0,
    released: 0,
    leased: 0,
    slotsUsed: 0,
  };
}
