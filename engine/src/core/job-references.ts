/**
 * Which placeholders a job holds, where, and whether their kind is allowed there.
 *
 * Owner: core, for pipeline.ts. Invariants:
 * 1. `item` and `index` are allowed in jobs with forEach or multiply only, and there only in what is expanded per item:
 *    input, command, limits and the forEach key. The source, `when`, cache key and summary belong to the job.
 * 2. A place that takes no placeholders at all (ids, names) is never expanded, so it is not looked at.
 */
import { artifactParts } from "./artifact.ts";
import type { JobSpec, PipelineDocument } from "./document.ts";
import { TenutoError } from "./errors.ts";
import type { Json } from "./model.ts";
import { suggest } from "./names.ts";
import { type Reference, references } from "./placeholders.ts";
import { type Problem, pathSegments, problem, type Segment } from "./shape.ts";

/** A reference to another job's result. */
export interface JobReference {
  path: Segment[];
  text: string;
  job: string;
  part: "output" | "state" | "error";
}

/**
 * References of a job to jobs, and the placeholders that are not allowed where they are. `params` are the names that
 * the pipeline declares, null if any may be given.
 */
export function jobReferences(
  spec: JobSpec,
  path: readonly Segment[],
  params: readonly string[] | null,
): { jobs: JobReference[]; problems: Problem[] } {
  const jobs: JobReference[] = [];
  const problems: Problem[] = [];
  const look = (value: unknown, at: readonly Segment[], perItem: boolean, own: readonly string[] = []): void => {
    if (value === undefined || value === null) return;
    for (const found of placeholders(value as Json, [...path, ...at], problems)) {
      const [root, job, part] = found.path;
      if (root === "params") problems.push(...paramProblems(found, params));
      if ((root === "input" || root === "output") && !own.includes(root))
        problems.push(
          problem(
            found.at,
            `{{ ${found.text} }} is not known here`,
            "Only a gate, a compensation or a summary can look at it.",
          ),
        );
      if (root === "jobs") {
        jobs.push({ path: found.at, text: found.text, job: String(job), part: part as JobReference["part"] });
      } else if ((root === "item" || root === "index") && !(perItem && (spec.forEach ?? spec.multiply) !== undefined)) {
        problems.push(problem(found.at, `{{ ${found.text} }} has no ${root} here`, itemHint(spec)));
      }
    }
  };
  look(spec.input, ["input"], true);
  look(spec.command?.argv, ["command", "argv"], true);
  look(spec.command?.env, ["command", "env"], true);
  look(spec.command?.cwd, ["command", "cwd"], true);
  look(spec.command?.stdin, ["command", "stdin"], true);
  look(spec.limits, ["limits"], true);
  look(spec.when, ["when"], false);
  look(spec.cache?.key, ["cache", "key"], false);
  look(spec.summary, ["summary"], false, ["output"]);
  look(spec.forEach?.key, ["forEach", "key"], true);
  lookAtPeople(spec, look);
  const source = spec.forEach?.source;
  // A literal list is data: its records are handed over as they are.
  if (!Array.isArray(source)) look(source, ["forEach", "source"], false);
  return { jobs, problems };
}

type Look = (value: unknown, at: readonly Segment[], perItem: boolean, own?: readonly string[]) => void;

/** Places of approvals, gates and multipliers. */
function lookAtPeople(spec: JobSpec, look: Look): void {
  const { approval, gate, multiply, compensate, artifacts } = spec;
  for (const part of artifacts === undefined ? [] : artifactParts(artifacts))
    look(part.folder, ["artifacts", "folder"], false);
  // A fan-out is undone as a whole; what a multiplied job became is undone one by one.
  const perItem = spec.forEach === undefined;
  look(compensate?.input, ["compensate", "input"], perItem, ["output"]);
  const { argv, env, cwd, stdin } = compensate?.command ?? {};
  for (const [name, value] of Object.entries({ argv, env, cwd, stdin }))
    look(value, ["compensate", "command", name], perItem, ["output"]);
  look(approval?.title, ["approval", "title"], true, ["input"]);
  look(approval?.show, ["approval", "show"], true, ["input"]);
  look(gate?.verdict, ["gate", "verdict"], true, ["input", "output"]);
  for (const [at, check] of (gate?.checks ?? []).entries()) {
    look(check.when, ["gate", "checks", at, "when"], true, ["input", "output"]);
    look(check.message, ["gate", "checks", at, "message"], true, ["input", "output"]);
  }
  if (typeof multiply?.source === "string") look(multiply.source, ["multiply", "source"], false);
}

/** Placeholders of a template that belongs to the whole pipeline and may refer to params only. */
export function pipelineReferences(value: Json, path: readonly Segment[], params: readonly string[] | null): Problem[] {
  const problems: Problem[] = [];
  for (const found of placeholders(value, path, problems)) {
    if (found.path[0] === "params") {
      problems.push(...paramProblems(found, params));
      continue;
    }
    problems.push(problem(found.at, `{{ ${found.text} }} is not known yet here`, "Only params can be used."));
  }
  return problems;
}

/** Names of the params that a document declares; null if its schema is open. */
export function declaredParams(schema: PipelineDocument["params"]): readonly string[] | null {
  if (schema === undefined) return [];
  const { properties, additionalProperties } = schema;
  const closed =
    (additionalProperties === undefined || additionalProperties === false) && schema.patternProperties === undefined;
  return closed && typeof properties === "object" && properties !== null ? Object.keys(properties) : null;
}

function paramProblems(found: { at: Segment[] } & Reference, params: readonly string[] | null): Problem[] {
  const name = found.path[1];
  if (params === null || name === undefined || params.includes(String(name))) return [];
  return [
    problem(
      found.at,
      `{{ ${found.text} }} refers to no param of this pipeline`,
      suggest(String(name), params, "param"),
    ),
  ];
}

function placeholders(value: Json, path: readonly Segment[], problems: Problem[]) {
  try {
    return references(value, "@").map((found) => ({ ...found, at: [...path, ...pathSegments(found.place.slice(1))] }));
  } catch (error) {
    if (!(error instanceof TenutoError)) throw error;
    const place = typeof error.details.place === "string" ? error.details.place : "@";
    const message = error.message.startsWith(`${place}: `) ? error.message.slice(place.length + 2) : error.message;
    problems.push(problem([...path, ...pathSegments(place.slice(1))], message, error.hint ?? ""));
    return [];
  }
}

function itemHint(spec: JobSpec): string {
  return (spec.forEach ?? spec.multiply) === undefined
    ? "Only jobs with forEach or multiply have items."
    : "This place belongs to the whole job; items are known in input, command, limits and the forEach key.";
}
