/**
 * Fan-out jobs on this worker: the claim that fixes the list, the windows that come with later claims, the claim that
 * collects. One driver per job, whatever the number of windows.
 */

import * as changes from "../core/changes.ts";
import { storedErrorFrom } from "../core/classify.ts";
import { evaluate } from "../core/condition.ts";
import type { StoredError } from "../core/errors.ts";
import { isHopeless, isSettled } from "../core/fanout.ts";
import type { Lease } from "../core/job.ts";
import type { FanoutRow, JobRow, JobSeq, Json, RunRow, RunSeq } from "../core/model.ts";
import { expand, expandText, type Scope } from "../core/placeholders.ts";
import { answerInstead, passDeclared, reportChange } from "./attempt.ts";
import { checkBatch } from "./contracts.ts";
import type { ResolvedJob } from "./definitions.ts";
import { Execution, NO_HOST } from "./execution.ts";
import type { SharedFanout } from "./fair-share.ts";
import { collect, expandList } from "./fanout.ts";
import { ItemScope } from "./item-scope.ts";
import type { GrantedWindow, ItemOutcome, ItemTask } from "./item-work.ts";
import { ItemsDriver } from "./items.ts";
import { ProgressReports } from "./progress.ts";
import { loadDataset } from "./scope.ts";
import { attemptWork, deadlineError, type Result, resultOf } from "./work.ts";
import type { Worker } from "./worker.ts";

interface Driving {
  run: RunSeq;
  driver: ItemsDriver | null;
  /** Why it must end, if that came before there was a driver. */
  early: "cancel" | "stop" | "lease" | null;
  shared: SharedFanout | null;
}

export class FanoutJobs {
  private readonly worker: Worker;
  private readonly driving = new Map<JobSeq, Driving>();
  /** Drivers of `ctx.map`, which belong to running jobs. */
  readonly mapping = new Set<ItemsDriver>();
  readonly progress: ProgressReports;

  constructor(worker: Worker) {
    this.worker = worker;
    this.progress = new ProgressReports(worker.parts);
  }

  get size(): number {
    return this.driving.size;
  }

  /** Those whose items are at work here. */
  shared(): SharedFanout[] {
    return [...this.driving.values()].flatMap((entry) => entry.shared ?? []);
  }

  runs(): RunSeq[] {
    return [...this.driving.values()].map((entry) => entry.run);
  }

  stopAll(reason: "stop" | "lease"): void {
    for (const entry of this.driving.values()) end(entry, reason);
  }

  drainAll(): void {
    for (const entry of this.driving.values()) entry.driver?.drain();
    for (const driver of this.mapping) driver.drain();
  }

  stopRun(run: RunSeq, reason: "cancel" | "stop"): void {
    for (const entry of this.driving.values()) if (entry.run === run) end(entry, reason);
  }

  async take(run: RunRow, claimed: JobRow, window: GrantedWindow | null): Promise<void> {
    const job = { ...claimed };
    const { boot } = this.worker;
    const present = this.driving.get(job.seq);
    if (window !== null && present?.driver?.isOpen === true) {
      await present.driver.add(window);
      return;
    }
    const entry: Driving = { run: run.seq, driver: null, early: null, shared: null };
    this.driving.set(job.seq, entry);
    try {
      const resolved = await this.worker.definitions.resolve(run, job);
      if (window === null) await this.attempt(run, job, resolved);
      else await this.drive(entry, run, job, resolved, window);
    } catch (error) {
      this.worker.onFault(error);
      if (window === null) await this.worker.insistence.giveUp(job.seq, { epoch: job.epoch, boot }, error);
      else if (entry.driver === null) await this.giveBack(job.seq, { ...window, boot });
    } finally {
      // The commit that fixes the list may already have claimed the first window, which took this entry's place.
      if (this.driving.get(job.seq) === entry) this.driving.delete(job.seq);
      this.worker.released();
    }
  }

  private async giveBack(job: JobSeq, window: { start: number; epoch: number; boot: number }): Promise<void> {
    await this.worker.insistence.apply(changes.releaseWindow(job, window.start, window)).catch(() => {});
  }

  /** An attempt of the job itself: either its list is still to be fixed, or its items have ended. */
  private async attempt(run: RunRow, job: JobRow, resolved: ResolvedJob): Promise<void> {
    const { parts } = this.worker;
    const lease: Lease = { epoch: job.epoch, boot: this.worker.boot };
    const scope = new Execution(
      parts,
      {
        run,
        job,
        resolved,
        item: null,
        attempt: job.attempt,
        mayHaveSteps: false,
        workspace: this.worker.workspaceOf(run.id, job.id),
      },
      lease,
      NO_HOST,
    );
    let result: Result | null;
    try {
      const fanout = await parts.ledger.fanout(job.seq);
      result = fanout === null ? await this.expand(scope, lease) : await this.conclude(scope, lease, fanout);
    } catch (error) {
      result = resultOf(scope, error);
    }
    if (result === null) return;
    await this.worker.insistence.apply(reportChange(scope, lease, result));
  }

  private async expand(scope: Execution, lease: Lease): Promise<Result | null> {
    const { run, job, resolved } = scope.facts;
    const { spec, definition } = resolved;
    const { parts, definitions } = this.worker;
    const data = await definitions.scope(run, job, resolved);
    const answer = await answerInstead(this.worker, scope, data);
    if (answer !== null) return answer;
    if (spec.when !== undefined && !evaluate(spec.when, data, `when of job ${job.id}`))
      return { kind: "skipped", reason: "when" };
    const forEach = spec.forEach;
    if (forEach === undefined) throw new Error(`job ${job.id} is a fan-out without forEach`);
    const source = expand(forEach.source as Json, data, `forEach of job ${job.id}`);
    const key = forEach.key;
    const { total } = await expandList(parts, scope, job.seq, lease, source, definition.folder, {
      concurrency: forEach.concurrency,
      errorRate: forEach.errorRate,
      batch: forEach.batch ?? null,
      window: forEach.window ?? null,
      key:
        key === undefined
          ? null
          : (value, index) => expandText(key, { ...data, item: value, index }, `key of job ${job.id}`),
      deadline: scope.deadline,
      keyScope: `${definition.document.name}/${job.id}`,
    });
    if (total > 0) return null;
    const fanout = await parts.ledger.fanout(job.seq);
    return fanout === null || !isSettled(fanout) ? null : await this.conclude(scope, lease, fanout);
  }

  private async conclude(scope: Execution, lease: Lease, fanout: FanoutRow): Promise<Result | null> {
    const { parts } = this.worker;
    const { job, resolved } = scope.facts;
    const { deadline } = scope;
    if (deadline !== null && deadline <= parts.clock.now() && !isSettled(fanout))
      return { kind: "failed", error: deadlineError(resolved.policy.jobTimeoutMs ?? 0) };
    if (!isSettled(fanout) && !isHopeless(fanout)) {
      await parts.ledger.apply(changes.parkJob(job.seq, lease, { dueAt: deadline, reason: "items" }));
      return null;
    }
    const batch = resolved.spec.forEach?.batch ?? null;
    const output = await collect(
      parts,
      scope,
      { ...fanout, errorRate: resolved.spec.forEach?.errorRate ?? fanout.errorRate },
      batch,
      (effects) => parts.ledger.apply(changes.whileLeased(job.seq, lease, effects)),
    );
    return { kind: "completed", json: JSON.stringify(output) };
  }

  private async drive(
    entry: Driving,
    run: RunRow,
    job: JobRow,
    resolved: ResolvedJob,
    window: GrantedWindow,
  ): Promise<void> {
    const { parts, definitions } = this.worker;
    const fanout = await parts.ledger.fanout(job.seq);
    if (fanout === null) throw new Error(`job ${job.id} has a window and no list`);
    const data = await definitions.scope(run, job, resolved);
    const driver = new ItemsDriver({
      parts,
      boot: this.worker.boot,
      run,
      job,
      resolved,
      source: await loadDataset(parts, fanout.source),
      total: fanout.total,
      batch: resolved.spec.forEach?.batch ?? null,
      insist: (change) => this.worker.insistence.apply(change),
      work: (task) => this.work(run, job, resolved, data, task),
      halt: (error) => this.halt(run, error),
    });
    entry.driver = driver;
    const { concurrency } = fanout;
    entry.shared = { job: job.seq, agent: job.agent, concurrency, since: parts.clock.now(), driver };
    if (entry.early !== null) driver.stop(entry.early);
    await driver.run(window, 0);
  }

  private async halt(run: RunRow, error: StoredError): Promise<void> {
    await this.worker.parts.ledger.apply(changes.haltRun(run.seq, error));
    this.worker.haltRun(run.seq);
  }

  private async work(
    run: RunRow,
    job: JobRow,
    resolved: ResolvedJob,
    data: Scope,
    task: ItemTask,
  ): Promise<ItemOutcome> {
    const { parts } = this.worker;
    const scope = new ItemScope(
      parts,
      {
        run,
        job,
        resolved,
        item: task.ordinal,
        attempt: task.attempt,
        mayHaveSteps: task.again || job.attempt > 1,
        workspace: this.worker.workspaceOf(run.id, job.id),
      },
      { epoch: task.window.epoch, boot: this.worker.boot },
      task.window.start,
    );
    task.abort = (reason) => scope.abort(reason);
    scope.time = task;
    try {
      const itemData: Scope = { ...data, item: task.value, index: task.ordinal };
      if (resolved.spec.limits !== undefined) {
        scope.holds = true;
        await passDeclared(parts, scope, itemData, Number.POSITIVE_INFINITY);
      }
      const input =
        resolved.spec.input === undefined
          ? task.value
          : expand(resolved.spec.input, itemData, `input of job ${job.id}`);
      const result = await attemptWork(this.worker, scope, resolved.agent, input, itemData);
      if (result.kind === "completed" && resolved.spec.forEach?.batch !== undefined)
        checkBatch(task.value, JSON.parse(result.json ?? "null"), `item ${task.ordinal} of job ${job.id}`);
      return itemOutcome(scope, result);
    } catch (error) {
      return itemOutcome(scope, resultOf(scope, error));
    } finally {
      if (scope.holds) void parts.ledger.apply(scope.releaseHolds()).catch(() => {});
    }
  }
}

function end(entry: Driving, reason: "cancel" | "stop" | "lease"): void {
  entry.early ??= reason;
  entry.driver?.stop(reason);
}

export function itemOutcome(scope: ItemScope, result: Result): ItemOutcome {
  // An executor that was stopped before it began says `stopped` for a timeout too.
  if (result.kind === "stopped" && scope.aborted === "timeout") return itemOutcome(scope, resultOf(scope, null));
  switch (result.kind) {
    case "completed":
      return { kind: "completed", json: result.json ?? "null" };
    case "skipped":
      return { kind: "skipped", reason: result.reason };
    case "failed":
      scope.log(
        result.error.category === "retryable" ? "WARNING" : "ERROR",
        `item ${scope.facts.item}: ${result.error.message}`,
      );
      return { kind: "failed", error: result.error };
    default:
      return scope.aborted === null
        ? { kind: "failed", error: storedErrorFrom(new Error("the item ended without a result")) }
        : { kind: "stopped" };
  }
}
