/**
 * A ledger with a clock that stands still and workers without work: what tests of rules and ledgers play on. Jobs are
 * named by their ids; a claim answers with leases; what is reported is what the test says.
 *
 * Owner: testing.
 */
import * as changes from "../core/changes.ts";
import type { ItemRow } from "../core/decision.ts";
import type { StoredError } from "../core/errors.ts";
import type { FailurePolicy, Lease } from "../core/job.ts";
import type { BootSeq, ItemState, JobKind, JobSeq, RunRow, RunSeq } from "../core/model.ts";
import type { Plan } from "../core/plan.ts";
import type { Claimed, ClaimRequest, JobRecord, Ledger, RunRecord } from "../ports/ledger.ts";
import { choiceOf, type RetryRequest } from "../runtime/retry.ts";
import { type StartSettings, startOf } from "./builders.ts";
import type { FakeClock } from "./clock.ts";

export interface Held {
  job: JobSeq;
  id: string;
  lease: Lease;
  window: Claimed["window"];
}

const NO_RETRIES: FailurePolicy = { maxRetries: 0, delayMs: 1_000, onExhausted: "fail" };

export class World {
  readonly ledger: Ledger;
  readonly clock: FakeClock;
  private bootCount = 0;
  private offers = 0;

  constructor(ledger: Ledger, clock: FakeClock) {
    this.ledger = ledger;
    this.clock = clock;
  }

  async boot(): Promise<BootSeq> {
    this.bootCount += 1;
    return await this.ledger.registerBoot({
      id: `boot-${this.clock.now()}-${this.bootCount}`,
      host: "test",
      machine: "",
      pid: this.bootCount,
      pidStart: "0",
      startedAt: this.clock.now(),
    });
  }

  async start(what: string | Plan, settings: StartSettings = {}): Promise<RunRow> {
    await this.ledger.putDefinition(settings.version ?? "v1", "test", "{}");
    const started = await this.ledger.apply(changes.startRun(startOf(what, settings)));
    return await this.run(started.seq);
  }

  async run(seq: RunSeq): Promise<RunRow> {
    const row = await this.ledger.run(seq);
    if (row === null) throw new Error(`no run ${seq}`);
    return row;
  }

  async job(run: RunSeq, id: string): Promise<JobRecord> {
    const job = (await this.ledger.jobs(run)).find((row) => row.id === id);
    if (job === undefined) throw new Error(`run ${run} has no job ${id}`);
    return job;
  }

  /** `a:completed b:ready` of all jobs, in order; with the reason where there is one. */
  async states(run: RunSeq): Promise<string> {
    const jobs = await this.ledger.jobs(run);
    return jobs.map((job) => `${job.id}:${job.state}${job.reason === null ? "" : `(${job.reason})`}`).join(" ");
  }

  async claim(boot: BootSeq, slots = 100, request: Partial<ClaimRequest> = {}): Promise<Held[]> {
    const claimed = await this.ledger.claim({
      boot,
      slots,
      itemSlots: 100,
      offers: () => true,
      run: null,
      offersVersion: request.offers === undefined ? 0 : ++this.offers,
      suspects: true,
      ...request,
    });
    return claimed.map(({ job, window }) => ({
      job: job.seq,
      id: job.id,
      lease: { epoch: window?.epoch ?? job.epoch, boot },
      window,
    }));
  }

  /** Claims until the job of this id is held; what else was claimed goes back. */
  async claimJob(boot: BootSeq, run: RunSeq, id: string): Promise<Held> {
    const wanted = (await this.job(run, id)).seq;
    const held = await this.claim(boot);
    for (const other of held) if (other.job !== wanted && other.window === null) await this.giveBack(other);
    const found = held.find((one) => one.job === wanted);
    if (found === undefined) throw new Error(`job ${id} could not be claimed: ${await this.states(run)}`);
    return found;
  }

  complete(held: Held, output: string | null = null): Promise<unknown> {
    return this.ledger.apply(changes.completeJob(held.job, held.lease, output));
  }

  fail(held: Held, error: StoredError, policy: Partial<FailurePolicy> = {}): Promise<unknown> {
    return this.ledger.apply(changes.failJob(held.job, held.lease, error, { ...NO_RETRIES, ...policy }));
  }

  skip(held: Held, reason = "when"): Promise<unknown> {
    return this.ledger.apply(changes.skipJob(held.job, held.lease, reason, null));
  }

  giveBack(held: Held): Promise<unknown> {
    return this.ledger.apply(changes.giveBack(held.job, held.lease, null, "stopped"));
  }

  park(held: Held, dueInMs: number | null, reason = "sleep", knownOpenChildren?: number) {
    const dueAt = dueInMs === null ? null : this.clock.now() + dueInMs;
    return this.ledger.apply(
      changes.parkJob(held.job, held.lease, {
        dueAt,
        reason,
        ...(knownOpenChildren === undefined ? {} : { knownOpenChildren }),
      }),
    );
  }

  spawn(
    held: Held,
    key: string,
    settings: { kind?: JobKind; stage?: number | null; allowFailure?: boolean; agent?: string } = {},
  ) {
    return this.ledger.apply(
      changes.spawnJob(
        held.job,
        held.lease,
        settings.stage ?? null,
        {
          key,
          kind: settings.kind ?? "single",
          agent: settings.agent ?? "test/agent",
          priority: null,
          allowFailure: settings.allowFailure ?? false,
          spec: "{}",
        },
        `${held.id}/${key}`,
      ),
    );
  }

  cancel(run: RunSeq): Promise<boolean> {
    return this.ledger.apply(changes.cancelRun(run, null));
  }

  async retry(run: RunSeq, request: RetryRequest = {}) {
    if (request.jobs === undefined && request.items === undefined) return this.ledger.apply(changes.reopenRun(run));
    const record = (await this.ledger.run(run)) as RunRecord;
    const choice = await choiceOf(this.ledger, record, request, (id) => this.job(run, id));
    return await this.ledger.apply(changes.reopenRun(run, choice));
  }

  expand(
    held: Held,
    total: number,
    settings: { window?: number; concurrency?: number; errorRate?: number; duplicates?: number } = {},
  ) {
    return this.ledger.apply(
      changes.expandFanout(held.job, held.lease, {
        source: "0".repeat(64),
        total,
        concurrency: settings.concurrency ?? 2,
        windowSize: settings.window ?? 4,
        errorRate: settings.errorRate ?? 0.1,
        duplicates: settings.duplicates ?? 0,
        deadline: null,
      }),
    );
  }

  item(job: JobSeq, ordinal: number, state: ItemState, attempts = 1): ItemRow {
    const ended = state !== "pending";
    return {
      job,
      ordinal,
      state,
      attempts,
      result: state === "completed" ? String(ordinal) : null,
      error: state === "failed" ? '{"category":"permanent","code":"no","message":"no"}' : null,
      dueAt: ended ? null : this.clock.now() + 1_000,
      endedAt: ended ? this.clock.now() : null,
    };
  }

  settle(held: Held, rows: readonly ItemRow[], keep = false) {
    return this.ledger.apply(
      changes.settleItems(held.job, (held.window as NonNullable<Held["window"]>).start, held.lease, rows, keep),
    );
  }

  /** Settles all items of a window that have no end yet, all in the same state. */
  async settleAll(held: Held, state: ItemState = "completed") {
    const { start, stop } = held.window as NonNullable<Held["window"]>;
    const known = new Set(
      (await this.ledger.items(held.job, { from: start, to: stop, limit: stop - start }))
        .filter((row) => row.state !== "pending")
        .map((row) => row.ordinal),
    );
    const rows: ItemRow[] = [];
    for (let ordinal = start; ordinal < stop; ordinal++)
      if (!known.has(ordinal)) rows.push(this.item(held.job, ordinal, state));
    return await this.settle(held, rows);
  }

  async leaseWindow(job: JobSeq, boot: BootSeq, held: number | null = null, slots = 100): Promise<Held | null> {
    const lease = await this.ledger.apply(changes.leaseWindow(job, boot, held, slots));
    if (lease === null) return null;
    return { job, id: lease.job.id, lease: { epoch: lease.epoch, boot }, window: lease };
  }

  release(held: Held): Promise<boolean> {
    return this.ledger.apply(
      changes.releaseWindow(held.job, (held.window as NonNullable<Held["window"]>).start, held.lease),
    );
  }

  /** Declares a boot dead and takes its leases over, as the sweeper does. */
  async bury(boot: BootSeq, maxCrashes = 3): Promise<void> {
    await this.ledger.endBoot(boot, "dead");
    const leases = await this.ledger.leasesOf(boot, 10_000);
    await Promise.all([
      ...leases.windows.map((window) =>
        this.ledger.apply(changes.releaseWindow(window.job, window.start, { epoch: window.epoch, boot })),
      ),
      ...leases.jobs.map((job) => this.ledger.apply(changes.loseLease(job, boot, maxCrashes))),
    ]);
  }

  /** Moves jobs whose time has come. */
  async due(): Promise<void> {
    const { due } = await this.ledger.dueJobs(10_000);
    await Promise.all(due.map((job) => this.ledger.apply(changes.timerDue(job))));
  }

  /** Claims and completes until nothing can be claimed any more; clock and timers move on as needed. */
  async finish(boot: BootSeq, rounds = 10_000): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const held = await this.claim(boot);
      if (held.length === 0) {
        const { nextAt } = await this.ledger.dueJobs(0);
        if (nextAt === null) return;
        this.clock.advanceTo(Math.max(nextAt, this.clock.now()));
        await this.due();
        continue;
      }
      for (const one of held) await this.finishOne(one);
    }
    throw new Error("the work does not end");
  }

  private async finishOne(held: Held): Promise<void> {
    if (held.window !== null) return void (await this.settleAll(held));
    const job = await this.ledger.job(held.job);
    const fanout = job?.kind === "fanout" ? await this.ledger.fanout(held.job) : null;
    if (job?.kind === "fanout" && fanout === null) return void (await this.expand(held, 3));
    const open = fanout !== null && fanout.completed + fanout.failed + fanout.skipped < fanout.total;
    if (!open) await this.complete(held);
    else if (fanout.stopped === 1) await this.fail(held, { category: "permanent", code: "rate", message: "too many" });
    else await this.park(held, null, "items");
  }
}

/** The code of the error that a promise is rejected with; null if it is not. */
export async function codeOf(promise: Promise<unknown>): Promise<string | null> {
  try {
    await promise;
    return null;
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error);
  }
}
