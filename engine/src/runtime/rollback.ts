/**
 * Rollback: starts the run that undoes another one, gives its jobs the values that their origin had, and says how far it is.
 * The rules are in core/rollback.ts.
 */
import * as changes from "../core/changes.ts";
import type { JobSpec } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json, RunRow } from "../core/model.ts";
import { canonicalJson } from "../core/pipeline.ts";
import { requiredOutputs, type Scope } from "../core/placeholders.ts";
import { planOf } from "../core/plan.ts";
import {
  isUndoable,
  notUndone,
  originRefusal,
  type RollbackState,
  rollbackDocument,
  rollbackState,
  type Undoable,
  undoOrder,
} from "../core/rollback.ts";
import type { Ledger, RunRecord } from "../ports/ledger.ts";
import type { Definitions } from "./definitions.ts";
import type { Parts } from "./parts.ts";
import type { Result } from "./work.ts";

const EVENTS_PAGE = 5_000;
const JOBS_PAGE = 1_000;
const NAME_MAX = 100;

export interface StartedRollback {
  seq: number;
  id: string;
  /** Jobs to undo, in that order. */
  order: string[];
  /** Jobs that can be undone but did not complete: whatever they did before they ended stays. */
  left: string[];
}

/** Starts the rollback of a run that has ended. @throws illegal_transition, conflict, invalid_input if there is nothing to undo */
export async function startRollback(parts: Parts, definitions: Definitions, run: RunRecord): Promise<StartedRollback> {
  const { ledger } = parts;
  // Said early, for the hint; what counts is the same rule in the transaction below.
  const refused = originRefusal({ run, rollback: await ledger.rollbackOf(run.seq) }, "rollback");
  if (refused !== null)
    throw new TenutoError(refused.code, refused.message, {
      hint: "Look at it with `tenuto runs show`.",
      details: refused.details ?? {},
    });
  const { document } = await definitions.load(run.version);
  const { undoable, left } = await undoableJobs(ledger, definitions, run);
  const order = undoOrder(await completions(ledger, run), undoable);
  if (order.length === 0)
    throw new TenutoError("invalid_input", `run ${run.id} has nothing to roll back`, {
      hint: "Only jobs that completed and have `compensate` are undone.",
      details: { run: run.id, left },
    });
  const undoing = rollbackDocument(document, order);
  const version = parts.hash(canonicalJson(undoing as unknown as Json));
  await ledger.putDefinition(version, undoing.name, JSON.stringify(undoing));
  const started = await ledger.apply(
    changes.startRun({
      pipeline: undoing.name,
      version,
      plan: planOf(undoing),
      priority: run.priority,
      makeId: () => `${run.id.slice(0, NAME_MAX - 9)}-rollback`,
      facts: { params: run.params, idempotencyKey: null, requestHash: null, labels: null },
      origin: run.seq,
      variant: { relation: "rollback" },
      concurrency: run.concurrencyKey === null ? null : { key: run.concurrencyKey, onConflict: "queue" },
    }),
  );
  return { seq: started.seq, id: started.id, order: order.map((job) => job.id), left };
}

async function undoableJobs(ledger: Ledger, definitions: Definitions, run: RunRecord) {
  const { plan } = await definitions.load(run.version);
  const undoable = new Map<string, Undoable>();
  const left: string[] = [];
  for (let after = 0; ; ) {
    const page = await ledger.jobs(run.seq, { after, limit: JOBS_PAGE });
    for (const job of page) {
      const stored = job.parent === null ? null : await ledger.spec(job.seq);
      const spec =
        job.parent === null
          ? plan.specs[job.seq - run.firstJob]
          : stored === null
            ? undefined
            : (JSON.parse(stored) as JobSpec);
      if (spec?.compensate === undefined) continue;
      if (job.state === "completed" && isUndoable(spec, job.reason))
        undoable.set(job.id, { seq: job.seq, id: job.id, spec });
      else if (job.attempt > 0 && job.state !== "completed" && spec.multiply === undefined) left.push(job.id);
    }
    if (page.length < JOBS_PAGE) return { undoable, left };
    after = page.at(-1)!.seq;
  }
}

/** Ids of jobs in the order in which they completed. */
async function completions(ledger: Ledger, run: RunRecord): Promise<string[]> {
  const ids: string[] = [];
  for (let after = 0; ; ) {
    const page = await ledger.events(run.seq, after, EVENTS_PAGE);
    for (const event of page) if (event.name === "job.completed" && event.job !== null) ids.push(event.job);
    if (page.length < EVENTS_PAGE) return ids;
    after = page.at(-1)!.seq;
  }
}

/** What the placeholders of a compensation refer to: params and results of the origin, and the output that is undone. */
export async function compensationScope(
  ledger: Ledger,
  definitions: Definitions,
  run: RunRow,
  spec: JobSpec & { compensates: NonNullable<JobSpec["compensates"]> },
): Promise<Scope> {
  const origin = run.origin === null ? null : await ledger.run(run.origin);
  const undone = await ledger.job(spec.compensates.seq);
  if (origin === null || undone === null)
    throw new TenutoError("not_found", `the run that ${run.id} rolls back is not there any more`, {
      hint: "It has been pruned; undo what it did by hand.",
    });
  const { plan } = await definitions.load(origin.version);
  const stored = undone.parent === null ? null : await ledger.spec(undone.seq);
  const { item, index, context } = stored === null ? {} : ((JSON.parse(stored) as JobSpec).bindings ?? {});
  const values = [spec.input, spec.command, spec.limits].filter((part) => part !== undefined) as unknown as Json[];
  const jobs: Record<string, { output: Json; state: string; error: Json }> = {};
  for (const id of requiredOutputs(values)) {
    const ordinal = plan.ordinals.get(id);
    const outcome = ordinal === undefined ? null : await ledger.outcome(origin.firstJob + ordinal);
    if (outcome !== null)
      jobs[id] = {
        output: parsed(outcome.output),
        state: outcome.state,
        error: parsed(outcome.error),
      };
  }
  return {
    params: JSON.parse(origin.params) as Json,
    jobs,
    run: { id: origin.id },
    output: parsed(undone.output),
    ...(item === undefined ? {} : { item }),
    ...(index === undefined ? {} : { index }),
    context: (context ?? { reason: null, requestedBy: null, parentOutput: null }) as unknown as Json,
  };
}

const parsed = (text: string | null): Json => (text === null ? null : (JSON.parse(text) as Json));

/** A compensation either completes or fails. */
export function asCompensation(job: string, result: Result): Result {
  if (result.kind === "skipped") return { kind: "failed", error: notUndone(job, result.reason, null) };
  if (result.kind === "failed" && result.error.category === "skippable")
    return { ...result, error: notUndone(job, "", result.error) };
  return result;
}

export interface RollbackStatus {
  /** Id of the run that undoes. */
  run: string;
  state: RollbackState;
  done: number;
  of: number;
}

/** What has become of the effects of a run; null if nobody has asked for a rollback. */
export async function rollbackStatus(ledger: Ledger, run: RunRow): Promise<RollbackStatus | null> {
  const found = await ledger.rollbackOf(run.seq);
  if (found === null) return null;
  const jobs = await ledger.jobs(found.seq);
  const declared = jobs.filter((job) => job.parent === null);
  const done = declared.filter((job) => job.state === "completed").length;
  return { run: found.id, state: rollbackState(found.state, done, declared.length), done, of: declared.length };
}
