/**
 * One live function of a job: its lease, its waits, and how it is parked and goes on.
 *
 * A wait (sleep, child) parks the function: the promise stays pending, lease and slot are given back. When the job is
 * claimed again by this process the same closure goes on under the new lease; another process starts from the top and
 * finds the finished steps.
 *
 * Invariants: (1) a function parks only while no step, spawn or map of it is at work; (2) everything written after a park
 * waits for the next claim; (3) an execution whose lease went elsewhere is aborted and can write nothing.
 */
import type { ChildOutcome, SpawnSpec } from "../core/agent.ts";
import type { ApprovalRequest } from "../core/approval.ts";
import * as changes from "../core/changes.ts";
import type { Effect, StepRow } from "../core/decision.ts";
import type { JobSpec } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import type { JobRow, JobSeq } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { Change, JobRecord, SliceOf } from "../ports/ledger.ts";
import { childKey, childrenCap, childSpec, outcomeOf } from "./children.ts";
import type { Parts } from "./parts.ts";
import type { RoundChild } from "./rounds.ts";
import { AttemptScope, type ScopeFacts } from "./scope.ts";

/** The last time that a Date can hold. */
const LAST_TIME = 8_640_000_000_000_000;

interface Waiting {
  /** End of a sleep. */
  dueAt: number | null;
  child: JobSeq | null;
  approval?: string;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Ends a wait that never came to be parked, because something else is at work. */
  timer: { cancel(): void } | null;
}

export interface ExecutionHost {
  /** Gives the slot back; the execution is parked under this lease. */
  parked(execution: Execution): void;
  /** What a spawn needs to know of an agent. */
  agentReference(name: string): string;
  knows(agent: string): boolean;
  /** Gives a slot to others while this execution keeps its own; returns how to take it back. */
  lendSlot(): () => void;
  /** Applies a change, through times in which the ledger can't be written. */
  insist<K extends keyof SliceOf, R>(change: Change<K, R>): Promise<R>;
}

/** For executions of the engine itself, which never wait. */
export const NO_HOST: ExecutionHost = {
  parked: () => {},
  agentReference: (name) => name,
  knows: () => true,
  lendSlot: () => () => {},
  insist: () => Promise.reject(new TenutoError("internal", "this execution can't wait")),
};

export class Execution extends AttemptScope {
  private readonly host: ExecutionHost;
  private current: Lease;
  private atWork = 0;
  private waits = new Set<Waiting>();
  private parkedUntilClaim: { promise: Promise<void>; open(): void } | null = null;
  private parking = false;
  private returnSlot: (() => void) | null = null;
  /** Children that this execution believes to be open. */
  private openChildren: number;
  private openApprovals: number;
  /** Settles with the function's own end. */
  promise: Promise<unknown> = Promise.resolve();
  readonly maps = new Set<Promise<unknown>>();
  /** Which round of the work this is, and how the children of the rounds before ended. */
  round: { number: number; children: readonly RoundChild[] } = { number: 0, children: [] };

  constructor(parts: Parts, facts: ScopeFacts, lease: Lease, host: ExecutionHost) {
    super(parts, facts);
    this.current = lease;
    this.host = host;
    this.openChildren = facts.job.openChildren;
    this.openApprovals = facts.job.approvals;
  }

  get lease(): Lease {
    return this.current;
  }

  get isParked(): boolean {
    return this.parkedUntilClaim !== null;
  }

  async guarded(effects: readonly Effect[]): Promise<void> {
    const write = () => this.parts.ledger.apply(changes.whileLeased(this.facts.job.seq, this.current, effects));
    try {
      await write();
    } catch (error) {
      await this.insist(error, write);
    }
  }

  protected override async saveStep(row: StepRow): Promise<void> {
    const write = () => this.parts.ledger.apply(changes.recordStep(this.current, row));
    try {
      await write();
    } catch (error) {
      await this.insist(error, write);
    }
  }

  override enter(): Promise<void> | null {
    this.atWork += 1;
    if (this.parkedUntilClaim === null) return null;
    void this.parts.ledger.apply(changes.wakeJob(this.facts.job.seq)).catch(() => {});
    return this.parkedUntilClaim.promise;
  }

  override leave(): void {
    this.atWork -= 1;
    if (this.waits.size > 0) this.considerParking();
  }

  /** Something that holds the lease while it is at work. */
  async working<T>(work: () => Promise<T>): Promise<T> {
    const gate = this.enter();
    if (gate !== null) await gate;
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  async sleepUntilDone(key: string, ms: number): Promise<void> {
    if (!Number.isFinite(ms) || ms < 0 || this.parts.clock.now() + ms > LAST_TIME)
      throw new TenutoError("invalid_input", `cannot sleep ${ms} ms`, { hint: "Give milliseconds of 0 or more." });
    const until = await this.working(() => this.stepOnce(`sleep:${key}`, undefined, () => this.parts.clock.now() + ms));
    if (Number(until) <= this.parts.clock.now()) return;
    await this.wait({ dueAt: Number(until), child: null });
  }

  async spawnAndWait<T>(key: string, spec: SpawnSpec): Promise<ChildOutcome<T>> {
    const child = await this.working(() => this.spawn(key, spec));
    return outcomeOf<T>(await this.childEnd(child), spec.allowFailure === true);
  }

  /** Waits for a child's end, parked if nothing else is at work. */
  async childEnd(child: JobSeq): Promise<JobRecord> {
    for (;;) {
      const record = await this.parts.ledger.job(child);
      if (record !== null && record.endedAt !== null) return record;
      await this.wait({ dueAt: null, child });
    }
  }

  /** Waits for a person, and at most until the time given. */
  async decision(approval: string): Promise<ApprovalRow> {
    for (;;) {
      const row = await this.parts.ledger.approval(approval);
      if (row === null) throw new TenutoError("internal", `approval ${approval} is gone`);
      if (row.state !== "open") return row;
      if (row.expiresAt !== null && row.expiresAt <= this.parts.clock.now())
        await this.parts.ledger.apply(changes.expireApproval(this.facts.job.seq, approval));
      else await this.wait({ dueAt: row.expiresAt, child: null, approval });
    }
  }

  /** Opens an approval unless it is there. */
  async openApproval(request: ApprovalRequest): Promise<ApprovalRow> {
    const opened = await this.parts.ledger.apply(changes.openApproval(this.facts.job.seq, this.current, request));
    this.openApprovals = (await this.parts.ledger.job(this.facts.job.seq))?.approvals ?? this.openApprovals;
    return opened;
  }

  /** Spawns without waiting; the caller waits in its own way. */
  spawnOnly(key: string, spec: SpawnSpec): Promise<JobSeq> {
    return this.spawn(key, spec);
  }

  private async spawn(key: string, spec: SpawnSpec): Promise<JobSeq> {
    const { facts, parts } = this;
    const id = childKey(spec.id ?? key, parts.hash);
    // How many it has is decided where they are made: of several at once, and of those that a crash makes come again.
    const child = childSpec({ ...facts.job, children: 0 }, facts.resolved, id, spec);
    return await this.spawnSpec(child, spec, childrenCap(facts.resolved));
  }

  /** Spawns a job of this very spec; `where` says which stage, priority and whether its failure counts. */
  async spawnSpec(
    child: JobSpec,
    where: Pick<SpawnSpec, "stage" | "priority" | "allowFailure">,
    maxChildren?: number,
  ): Promise<JobSeq> {
    const { facts, parts } = this;
    const { plan } = facts.resolved.definition;
    if (!this.host.knows(child.agent))
      throw new TenutoError("unknown_agent", `there is no agent ${JSON.stringify(child.agent)} to spawn`, {
        hint: "Pass it with `agents` to definePipeline or openTenuto.",
      });
    const stage = where.stage === undefined ? null : plan.stages.findIndex((entry) => entry.name === where.stage);
    if (stage === -1)
      throw new TenutoError("invalid_input", `there is no stage ${JSON.stringify(where.stage)} to spawn into`, {
        hint: `Stages: ${plan.stages.map((entry) => entry.name).join(", ")}.`,
      });
    const payload = checkPayload(child, `input of spawned job ${child.id}`);
    const spawned = await parts.ledger.apply(
      changes.spawnJob(
        facts.job.seq,
        this.current,
        stage,
        {
          key: child.id,
          kind: child.forEach === undefined ? "single" : "fanout",
          agent: this.host.agentReference(child.agent),
          priority: where.priority ?? null,
          allowFailure: where.allowFailure === true,
          spec: payload.json,
          ...(maxChildren === undefined ? {} : { maxChildren }),
        },
        `${facts.job.id}/${child.id}`,
      ),
    );
    if (spawned.created) this.openChildren += 1;
    return spawned.seq;
  }

  /** A `map` child: its items are worked on here, under a lease of its own. */
  async spawnMap(key: string): Promise<JobSeq> {
    const id = childKey(key, this.parts.hash);
    const spawned = await this.parts.ledger.apply(
      changes.spawnJob(
        this.facts.job.seq,
        this.current,
        null,
        {
          key: id,
          kind: "map",
          agent: "engine/map",
          priority: null,
          allowFailure: true,
          spec: JSON.stringify({ id, agent: "engine/map" }),
        },
        `${this.facts.job.id}/${id}`,
      ),
    );
    if (spawned.created) this.openChildren += 1;
    return spawned.seq;
  }

  childEnded(): void {
    this.openChildren -= 1;
  }

  private wait(what: Pick<Waiting, "dueAt" | "child" | "approval">): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const wait: Waiting = { ...what, resolve, reject, timer: null };
      this.waits.add(wait);
      if (what.dueAt !== null) {
        const leftMs = Math.max(0, what.dueAt - this.parts.clock.now());
        wait.timer = this.parts.clock.after(leftMs, () => this.poke());
      } else if (this.atWork > 0) {
        // A child that is waited for beside, or inside, a step needs a slot that this job does not give back yet.
        this.returnSlot ??= this.host.lendSlot();
      }
      this.considerParking();
    });
  }

  /** Something that is waited for may have come: a child of this job has ended, or a time has passed. */
  poke(): void {
    if (this.waits.size > 0 && this.parkedUntilClaim === null && this.aborted === null) void this.lookAgain();
  }

  /** Parks in a later turn, when whatever runs beside the wait has had its chance to begin. */
  private considerParking(): void {
    if (this.parking || this.atWork > 0 || this.parkedUntilClaim !== null) return;
    this.parking = true;
    setImmediate(() => {
      this.parking = false;
      if (this.atWork === 0 && this.waits.size > 0 && this.parkedUntilClaim === null && this.aborted === null)
        void this.park();
    });
  }

  /** When the whole job is out of time; null if it has no limit. */
  get deadline(): number | null {
    const { jobTimeoutMs } = this.facts.resolved.policy;
    return jobTimeoutMs === null ? null : (this.facts.job.firstStartedAt ?? this.parts.clock.now()) + jobTimeoutMs;
  }

  private async park(): Promise<void> {
    const dueAts = [...this.waits]
      .map((wait) => wait.dueAt)
      .concat(this.deadline)
      .filter((dueAt) => dueAt !== null);
    const waits = [...this.waits];
    const reason = waits.some((wait) => wait.approval !== undefined)
      ? "approval"
      : waits.some((wait) => wait.child !== null)
        ? "children"
        : "sleep";
    let open: () => void = () => {};
    const promise = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.parkedUntilClaim = { promise, open };
    try {
      const result = await this.host.insist(
        changes.parkJob(this.facts.job.seq, this.current, {
          dueAt: dueAts.length === 0 ? null : Math.min(...dueAts),
          reason,
          knownOpenChildren: this.openChildren,
          knownApprovals: this.openApprovals,
        }),
      );
      if (result === "parked") {
        this.returnSlot?.();
        this.returnSlot = null;
        this.host.parked(this);
        if (this.atWork > 0) void this.parts.ledger.apply(changes.wakeJob(this.facts.job.seq)).catch(() => {});
        return;
      }
      this.openGate();
      await this.lookAgain();
    } catch (error) {
      if (error instanceof TenutoError && error.code === "lease_lost") this.abort("lease");
      else for (const wait of this.waits) this.settle(wait, () => wait.reject(error));
      this.openGate();
    }
  }

  private settle(wait: Waiting, how: () => void): void {
    this.waits.delete(wait);
    wait.timer?.cancel();
    if (this.waits.size === 0) {
      this.returnSlot?.();
      this.returnSlot = null;
    }
    how();
  }

  private openGate(): void {
    const gate = this.parkedUntilClaim;
    this.parkedUntilClaim = null;
    gate?.open();
  }

  /** The job has been claimed by this process again. */
  async resume(lease: Lease, job: Pick<JobRow, "openChildren" | "approvals">): Promise<void> {
    this.current = lease;
    this.openChildren = job.openChildren;
    this.openApprovals = job.approvals;
    this.openGate();
    await this.lookAgain();
  }

  /** The lease was lost while the result was made: it is refused, and the log says so. */
  cameTooLate(): void {
    this.abort("lease");
    const { run, job } = this.facts;
    this.parts.logs.line({
      at: this.parts.clock.now(),
      run: run.id,
      job: job.id,
      agent: "orchestrator",
      level: "WARNING",
      message: `the result of job ${job.id} came too late: its lease had been lost`,
    });
  }

  /** Settles the waits whose time has come or whose child has ended; parks again if none has. */
  private async lookAgain(): Promise<void> {
    const record = await this.parts.ledger.job(this.facts.job.seq);
    if (record !== null && record.epoch === this.current.epoch) {
      this.openChildren = record.openChildren;
      this.openApprovals = record.approvals;
    }
    const now = this.parts.clock.now();
    for (const wait of [...this.waits]) {
      const child = wait.child === null ? null : await this.parts.ledger.job(wait.child);
      const over =
        (wait.dueAt !== null && wait.dueAt <= now) ||
        (child !== null && child.endedAt !== null) ||
        (wait.approval !== undefined && (await this.parts.ledger.approval(wait.approval))?.state !== "open");
      if (!over) continue;
      this.settle(wait, () => wait.resolve(undefined));
    }
    if (this.waits.size > 0) this.considerParking();
  }
}
