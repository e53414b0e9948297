/**
 * Which agents are known here, and which work stands still because nobody here has its agent.
 *
 * A job of an agent that no worker has stays `ready` for ever; whoever looks at it or waits for it must be told.
 */
import { loadPipelines } from "../authoring/load.ts";
import { type Agent, agentReference } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import { isRunEnd } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import { MULTIPLY_AGENT, type Plan } from "../core/plan.ts";
import type { Tenuto } from "../open.ts";
import type { JobRecord, RunRecord } from "../ports/ledger.ts";
import { INLINE_COMMAND, MAP_AGENT } from "../runtime/definitions.ts";
import type { Cli } from "./main.ts";
import { loadProject, type Project } from "./project.ts";
import { recallSource } from "./sources.ts";

const LOOK_MS = 1_000;
/** Looks in a row that find nothing but work for nobody; another worker that is alive may only be busy. */
const LOOKS_ALONE = 3;
const LOOKS_WITH_OTHERS = 6;
const JOBS_LOOKED_AT = 5_000;

export function agentsOf(...parts: { agents: readonly Agent[] }[]): Set<string> {
  return new Set(parts.flatMap((part) => part.agents).map((agent) => agentReference(agent.name, agent.version)));
}

export function missingAgents(plan: Plan, agents: ReadonlySet<string>): string[] {
  const needed = new Set(
    plan.jobs.map((job) =>
      job.agent === MULTIPLY_AGENT ? inSomeVersion(plan.specs[job.ordinal]!.agent, agents) : job.agent,
    ),
  );
  return [...needed].filter((agent) => !builtIn(agent) && !agents.has(agent));
}

/** A job that is multiplied names its agent without the version that its copies will ask for. */
function inSomeVersion(agent: string, agents: ReadonlySet<string>): string {
  return agents.has(agent) ? agent : ([...agents].find((known) => known.startsWith(`${agent}@`)) ?? agent);
}

/** How to mend that an agent is missing. */
export function agentHint(agent: string, known: Iterable<string>): string {
  const near = suggest(agent, [...known], "agent");
  return near.startsWith("Did you mean")
    ? near
    : "List the file with its code in the configuration (tenuto.config.mts).";
}

function builtIn(agent: string): boolean {
  return agent === INLINE_COMMAND || agent === MAP_AGENT || agent === MULTIPLY_AGENT;
}

/**
 * Ready jobs whose agent nobody takes: none of the workers that are alive, or, where none is, neither the configuration here
 * nor the file that the run was run from. Job and agent.
 */
export async function standingStill(
  cli: Cli,
  tenuto: Tenuto,
  runs: readonly RunRecord[],
  jobs: readonly JobRecord[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const ready = jobs.filter((job) => job.state === "ready");
  if (ready.length === 0) return found;
  const nobody = await tenuto.engine.takenByNobody(new Set(ready.map((job) => job.agent)));
  if (nobody !== null) {
    for (const job of ready) if (nobody.has(job.agent)) found.set(job.id, job.agent);
    return found;
  }
  const project: Pick<Project, "agents" | "pipelines"> = await loadProject(cli).catch(() => ({
    agents: [],
    pipelines: [],
  }));
  const parts = [project, ...project.pipelines];
  for (const version of new Set(runs.map((run) => run.version))) {
    const source = recallSource(tenuto.home, version);
    const loaded = source === null ? null : await loadPipelines(source.file).catch(() => null);
    if (loaded !== null) parts.push({ ...loaded }, ...loaded.pipelines);
  }
  const known = agentsOf(...parts);
  for (const job of ready) if (!builtIn(job.agent) && !known.has(job.agent)) found.set(job.id, job.agent);
  return found;
}

/**
 * Resolves once all open jobs of all open runs have been ready for an agent that is not here for some seconds, and longer
 * while another worker is alive that may have it. Never resolves otherwise; `stop` ends the watch.
 */
export function watchStandstill(
  tenuto: Tenuto,
  runs: readonly RunRecord[],
): { found: Promise<TenutoError>; stop: () => void } {
  let looks = 0;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const found = new Promise<TenutoError>((resolve) => {
    const look = async () => {
      const reason = await standstill(tenuto, runs).catch(() => null);
      looks = reason === null ? 0 : looks + 1;
      const others = reason !== null && (await othersWork(tenuto).catch(() => true));
      if (stopped) return;
      if (reason !== null && looks >= (others ? LOOKS_WITH_OTHERS : LOOKS_ALONE)) return resolve(reason);
      timer?.refresh();
    };
    timer = setTimeout(() => void look(), LOOK_MS);
    timer.unref();
  });
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
  };
  return { found, stop };
}

async function standstill(tenuto: Tenuto, runs: readonly RunRecord[]): Promise<TenutoError | null> {
  const { definitions, parts } = tenuto.engine;
  let first: { run: string; job: string; agent: string } | null = null;
  const asked = new Set<string>();
  for (const { seq } of runs) {
    const run = await parts.ledger.run(seq);
    if (run === null || isRunEnd(run.state)) continue;
    const jobs = await parts.ledger.jobs(seq, { states: ["ready", "running", "waiting"], limit: JOBS_LOOKED_AT });
    for (const job of jobs) {
      // A job that waits for its children or its stage ends with them.
      if (job.state === "waiting" && job.reason === "children") continue;
      if (job.state !== "ready" || builtIn(job.agent) || definitions.offers(job.agent)) return null;
      first ??= { run: run.id, job: job.id, agent: job.agent };
      asked.add(job.agent);
    }
  }
  if (first === null) return null;
  // Somebody who takes it may only be busy.
  const nobody = await tenuto.engine.takenByNobody(asked);
  if (nobody !== null && nobody.size < asked.size) return null;
  const { run, job, agent } = first;
  return new TenutoError(
    "cannot_resume",
    `run ${run} stands still: job ${job} needs agent ${agent}, which this process does not have and nobody else takes`,
    {
      hint: `${agentHint(agent, definitions.agentNames())} Then go on: tenuto resume ${run}`,
      details: first,
    },
  );
}

/** True while another worker of this ledger is alive, or may be. */
export async function othersWork(tenuto: Tenuto): Promise<boolean> {
  const { ledger, probe } = tenuto.engine.parts;
  return (await ledger.boots("alive")).some(
    (boot) => boot.seq !== tenuto.engine.worker.boot && probe.alive(boot) !== false,
  );
}
