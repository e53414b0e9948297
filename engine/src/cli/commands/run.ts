/** `tenuto run`: checks params and prerequisites, starts the run, works until it has ended. */
import { readFileSync } from "node:fs";
import { dirname, extname, resolve } from "node:path";
import { type Pipeline, versionOf } from "../../authoring/define.ts";
import { paramsFromText, parseParams } from "../../authoring/params.ts";
import { assertRequirements } from "../../authoring/requirements.ts";
import type { Agent } from "../../core/agent.ts";
import type { PipelineDocument } from "../../core/document.ts";
import { TenutoError } from "../../core/errors.ts";
import type { Json, Priority } from "../../core/model.ts";
import { planOf } from "../../core/plan.ts";
import { DEFAULT_RUN_ID } from "../../core/run-id.ts";
import { type Excluded, type Exclusion, excludeJobs, excludes } from "../../core/template.ts";
import type { StartOptions } from "../../runtime/client.ts";
import { saysWhatIsOutside } from "../../runtime/dry-run.ts";
import type { RerunRequest } from "../../runtime/rerun.ts";
import { type AttendOptions, attend, checkTimes, exitCodeOfRuns } from "../attend.ts";
import { runDocument } from "../documents.ts";
import { EXIT, usage } from "../failure.ts";
import { counted, parseCount } from "../figures.ts";
import { agentHint, agentsOf, missingAgents, othersWork } from "../known-agents.ts";
import type { Cli } from "../main.ts";
import { choosePipeline, openPlace, type Project } from "../project.ts";
import { rememberSource } from "../sources.ts";
import { tellEnd } from "../summary.ts";

export interface ExcludeOptions {
  excludeStage?: string[];
  excludeJob?: string[];
}

export interface RunOptions extends AttendOptions, ExcludeOptions {
  param: string[];
  params?: string;
  dryRun?: boolean;
  /** Show what would be started, and start nothing. */
  plan?: boolean;
  rerun?: RerunRequest;
  idempotencyKey?: string;
  priority?: Priority;
  concurrency?: string;
  detach?: boolean;
}

/** `base`: params that hold unless the options give others. */
export async function runPipeline(
  cli: Cli,
  given: string,
  options: RunOptions,
  base: Record<string, Json> = {},
  choose: () => ReturnType<typeof choosePipeline> = () => choosePipeline(cli, given),
): Promise<number> {
  const { project, pipeline } = await choose();
  const params = { ...base, ...(await paramsOf(cli, pipeline, options)) };
  const exclude = exclusionOf(options);
  const left = exclude === undefined ? null : excludeJobs(pipeline.document, exclude);
  if (left !== null) tellLeftOut(cli, left);
  const rest = left === null ? pipeline : reduced(pipeline, left.document);
  // Where nobody says what is outside, nothing can be left out: then nothing is run.
  if (
    options.plan === true ||
    (options.dryRun === true && !saysWhatIsOutside(rest.document, agentsUsed(project, rest)))
  )
    return showPlan(cli, project, rest, params);
  checkTimes(options);
  if (options.detach !== true) checkAgents(project, rest);
  const concurrency =
    options.concurrency === undefined ? {} : { concurrency: parseCount(options.concurrency, "--concurrency") };
  const tenuto = await openPlace(project, cli, {
    mustExist: false,
    soon: options.detach === true,
    ...concurrency,
  });
  try {
    const handle = await tenuto.start(pipeline, params, startOptions(options));
    rememberSource(project.home, pipeline);
    const run = await tenuto.client.run(handle.id);
    if (!handle.created) cli.out.say(`The idempotency key belongs to run ${run.id}; nothing new was started.`);
    else cli.out.say(`Run ${run.id}: ${counted(run.jobCount, "job")} in ${counted(run.stageCount, "stage")}`);
    if (handle.queuedBehind !== null)
      cli.out.say(`It waits for run ${handle.queuedBehind}, which holds its concurrency key.`);
    if (options.detach === true) {
      if (!(await othersWork(tenuto))) cli.out.say(`Nobody works on it yet: tenuto worker, or tenuto resume ${run.id}`);
      cli.out.data(run.id);
      cli.out.document("run", { run: runDocument(run), created: handle.created });
      return EXIT.ok;
    }
    const attended = await attend(cli, tenuto, [run], { ...options, work: true });
    if (attended.kind === "stopped") return attended.code;
    if (attended.kind === "timeout") throw timedOut(run.id);
    await tellEnd(cli, tenuto, run.id);
    return exitCodeOfRuns(attended.states.values());
  } finally {
    await tenuto.close();
  }
}

export function timedOut(id: string): TenutoError {
  return new TenutoError("timeout", `run ${id} has not ended in the time that was given`, {
    hint: `It is kept: tenuto resume ${id}`,
  });
}

function startOptions(options: RunOptions): StartOptions {
  const exclude = exclusionOf(options);
  return {
    ...(options.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(exclude === undefined ? {} : { exclude }),
    ...(options.dryRun === true ? { dryRun: true } : {}),
    ...(options.rerun === undefined ? {} : { rerun: options.rerun }),
  };
}

/** What `--exclude-stage` and `--exclude-job` ask for; undefined if nothing. */
export function exclusionOf(options: ExcludeOptions): Exclusion | undefined {
  const exclude = { stages: options.excludeStage ?? [], jobs: options.excludeJob ?? [] };
  return excludes(exclude) ? exclude : undefined;
}

function reduced(pipeline: Pipeline, document: PipelineDocument): Pipeline {
  return { ...pipeline, document, version: versionOf(document) };
}

function tellLeftOut({ out }: Cli, { jobs, implied, rights }: Excluded): void {
  out.say(`Left out: ${jobs.join(", ")}`);
  for (const { job, reason } of implied) out.say(`Left out as well: ${job}, since ${reason}`);
  for (const { job, spawns } of rights) out.say(`Job ${job} can't run ${spawns} again in this run`);
}

/** Params of the file, with those of the command line over them. */
async function paramsOf(cli: Cli, pipeline: Pipeline, options: RunOptions): Promise<Record<string, Json>> {
  const texts = textParams(options.param);
  return { ...(await fileParams(cli, options.params)), ...paramsFromText(pipeline.document, texts) };
}

/** `-p name=value`, as it was written. */
export function textParams(given: readonly string[]): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const text of given) {
    const at = text.indexOf("=");
    if (at <= 0) throw usage(`-p ${JSON.stringify(text)} is no param`, "Write -p name=value.", "invalid_params");
    texts[text.slice(0, at)] = text.slice(at + 1);
  }
  return texts;
}

export async function fileParams(cli: Cli, file: string | undefined): Promise<Record<string, Json>> {
  if (file === undefined) return {};
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : resolve(cli.io.cwd, file), "utf8");
  } catch (error) {
    throw new TenutoError("not_found", `the params file ${file} can't be read: ${(error as Error).message}`, {
      hint: "Give the path of a JSON or YAML file, or - for stdin.",
      cause: error,
    });
  }
  const value = await parsed(text, file);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TenutoError("invalid_params", `${file} holds no object of params`, { hint: 'Write { "name": value, … }.' });
}

async function parsed(text: string, file: string): Promise<Json> {
  try {
    if (/^\.ya?ml$/.test(extname(file))) return (await import("yaml")).parse(text, { maxAliasCount: 100 }) as Json;
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new TenutoError("invalid_params", `${file} can't be read: ${(error as Error).message.split("\n")[0]}`, {
      hint: "It must be one JSON document, or YAML with the ending .yaml.",
      cause: error,
    });
  }
}

/** A run whose agents nobody here has would stand still without a word. */
function checkAgents(project: Project, pipeline: Pipeline): void {
  const agents = agentsOf(project, pipeline);
  const [missing] = missingAgents(planOf(pipeline.document), agents);
  if (missing === undefined) return;
  throw new TenutoError(
    "unknown_agent",
    `pipeline ${pipeline.document.name} needs agent ${missing}, which is not known here`,
    {
      hint: `${agentHint(missing, agents)} With --detach another worker may offer it.`,
    },
  );
}

function agentsUsed(project: Project, { document, agents }: Pipeline): Agent[] {
  const used = new Set(document.stages.flatMap((stage) => stage.jobs.map((job) => job.agent)));
  return [...agents, ...project.agents.filter((agent) => used.has(agent.name))];
}

/** Checks what a start would check, and shows what it would do. */
function showPlan(cli: Cli, project: Project, pipeline: Pipeline, given: Record<string, Json>): number {
  const { document, version } = pipeline;
  const params = parseParams(pipeline, given);
  const cwd = pipeline.file === undefined ? cli.io.cwd : dirname(pipeline.file);
  const agents = agentsOf(project, pipeline);
  assertRequirements(document, cli.io.env, { cwd, agents, params });
  const plan = planOf(document);
  const missing = missingAgents(plan, agents);
  const stages = plan.stages.map((stage, ordinal) => ({
    name: stage.name,
    jobs: plan.jobs
      .filter((job) => job.stage === ordinal)
      .map((job) => {
        const spec = plan.specs[job.ordinal]!;
        return {
          id: job.id,
          agent: job.agent,
          needs: spec.needs?.map((need) => need.job) ?? null,
          forEach: spec.forEach !== undefined,
          when: spec.when !== undefined,
        };
      }),
  }));
  cli.out.document("plan", {
    pipeline: document.name,
    version,
    runId: document.runId ?? DEFAULT_RUN_ID,
    params,
    stages,
    missingAgents: missing,
  });
  cli.out.data(
    `Pipeline ${document.name} (version ${version.slice(0, 12)}): ${counted(plan.jobs.length, "job")} in ${counted(plan.stages.length, "stage")}`,
  );
  cli.out.data(`Params   ${JSON.stringify(params)}`);
  for (const [index, stage] of stages.entries()) {
    cli.out.data("", `Phase ${index + 1} of ${stages.length}: ${stage.name}`);
    for (const job of stage.jobs) {
      const needs =
        job.needs === null ? "" : job.needs.length === 0 ? "  starts at once" : `  needs ${job.needs.join(", ")}`;
      cli.out.data(
        `  ${job.id}  ${job.agent}${needs}${job.forEach ? "  for each item" : ""}${job.when ? "  if its condition is met" : ""}`,
      );
    }
  }
  for (const agent of missing)
    cli.out.tell(
      `${cli.out.paintTalk("yellow", "warning:")} no agent ${agent} is known here; its jobs would wait for a worker that has it`,
      `${cli.out.paintTalk("cyan", "hint:")} ${agentHint(agent, agents)}`,
    );
  cli.out.say("", "Nothing was started.");
  return EXIT.ok;
}
