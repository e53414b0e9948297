/** Jobs and items. */

import type { JobSpec } from "../../core/document.ts";
import { TenutoError } from "../../core/errors.ts";
import type { Json } from "../../core/model.ts";
import { isJobEnd } from "../../core/model.ts";
import type { JobRecord, RunRecord } from "../../ports/ledger.ts";
import { type Handlers, runOf, type Services } from "../call.ts";
import { artifactShape, errorShape, jobShape, json, parentOf, time } from "../shapes.ts";
import { whyJob } from "../why.ts";

/** A job by its id within the run. @throws not_found */
export async function jobOf({ ledger, backend }: Services, run: RunRecord, id: string): Promise<JobRecord> {
  const { plan } = await backend.engine.definitions.load(run.version);
  // A spawned job's id is that of its parent, a slash, and a key that may hold slashes itself: whoever is above it is looked
  // for once from the left to the right.
  const above: JobRecord[] = [];
  for (let at = 0; at !== -1; ) {
    at = id.indexOf("/", at + 1);
    const name = at < 0 ? id : id.slice(0, at);
    const ordinal = plan.ordinals.get(name);
    let found = ordinal === undefined ? null : await ledger.job(run.firstJob + ordinal);
    for (const parent of above) found ??= await ledger.childOf(parent.seq, name);
    if (at < 0 && found !== null) return found;
    if (found !== null && found.children > 0) above.unshift(found);
  }
  throw new TenutoError("not_found", `run ${run.id} has no job ${JSON.stringify(id)}`, {
    hint: `List them: GET /api/runs/${run.id}/jobs.`,
  });
}

async function specOf({ backend, ledger }: Services, run: RunRecord, job: JobRecord): Promise<JobSpec | null> {
  if (job.parent !== null) {
    const text = await ledger.spec(job.seq);
    return text === null ? null : (JSON.parse(text) as JobSpec);
  }
  const { plan } = await backend.engine.definitions.load(run.version);
  return plan.specs[job.seq - run.firstJob] ?? null;
}

/** As declared, but for the values of variables. */
function shownSpec(spec: JobSpec | null): Json {
  if (spec === null) return null;
  const env = spec.command?.env;
  const command =
    env === undefined
      ? spec.command
      : { ...spec.command, env: Object.fromEntries(Object.keys(env).map((name) => [name, "[masked]"])) };
  return { ...spec, ...(command === undefined ? {} : { command }) } as unknown as Json;
}

const MOST_BLOCKED = 100;
const STEPS_SHOWN = 1_000;

/** What a declared job depends on, with the states, and what depends on it. */
async function neighbours({ ledger, backend }: Services, run: RunRecord, job: JobRecord) {
  if (job.parent !== null) return { needs: [], blocks: [] };
  const { plan } = await backend.engine.definitions.load(run.version);
  const ordinal = job.seq - run.firstJob;
  const needs = [];
  for (const edge of plan.edges.filter((one) => one.to === ordinal)) {
    const source = await ledger.outcome(run.firstJob + edge.from);
    if (source !== null) needs.push({ job: plan.jobs[edge.from]!.id, on: edge.on, state: source.state });
  }
  const blocks = plan.edges.filter((edge) => edge.from === ordinal).slice(0, MOST_BLOCKED);
  return { needs, blocks: blocks.map((edge) => plan.jobs[edge.to]!.id) };
}

/** What has happened to a job: attempts, steps, gates, model calls. */
async function history({ ledger }: Services, run: RunRecord, job: JobRecord) {
  const workers = new Map((await ledger.boots()).map((boot) => [boot.seq, `${boot.host}:${boot.pid}`]));
  const usage = await ledger.usage(run.seq, job.seq);
  const sum = (of: (call: (typeof usage)[number]) => number) => usage.reduce((total, call) => total + of(call), 0);
  return {
    attempts: (await ledger.attempts(job.seq)).map((attempt) => ({
      number: attempt.number,
      state: attempt.state,
      startedAt: time(attempt.startedAt),
      endedAt: time(attempt.endedAt),
      worker: attempt.boot === null ? null : (workers.get(attempt.boot) ?? null),
      error: errorShape(attempt.error),
    })),
    steps: (await ledger.stepTimes(job.seq, STEPS_SHOWN)).map((step) => ({
      item: step.item,
      key: step.key,
      startedAt: time(step.startedAt),
      endedAt: time(step.endedAt),
    })),
    gates: (await ledger.gates(run.seq))
      .filter((gate) => gate.job === job.seq)
      .map(({ attempt, verdict, action, findings, at }) => ({
        attempt,
        verdict,
        action,
        findings: json(findings),
        at: time(at),
      })),
    usage:
      usage.length === 0
        ? null
        : {
            calls: usage.length,
            inputTokens: sum((call) => call.inputTokens),
            outputTokens: sum((call) => call.outputTokens),
            cost: sum((call) => call.cost),
          },
  };
}

const USED_SHOWN = 200;

/** What it has taken in, as far as it is still known. */
async function usedBy({ ledger }: Services, job: JobRecord) {
  const uses = [];
  for (const { how, at, record } of await ledger.consumedBy(job.seq))
    if (record !== null && uses.length < USED_SHOWN) uses.push({ how, at: time(at), artifact: artifactShape(record) });
  return uses;
}

async function itemCounts({ ledger }: Services, job: JobRecord) {
  const fanout = job.kind === "single" ? null : await ledger.fanout(job.seq);
  if (fanout === null) return null;
  const { total, completed, failed, skipped, duplicates, lastOrdinal } = fanout;
  return { total, completed, failed, skipped: skipped - duplicates, duplicates, lastOrdinal };
}

/** Whether somebody has the agent of a ready job; null if that can't be told. */
async function isOffered({ backend }: Services, job: JobRecord): Promise<boolean | null> {
  if (job.state !== "ready") return null;
  const nobody = await backend.engine.takenByNobody([job.agent]);
  if (nobody !== null) return !nobody.has(job.agent);
  return backend.engine.definitions.offers(job.agent) ? null : false;
}

async function showJob(services: Services, run: RunRecord, job: JobRecord) {
  const { ledger } = services;
  const stages = await ledger.stages(run.seq);
  const spec = await specOf(services, run, job);
  const { needs, blocks } = await neighbours(services, run, job);
  const error = errorShape(job.error);
  const parent = job.parent === null ? null : await ledger.job(job.parent);
  return {
    ...jobShape(job, stages[job.stage]?.name ?? "", parent?.id ?? parentOf(job)),
    run: run.id,
    why: whyJob({
      job,
      run,
      missing: needs.filter((need) => !isJobEnd(need.state)).map((need) => need.job),
      stageBefore: stages[job.stage - 1]?.name ?? null,
      offered: await isOffered(services, job),
      error,
    }),
    blocks,
    needs,
    summary: spec?.summary ?? null,
    spec: shownSpec(spec),
    input: (spec?.input ?? null) as Json,
    output: json(job.output),
    items: await itemCounts(services, job),
    ...(await history(services, run, job)),
    used: await usedBy(services, job),
  };
}

const itemShape = (item: Awaited<ReturnType<Services["ledger"]["items"]>>[number]) => ({
  ordinal: item.ordinal,
  state: item.state,
  attempts: item.attempts,
  result: json(item.result),
  error: errorShape(item.error),
  dueAt: time(item.dueAt),
  endedAt: time(item.endedAt),
});

export const jobHandlers: Handlers = {
  listJobs: async (call) => {
    const run = await runOf(call);
    const { state, after, limit } = call.query;
    const { ledger } = call.services;
    const rows = await ledger.jobSummaries(run.seq, {
      limit: limit + 1,
      after: Number(after ?? 0),
      ...(state === undefined ? {} : { states: state }),
    });
    const shown = rows.slice(0, limit);
    const stages = await ledger.stages(run.seq);
    const ids = new Map(shown.map((job) => [job.seq, job.id]));
    return {
      json: {
        items: shown.map((job) => jobShape(job, stages[job.stage]?.name ?? "", parentOf(job, ids))),
        next: rows.length > limit ? String(shown.at(-1)!.seq) : null,
      },
    };
  },
  showJob: async (call) => {
    const run = await runOf(call);
    return { json: await showJob(call.services, run, await jobOf(call.services, run, call.params["job"])) };
  },
  listItems: async (call) => {
    const run = await runOf(call);
    const job = await jobOf(call.services, run, call.params["job"]);
    const { state, after, limit } = call.query;
    const rows = await call.services.ledger.items(job.seq, {
      limit: limit + 1,
      ...(after === undefined ? {} : { from: Number(after) + 1 }),
      ...(state === undefined ? {} : { states: state }),
    });
    const shown = rows.slice(0, limit);
    return {
      json: { items: shown.map(itemShape), next: rows.length > limit ? String(shown.at(-1)!.ordinal) : null },
    };
  },
  showItem: async (call) => {
    const run = await runOf(call);
    const job = await jobOf(call.services, run, call.params["job"]);
    const { ordinal } = call.params;
    const [item] = await call.services.ledger.items(job.seq, { from: ordinal, to: ordinal + 1, limit: 1 });
    if (item === undefined)
      throw new TenutoError("not_found", `nothing has happened to item ${ordinal} of job ${job.id}`);
    return { json: itemShape(item) };
  },
};
