/** Runs: list, counts, start, show, graph, cancel, retry, rerun, rollback, report, events. */
import type { RunGraph, RunSummary } from "../../contract/index.ts";
import type { RunUsageRow } from "../../core/budget.ts";
import { TenutoError } from "../../core/errors.ts";
import type { RunState } from "../../core/model.ts";
import { isRunEnd, variantOf } from "../../core/model.ts";
import type { JobSummary as JobRow, RunSummary as SummaryRow } from "../../ports/feed.ts";
import type { RunRecord } from "../../ports/ledger.ts";
import type { RunHandle, StartOptions } from "../../runtime/client.ts";
import type { KnownPipeline } from "../../runtime/parts.ts";
import { type Call, type Handlers, runNamed, runOf, type Services } from "../call.ts";
import { HttpProblem } from "../problems.ts";
import { errorShape, eventShape, json, parentOf, runShape, stageShape, time } from "../shapes.ts";
import { whyRun } from "../why.ts";

export async function summaryOf(services: Services, run: RunRecord): Promise<SummaryRow> {
  const row = await services.ledger.runSummary(run.seq);
  if (row === null) throw new TenutoError("not_found", `run ${run.id} was pruned just now`);
  return row;
}

async function shownSummary(services: Services, id: string): Promise<RunSummary> {
  return runShape(await summaryOf(services, await runNamed(services, id)));
}

const startedAnswer = (handle: RunHandle) => ({
  json: { id: handle.id, created: handle.created, queuedBehind: handle.queuedBehind },
  status: handle.created ? 201 : 200,
  headers: { location: `/api/runs/${encodeURIComponent(handle.id)}` },
});

export function keyOf(call: Call): { idempotencyKey?: string } {
  const key = call.header("idempotency-key");
  if (key === undefined) return {};
  if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(key))
    throw new HttpProblem(400, "invalid_input", "Idempotency-Key must have 1 to 255 visible ASCII characters");
  return { idempotencyKey: key };
}

/** A pipeline of this process, or a template. @throws unknown_pipeline, not_found */
export async function pipelineNamed(
  { backend }: Services,
  given: { pipeline?: string; template?: string; templateVersion?: number },
): Promise<KnownPipeline> {
  const { pipeline, template, templateVersion } = given;
  // With a number it is a version of a template that is meant.
  if (template === undefined && templateVersion === undefined && pipeline !== undefined) {
    const own = backend.engine.definitions.list().find((one) => one.document.name === pipeline);
    if (own !== undefined) return own;
  }
  const name = template ?? (pipeline as string);
  const known = await backend.templates.known(name, templateVersion);
  if (known !== null) return known;
  const names = [
    ...backend.engine.definitions.list().map((one) => one.document.name),
    ...(await backend.templates.list()).map((row) => row.id),
  ];
  throw new TenutoError("unknown_pipeline", `there is no pipeline or template named ${JSON.stringify(name)}`, {
    hint: names.length === 0 ? "None is known here." : `Known: ${names.slice(0, 50).join(", ")}.`,
  });
}

export async function start(services: Services, pipeline: KnownPipeline, params: unknown, options: StartOptions) {
  const { features, backend } = services;
  if (features.start !== undefined) return await features.start(pipeline, params, options);
  return await backend.engine.client.startKnown(pipeline, params, options);
}

async function graphOf(services: Services, run: RunRecord, after: number, limit: number): Promise<RunGraph> {
  const { ledger, backend } = services;
  const { plan } = await backend.engine.definitions.load(run.version);
  const rows = await ledger.jobSummaries(run.seq, { after, limit: limit + 1 });
  const shown = rows.slice(0, limit);
  const ids = new Map(shown.map((job) => [job.seq, job.id]));
  const nodes: RunGraph["nodes"] = [];
  for (const job of shown) {
    const fanout = job.kind === "single" ? null : await ledger.fanout(job.seq);
    const spec = job.parent === null ? plan.specs[job.seq - run.firstJob] : undefined;
    nodes.push({
      id: job.id,
      seq: job.seq,
      stage: job.stage,
      kind: spec?.approval !== undefined ? "approval" : spec?.multiply !== undefined ? "multiply" : job.kind,
      agent: job.agent,
      summary: spec?.summary ?? null,
      state: job.state,
      reason: job.reason,
      parent: parentOf(job, ids),
      attempt: job.attempt,
      allowFailure: job.allowFailure === 1,
      readyAt: time(job.readyAt),
      startedAt: time(job.firstStartedAt),
      endedAt: time(job.endedAt),
      children: job.children,
      items:
        fanout === null
          ? null
          : {
              total: fanout.total,
              completed: fanout.completed,
              failed: fanout.failed,
              skipped: fanout.skipped,
            },
    });
  }
  const name = (ordinal: number) => (plan.jobs[ordinal] as { id: string }).id;
  const begun = new Set(shown.filter((job) => job.firstStartedAt !== null).map((job) => job.stage));
  const stages = await ledger.stages(run.seq);
  return {
    run: runShape(await summaryOf(services, run)),
    stages: stages.map((stage) => stageShape(stage, begun.has(stage.ordinal))),
    nodes,
    edges: after > 0 ? [] : plan.edges.map(({ from, to, on }) => ({ from: name(from), to: name(to), on })),
    barriers: after > 0 ? [] : plan.jobs.filter((job) => job.barrier === 1).map((job) => job.id),
    next: rows.length > limit ? String(shown.at(-1)!.seq) : null,
  };
}

async function show(services: Services, run: RunRecord) {
  const { ledger } = services;
  const row = await summaryOf(services, run);
  const stages = await ledger.stages(run.seq);
  const begun = new Set<number>();
  for (const stage of stages)
    if (stage.settled < stage.total && (await hasBegun(services, run, stage.ordinal))) begun.add(stage.ordinal);
  const failed = run.failedJobs > 0 ? await ledger.jobSummaries(run.seq, { states: ["failed"], limit: 1_000 }) : [];
  const first = firstOf(failed);
  const error = errorShape(first?.error ?? null);
  const last = run.firstJob + run.jobCount - run.spawnedJobs - 1;
  const outcome = run.state === "completed" ? await ledger.outcome(last) : null;
  return {
    ...runShape(row),
    params: json(run.params),
    idempotencyKey: run.idempotencyKey,
    concurrencyKey: run.concurrencyKey,
    stages: stages.map((stage) => stageShape(stage, begun.has(stage.ordinal))),
    why: whyRun(run, first === undefined ? null : { job: first.id, error }, await standingJob(services, run)),
    output: json(outcome?.output ?? null),
    error,
    usage: usageShape(await ledger.runUsage(run.seq)),
    undoable: await isUndoable(services, run),
    firstFailure: first?.id ?? null,
  };
}

/** A job that waits for a worker that nobody is; null while something of the run is at work or may be taken. */
async function standingJob({ ledger, backend }: Services, run: RunRecord) {
  if (run.state !== "running") return null;
  if ((await ledger.jobSummaries(run.seq, { states: ["running"], limit: 1 })).length > 0) return null;
  const ready = await ledger.jobSummaries(run.seq, { states: ["ready"], limit: 100 });
  const nobody = await backend.engine.takenByNobody(new Set(ready.map((job) => job.agent)));
  if (nobody === null || ready.some((job) => !nobody.has(job.agent))) return null;
  return ready[0] ?? null;
}

/** Whether a rollback could find something to undo. */
async function isUndoable({ ledger, backend }: Services, run: RunRecord): Promise<boolean> {
  const { plan } = await backend.engine.definitions.load(run.version);
  if (!plan.specs.some((spec) => spec.compensate !== undefined)) return false;
  return (await ledger.rollbackOf(run.seq)) === null;
}

function usageShape(row: RunUsageRow | null) {
  if (row === null) return null;
  const { calls, inputTokens, outputTokens, cost } = row;
  return { calls, inputTokens, outputTokens, cost };
}

/** Whether some job of an open stage has been started; looks at those that are at work. */
async function hasBegun({ ledger }: Services, run: RunRecord, stage: number): Promise<boolean> {
  const active = await ledger.jobSummaries(run.seq, { states: ["running", "waiting"], limit: 1_000 });
  return active.some((job) => job.stage === stage && job.firstStartedAt !== null);
}

/** Of larger runs a list does not look for what failed: that reads all their jobs. */
const MOST_JOBS_LOOKED_AT = 500;
const SHORT = 200;

async function listed({ ledger, masker }: Services, run: SummaryRow) {
  if (run.state !== "failed" || run.jobCount > MOST_JOBS_LOOKED_AT) return { ...runShape(run), failure: null };
  const first = firstOf(await ledger.jobSummaries(run.seq, { states: ["failed"], limit: MOST_JOBS_LOOKED_AT }));
  if (first === undefined) return { ...runShape(run), failure: null };
  // Masked before it is cut: half a secret would not be known for one.
  const message = masker.text(errorShape(first.error)?.message ?? "no error was recorded");
  return { ...runShape(run), failure: { job: first.id, message: message.slice(0, SHORT).toWellFormed() } };
}

/** What failed first of what was not allowed to. */
function firstOf(failed: readonly JobRow[]): JobRow | undefined {
  return failed.filter((job) => job.allowFailure === 0).sort((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0))[0];
}

/** What an action would do, or did, to one run. */
async function actOn(call: Call, id: string) {
  const { services, body } = call;
  const { action, preview, reason } = body as { action: "cancel" | "retry"; preview: boolean; reason?: string };
  const result = (ok: boolean, state: RunState | null, code: string | null = null, message: string | null = null) => ({
    run: id,
    ok,
    state,
    code,
    message,
  });
  const run = await services.ledger.runById(id);
  if (run === null) return result(false, null, "not_found", "there is no such run");
  const possible = action === "cancel" ? !isRunEnd(run.state) : run.state === "failed" || run.state === "cancelled";
  if (!possible)
    return result(
      false,
      run.state,
      "illegal_transition",
      `a run that is ${run.state} can't be ${action === "cancel" ? "cancelled" : "retried"}`,
    );
  if (preview) return result(true, run.state);
  try {
    if (action === "cancel") await services.backend.client.cancel(run.id, reason);
    else await services.backend.client.retry(run.id);
    return result(true, (await services.ledger.runById(id))?.state ?? null);
  } catch (error) {
    if (!(error instanceof TenutoError)) throw error;
    return result(false, run.state, error.code, error.message);
  }
}

type Counts = Awaited<ReturnType<Services["ledger"]["runCounts"]>>;
const counted = new WeakMap<Services, { cursor: string; at: number; counts: Counts }>();
/** Pruning removes runs without a commit that the feed tells of. */
const COUNTS_MS = 2_000;

/** Counting looks at an entry for each run; without a commit since, the last counts are right. */
async function countsAt(services: Services, cursor: string): Promise<Counts> {
  const last = counted.get(services);
  const at = performance.now();
  if (last !== undefined && last.cursor === cursor && at - last.at < COUNTS_MS) return last.counts;
  const counts = await services.ledger.runCounts();
  counted.set(services, { cursor, at, counts });
  return counts;
}

export const runHandlers: Handlers = {
  listRuns: async ({ services, query }) => {
    const { state, pipeline, q, label, from, to, failures, after, limit } = query;
    const { runs, next } = await services.ledger.searchRuns({
      limit,
      ...(state === undefined ? {} : { states: state }),
      ...(pipeline === undefined ? {} : { pipeline }),
      ...(q === undefined || q === "" ? {} : { text: q }),
      ...(label === undefined ? {} : { label }),
      ...(from === undefined ? {} : { createdFrom: Date.parse(from) }),
      ...(to === undefined ? {} : { createdTo: Date.parse(to) }),
      ...(after === undefined ? {} : { before: Number(after) }),
    });
    const items = failures === true ? await Promise.all(runs.map((run) => listed(services, run))) : runs.map(runShape);
    return { json: { items, next: next === null ? null : String(next) } };
  },
  countRuns: async ({ services }) => {
    const { ledger } = services;
    const cursor = String(await ledger.feedEnd());
    const open = await ledger.approvals({ state: "open", limit: 1_000 });
    return { json: { ...(await countsAt(services, cursor)), openApprovals: open.length, cursor } };
  },
  startRun: async (call) => {
    const { services, body } = call;
    const { params, priority, labels, exclude, dryRun } = body;
    const pipeline = await pipelineNamed(services, body);
    const options = {
      ...keyOf(call),
      ...(priority === undefined ? {} : { priority }),
      ...(labels === undefined ? {} : { labels }),
      ...(exclude === undefined ? {} : { exclude }),
      ...(dryRun === true ? { dryRun: true } : {}),
    };
    return startedAnswer(await start(services, pipeline, params, options));
  },
  actOnRuns: async (call) => {
    const results = [];
    for (const id of new Set(call.body.runs as string[])) results.push(await actOn(call, id));
    return { json: { results } };
  },
  showRun: async (call) => ({ json: await show(call.services, await runOf(call)) }),
  showGraph: async (call) => {
    const { after, limit } = call.query;
    return { json: await graphOf(call.services, await runOf(call), Number(after ?? 0), limit) };
  },
  cancelRun: async (call) => {
    const run = await runOf(call);
    await call.services.backend.client.cancel(run.id, call.body.reason);
    return { json: await shownSummary(call.services, run.id), status: 202 };
  },
  retryRun: async (call) => {
    const run = await runOf(call);
    const { jobs } = await call.services.backend.client.retry(run.id, call.body);
    return { json: { id: run.id, jobs }, status: 202 };
  },
  rerunRun: async (call) => {
    const run = await runOf(call);
    const { from, input, params, exclude } = call.body;
    const known = call.services.backend.engine.definitions.list().find((one) => one.version === run.version);
    const pipeline = known ?? (await pipelineNamed(call.services, { pipeline: run.pipeline }));
    const values = { ...(json(run.params) as Record<string, unknown>), ...params };
    const rerun = { run: run.id, ...(from === undefined ? {} : { from }), ...(input === undefined ? {} : { input }) };
    // What was left out stays left out.
    const jobs = [...(exclude?.jobs ?? []), ...(variantOf(run).excluded ?? [])];
    const options = { ...keyOf(call), rerun, exclude: { ...exclude, jobs } };
    return startedAnswer(await start(call.services, pipeline, values, options));
  },
  rollbackRun: async (call) => {
    const run = await runOf(call);
    return startedAnswer(await call.services.backend.client.rollback(run.id));
  },
  reportRun: async (call) => {
    const run = await runOf(call);
    const { format } = call.query as { format: "json" | "md" | "html" };
    if (call.services.features.report === undefined) throw absent("reporting");
    const { text, json: inJson } = call.services.masker;
    const report = await call.services.features.report(run, format, inJson);
    const body = format === "json" ? inJson(report) : text(report);
    const types = { json: "application/json", md: "text/markdown; charset=utf-8", html: "text/html; charset=utf-8" };
    // A report in HTML is a document of its own, without scripts and without our cookies.
    const headers: Record<string, string> =
      format === "html"
        ? { "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:" }
        : {};
    return { body, type: types[format], headers };
  },
  showCheckpoint: async (call) => {
    const { checkpoint } = call.services.features;
    if (checkpoint === undefined) throw absent("the checkpoint document");
    return { json: await checkpoint(await runOf(call)) };
  },
  listEvents: async (call) => {
    const run = await runOf(call);
    const { after, limit } = call.query;
    const events = await call.services.ledger.events(run.seq, Number(after ?? 0), limit);
    const next = events.length === limit ? String(events.at(-1)!.seq) : null;
    return { json: { items: events.map((event) => eventShape(run.id, event)), next } };
  },
};

function absent(what: string): HttpProblem {
  return new HttpProblem(501, "not_available", `${what} is not available on this server`, {
    hint: "Use the command line on the machine of the ledger.",
  });
}
