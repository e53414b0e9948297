/**
 * The worker of one process: claims what it offers, carries it out, reports, and stops in order.
 *
 * Invariants: (1) nothing on the way of a job waits for a poll: commits tell what became claimable, claims travel with
 * commits; (2) a slot is held from the claim to the report, not while a job waits; (3) a worker whose boot was declared
 * dead aborts everything it holds and begins again under a new boot.
 */
import type { ChildOutcome, MapOptions, MapResult, MapSource, SpawnSpec } from "../core/agent.ts";
import * as changes from "../core/changes.ts";
import { storedErrorFrom } from "../core/classify.ts";
import { TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import { SUSPECT_CRASHES } from "../core/limits.ts";
import type { BootSeq, JobSeq, RunSeq } from "../core/model.ts";
import type { Hints } from "../core/unit.ts";
import type { AttemptApi } from "../ports/executor.ts";
import type { Change, Claimed, ClaimTicket, KeepAlive, SliceOf } from "../ports/ledger.ts";
import { apiOf } from "./api.ts";
import { type AttemptHost, attemptJob, type Result, reportChange, resultOf } from "./attempt.ts";
import type { Definitions } from "./definitions.ts";
import { Execution } from "./execution.ts";
import { FanoutJobs } from "./fanout-jobs.ts";
import { sleep } from "./limiting.ts";
import { type MapClosure, mapByAgent, mapInProcess } from "./map.ts";
import type { EngineOptions, Parts } from "./parts.ts";
import type { AttemptScope } from "./scope.ts";

interface Running {
  execution: Execution;
  run: RunSeq;
  job: JobSeq;
  suspect: boolean;
  /** Why it must end, if that came before there was anything to abort. */
  early: "cancel" | "stop" | "lease" | null;
  timer: { cancel(): void } | null;
  ended: Promise<void>;
}

/** While the ledger can't be written, claims pause and reports are tried again this often. */
const TROUBLE_RETRY_MS = 1_000;

export class Worker implements AttemptHost {
  readonly parts: Parts;
  readonly definitions: Definitions;
  readonly options: EngineOptions;
  readonly fanouts: FanoutJobs;
  boot: BootSeq = 0;
  private readonly running = new Map<JobSeq, Running>();
  private readonly parked = new Map<JobSeq, Running>();
  private keeper: KeepAlive | null = null;
  private tickTimer: { cancel(): void } | null = null;
  private wantClaim = true;
  private stopping = false;
  private troubled = false;
  private lent = 0;
  private births = 0;
  private claimsUnderWay = 0;
  private beingReborn = false;
  private reporting = 0;
  private drainOver = false;
  /** The only run to work on; null works on all. */
  private only: RunSeq | null = null;
  private stopped = false;
  private unsubscribe: (() => void)[] = [];
  private idle: (() => void) | null = null;
  /** Told of faults that no run can be blamed for. */
  onFault: (error: unknown) => void = () => {};

  constructor(parts: Parts, definitions: Definitions, options: EngineOptions) {
    this.parts = parts;
    this.definitions = definitions;
    this.options = options;
    this.fanouts = new FanoutJobs(this);
  }

  /** Begins to claim; with `only`, nothing but this run's jobs. */
  async start(only: RunSeq | null = null): Promise<void> {
    this.only = only;
    await this.register();
    const { ledger } = this.parts;
    this.unsubscribe = [
      ledger.onBeforeCommit(() => this.claimTicket()),
      ledger.onCommit((hints) => this.committed(hints)),
      ledger.onForeignWrite(() => {
        this.wantClaim = true;
        this.claimSoon();
        void this.checkCancels();
      }),
    ];
    this.tick();
    this.claimSoon();
  }

  private async register(): Promise<void> {
    const { ledger, probe, bootPrefix, clock } = this.parts;
    this.births += 1;
    const id = `${bootPrefix}.${this.births}`;
    this.boot = await ledger.registerBoot({ id, ...probe.self(), startedAt: clock.now() });
    this.keeper = ledger.keepAlive(this.boot, {
      everyMs: this.options.heartbeatMs,
      stallMs: 60_000,
      onDead: () => void this.reborn(),
    });
  }

  private tick(): void {
    this.keeper?.tick();
    this.tickTimer = this.parts.clock.after(1_000, () => this.tick());
  }

  /** This boot was declared dead, after a long stop of the process for example: everything it held is lost. */
  private async reborn(): Promise<void> {
    // The news comes again with each heartbeat until the keeper has stopped.
    if (this.stopping || this.beingReborn) return;
    this.beingReborn = true;
    try {
      const old = this.keeper;
      this.keeper = null;
      for (const entry of [...this.running.values(), ...this.parked.values()]) end(entry, "lease");
      this.fanouts.stopAll("lease");
      await Promise.allSettled([...this.running.values()].map((entry) => entry.ended));
      this.parked.clear();
      await old?.stop();
      if (this.stopping) return;
      await this.register();
    } catch (error) {
      this.onFault(error);
      this.parts.clock.after(TROUBLE_RETRY_MS, () => void this.reborn());
    } finally {
      this.beingReborn = false;
    }
    this.wantClaim = true;
    this.claimSoon();
  }

  get isStopping(): boolean {
    return this.stopping;
  }

  get freeSlots(): number {
    return this.options.concurrency - this.running.size - this.fanouts.size + this.lent;
  }

  /** A slot that is given to others while an attempt that cannot be parked waits for a child. */
  lendSlot(): () => void {
    this.lent += 1;
    this.claimSoon();
    let returned = false;
    return () => {
      if (!returned) this.lent -= 1;
      returned = true;
    };
  }

  private claimTicket(): ClaimTicket | null {
    const slots = this.freeSlots - this.claimsUnderWay;
    if (this.stopping || this.troubled || slots <= 0 || this.keeper === null) return null;
    this.claimsUnderWay += slots;
    const { boot } = this;
    const suspects = ![...this.running.values()].some((entry) => entry.suspect);
    return {
      request: {
        boot,
        slots,
        itemSlots: Number.MAX_SAFE_INTEGER,
        offers: (agent) => this.offers(agent),
        offersVersion: this.definitions.agentsVersion,
        run: this.only,
        suspects,
      },
      done: (claimed) => {
        this.claimsUnderWay -= slots;
        // A suspect that was passed over is asked for again when the one before it has ended.
        this.wantClaim =
          claimed.length >= slots || !suspects || claimed.some((claim) => claim.job.crashes >= SUSPECT_CRASHES);
        // What a boot claimed that has been declared dead since is taken from it by the sweep.
        if (boot === this.boot) for (const claim of claimed) this.take(claim);
        if (this.stopping) this.tellIdle();
      },
    };
  }

  private offers(agent: string): boolean {
    return this.definitions.offers(agent) && (this.options.agents === undefined || this.options.agents(agent));
  }

  /** Claims even if nothing else is to be committed. */
  private claimSoon(): void {
    const ticket = this.claimTicket();
    if (ticket === null) return;
    this.parts.ledger.claim(ticket.request).then(ticket.done, (error) => {
      ticket.done([]);
      this.claimFailed(error);
    });
  }

  private claimFailed(error: unknown): void {
    if (error instanceof TenutoError && error.code === "lease_lost") void this.reborn();
    else this.onFault(error);
  }

  private committed(hints: Hints): void {
    if (hints.ready && this.freeSlots - this.claimsUnderWay > 0) this.claimSoon();
    if (hints.cancelled.length > 0) for (const run of hints.cancelled) this.cancelRun(run);
    for (const ended of hints.endedJobs) {
      this.parked.delete(ended.job);
      if (ended.parent !== null) this.running.get(ended.parent)?.execution?.poke();
    }
  }

  private take(claim: Claimed): void {
    if (claim.job.kind === "fanout") {
      void this.fanouts.take(claim.run, claim.job, claim.window);
      return;
    }
    const lease: Lease = { epoch: claim.job.epoch, boot: this.boot };
    const waiting = this.parked.get(claim.job.seq);
    this.parked.delete(claim.job.seq);
    if (
      waiting !== undefined &&
      waiting.execution.lease.epoch === lease.epoch - 1 &&
      waiting.execution.aborted === null
    ) {
      this.running.set(claim.job.seq, waiting);
      this.armTimeout(waiting);
      void waiting.execution.resume(lease, claim.job.openChildren);
      return;
    }
    waiting?.execution.abort("lease");
    void this.begin(claim, lease);
  }

  private async begin(claim: Claimed, lease: Lease): Promise<void> {
    const { run } = claim;
    // The row belongs to the ledger's transaction; what the attempt sees must not change under it.
    const job = { ...claim.job };
    let settle: () => void = () => {};
    const placeholder = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const entry: Running = {
      execution: null as unknown as Execution,
      run: run.seq,
      job: job.seq,
      suspect: job.crashes >= SUSPECT_CRASHES,
      early: this.drainOver ? "stop" : null,
      timer: null,
      ended: placeholder,
    };
    this.running.set(job.seq, entry);
    try {
      const resolved = await this.definitions.resolve(run, job);
      const execution = new Execution(
        this.parts,
        {
          run,
          job,
          resolved,
          item: null,
          attempt: job.attempt,
          mayHaveSteps: job.attempt > 1,
          workspace: this.workspaceOf(run.id, job.id),
        },
        lease,
        {
          parked: (parked) => this.park(job.seq, parked),
          agentReference: (name) => this.referenceOf(name),
          knows: (agent) => this.definitions.offers(this.referenceOf(agent)),
          lendSlot: () => this.lendSlot(),
          insist: (change) => this.insist(change),
        },
      );
      entry.execution = execution;
      if (entry.early !== null) execution.abort(entry.early);
      execution.time = { hold: () => entry.timer?.cancel(), start: () => this.armTimeout(entry) };
      this.armTimeout(entry);
      const result = await this.carryOut(execution);
      entry.timer?.cancel();
      await this.report(entry, result);
    } catch (error) {
      this.onFault(error);
      await this.giveUp(job.seq, lease, error);
    } finally {
      entry.timer?.cancel();
      // By now another claim of the same job may have taken its place.
      if (this.running.get(job.seq) === entry) this.running.delete(job.seq);
      if (this.parked.get(job.seq) === entry) this.parked.delete(job.seq);
      settle();
      this.slotFreed();
    }
  }

  private async carryOut(execution: Execution): Promise<Result> {
    const { facts } = execution;
    let result: Result;
    try {
      const data = await this.definitions.scope(facts.run, facts.resolved);
      result = await attemptJob(this, execution, data);
    } catch (error) {
      result = resultOf(execution, error);
    }
    if (execution.maps.size > 0) {
      for (const map of execution.maps) void map;
      if (execution.aborted === null) execution.abort("stop");
      await Promise.allSettled(execution.maps);
    }
    return result;
  }

  /** Reports until the ledger has taken it or refused it for good. */
  private async report(entry: Running, result: Result): Promise<void> {
    const { execution } = entry;
    if (execution.aborted === "lease") return;
    if (this.running.get(entry.job) === entry) this.running.delete(entry.job);
    this.reporting += 1;
    try {
      await this.insist(reportChange(execution, execution.lease, result), () => this.running.set(entry.job, entry));
    } catch (error) {
      if (error instanceof TenutoError && error.code === "lease_lost") return this.noteLost(execution);
      throw error;
    } finally {
      this.reporting -= 1;
    }
    if (result.kind === "failed" && result.error.category === "critical") this.haltRun(entry.run);
  }

  /** Hands a change in until the ledger can write again. @throws what the ledger refuses for good */
  async insist<K extends keyof SliceOf, R>(change: Change<K, R>, inTrouble: () => void = () => {}): Promise<R> {
    for (;;) {
      try {
        const result = await this.parts.ledger.apply(change);
        this.troubled = false;
        return result;
      } catch (error) {
        if (this.stopped || !(error instanceof TenutoError)) throw error;
        if (error.category !== "critical" && error.code !== "ledger_busy") throw error;
        this.troubled = true;
        this.onFault(error);
        inTrouble();
        await sleep(this.parts.clock, TROUBLE_RETRY_MS);
      }
    }
  }

  /** A fault outside of the attempt's own work must not leave the job in the hands of a worker that does nothing. */
  async giveUp(job: JobSeq, lease: Lease, fault: unknown): Promise<void> {
    const error = storedErrorFrom(fault);
    const passing = error.category === "critical" || error.category === "retryable";
    await this.insist(
      passing
        ? changes.giveBack(job, lease, TROUBLE_RETRY_MS, "fault")
        : changes.failJob(job, lease, error, { maxRetries: 0, delayMs: 0, onExhausted: "fail" }),
    ).catch(() => {});
  }

  private noteLost(execution: Execution): void {
    execution.abort("lease");
    const { run, job } = execution.facts;
    this.parts.logs.line({
      at: this.parts.clock.now(),
      run: run.id,
      job: job.id,
      agent: "orchestrator",
      level: "WARNING",
      message: `the result of job ${job.id} came too late: its lease had been lost`,
    });
  }

  private slotFreed(): void {
    this.tellIdle();
    if (this.wantClaim) this.claimSoon();
  }

  private tellIdle(): void {
    const atWork = this.running.size + this.fanouts.size + this.claimsUnderWay + this.reporting;
    if (atWork === 0) this.idle?.();
  }

  /** Called by the fan-outs when one of them gives its slot back. */
  released(): void {
    this.slotFreed();
  }

  private park(job: JobSeq, execution: Execution): void {
    const entry = this.running.get(job);
    if (entry === undefined || entry.execution !== execution) return;
    entry.timer?.cancel();
    this.running.delete(job);
    this.parked.set(job, entry);
    this.slotFreed();
  }

  private armTimeout(entry: Running): void {
    entry.timer?.cancel();
    const { execution } = entry;
    const { timeoutMs } = execution.facts.resolved.policy;
    const leftMs = (execution.deadline ?? Number.POSITIVE_INFINITY) - this.parts.clock.now();
    if (leftMs <= 0) execution.abort("deadline");
    else
      entry.timer = this.parts.clock.after(Math.min(timeoutMs, leftMs), () =>
        execution.abort(leftMs < timeoutMs ? "deadline" : "timeout"),
      );
  }

  private cancelRun(run: RunSeq): void {
    for (const entry of this.running.values()) if (entry.run === run) end(entry, "cancel");
    for (const [job, entry] of this.parked) {
      if (entry.run !== run) continue;
      entry.execution.abort("cancel");
      this.parked.delete(job);
    }
    this.fanouts.stopRun(run, "cancel");
  }

  /** Cancels and halts that another process has written. */
  private async checkCancels(): Promise<void> {
    const runs = new Set(
      [...this.running.values(), ...this.parked.values()].map((entry) => entry.run).concat(this.fanouts.runs()),
    );
    for (const seq of runs) {
      const run = await this.parts.ledger.run(seq);
      if (run !== null && run.cancelRequestedAt !== null) this.cancelRun(seq);
      else if (run !== null && run.haltedAt !== null) this.haltRun(seq);
    }
  }

  /** Running attempts of a halted run are stopped gracefully. */
  haltRun(run: RunSeq): void {
    for (const entry of this.running.values()) if (entry.run === run) end(entry, "stop");
    this.fanouts.stopRun(run, "stop");
  }

  workspaceOf(run: string, job: string): string {
    return this.parts.files.resolve("", `${run}/${job}`);
  }

  referenceOf(name: string): string {
    if (this.definitions.offers(name)) return name;
    return this.definitions.agentNames().find((reference) => reference.startsWith(`${name}@`)) ?? name;
  }

  async spawn<T>(scope: AttemptScope, key: string, spec: SpawnSpec): Promise<ChildOutcome<T>> {
    if (!(scope instanceof Execution)) throw notInItem("spawn");
    return await scope.spawnAndWait<T>(key, spec);
  }

  async sleep(scope: AttemptScope, key: string, ms: number): Promise<void> {
    if (scope instanceof Execution) await scope.sleepUntilDone(key, ms);
    else await scope.pauseInPlace(key, ms);
  }

  async map(
    scope: AttemptScope,
    key: string,
    source: MapSource,
    work: unknown,
    options: MapOptions,
  ): Promise<MapResult<any>> {
    if (!(scope instanceof Execution)) throw notInItem("map");
    if (typeof work === "string") return await mapByAgent(scope, key, source, work, options);
    const mapping = scope.working(() => mapInProcess(this, scope, key, source, work as MapClosure, options));
    scope.maps.add(mapping);
    try {
      return await mapping;
    } finally {
      scope.maps.delete(mapping);
    }
  }

  progress(scope: AttemptScope, done: number, total?: number, message?: string): void {
    this.fanouts.progress.publish(scope, done, total, message);
  }

  apiOf(scope: AttemptScope): AttemptApi {
    return apiOf(this, scope);
  }

  /** Stops claiming at once, lets running attempts end until the deadline, then stops them. */
  async stop(drainMs = this.options.drainMs): Promise<void> {
    if (this.stopping) {
      // Somebody who waits for the end of a slow stop is in a hurry now.
      if (drainMs <= 0) this.stopAll();
      return;
    }
    this.stopping = true;
    for (const off of this.unsubscribe) off();
    const drained = new Promise<void>((resolve) => {
      this.idle = resolve;
    });
    this.tellIdle();
    this.fanouts.drainAll();
    const deadline = drainMs <= 0 ? null : this.parts.clock.after(drainMs, () => this.stopAll());
    if (deadline === null) this.stopAll();
    await drained;
    deadline?.cancel();
    for (const entry of this.parked.values()) entry.execution.abort("stop");
    this.parked.clear();
    this.tickTimer?.cancel();
    await this.keeper?.stop();
    this.stopped = true;
    if (this.boot !== 0) await this.parts.ledger.endBoot(this.boot, "stopped").catch(() => {});
  }

  private stopAll(): void {
    this.fanouts.stopAll("stop");
    this.drainOver = true;
    for (const entry of this.running.values()) end(entry, "stop");
  }
}

function end(entry: Running, reason: "cancel" | "stop" | "lease"): void {
  entry.early ??= reason;
  entry.execution?.abort(reason);
}

function notInItem(what: string): TenutoError {
  return new TenutoError("invalid_input", `ctx.${what} is not possible inside an item of a fan-out`, {
    hint: `Call ctx.${what} in a job; the items of a fan-out share one job.`,
  });
}
