/**
 * Whether a pipeline document can run, said before anything is written: every problem at once, each with its place.
 *
 * Owner: core. Invariants:
 * 1. Nothing here throws for a bad document, however bad: what can't be read is a problem.
 * 2. Form first (document-shape.ts); meaning is looked at only when the form is right.
 * 3. A placeholder refers only to what is certainly there: params, run, outputs of jobs upstream (by needs or by a stage
 *    barrier), and item and index where there is an item.
 * 4. `canonicalJson` is the text that versions are hashed from: equal content, equal text.
 */

import type { PipelineDocument } from "./document.ts";
import { conditionProblems, jobProblems, pipelineProblems } from "./document-rules.ts";
import { DOCUMENT } from "./document-shape.ts";
import { TenutoError } from "./errors.ts";
import { type JobGraph, jobGraph, upstreamPairs } from "./job-graph.ts";
import { declaredParams, type JobReference, jobReferences } from "./job-references.ts";
import type { Json } from "./model.ts";
import { isName, NAME_RULE, suggest } from "./names.ts";
import { checkShape, type Problem, problem, type Segment } from "./shape.ts";

/** Stands for the set of a job with one need, so that a chain of 10,000 makes none. Never added to. */
const NOTHING = new Set<string>();

/** What the engine at hand offers; what is absent is not checked. */
export interface Known {
  agents?: ReadonlySet<string>;
  /** Limiters declared outside the document. */
  limiters?: ReadonlySet<string>;
}

/** All that is wrong with a document; empty if it can run. */
export function validateDocument(doc: PipelineDocument, known: Known = {}): Problem[] {
  const form = checkShape(doc, DOCUMENT);
  if (form.length > 0) return form;
  const problems: Problem[] = [...pipelineProblems(doc)];
  const graph = jobGraph(doc);
  problems.push(...nameProblems(doc, graph), ...needProblems(graph));
  const limiters = new Set([...Object.keys(doc.limiters ?? {}), ...(known.limiters ?? [])]);
  for (const node of graph.nodes) {
    const path = jobPath(node.stage, node.ordinal);
    problems.push(...jobProblems(node.spec, path, limiters), ...conditionProblems(node.spec.when, [...path, "when"]));
    for (const [i, check] of (node.spec.gate?.checks ?? []).entries())
      problems.push(...conditionProblems(check.when, [...path, "gate", "checks", i, "when"]));
    if (known.agents !== undefined) {
      problems.push(...agentProblems(doc, node.spec.agent, path, known.agents));
      const gate = node.spec.gate?.agent;
      const undo = node.spec.compensate?.agent;
      if (undo !== undefined) problems.push(...agentProblems(doc, undo, [...path, "compensate"], known.agents));
      if (gate !== undefined) problems.push(...agentProblems(doc, gate, [...path, "gate"], known.agents));
    }
  }
  problems.push(...cycleProblems(doc, graph), ...referenceProblems(doc, graph), ...namedJobProblems(graph));
  return problems;
}

/** Jobs that a job names to run again, or to be multiplied by. */
function namedJobProblems(graph: JobGraph): Problem[] {
  const problems: Problem[] = [];
  const pairs: [number, number][] = [];
  const sources: { path: Segment[]; job: string }[] = [];
  graph.nodes.forEach((node, at) => {
    const path = jobPath(node.stage, node.ordinal);
    const unknown = (job: string, place: Segment[]) =>
      problems.push(
        problem([...path, ...place], `there is no job "${job}"`, suggest(job, [...graph.byId.keys()], "job")),
      );
    node.spec.spawns?.jobs?.forEach((job, i) => {
      if (!graph.byId.has(job)) unknown(job, ["spawns", "jobs", i]);
    });
    const source = node.spec.multiply?.source;
    if (typeof source !== "object" || Array.isArray(source)) return;
    const target = graph.byId.get(source.job);
    if (target === undefined) return unknown(source.job, ["multiply", "source", "job"]);
    pairs.push([at, target]);
    sources.push({ path: [...path, "multiply", "source", "job"], job: source.job });
  });
  upstreamPairs(graph, pairs).forEach((upstream, i) => {
    const { path, job } = sources[i]!;
    if (!upstream)
      problems.push(
        problem(path, `job "${job}" may not have ended by then`, `Add it to needs, or put it into a stage before.`),
      );
  });
  return problems;
}

/** One error for all problems of a definition; `where` names it, a file or a pipeline. */
export function definitionError(problems: readonly Problem[], where: string): TenutoError {
  const lines = problems
    .slice(0, 50)
    .map(({ path, message, hint }) => `  ${path === "" ? "" : `${path}: `}${message}. ${hint}`);
  if (problems.length > 50) lines.push(`  … and ${problems.length - 50} more`);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new TenutoError("invalid_definition", `${where} has ${count}:\n${lines.join("\n")}`, {
    hint: "Nothing was started or stored.",
    details: { problems: [...problems] },
  });
}

/**
 * JSON text with sorted keys: the same content always gives the same text. Properties that are undefined are left out.
 * @throws unsupported_value for what is no JSON, and below 1,000 levels
 */
export function canonicalJson(value: Json): string {
  return canonical(value, 0);
}

function canonical(value: Json, depth: number): string {
  if (depth > 1_000) {
    throw new TenutoError("unsupported_value", "the value is nested more than 1000 deep, or contains itself", {
      hint: "Flatten it.",
    });
  }
  if (Array.isArray(value)) return `[${value.map((element) => canonical(element, depth + 1)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const parts: string[] = [];
    for (const key of Object.keys(value).sort()) {
      const part = value[key];
      if (part !== undefined) parts.push(`${JSON.stringify(key)}:${canonical(part, depth + 1)}`);
    }
    return `{${parts.join(",")}}`;
  }
  const text: string | undefined = typeof value === "bigint" ? undefined : JSON.stringify(value);
  if (text === undefined || (typeof value === "number" && !Number.isFinite(value))) {
    throw new TenutoError("unsupported_value", `${String(value)} is no JSON`, {
      hint: "Use text, numbers, lists and maps.",
    });
  }
  return text;
}

function jobPath(stage: number, ordinal: number): Segment[] {
  return ["stages", stage, "jobs", ordinal];
}

function nameProblems(doc: PipelineDocument, graph: JobGraph): Problem[] {
  const problems: Problem[] = [];
  const name = (value: string, path: Segment[], noun: string): void => {
    if (!isName(value)) problems.push(problem(path, `"${value.slice(0, 120)}" can't be ${noun}`, `Use ${NAME_RULE}.`));
  };
  name(doc.name, ["name"], "the name of a pipeline");
  const stages = new Map<string, number>();
  doc.stages.forEach((stage, at) => {
    const path: Segment[] = ["stages", at, "name"];
    name(stage.name, path, "the name of a stage");
    const before = stages.get(stage.name);
    if (before === undefined) stages.set(stage.name, at);
    else
      problems.push(
        problem(
          path,
          `stage "${stage.name}" is there twice, first as stages[${before}]`,
          "Give each stage its own name.",
        ),
      );
  });
  graph.nodes.forEach((node, at) => {
    const first = graph.byId.get(node.spec.id)!;
    if (first === at && isName(node.spec.id)) return;
    const path = [...jobPath(node.stage, node.ordinal), "id"];
    name(node.spec.id, path, "the id of a job");
    if (first === at) return;
    const { stage, ordinal } = graph.nodes[first]!;
    problems.push(
      problem(
        path,
        `job "${node.spec.id}" is there twice, first as stages[${stage}].jobs[${ordinal}]`,
        "Ids are unique in the whole pipeline.",
      ),
    );
  });
  return problems;
}

function needProblems(graph: JobGraph): Problem[] {
  const problems: Problem[] = [];
  let ids: string[] | null = null;
  for (const node of graph.nodes) {
    const needs = node.spec.needs ?? [];
    const seen = needs.length > 1 ? new Set<string>() : NOTHING;
    needs.forEach((need, i) => {
      const missing = !graph.byId.has(need.job);
      if (!missing && !seen.has(need.job)) {
        if (seen !== NOTHING) seen.add(need.job);
        return;
      }
      const path = [...jobPath(node.stage, node.ordinal), "needs", i];
      if (missing) {
        ids ??= [...graph.byId.keys()];
        problems.push(problem(path, `there is no job "${need.job}"`, suggest(need.job, ids, "job")));
      } else {
        problems.push(
          problem(path, `job "${need.job}" is needed twice`, "Keep one; `always` covers success and failure."),
        );
      }
    });
  }
  return problems;
}

function agentProblems(doc: PipelineDocument, agent: string, path: Segment[], known: ReadonlySet<string>): Problem[] {
  if (agent === "command/inline" || (doc.kind === "code" && agent === `pipeline/${doc.name}`) || known.has(agent))
    return [];
  return [problem([...path, "agent"], `there is no agent "${agent}"`, suggest(agent, [...known], "agent"))];
}

function cycleProblems(doc: PipelineDocument, graph: JobGraph): Problem[] {
  return graph.cycles.map((cycle) => {
    const first = graph.nodes[cycle[0]!]!;
    const names: string[] = [];
    cycle.forEach((at, i) => {
      const node = graph.nodes[at]!;
      const next = cycle[(i + 1) % cycle.length]!;
      names.push(node.spec.id);
      if (!node.needs.includes(next)) names.push(`(stage ${doc.stages[node.stage - 1]!.name})`);
    });
    names.push(first.spec.id);
    const shown =
      names.length <= 24 ? names : [...names.slice(0, 12), `(${names.length - 22} more)`, ...names.slice(-10)];
    const barrier = names.some((name) => name.startsWith("("));
    return problem(
      [...jobPath(first.stage, first.ordinal), "needs"],
      `${cycle.length === 1 ? "a job waits for itself" : "jobs wait for each other"}: ${shown.join(" → ")}`,
      barrier
        ? "A job without needs waits for the whole stage before; give it needs, or move the job that needs it."
        : "Remove one of these needs.",
    );
  });
}

function referenceProblems(doc: PipelineDocument, graph: JobGraph): Problem[] {
  const params = declaredParams(doc.params);
  const problems: Problem[] = [];
  const indirect: { reference: JobReference; at: number; target: number }[] = [];
  let ids: string[] | null = null;
  graph.nodes.forEach((node, at) => {
    const found = jobReferences(node.spec, jobPath(node.stage, node.ordinal), params);
    problems.push(...found.problems);
    for (const reference of found.jobs) {
      const target = graph.byId.get(reference.job);
      if (target === undefined) {
        ids ??= [...graph.byId.keys()];
        problems.push(
          problem(
            reference.path,
            `{{ ${reference.text} }} refers to no job of this pipeline`,
            suggest(reference.job, ids, "job"),
          ),
        );
        continue;
      }
      const need = node.spec.needs?.find((dependency) => dependency.job === reference.job);
      if (need === undefined) indirect.push({ reference, at, target });
      else if (need.on === "failure" && reference.part === "output") {
        problems.push(
          problem(
            reference.path,
            `{{ ${reference.text} }} is never there: the job runs only when "${reference.job}" failed`,
            `Refer to jobs.${reference.job}.error.`,
          ),
        );
      }
    }
  });
  // Without an order, upstream means nothing; the cycles are reported already.
  if (graph.cycles.length > 0 || indirect.length === 0) return problems;
  const upstream = upstreamPairs(
    graph,
    indirect.map(({ at, target }) => [at, target] as const),
  );
  indirect.forEach(({ reference, at }, i) => {
    if (upstream[i]) return;
    const id = graph.nodes[at]!.spec.id;
    const message =
      reference.job === id
        ? `{{ ${reference.text} }} refers to the job itself`
        : `{{ ${reference.text} }}: "${reference.job}" may not have ended before "${id}" starts`;
    problems.push(
      problem(
        reference.path,
        message,
        reference.job === id ? "Refer to a job before it." : `Add "${reference.job}" to the needs of "${id}".`,
      ),
    );
  });
  return problems;
}
