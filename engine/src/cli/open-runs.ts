/**
 * Which open runs this process can go on with, and why not with the others.
 *
 * A run can be resumed when this process has the code of every agent that its open jobs ask for, or another worker that
 * is alive may have it.
 */
import { resolve } from "node:path";
import { bindAgents, type Pipeline } from "../authoring/define.ts";
import { loadPipelines } from "../authoring/load.ts";
import { TenutoError } from "../core/errors.ts";
import { isRunEnd } from "../core/model.ts";
import { didYouMean } from "../core/names.ts";
import type { Tenuto } from "../open.ts";
import type { RunRecord } from "../ports/ledger.ts";
import { MAP_AGENT } from "../runtime/definitions.ts";
import { othersWork } from "./known-agents.ts";
import type { Cli } from "./main.ts";
import { loadProject, openPlace, type Project, tellBroken } from "./project.ts";
import { recallSource } from "./sources.ts";

const OPEN = ["pending", "running", "waiting"] as const;
const PAGE = 1_000;
const JOBS_LOOKED_AT = 5_000;

export interface WorkingPlace {
  project: Project;
  tenuto: Tenuto;
  /** Files of earlier runs whose code could not be loaded, by pipeline version. */
  lost: Map<string, string>;
}

export interface WorkingOptions {
  pipeline?: string[];
  concurrency?: number;
  takes?: (agent: string) => boolean;
}

/** The engine with all code that can be found for the runs of this ledger, without a worker yet. */
export async function openForWork(cli: Cli, options: WorkingOptions, mustExist = true): Promise<WorkingPlace> {
  const project = await loadProject(cli);
  tellBroken(cli, project);
  const { concurrency, takes } = options;
  const tenuto = await openPlace(project, cli, {
    mustExist,
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(takes === undefined ? {} : { takes }),
  });
  const place: WorkingPlace = { project, tenuto, lost: new Map() };
  try {
    for (const file of options.pipeline ?? []) await addFile(place, resolve(cli.io.cwd, file));
  } catch (error) {
    await tenuto.close();
    throw error;
  }
  return place;
}

/** Loads what these runs were run from, where the configuration does not have it. */
export async function addSources(place: WorkingPlace, runs: readonly RunRecord[]): Promise<void> {
  const { tenuto, project, lost } = place;
  const known = () => new Set(tenuto.engine.definitions.list().map((pipeline) => pipeline.document.name));
  for (const version of new Set(runs.filter((run) => !known().has(run.pipeline)).map((run) => run.version))) {
    const source = recallSource(project.home, version);
    if (source === null || lost.has(version)) continue;
    try {
      await addFile(place, source.file);
    } catch (error) {
      lost.set(version, (error as Error).message);
    }
  }
}

/** Bound as `tenuto run FILE` does it, so that the same file is the same version. */
async function addFile({ tenuto, project }: WorkingPlace, file: string): Promise<void> {
  const { pipelines, agents } = await loadPipelines(file);
  const own = new Set(agents.map((agent) => agent.name));
  const all = [...agents, ...project.agents.filter((agent) => !own.has(agent.name))];
  const { definitions } = tenuto.engine;
  for (const agent of agents) definitions.addAgent(agent);
  for (const pipeline of pipelines) definitions.add(known(bindAgents(pipeline, all), file));
}

function known(pipeline: Pipeline, file: string) {
  return { ...pipeline, folder: resolve(pipeline.file ?? file, "..") };
}

export async function openRuns(tenuto: Tenuto): Promise<RunRecord[]> {
  const found: RunRecord[] = [];
  for (let before: number | undefined; ; ) {
    const page = await tenuto.client.runs({ states: OPEN, limit: PAGE, ...(before === undefined ? {} : { before }) });
    found.push(...page);
    if (page.length < PAGE) return found;
    before = page.at(-1)!.seq;
  }
}

/** Why this process can't go on with a run; null if it can. */
export async function whyNot(place: WorkingPlace, run: RunRecord): Promise<TenutoError | null> {
  if (isRunEnd(run.state)) return overAlready(run);
  const { tenuto, lost } = place;
  const { definitions, parts } = tenuto.engine;
  const missing = new Map<string, string>();
  const jobs = await parts.ledger.jobs(run.seq, {
    states: ["pending", "ready", "running", "waiting"],
    limit: JOBS_LOOKED_AT,
  });
  for (const job of jobs) {
    if (job.agent !== MAP_AGENT && !definitions.offers(job.agent)) missing.set(job.agent, job.id);
  }
  if (missing.size === 0 || (await othersWork(tenuto))) return null;
  const [agent, job] = [...missing][0]!;
  const more = missing.size > 1 ? ` (and ${missing.size - 1} more agents are missing)` : "";
  const name = agent.replace(/@.*$/, "");
  const other = definitions.agentNames().find((reference) => reference.replace(/@.*$/, "") === name);
  const near = didYouMean(agent, definitions.agentNames());
  const gone = lost.get(run.version);
  const hint =
    gone !== undefined
      ? `The file that it was run from can't be loaded: ${gone}. Restore it, or give another with --pipeline FILE.`
      : other !== undefined
        ? `This process has ${other}: a run finishes on the version it began with. Start a worker with the earlier code.`
        : `${near === null ? "" : `Did you mean "${near}"? `}Give the file with its code: tenuto resume --pipeline FILE, or list it in the configuration.`;
  return new TenutoError(
    "cannot_resume",
    `run ${run.id} can't be resumed here: job ${job} needs agent ${agent}, which this process does not have${more}`,
    { hint, details: { run: run.id, agents: [...missing.keys()] } },
  );
}

function overAlready(run: RunRecord): TenutoError {
  const hint =
    run.state === "completed"
      ? `There is nothing left to do. Look at it with: tenuto runs show ${run.id}`
      : `Reopen it; only what did not complete runs again: tenuto runs retry ${run.id}`;
  return new TenutoError("cannot_resume", `run ${run.id} can't be resumed: it is ${run.state}`, {
    hint,
    details: { run: run.id, state: run.state },
  });
}
