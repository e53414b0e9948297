/**
 * Tells people and other systems about runs: how they ended, that they wait for a decision, how far they are.
 *
 * What there is to tell is found in the ledger: ends by this process's own commits and by looking, approvals and progress by
 * looking. Invariants: (1) an occasion becomes one delivery per notifier, whoever sees it first; (2) a notifier hears of what
 * happened after it was first configured, also of what happened while no process had it; (3) nothing here is waited for by a
 * run, and no failure of a notifier reaches one; (4) a delivery is sent by the process that has claimed it.
 */
import {
  claimDelivery,
  type DeliveryRow,
  keepNotifier,
  type Occasion,
  recordDelivery,
  settleDelivery,
} from "../core/delivery.ts";
import { TenutoError } from "../core/errors.ts";
import type { RunRow, RunSeq } from "../core/model.ts";
import { isRunEnd } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { Message, Notifier } from "../ports/notifier.ts";
import type { Service } from "./engine.ts";
import { composeMessage } from "./message.ts";
import type { Parts } from "./parts.ts";

const LOOK_AFTER_MS = 1_000;
const LOOK_EVERY_MS = 15_000;
const PAGE = 1_000;
/** All runs are looked at this often, and ends then this far back. */
const WHOLE_EVERY_MS = 600_000;
const OVERLAP_MS = 3_600_000;
/** Messages on their way to one notifier and to all at once: who does not answer holds up nobody else. */
const SENDERS = 4;
const MOST_SENDERS = 64;
const KNOWN_KEPT = 20_000;
/** How long a stop waits for what is on its way. */
const STOP_MS = 5_000;

export class Notifiers implements Service {
  readonly startsRuns = false;
  onFault: (error: unknown) => void = () => {};
  private readonly parts: Parts;
  private readonly notifiers: readonly Notifier[];
  /** When each was first configured, and since when all ends are recorded. */
  private readonly since = new Map<string, { createdAt: number; since: number }>();
  /** Ids of deliveries that are in the ledger already. */
  private readonly known = new Set<string>();
  /** Runs that were open when they were looked at last, and the newest that was ever looked at. */
  private readonly open = new Set<RunSeq>();
  private newest: RunSeq = 0;
  private wholeAt: number | null = null;
  private sending = new Set<Promise<void>>();
  /** How many of them go to which notifier. */
  private readonly busy = new Map<string, number>();
  private recording = new Set<Promise<void>>();
  private timer: { at: number; cancel(): void } | null = null;
  private looking: Promise<void> | null = null;
  private again = false;
  private active = false;
  private off: (() => void)[] = [];

  constructor(parts: Parts, notifiers: readonly Notifier[]) {
    this.parts = parts;
    this.notifiers = notifiers;
  }

  async start(): Promise<void> {
    if (this.notifiers.length === 0) return;
    const { ledger } = this.parts;
    for (const { name } of this.notifiers) this.since.set(name, await ledger.apply(keepNotifier(name, null)));
    this.active = true;
    this.off = [
      ledger.onCommit(({ endedRuns }) =>
        endedRuns.length > 0 ? this.noteEnds(endedRuns) : this.lookIn(LOOK_AFTER_MS),
      ),
      ledger.onForeignWrite(() => this.lookIn(LOOK_AFTER_MS)),
    ];
    this.look();
  }

  /** Records what has ended, and gives what is on its way a little time. */
  async stop(): Promise<void> {
    if (!this.active) return;
    for (const off of this.off) off();
    this.timer?.cancel();
    let timeUp = (): void => {};
    const deadline = new Promise<void>((resolve) => {
      timeUp = resolve;
    });
    const timer = this.parts.clock.after(STOP_MS, timeUp);
    await Promise.race([this.finish(), deadline]);
    this.active = false;
    timer.cancel();
  }

  private async finish(): Promise<void> {
    this.look();
    while (this.looking !== null || this.sending.size + this.recording.size > 0) {
      await this.looking;
      await Promise.allSettled([...this.sending, ...this.recording]);
    }
  }

  private noteEnds(runs: readonly RunRow[]): void {
    // Rows of a commit are the ledger's own and go on changing.
    const ended = runs.map((run) => ({ ...run }));
    this.keep(this.recordEnds(ended), this.recording);
  }

  private lookIn(ms: number): void {
    if (!this.active) return;
    const at = this.parts.ledger.now() + ms;
    if (this.timer !== null && this.timer.at <= at) return;
    this.timer?.cancel();
    const timer = this.parts.clock.after(ms, () => {
      this.timer = null;
      this.look();
    });
    this.timer = { at, cancel: () => timer.cancel() };
  }

  private look(): void {
    if (!this.active) return;
    this.again = true;
    this.looking ??= this.lookWhileAsked().finally(() => {
      this.looking = null;
    });
  }

  private async lookWhileAsked(): Promise<void> {
    while (this.again && this.active) {
      this.again = false;
      try {
        this.lookIn(Math.min(LOOK_EVERY_MS, await this.lookOnce()));
      } catch (error) {
        if (this.active) this.onFault(error);
        this.lookIn(LOOK_EVERY_MS);
      }
    }
  }

  /** Records what there is to tell and sends what is due; gives the time until there is more to do. */
  private async lookOnce(): Promise<number> {
    const now = this.parts.ledger.now();
    if (this.wholeAt === null || now - this.wholeAt >= WHOLE_EVERY_MS) await this.lookAtAll(now);
    const open = await this.lookAtChanges();
    await this.recordApprovals();
    let wait = await this.recordProgress(open, now);
    for (const name of this.since.keys()) {
      const { due, nextAt } = await this.parts.ledger.dueDeliveries([name], now, SENDERS * 4);
      for (const id of due) this.send(name, id);
      if (nextAt !== null) wait = Math.min(wait, Math.max(0, nextAt - now));
    }
    return wait;
  }

  /** Goes through all runs: at first, and then rarely, for what nobody here could see coming. */
  private async lookAtAll(now: number): Promise<void> {
    const { ledger } = this.parts;
    const since = Math.min(...[...this.since.values()].map((row) => row.since));
    // What comes from here on is found by its number.
    if (this.wholeAt === null) this.newest = (await ledger.runs({ limit: 1 }))[0]?.seq ?? 0;
    for (let after = 0; ; ) {
      const page = await ledger.endedRuns(after, since, PAGE);
      await this.recordEnds(page);
      if (page.length < PAGE) break;
      after = page.at(-1)!.seq;
    }
    for (let after = 0; ; ) {
      const page = await ledger.openRuns(after, PAGE);
      for (const run of page) this.open.add(run.seq);
      if (page.length < PAGE) break;
      after = page.at(-1)!.seq;
    }
    this.wholeAt = now;
    for (const name of this.since.keys())
      this.since.set(name, await ledger.apply(keepNotifier(name, now - OVERLAP_MS)));
  }

  /** Looks at new runs and at those that were open; gives those that are. */
  private async lookAtChanges(): Promise<RunRow[]> {
    const { ledger } = this.parts;
    const still = [...this.open];
    const known = new Set(still);
    const open: RunRow[] = [];
    const take = async (runs: readonly RunRow[]): Promise<void> => {
      await this.recordEnds(runs);
      for (const run of runs) {
        if (isRunEnd(run.state)) this.open.delete(run.seq);
        else {
          this.open.add(run.seq);
          open.push(run);
        }
      }
    };
    for (let at = 0; at < still.length; at += PAGE) {
      const asked = still.slice(at, at + PAGE);
      const found = await ledger.runsNumbered(asked);
      await take(found);
      const kept = new Set(found.map((run) => run.seq));
      for (const seq of asked) if (!kept.has(seq)) this.open.delete(seq);
    }
    for (;;) {
      const page = await ledger.runsAfter(this.newest, PAGE);
      await take(page.filter((run) => !known.has(run.seq)));
      this.newest = page.at(-1)?.seq ?? this.newest;
      if (page.length < PAGE) return open;
    }
  }

  private async recordEnds(runs: readonly RunRow[]): Promise<void> {
    for (const run of runs) {
      if (!isRunEnd(run.state) || run.endedAt === null) continue;
      const occasion = run.state as Occasion;
      await this.tell(occasion, run, String(run.endedAt), run.endedAt, null);
    }
  }

  private async recordApprovals(): Promise<void> {
    if (!this.notifiers.some(({ on }) => on.has("approval"))) return;
    const since = Math.min(...[...this.since.values()].map((row) => row.createdAt));
    for (const approval of await this.parts.ledger.openApprovals(since, PAGE)) {
      if (this.notifiers.every(({ name }) => this.known.has(idOf(name, approval.run, "approval", approval.id))))
        continue;
      const run = await this.parts.ledger.run(approval.run);
      if (run !== null) await this.tell("approval", run, approval.id, approval.createdAt, approval);
    }
  }

  /** Reports at the end of each interval of a run's life; those that nobody could make are left out. */
  private async recordProgress(open: readonly RunRow[], now: number): Promise<number> {
    let wait = LOOK_EVERY_MS;
    for (const notifier of this.notifiers) {
      if (!notifier.on.has("progress")) continue;
      for (const run of open) {
        if (run.state === "pending" || !concerns(notifier, run)) continue;
        const age = now - (run.startedAt ?? run.createdAt);
        const number = Math.floor(age / notifier.everyMs);
        wait = Math.min(wait, notifier.everyMs - (age % notifier.everyMs));
        if (number >= 1) await this.record(notifier, "progress", run, String(number), null);
      }
    }
    return wait;
  }

  private async tell(
    occasion: Occasion,
    run: RunRow,
    which: string,
    at: number,
    approval: ApprovalRow | null,
  ): Promise<void> {
    for (const notifier of this.notifiers) {
      if (!notifier.on.has(occasion) || !concerns(notifier, run)) continue;
      if (at < (this.since.get(notifier.name)?.createdAt ?? 0)) continue;
      await this.record(notifier, occasion, run, which, approval);
    }
  }

  private async record(
    notifier: Notifier,
    occasion: Occasion,
    run: RunRow,
    which: string,
    approval: ApprovalRow | null,
  ): Promise<void> {
    const id = idOf(notifier.name, run.seq, occasion, which);
    if (this.known.has(id)) return;
    const { ledger } = this.parts;
    if ((await ledger.delivery(id)) === null) {
      const message = await composeMessage(this.parts, { id, notifier: notifier.name, occasion, run, approval });
      await ledger.apply(
        recordDelivery({ id, notifier: notifier.name, run: run.seq, occasion, message: JSON.stringify(message) }),
      );
    }
    if (this.known.size >= KNOWN_KEPT) this.known.clear();
    this.known.add(id);
  }

  private send(name: string, id: string): void {
    const busy = this.busy.get(name) ?? 0;
    if (busy >= SENDERS || this.sending.size >= MOST_SENDERS) return;
    this.busy.set(name, busy + 1);
    const over = () => void this.busy.set(name, (this.busy.get(name) ?? 1) - 1);
    this.keep(this.sendOne(id).finally(over), this.sending);
  }

  /** Work that nobody waits for but a stop; afterwards there may be more to do. */
  private keep(work: Promise<void>, among: Set<Promise<void>>): void {
    const kept: Promise<void> = work
      .catch((error) => {
        // Whatever a stop did not wait for is in the ledger, for the next process.
        if (this.active) this.onFault(error);
      })
      .finally(() => {
        among.delete(kept);
        this.look();
      });
    among.add(kept);
  }

  private async sendOne(id: string): Promise<void> {
    const { ledger, clock } = this.parts;
    const row = await ledger.apply(claimDelivery(id));
    const notifier = this.notifiers.find(({ name }) => name === row?.notifier);
    if (row === null || notifier === undefined) return;
    const stop = new AbortController();
    const timer = clock.after(notifier.timeoutMs, () =>
      stop.abort(new TenutoError("timeout", `it took longer than ${notifier.timeoutMs / 1_000} s`)),
    );
    let failure: { error: string; final: boolean; waitMs: number } | null = null;
    try {
      await settledOrAborted(notifier.send(JSON.parse(row.message) as Message, stop.signal), stop.signal);
    } catch (error) {
      failure = failureOf(error);
    } finally {
      timer.cancel();
    }
    await this.settle(row, failure);
  }

  private async settle(
    row: DeliveryRow,
    failure: { error: string; final: boolean; waitMs: number } | null,
  ): Promise<void> {
    try {
      await this.parts.ledger.apply(
        settleDelivery(row, failure?.error ?? null, failure?.final ?? false, failure?.waitMs ?? 0),
      );
    } catch (error) {
      // The claim ran out and somebody else sends it: at least once, not exactly once.
      if (!(error instanceof TenutoError && error.code === "lease_lost")) throw error;
    }
  }
}

const ERROR_CHARS = 1_000;

const idOf = (notifier: string, run: RunSeq, occasion: Occasion, which: string): string =>
  `${notifier}/${run}/${occasion}/${which}`;

function concerns(notifier: Notifier, run: RunRow): boolean {
  return notifier.pipelines === null || notifier.pipelines.has(run.pipeline);
}

/** An adapter that does not heed its signal is left alone. */
async function settledOrAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
    work.catch(() => {});
  }
}

function failureOf(error: unknown): { error: string; final: boolean; waitMs: number } {
  const text = (error instanceof Error ? error.message : String(error)).slice(0, ERROR_CHARS);
  if (!(error instanceof TenutoError)) return { error: text, final: false, waitMs: 0 };
  const final = error.category === "permanent" && error.code !== "timeout";
  return { error: text, final, waitMs: error.retryAfterMs ?? 0 };
}
