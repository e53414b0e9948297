/** The routes that the devloop source document names. */
import { isRunEnd, type RunState } from "../../core/model.ts";
import type { RunRecord } from "../../ports/ledger.ts";
import { type Call, type Handlers, runOf, type Services } from "../call.ts";
import { json, stageShape, time } from "../shapes.ts";
import { keyOf, pipelineNamed, start, summaryOf } from "./runs.ts";

const NAME_CHARS = 50;
const OPEN: readonly RunState[] = ["pending", "running", "waiting"];
const JOBS_SHOWN = 5_000;

async function pipelineShape(services: Services, run: RunRecord, whole: boolean) {
  const { ledger, backend } = services;
  const params = json(run.params) as Record<string, unknown>;
  const prompt = String(params["originalPrompt"] ?? params["prompt"] ?? run.pipeline);
  const { document, plan } = await backend.engine.definitions.load(run.version);
  const jobs = whole ? await ledger.jobSummaries(run.seq, { limit: JOBS_SHOWN }) : [];
  const ids = new Map(jobs.map((job) => [job.seq, job.id]));
  const stages = whole ? await ledger.stages(run.seq) : [];
  return {
    id: run.id,
    name: prompt.slice(0, NAME_CHARS),
    description: document.description ?? null,
    template: run.pipeline,
    status: run.state,
    stages: stages.map((stage) => {
      const own = jobs.filter((job) => job.stage === stage.ordinal);
      return {
        name: stage.name,
        status: stageShape(
          stage,
          own.some((job) => job.firstStartedAt !== null),
        ).state,
        jobs: own.map((job) => ({
          id: job.id,
          name: job.id,
          status: job.state,
          retries: job.failures,
          parent_job_id: job.parent === null ? null : (ids.get(job.parent) ?? null),
          depends_on: (plan.specs[job.seq - run.firstJob]?.needs ?? []).map((need) => need.job),
        })),
      };
    }),
    created_at: time(run.createdAt),
    completed_at: time(run.endedAt),
  };
}

async function listed(services: Services, states: readonly RunState[] | undefined, limit: number) {
  const rows = await services.ledger.searchRuns({ limit, ...(states === undefined ? {} : { states }) });
  const pipelines = [];
  for (const row of rows.runs) {
    const run = await services.ledger.run(row.seq);
    if (run !== null) pipelines.push(await pipelineShape(services, run, false));
  }
  return { json: { pipelines } };
}

async function status(services: Services, id: string) {
  const run = await runOf({ services, params: { run: id } });
  const { state, endedAt } = await summaryOf(services, run);
  return { id: run.id, status: state, completed_at: time(endedAt) };
}

async function startPipeline(call: Call) {
  const { services, params, body } = call;
  const pipeline = await pipelineNamed(services, { pipeline: params["pipeline"] });
  const declared = Object.keys((pipeline.document.params?.["properties"] ?? {}) as object);
  const prompt = declared.includes("prompt") && !declared.includes("originalPrompt") ? "prompt" : "originalPrompt";
  const workspace = declared.find((name) =>
    ["workspace", "workspacePath", "workspace_path", "repository"].includes(name),
  );
  const values = {
    ...body.params,
    [prompt]: body.prompt,
    ...(workspace === undefined || body.workspace_path === undefined ? {} : { [workspace]: body.workspace_path }),
  };
  const handle = await start(services, pipeline, values, keyOf(call));
  return {
    json: await pipelineShape(services, await runOf({ services, params: { run: handle.id } }), true),
    status: handle.created ? 201 : 200,
  };
}

/** Lines that one request looks at, at most. */
const LINES = 5_000;

async function logSince(call: Call) {
  const { services, query } = call;
  const run = await runOf(call);
  const lines: string[] = [];
  let total: number = query["line"];
  for await (const line of services.backend.engine.parts.logs.read(run.id, { after: query["line"] })) {
    if (lines.length >= LINES) break;
    total = line.number;
    if (query["job"] !== undefined && line.job !== query["job"]) continue;
    lines.push(`${new Date(line.at).toISOString()} | ${line.run} | ${line.agent} | ${line.level} | ${line.message}`);
  }
  return { json: { lines, total, live: !isRunEnd(run.state) } };
}

export const compatHandlers: Handlers = {
  compatList: ({ services, query }) => listed(services, undefined, query["limit"]),
  compatRunning: ({ services }) => listed(services, OPEN, 100),
  compatTemplates: async ({ services: { backend } }) => {
    const known = backend.engine.definitions.list().map(({ document }) => ({
      id: document.name,
      name: document.name,
      description: document.description ?? null,
    }));
    const names = new Set(known.map((one) => one.id));
    const stored = (await backend.templates.list())
      .filter((row) => !names.has(row.id))
      .map((row) => ({ id: row.id, name: row.id, description: row.description }));
    return { json: { templates: [...known, ...stored] } };
  },
  compatStart: startPipeline,
  compatShow: async (call) => ({ json: await pipelineShape(call.services, await runOf(call), true) }),
  compatStatus: async ({ services, params }) => ({ json: await status(services, params["run"]) }),
  compatStop: async (call) => {
    const run = await runOf(call);
    await call.services.backend.client.cancel(run.id, "stopped");
    return { json: await status(call.services, run.id), status: 202 };
  },
  compatLog: logSince,
};
