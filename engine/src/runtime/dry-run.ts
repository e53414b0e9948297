/**
 * Dry run: jobs that change something outside are planned instead of run, and so is every job that would need the result of a
 * planned one. Everything else runs.
 *
 * Invariant: what is planned says so, in the job's reason and under `$planned` in its output; nothing takes it for a result.
 */
import type { Agent } from "../core/agent.ts";
import { evaluate } from "../core/condition.ts";
import type { PipelineDocument } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import { isDryRun, type Json } from "../core/model.ts";
import { expand, requiredOutputs, type Scope } from "../core/placeholders.ts";
import { declaredValues, PLANNED, type Planned, unknownReferences } from "../core/rerun.ts";
import type { Execution } from "./execution.ts";
import type { Result } from "./work.ts";

/** Whether any job, or any agent that may be used, declares that it changes something outside. */
export function saysWhatIsOutside(document: PipelineDocument, agents: Iterable<Agent>): boolean {
  const jobs = document.stages.flatMap((stage) => stage.jobs);
  if (jobs.some((job) => job.effects === "outside")) return true;
  for (const agent of agents) if (agent.effects === "outside") return true;
  return false;
}

/** Refuses a dry run in which everything would be run. Durable code is left to itself: it can ask `ctx.dryRun`. */
export function checkDryRun(document: PipelineDocument, agents: Iterable<Agent>): void {
  if (document.kind === "code" || saysWhatIsOutside(document, agents)) return;
  throw new TenutoError("invalid_input", `a dry run of pipeline ${document.name} would run all of it`, {
    hint: "No job and no agent says effects: outside, so nothing would be left out.",
  });
}

/** The plan of the job if it is not to be run; null if it is. */
export async function planInstead(scope: Execution, data: Scope): Promise<Result | null> {
  const { run, job, resolved } = scope.facts;
  if (!isDryRun(run)) return null;
  const { spec, agent } = resolved;
  const values = declaredValues(spec);
  const unknown = unknownReferences(values, await plannedAmong(scope, values));
  const outside = (spec.effects ?? agent?.effects) === "outside";
  if (unknown.length === 0) {
    // The children of a multiplied job are planned one by one.
    if (!outside || spec.multiply !== undefined) return null;
    if (spec.when !== undefined && !evaluate(spec.when, data, `when of job ${job.id}`)) return null;
  }
  const known = <T extends Json>(value: T, place: string): Json =>
    unknown.length > 0 || spec.forEach !== undefined ? value : expand(value, data, `${place} of job ${job.id}`);
  const command = agent?.kind === "command" ? agent.command : spec.command;
  const plan: Planned = {
    job: job.id,
    agent: spec.agent,
    why: outside ? "it changes something outside" : `it needs ${unknown.map((text) => `{{ ${text} }}`).join(", ")}`,
    argv: command === undefined ? null : known(command.argv, "command"),
    input: known(spec.input ?? null, "input"),
    items: spec.forEach === undefined || unknown.length > 0 ? null : countOf(expand(spec.forEach.source as Json, data)),
    unknown,
  };
  scope.log("INFO", `planned, not run: ${plan.why}`);
  return { kind: "completed", json: JSON.stringify({ $planned: plan }), planned: true };
}

/** Jobs that these values refer to and that were planned themselves. */
async function plannedAmong(scope: Execution, values: { [name: string]: Json }): Promise<Set<string>> {
  const { run, resolved } = scope.facts;
  const planned = new Set<string>();
  for (const id of requiredOutputs(Object.values(values))) {
    const ordinal = resolved.definition.plan.ordinals.get(id);
    const row = ordinal === undefined ? null : await scope.parts.ledger.job(run.firstJob + ordinal);
    if (row?.reason === PLANNED) planned.add(id);
  }
  return planned;
}

function countOf(source: Json): number | null {
  if (Array.isArray(source)) return source.length;
  if (typeof source === "object" && source !== null && typeof source.count === "number") return source.count;
  return null;
}
