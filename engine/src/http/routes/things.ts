/** Approvals, pipelines, agents, templates, schedules, workers, limiters. */
import { allows } from "../../core/access.ts";
import type { Agent } from "../../core/agent.ts";
import type { PipelineDocument } from "../../core/document.ts";
import { TenutoError } from "../../core/errors.ts";
import type { Json } from "../../core/model.ts";
import type { ApprovalRow } from "../../core/records.ts";
import type { KnownPipeline } from "../../runtime/parts.ts";
import type { Template } from "../../runtime/templates.ts";
import { type Call, type Handlers, runNamed, type Services } from "../call.ts";
import { patternFault } from "../patterns.ts";
import { HttpProblem } from "../problems.ts";
import { approvalShape, scheduleShape, time } from "../shapes.ts";

async function shownApproval({ ledger }: Services, row: ApprovalRow) {
  const run = await ledger.runSummary(row.run);
  const job = await ledger.job(row.job);
  return approvalShape(row, run?.id ?? "", job?.id ?? "");
}

async function approvalOf(call: Call): Promise<ApprovalRow> {
  const row = await call.services.ledger.approval(call.params["approval"]);
  if (row === null)
    throw new TenutoError("not_found", `there is no approval ${JSON.stringify(call.params["approval"])}`, {
      hint: "List them: GET /api/approvals.",
    });
  return row;
}

function pipelineShape(services: Services, known: KnownPipeline, brief: boolean) {
  const { document, version } = known;
  return {
    name: document.name,
    version,
    description: document.description ?? null,
    kind: document.kind,
    params: services.features.paramsSchema?.(known) ?? ((document.params ?? null) as Json),
    stages: (brief ? [] : document.stages).map((stage) => ({
      name: stage.name,
      jobs: stage.jobs.map((job) => ({
        id: job.id,
        agent: job.agent,
        needs: (job.needs ?? []).map((need) => need.job),
        fanout: job.forEach !== undefined,
      })),
    })),
  };
}

async function templateShape({ ledger }: Services, name: string, shown: Template) {
  const row = await ledger.template(name);
  if (row === null) throw new TenutoError("not_found", `there is no template ${JSON.stringify(name)}`);
  return {
    ...templateInfo(row),
    shownNumber: shown.number,
    note: shown.note,
    document: shown.document as unknown as Json,
  };
}

function templateInfo(row: NonNullable<Awaited<ReturnType<Services["ledger"]["template"]>>>) {
  const { id, number, version, description, stages, jobs, schedules, createdAt, updatedAt } = row;
  return {
    name: id,
    number,
    version,
    description,
    stages,
    jobs,
    schedules,
    createdAt: time(createdAt),
    updatedAt: time(updatedAt),
  };
}

async function scheduleOf({ backend }: Services, name: string, count?: number) {
  return { json: scheduleShape(await backend.schedules.show(name), await backend.schedules.next(name, count)) };
}

/** What would let whoever writes a template act on this machine: programs, files, its environment. */
function powersOf(document: PipelineDocument): string[] {
  const found: string[] = [];
  const look = (value: unknown, path: string, inData: boolean) => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, part] of Object.entries(value)) {
      const at = `${path}.${key}`;
      if (
        !inData &&
        (key === "command" ||
          key === "file" ||
          key === "cwd" ||
          key === "requires" ||
          key === "mcp" ||
          key === "folder")
      )
        found.push(at.slice(1));
      look(part, at, inData || key === "input" || key === "params");
    }
  };
  look(document, "", false);
  return found;
}

const WINDOWS_SHOWN = 1_000;

async function workers(call: Call) {
  const { ledger, backend } = call.services;
  const { state } = call.query;
  const boots = (await ledger.boots(state)).slice(-200).reverse();
  const items = [];
  for (const boot of boots) {
    const leases = boot.state === "alive" ? await ledger.leasesOf(boot.seq, WINDOWS_SHOWN) : { jobs: [], windows: [] };
    const jobs = [];
    for (const seq of leases.jobs.slice(0, 200)) {
      const job = await ledger.job(seq);
      const run = job === null ? null : await ledger.runSummary(job.run);
      if (job !== null && run !== null) jobs.push({ run: run.id, job: job.id, startedAt: time(job.startedAt) });
    }
    items.push({
      id: boot.id,
      host: boot.host,
      pid: boot.pid,
      state: boot.state,
      startedAt: time(boot.startedAt),
      heartbeatAt: time(boot.heartbeatAt),
      jobs,
      windows: leases.windows.length,
    });
  }
  const asked = await ledger.readyAgents();
  const nobody = await backend.engine.takenByNobody(asked);
  const isMissing = (agent: string) => nobody?.has(agent) ?? !backend.engine.definitions.offers(agent);
  return { json: { items, missingAgents: asked.filter(isMissing) } };
}

function modelOf(agent: Agent | undefined) {
  if (agent?.kind !== "llm") return { model: null, tools: [], budget: null };
  const { model, tools, custom, mcp, budget } = agent.llm;
  const { tokens = null, cost = null, calls = null, wallSeconds = null } = budget;
  const others = Object.entries(mcp).flatMap(([server, spec]) => spec.tools.map((tool) => `${server}/${tool}`));
  return {
    model: model.id,
    tools: [...tools, ...custom.map((tool) => tool.name), ...others],
    budget: { tokens, cost, calls, wallSeconds },
  };
}

const RUNS_COUNTED = 10_000;

/** What models were asked for each agent, whatever version of it. */
async function usageOfAgents({ ledger }: Services) {
  const newest = (await ledger.runs({ limit: 1 }))[0]?.seq ?? 0;
  const sums = new Map<string, { calls: number; inputTokens: number; outputTokens: number; cost: number }>();
  for (const { agent, ...more } of await ledger.usageByAgent(newest - RUNS_COUNTED)) {
    const name = agent.split("@")[0] as string;
    const sum = sums.get(name) ?? { calls: 0, inputTokens: 0, outputTokens: 0, cost: 0 };
    for (const key of ["calls", "inputTokens", "outputTokens", "cost"] as const) sum[key] += more[key];
    sums.set(name, sum);
  }
  return sums;
}

export const thingHandlers: Handlers = {
  listApprovals: async (call) => {
    const { run, state, limit } = call.query;
    const rows = await call.services.ledger.approvals({
      limit,
      ...(state === undefined ? {} : { state }),
      ...(run === undefined ? {} : { run: (await runNamed(call.services, run)).seq }),
    });
    const items = [];
    for (const row of rows) items.push(await shownApproval(call.services, row));
    return { json: { items, next: null } };
  },
  showApproval: async (call) => ({ json: await shownApproval(call.services, await approvalOf(call)) }),
  decideApproval: async (call) => {
    const row = await approvalOf(call);
    const { decision, hash, reason = null, edited } = call.body;
    const decided = await call.services.backend.client.decide(row.id, {
      approve: decision === "approve",
      by: call.principal.name,
      hash,
      reason,
      ...(edited === undefined ? {} : { edited }),
    });
    return { json: await shownApproval(call.services, decided) };
  },
  listPipelines: async ({ services, query }) => {
    const brief = query["brief"] === true;
    const known = services.backend.engine.definitions.list();
    return { json: { items: known.map((one) => pipelineShape(services, one, brief)) } };
  },
  listAgents: async ({ services }) => {
    const { definitions } = services.backend.engine;
    const used = await usageOfAgents(services);
    const items = definitions.agentNames().map((reference) => {
      const agent = definitions.agent(reference);
      const { name = reference, version = null, kind = "function" } = agent ?? {};
      return {
        name,
        version: version ?? null,
        kind,
        description: agent?.description ?? null,
        ...modelOf(agent),
        usage: used.get(name) ?? null,
      };
    });
    return { json: { items } };
  },
  listTemplates: async ({ services: { backend } }) => ({
    json: { items: (await backend.templates.list()).map(templateInfo) },
  }),
  showTemplate: async ({ services, params, query }) => ({
    json: await templateShape(
      services,
      params["name"],
      await services.backend.templates.show(params["name"], query["version"]),
    ),
  }),
  listTemplateVersions: async ({ services: { backend }, params }) => ({
    json: {
      items: (await backend.templates.versions(params["name"])).map(({ number, version, note, at }) => ({
        number,
        version,
        note,
        at: time(at),
      })),
    },
  }),
  putTemplate: async ({ services, params, body, principal }) => {
    const { name } = params;
    const document = body.document as unknown as PipelineDocument;
    if (document.name !== name)
      throw new HttpProblem(
        422,
        "invalid_input",
        `the document is named ${JSON.stringify(document.name)}, the path says ${JSON.stringify(name)}`,
      );
    const risk = patternFault(document);
    if (risk !== null)
      throw new HttpProblem(422, "invalid_definition", `${risk}: such an expression could hold up the server`, {
        hint: "Write it without looking around, references and repetition inside repetition; or push it with `tenuto templates push`.",
      });
    const [power] =
      services.features.allowCommands === true && allows(principal.role, "admin") ? [] : powersOf(document);
    if (power !== undefined)
      throw new HttpProblem(403, "commands_refused", `${power}: that is not taken over HTTP`, {
        hint: "Use an agent of the configuration, push it with `tenuto templates push`, or serve with --allow-commands as an admin.",
      });
    await services.backend.templates.push(document, body.note === undefined ? {} : { note: body.note });
    return { json: await templateShape(services, name, await services.backend.templates.show(name)) };
  },
  removeTemplate: async ({ services: { backend }, params }) => {
    await backend.templates.remove(params["name"]);
    return { empty: true };
  },
  listSchedules: async ({ services: { backend } }) => {
    const items = [];
    for (const row of await backend.schedules.list())
      items.push(scheduleShape(row, backend.schedules.times(row.cron, row.zone)));
    return { json: { items } };
  },
  showSchedule: async ({ services, params, query }) => await scheduleOf(services, params["name"], query["count"]),
  addSchedule: async ({ services, body }) => {
    await services.backend.schedules.add(body);
    return { ...(await scheduleOf(services, body.name)), status: 201 };
  },
  triggerSchedule: async ({ services: { backend }, params }) => {
    const { id } = await backend.schedules.trigger(params["name"]);
    return { json: { id }, status: 201, headers: { location: `/api/runs/${encodeURIComponent(id)}` } };
  },
  enableSchedule: async ({ services, params }) => {
    await services.backend.schedules.enable(params["name"]);
    return await scheduleOf(services, params["name"]);
  },
  disableSchedule: async ({ services, params }) => {
    await services.backend.schedules.disable(params["name"]);
    return await scheduleOf(services, params["name"]);
  },
  removeSchedule: async ({ services: { backend }, params }) => {
    await backend.schedules.remove(params["name"]);
    return { empty: true };
  },
  listWorkers: workers,
  listLimiters: async ({ services: { ledger } }) => ({
    json: {
      items: (await ledger.limiters()).map(({ name, key, data }) => ({ name, key, state: JSON.parse(data) })),
    },
  }),
};
