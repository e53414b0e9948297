/**
 * What a job may add to its run, and how a child's spec is made: from an agent, or from a declared job that is to be run
 * again. Rights never grow: a child has those of the declared job that it repeats, or none.
 */
import type { ChildOutcome, SpawnSpec, StepKey } from "../core/agent.ts";
import type { JobSpec } from "../core/document.ts";
import { DEFAULT_SPAWN_CHILDREN, DEFAULT_SPAWN_DEPTH, type SpawnRights } from "../core/document-agents.ts";
import { TenutoError } from "../core/errors.ts";
import type { JobRow } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import type { JobRecord } from "../ports/ledger.ts";
import type { LoadedDefinition, ResolvedJob } from "./definitions.ts";

/** Keys become part of a job's id, which is a file name in logs and workspaces; what had to change gets a hash. */
export function childKey(key: StepKey, hash: (text: string) => string): string {
  const text = typeof key === "string" ? key : key.map(String).join("-");
  const safe = text
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[._-]+/, "")
    .slice(0, 80);
  return safe === text && safe !== "" ? safe : `${safe === "" ? "child" : safe}-${hash(text).slice(0, 8)}`;
}

/** The spec of a child named `id`. @throws invalid_input, spawn_limit */
export function childSpec(job: JobRow, resolved: ResolvedJob, id: string, spec: SpawnSpec): JobSpec {
  checkRights(job, resolved, spec);
  const base = spec.like === undefined ? { agent: spec.agent ?? "" } : declared(resolved.definition, spec.like);
  const child: JobSpec = { ...base, ...spec.policy, id };
  if (spec.input !== undefined) child.input = spec.input;
  if (spec.summary !== undefined) child.summary = spec.summary;
  if (spec.forEach !== undefined)
    child.forEach = { concurrency: 5, errorRate: 0.1, ...spec.forEach } as NonNullable<JobSpec["forEach"]>;
  if (spec.reason !== undefined || spec.parentOutput !== undefined)
    child.bindings = {
      ...child.bindings,
      context: { reason: spec.reason ?? null, requestedBy: job.id, parentOutput: spec.parentOutput ?? null },
    };
  if (spec.ceiling !== undefined) child.bindings = { ...child.bindings, ceiling: spec.ceiling };
  return child;
}

/** A declared job as a child: everything but its place in the graph. */
export function repeatable(spec: JobSpec): JobSpec {
  const { needs, when, multiply, cache, ...rest } = spec;
  return rest;
}

function declared(definition: LoadedDefinition, id: string): JobSpec {
  const ordinal = definition.plan.ordinals.get(id);
  const spec = ordinal === undefined ? undefined : definition.plan.specs[ordinal];
  if (spec !== undefined) return repeatable(spec);
  throw new TenutoError("invalid_input", `there is no declared job ${JSON.stringify(id)} to run again`, {
    hint: suggest(id, [...definition.plan.ordinals.keys()], "job"),
  });
}

/** Undefined for code, which may do anything. */
function rightsOf({ spec, agent }: Pick<ResolvedJob, "spec" | "agent">): SpawnRights | undefined {
  if (spec.spawns !== undefined) return spec.spawns;
  if (agent?.kind === "llm") return agent.llm.spawns ?? {};
  return isOutside(spec, agent?.kind) ? {} : undefined;
}

/** Children that the job may have by its own rights. */
export function childrenCap(resolved: ResolvedJob): number | undefined {
  const rights = rightsOf(resolved);
  return rights === undefined ? undefined : (rights.children ?? DEFAULT_SPAWN_CHILDREN);
}

function checkRights(job: JobRow, { spec: own, agent }: ResolvedJob, spec: SpawnSpec): void {
  const refuse = (message: string, hint: string) =>
    new TenutoError("spawn_limit", `job ${job.id} ${message}`, { hint });
  if (spec.agent === undefined && spec.like === undefined)
    throw new TenutoError("invalid_input", `job ${job.id} spawns without saying what`, {
      hint: "Give agent: layer/name, or like: the id of a declared job.",
    });
  const rights = rightsOf({ spec: own, agent });
  if (rights === undefined) return;
  if (spec.like !== undefined && rights.jobs?.includes(spec.like) !== true)
    throw refuse(`may not run job ${JSON.stringify(spec.like)} again`, `Allow it with spawns: {jobs: [${spec.like}]}.`);
  if (spec.like === undefined && !allows(rights.agents ?? [], spec.agent ?? ""))
    throw refuse(`may not spawn agent ${spec.agent}`, `Allow it with spawns: {agents: [${spec.agent}]}.`);
  const { children = DEFAULT_SPAWN_CHILDREN, depth = DEFAULT_SPAWN_DEPTH } = rights;
  if (job.depth + 1 > depth) throw refuse(`is ${job.depth} levels below a declared job`, `spawns.depth is ${depth}.`);
  if (job.children >= children)
    throw refuse(`has spawned ${job.children} jobs already`, `spawns.children is ${children}.`);
}

/** Programs and models do what their input talks them into; they have only the rights that are declared. */
function isOutside(spec: JobSpec, kind: string | undefined): boolean {
  return spec.command !== undefined || (kind !== undefined && kind !== "function");
}

function allows(patterns: readonly string[], agent: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("/*") ? agent.startsWith(pattern.slice(0, -1)) : pattern === agent,
  );
}

/** How a child ended. @throws job_failed if it did not complete and that is not allowed */
export function outcomeOf<T>(record: JobRecord, allowFailure: boolean): ChildOutcome<T> {
  const error =
    record.error === null ? null : (JSON.parse(record.error) as { code: string; message: string; category?: string });
  const state = record.state as ChildOutcome["state"];
  const outcome: ChildOutcome<T> = {
    id: record.id,
    state,
    output: (record.output === null ? null : JSON.parse(record.output)) as T,
    error: error === null ? null : { code: error.code, message: error.message },
  };
  if (state === "completed" || allowFailure) return outcome;
  throw new TenutoError(
    "job_failed",
    `spawned job ${record.id} is ${state}${error === null ? (record.reason === null ? "" : `: ${record.reason}`) : `: ${error.message.slice(0, 300)}`}`,
    {
      hint: "Set allowFailure in the spawn to go on without it.",
      details: { child: record.id, state, code: error?.code ?? null },
    },
  );
}
