/**
 * `ctx.map`: a fan-out from durable code. With a closure its items are worked on in this process under the lease of a child
 * job of kind `map`; with an agent's name it is an ordinary fan-out that any worker helps with.
 */
import type { Context, DatasetRef, FanoutResult, MapOptions, MapResult, MapSource } from "../core/agent.ts";
import * as changes from "../core/changes.ts";
import { ERROR_CODES, type ErrorCode, type StoredError, TenutoError } from "../core/errors.ts";
import { isHopeless, isSettled } from "../core/fanout.ts";
import type { Lease } from "../core/job.ts";
import type { JobRow, JobSeq, Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import { mergePolicies } from "../core/retry.ts";
import type { JobRecord } from "../ports/ledger.ts";
import { AttemptContext } from "./context.ts";
import { checkBatch } from "./contracts.ts";
import type { ResolvedJob } from "./definitions.ts";
import { Execution, NO_HOST } from "./execution.ts";
import { collect, expandList } from "./fanout.ts";
import { itemOutcome } from "./fanout-jobs.ts";
import { ItemScope } from "./item-scope.ts";
import type { ItemOutcome, ItemTask } from "./item-work.ts";
import { ItemsDriver } from "./items.ts";
import { loadDataset } from "./scope.ts";
import { resultOf } from "./work.ts";
import type { Worker } from "./worker.ts";

export type MapClosure = (item: unknown, ctx: Context) => unknown;

export async function mapInProcess(
  worker: Worker,
  parent: Execution,
  key: string,
  source: MapSource,
  work: MapClosure,
  options: MapOptions,
): Promise<MapResult> {
  const { parts } = worker;
  const child = await parent.spawnMap(key);
  const record = await parts.ledger.job(child);
  if (record === null) throw new TenutoError("internal", `map ${key} has no job`);
  if (record.state === "completed") return mapResult(parent, JSON.parse(record.output ?? "null") as FanoutResult);
  const epoch = await claimed(worker, child, record);
  const lease: Lease = { epoch, boot: worker.boot };
  const job: JobRow = { ...record, epoch, boot: worker.boot, state: "running" };
  const scope = childScope(worker, parent, job, lease, options);
  const abort = () => scope.abort(parent.aborted === "lease" ? "lease" : "stop");
  parent.signal.addEventListener("abort", abort, { once: true });
  try {
    const result = await workOn(worker, scope, lease, source, work, options);
    await parts.ledger.apply(changes.completeJob(child, lease, JSON.stringify(result)));
    parent.childEnded();
    return mapResult(parent, result);
  } catch (error) {
    await giveUp(worker, scope, lease, error, parent);
    // What was drained is no failure of the job that asked for it.
    if (worker.isStopping) parent.abort("stop");
    throw error;
  } finally {
    parent.signal.removeEventListener("abort", abort);
  }
}

/** A map that failed for good in an earlier attempt fails in the same way again. */
function storedFailure(record: JobRecord): TenutoError {
  const stored = JSON.parse(record.error ?? "{}") as Partial<StoredError>;
  const code =
    stored.code !== undefined && Object.hasOwn(ERROR_CODES, stored.code) ? (stored.code as ErrorCode) : "job_failed";
  return new TenutoError(code, stored.message ?? `map job ${record.id} has failed`, {
    ...(stored.hint === undefined ? {} : { hint: stored.hint }),
    ...(stored.details === undefined ? {} : { details: stored.details }),
  });
}

async function claimed(worker: Worker, child: JobSeq, record: JobRecord): Promise<number> {
  const { ledger } = worker.parts;
  if (record.state === "failed") throw storedFailure(record);
  if (record.state !== "ready")
    throw new TenutoError("conflict", `map job ${record.id} is ${record.state}`, {
      category: "retryable",
      hint: "An earlier attempt still holds it; it is tried again.",
    });
  const verdict = await ledger.apply(changes.claimChild(child, worker.boot));
  if (verdict === "ended") throw new TenutoError("run_cancelled", `map job ${record.id} was ended with its run`);
  return record.epoch + 1;
}

function childScope(worker: Worker, parent: Execution, job: JobRow, lease: Lease, options: MapOptions): Execution {
  const { resolved, run, workspace } = parent.facts;
  const childResolved: ResolvedJob = {
    ...resolved,
    spec: { id: job.id, agent: resolved.spec.agent },
    policy: mergePolicies(options, resolved.agent ?? undefined, resolved.definition.document.defaults),
  };
  return new Execution(
    worker.parts,
    { run, job, resolved: childResolved, item: null, attempt: job.attempt + 1, mayHaveSteps: false, workspace },
    lease,
    NO_HOST,
  );
}

async function workOn(
  worker: Worker,
  scope: Execution,
  lease: Lease,
  source: MapSource,
  work: MapClosure,
  options: MapOptions,
): Promise<FanoutResult> {
  const { parts } = worker;
  const { run, job, resolved } = scope.facts;
  const batch = options.batch ?? null;
  const concurrency = options.concurrency ?? 5;
  if ((await parts.ledger.fanout(job.seq)) === null) {
    await expandList(parts, scope, job.seq, lease, source, resolved.definition.folder, {
      concurrency,
      errorRate: options.errorRate ?? 0.1,
      batch,
      window: options.window ?? null,
      key: options.key === undefined ? null : (value) => String(options.key?.(value)),
      deadline: null,
      keyScope: `${resolved.definition.document.name}/${job.id}`,
    });
  }
  let fanout = (await parts.ledger.fanout(job.seq))!;
  if (!isSettled(fanout)) {
    const driver = new ItemsDriver({
      parts,
      boot: worker.boot,
      run,
      job,
      resolved,
      source: await loadDataset(parts, fanout.source),
      total: fanout.total,
      batch,
      insist: (change) => worker.insistence.apply(change),
      work: (task) => workItem(worker, scope, work, task, batch !== null),
      halt: async (error) => {
        await parts.ledger.apply(changes.haltRun(run.seq, error));
        worker.haltRun(run.seq);
      },
    });
    const stop = () => driver.stop(scope.aborted === "lease" ? "lease" : "stop");
    scope.signal.addEventListener("abort", stop, { once: true });
    worker.fanouts.mapping.add(driver);
    try {
      await driver.run(null, concurrency);
    } finally {
      worker.fanouts.mapping.delete(driver);
    }
    fanout = (await parts.ledger.fanout(job.seq))!;
    if (!isSettled(fanout) && !isHopeless(fanout)) {
      if (worker.isStopping) scope.abort("stop");
      throw new TenutoError("stopped", `map ${job.id} was stopped`, { category: "retryable" });
    }
  }
  return await collect(parts, scope, { ...fanout, errorRate: options.errorRate ?? 0.1 }, batch, (effects) =>
    parts.ledger.apply(changes.whileLeased(job.seq, lease, effects)),
  );
}

async function workItem(
  worker: Worker,
  parent: Execution,
  work: MapClosure,
  task: ItemTask,
  batched: boolean,
): Promise<ItemOutcome> {
  const { facts } = parent;
  const scope = new ItemScope(
    worker.parts,
    { ...facts, item: task.ordinal, attempt: task.attempt, mayHaveSteps: task.again || facts.job.attempt > 0 },
    { epoch: task.window.epoch, boot: worker.boot },
    task.window.start,
  );
  task.abort = (reason) => scope.abort(reason);
  try {
    const context = new AttemptContext(scope, worker.operations);
    const made = work(task.value, context);
    const value = made instanceof Promise ? await scope.abortable(made) : made;
    const what = `item ${task.ordinal} of ${facts.job.id}`;
    if (batched) checkBatch(task.value, value, what);
    const payload = checkPayload(value, `the result of ${what}`);
    return { kind: "completed", json: payload.json };
  } catch (error) {
    return itemOutcome(scope, resultOf(scope, error));
  } finally {
    if (scope.holds) void worker.parts.ledger.apply(scope.releaseHolds()).catch(() => {});
  }
}

/** The map ends with its error, or goes back for the next attempt of its parent. */
async function giveUp(
  worker: Worker,
  scope: Execution,
  lease: Lease,
  error: unknown,
  parent: Execution,
): Promise<void> {
  const { ledger } = worker.parts;
  const { job } = scope.facts;
  if (scope.aborted !== null) {
    await ledger.apply(changes.giveBack(job.seq, lease, null, "stopped")).catch(() => {});
    return;
  }
  const result = resultOf(scope, error);
  if (result.kind !== "failed") return;
  await ledger
    .apply(
      changes.failJob(
        job.seq,
        lease,
        { ...result.error, category: "permanent" },
        { maxRetries: 0, delayMs: 0, onExhausted: "fail" },
      ),
    )
    .catch(() => {});
  parent.childEnded();
}

/** A fan-out that any worker helps with. Parks like a spawn. */
export async function mapByAgent(
  parent: Execution,
  key: string,
  source: MapSource,
  agent: string,
  options: MapOptions,
): Promise<MapResult> {
  const list = await asReference(parent, key, source);
  if (options.key !== undefined)
    throw new TenutoError("invalid_input", `ctx.map ${key}: a key is a function and can't go with an agent's name`, {
      hint: "Give a closure, or declare a job with forEach.key.",
    });
  const { concurrency, batch, errorRate, window } = options;
  const forEach = {
    source: list,
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(batch === undefined ? {} : { batch }),
    ...(errorRate === undefined ? {} : { errorRate }),
    ...(window === undefined ? {} : { window }),
  };
  const policy = { ...options };
  for (const name of ["concurrency", "batch", "errorRate", "key", "window"] as const) delete policy[name];
  const outcome = await parent.spawnAndWait<FanoutResult>(key, { agent, forEach, policy });
  return mapResult(parent, outcome.output);
}

async function asReference(parent: Execution, key: string, source: MapSource): Promise<Json> {
  if (typeof source === "object" && source !== null) {
    if ("$dataset" in source) return source as unknown as Json;
    if ("ref" in source) return (source as { ref: DatasetRef }).ref as unknown as Json;
    if ("file" in source) return source as Json;
  }
  const recorded = await parent.recorded(`list:${key}`, null);
  if (recorded !== undefined) return recorded;
  const ref = await parent.dataset(`${key}.items`, source as AsyncIterable<unknown>, true);
  await parent.record(`list:${key}`, null, JSON.stringify(ref), parent.parts.clock.now());
  return ref as unknown as Json;
}

function mapResult(parent: Execution, result: FanoutResult): MapResult {
  return Object.assign(parent.open(result), { result }) as MapResult;
}
