/**
 * The worker of one process: claims what it offers, carries it out, reports, and stops in order.
 *
 * Invariants: (1) nothing on the way of a job waits for a poll: commits tell what became claimable, claims travel with
 * commits; (2) a slot is held from the claim to the report, not while a job waits; (3) a worker whose boot was declared
 * dead aborts everything it holds and begins again under a new boot.
 */
import * as changes from "../core/changes.ts";
import { TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import { SUSPECT_CRASHES } from "../core/limits.ts";
import type { BootSeq, JobSeq, RunSeq } from "../core/model.ts";
import type { Hints } from "../core/unit.ts";
import type { AttemptApi } from "../ports/executor.ts";
import type { Claimed, ClaimTicket, KeepAlive } from "../ports/ledger.ts";
import { apiOf } from "./api.ts";
import { attemptJob, reportChange } from "./attempt.ts";
import { DeferredJobs } from "./deferred.ts";
import type { Definitions } from "./definitions.ts";
import { Execution } from "./execution.ts";
import { FairShare } from "./fair-share.ts";
import { FanoutJobs } from "./fanout-jobs.ts";
import { declaredDead, type Held, HeldJobs } from "./held.ts";
import { Insistence, TROUBLE_RETRY_MS } from "./insistence.ts";
import { Offers } from "./offers.ts";
import { Operations } from "./operations.ts";
import type { EngineOptions, Parts } from "./parts.ts";
import type { AttemptScope } from "./scope.ts";
import { Stops } from "./stops.ts";
import { type AttemptHost, type Result, resultOf } from "./work.ts";

export class Worker implements AttemptHost {
  readonly operations = new Operations(this);
  readonly parts: Parts;
  readonly definitions: Definitions;
  readonly options: EngineOptions;
  readonly fanouts: FanoutJobs;
  boot: BootSeq = 0;
  private readonly held: HeldJobs;
  private readonly stops: Stops;
  private readonly offers: Offers;
  private readonly shares: FairShare;
  readonly insistence: Insistence;
  private keeper: KeepAlive | null = null;
  private tickTimer: { cancel(): void } | null = null;
  private readonly deferred = new DeferredJobs();
  private wantClaim = true;
  private stopping = false;
  private lent = 0;
  private births = 0;
  private claimsUnderWay = 0;
  private beingReborn = false;
  private reporting = 0;
  private drainOver = false;
  /** The only run to work on; null works on all. */
  private only: RunSeq | null = null;
  private unsubscribe: (() => void)[] = [];
  private idle: (() => void) | null = null;
  /** Told of faults that no run can be blamed for. */
  onFault: (error: unknown) => void = () => {};

  constructor(parts: Parts, definitions: Definitions, options: EngineOptions) {
    this.parts = parts;
    this.definitions = definitions;
    this.options = options;
    this.fanouts = new FanoutJobs(this);
    this.held = new HeldJobs(parts.clock);
    this.stops = new Stops(parts.ledger, this.held, this.fanouts);
    this.shares = new FairShare(parts, () => this.claimAgain());
    this.offers = new Offers(parts, definitions, options);
    this.insistence = new Insistence(parts, (error) => this.onFault(error));
  }

  /** Begins to claim; with `only`, nothing but this run's jobs. */
  async start(only: RunSeq | null = null): Promise<void> {
    this.only = only;
    await this.register();
    const { ledger } = this.parts;
    this.unsubscribe = [
      ledger.onBeforeCommit((reserved) => this.claimTicket(reserved)),
      ledger.onCommit((hints) => this.committed(hints)),
      ledger.onForeignWrite(() => {
        this.claimAgain();
        this.stops.check().catch((error) => this.onFault(error));
      }),
    ];
    this.tick();
    this.claimSoon();
  }

  private async register(): Promise<void> {
    const { ledger, probe, bootPrefix, clock } = this.parts;
    this.births += 1;
    const id = `${bootPrefix}.${this.births}`;
    const boot = await ledger.registerBoot({ id, ...probe.self(), startedAt: clock.now() });
    this.boot = boot;
    await this.offers.tell(this.boot);
    this.keeper = ledger.keepAlive(this.boot, {
      everyMs: this.options.heartbeatMs,
      stallMs: 60_000,
      onDead: () => void this.reborn(boot),
    });
  }

  private tick(): void {
    this.keeper?.tick();
    if (this.keeper !== null) this.offers.tell(this.boot).catch((error) => this.onFault(error));
    this.shares.look(this.fanouts.shared()).catch((error) => this.onFault(error));
    this.tickTimer = this.parts.clock.after(1_000, () => this.tick());
  }

  /** This boot was declared dead, after a long stop of the process for example: everything it held is lost. */
  private async reborn(dead: BootSeq): Promise<void> {
    // The news comes again with each heartbeat until the keeper has stopped, and with claims that were under way for long.
    if (this.stopping || this.beingReborn || dead !== this.boot) return;
    this.beingReborn = true;
    this.onFault(declaredDead());
    try {
      const old = this.keeper;
      this.keeper = null;
      this.held.endRunning("lease");
      this.held.endParked("lease");
      this.fanouts.stopAll("lease");
      await Promise.allSettled([...this.held.running.values()].map((entry) => entry.ended));
      await old?.stop();
      if (this.stopping) return;
      await this.register();
    } catch (error) {
      this.onFault(error);
      this.parts.clock.after(TROUBLE_RETRY_MS, () => void this.reborn(this.boot));
    } finally {
      this.beingReborn = false;
    }
    this.claimAgain();
  }

  private claimAgain(): void {
    this.wantClaim = true;
    this.claimSoon();
  }

  get isStopping(): boolean {
    return this.stopping;
  }

  get freeSlots(): number {
    return this.options.concurrency - this.held.running.size - this.fanouts.size + this.lent;
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

  private claimTicket(reserved = 0): ClaimTicket | null {
    const slots = this.freeSlots - this.claimsUnderWay - reserved;
    if (this.stopping || this.insistence.troubled || slots <= 0 || this.keeper === null) return null;
    this.claimsUnderWay += slots;
    const { boot } = this;
    const suspects = !this.held.hasSuspect();
    return {
      request: {
        boot,
        slots,
        itemSlots: Number.MAX_SAFE_INTEGER,
        offers: (agent) => this.offers.has(agent),
        leaves: (job) => this.shares.leaves(job),
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

  /** Claims even if nothing else is to be committed. */
  private claimSoon(): void {
    const ticket = this.claimTicket();
    if (ticket === null) return;
    this.parts.ledger.claim(ticket.request).then(ticket.done, (error) => {
      ticket.done([]);
      this.claimFailed(error, ticket.request.boot);
    });
  }

  private claimFailed(error: unknown, boot: BootSeq): void {
    if (error instanceof TenutoError && error.code === "lease_lost") void this.reborn(boot);
    else this.onFault(error);
  }

  private committed(hints: Hints): void {
    if (hints.ready && this.freeSlots - this.claimsUnderWay > 0) this.claimSoon();
    if (hints.cancelled.length > 0) for (const run of hints.cancelled) this.stops.cancel(run);
    for (const ended of hints.endedJobs) {
      this.held.parked.delete(ended.job);
      this.deferred.forget(ended.job);
      if (ended.parent !== null) this.held.running.get(ended.parent)?.execution?.poke();
    }
    if (hints.endedJobs.length > 0 && this.deferred.size > 0)
      for (const job of this.deferred.first()) void this.insistence.apply(changes.lookAgain(job)).catch(() => {});
  }

  private take(claim: Claimed): void {
    if (claim.job.kind === "fanout") {
      void this.fanouts.take(claim.run, claim.job, claim.window);
      return;
    }
    const lease: Lease = { epoch: claim.job.epoch, boot: this.boot };
    const waiting = this.held.parked.get(claim.job.seq);
    const execution = waiting?.execution ?? null;
    this.held.parked.delete(claim.job.seq);
    if (waiting !== undefined && execution?.aborted === null && execution.lease.epoch === lease.epoch - 1) {
      this.held.running.set(claim.job.seq, waiting);
      this.held.armTimeout(waiting);
      void execution.resume(lease, claim.job);
      return;
    }
    execution?.abort("lease");
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
    const entry: Held = {
      execution: null,
      run: run.seq,
      job: job.seq,
      suspect: job.crashes >= SUSPECT_CRASHES,
      early: this.drainOver ? "stop" : null,
      timer: null,
      ended: placeholder,
    };
    this.held.running.set(job.seq, entry);
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
          agentReference: (name) => this.definitions.referenceIn(resolved.definition, name),
          knows: (agent) => this.definitions.knows(resolved.definition, agent),
          lendSlot: () => this.lendSlot(),
          insist: (change) => this.insistence.apply(change),
        },
      );
      entry.execution = execution;
      if (entry.early !== null) execution.abort(entry.early);
      execution.time = { hold: () => entry.timer?.cancel(), start: () => this.held.armTimeout(entry) };
      this.held.armTimeout(entry);
      const result = await this.carryOut(execution);
      entry.timer?.cancel();
      await this.report(entry, execution, result);
    } catch (error) {
      this.onFault(error);
      await this.insistence.giveUp(job.seq, lease, error);
    } finally {
      this.held.drop(entry);
      settle();
      this.released();
    }
  }

  private async carryOut(execution: Execution): Promise<Result> {
    const { facts } = execution;
    let result: Result;
    try {
      const data = await this.definitions.scope(facts.run, facts.job, facts.resolved);
      result = await attemptJob(this, execution, data);
    } catch (error) {
      result = resultOf(execution, error);
    }
    if (execution.maps.size > 0) {
      if (execution.aborted === null) execution.abort("stop");
      await Promise.allSettled(execution.maps);
    }
    return result;
  }

  /** Reports until the ledger has taken it or refused it for good. */
  private async report(entry: Held, execution: Execution, result: Result): Promise<void> {
    const { running } = this.held;
    if (result.kind === "deferred") result.waitMs = this.deferred.add(entry.job, result.reason, result.waitMs);
    else this.deferred.forget(entry.job);
    if (execution.aborted === "lease") return;
    // What is parked holds no lease: there is nothing to give back.
    if (execution.isParked && result.kind === "stopped") return;
    if (running.get(entry.job) === entry) running.delete(entry.job);
    this.reporting += 1;
    try {
      const again = () => void running.set(entry.job, entry);
      await this.insistence.apply(reportChange(execution, execution.lease, result), again);
    } catch (error) {
      if (error instanceof TenutoError && error.code === "lease_lost") return execution.cameTooLate();
      throw error;
    } finally {
      this.reporting -= 1;
    }
    if (result.kind === "failed" && result.error.category === "critical") this.haltRun(entry.run);
  }

  /** Also called by the fan-outs when one of them gives its slot back. */
  released(): void {
    this.tellIdle();
    if (this.wantClaim) this.claimSoon();
  }

  private tellIdle(): void {
    const atWork = this.held.running.size + this.fanouts.size + this.claimsUnderWay + this.reporting;
    if (atWork === 0) this.idle?.();
  }

  private park(job: JobSeq, execution: Execution): void {
    if (this.held.park(job, execution)) this.released();
  }

  /** Running attempts of a halted run are stopped gracefully. */
  haltRun(run: RunSeq): void {
    this.stops.halt(run);
  }

  workspaceOf(run: string, job: string): string {
    return this.parts.files.resolve("", `${run}/${job}`);
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
    this.held.endParked("stop");
    this.tickTimer?.cancel();
    await this.keeper?.stop();
    this.insistence.stop();
    if (this.boot !== 0) await this.parts.ledger.endBoot(this.boot, "stopped").catch(() => {});
  }

  private stopAll(): void {
    this.fanouts.stopAll("stop");
    this.drainOver = true;
    this.held.endRunning("stop");
  }
}
