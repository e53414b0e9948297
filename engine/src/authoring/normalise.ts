/**
 * From the form that people write to the document that is hashed, stored and run.
 *
 * Owner: authoring. Invariants:
 * 1. Whatever is defaulted here is in the document afterwards: a later engine with other defaults runs it the same.
 * 2. Problems carry the path of what was written (`jobs[0].shell`), not of what it became.
 * 3. Shell text takes no placeholders, ever: a value must not become code.
 */
import type { CommandSpec, Dependency, ForEachSpec, JobSpec, PipelineDocument, StageSpec } from "../core/document.ts";
import { DEFAULT_ERROR_RATE, DEFAULT_FOREACH_CONCURRENCY } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { hasPlaceholder } from "../core/placeholders.ts";
import { checkShape, type Problem, problem, type Segment } from "../core/shape.ts";
import {
  CODE,
  type CommandForm,
  type CompensateForm,
  type ForEachForm,
  GRAPH,
  type HeadForm,
  type JobForm,
  type StageForm,
} from "./form.ts";

/** Attempts of durable code last as long as its work; steps, not attempts, are what its timeouts are for. */
const CODE_TIMEOUT_SECONDS = 86_400;

export type GraphForm = HeadForm & { params?: Json; stages?: readonly StageForm[]; jobs?: readonly JobForm[] };
export type CodeForm = HeadForm & { params?: Json };

export type Normalised = { document: PipelineDocument; problems: [] } | { document: null; problems: Problem[] };

/** The document of a graph as written, agents already replaced by their names. */
export function normaliseGraph(form: unknown): Normalised {
  const problems = checkShape(form, GRAPH);
  if (problems.length > 0) return { document: null, problems };
  const graph = form as GraphForm;
  if ((graph.stages === undefined) === (graph.jobs === undefined)) {
    const found = graph.stages === undefined ? "has no stages" : "has stages and jobs beside them";
    return {
      document: null,
      problems: [problem([], found, "Give stages: [{name, jobs}], or jobs: alone for one stage.")],
    };
  }
  const written = graph.stages ?? [{ name: "main", jobs: graph.jobs! }];
  const stages: StageSpec[] = written.map((stage, s) => ({
    name: stage.name,
    jobs: stage.jobs.map((job, j) => {
      const path: Segment[] = graph.stages === undefined ? ["jobs", j] : ["stages", s, "jobs", j];
      return jobOf(job, path, problems);
    }),
  }));
  if (problems.length > 0) return { document: null, problems };
  return { document: { ...headOf(graph), kind: "graph", stages }, problems: [] };
}

/** The document of durable code: one stage, one job, run by the agent `pipeline/<name>`. */
export function normaliseCode(form: unknown): Normalised {
  const problems = checkShape(form, CODE);
  if (problems.length > 0) return { document: null, problems };
  const code = form as CodeForm;
  const main: JobSpec = { id: "main", agent: `pipeline/${code.name}` };
  if (code.defaults?.timeoutSeconds === undefined) main.timeoutSeconds = CODE_TIMEOUT_SECONDS;
  const document: PipelineDocument = { ...headOf(code), kind: "code", stages: [{ name: "main", jobs: [main] }] };
  return { document, problems: [] };
}

/** A copy without properties that are undefined, at every level: what JSON would keep. */
export function plain<T>(value: T): T {
  if (Array.isArray(value)) return value.map((element) => plain(element)) as T;
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(entries.map(([key, part]) => [key, plain(part)])) as T;
}

function headOf(form: HeadForm & { params?: Json }): Omit<PipelineDocument, "kind" | "stages"> {
  const { name, description, params, runId, priority, requires, display, concurrency } = form;
  const { limiters, modelBudget, defaults } = form;
  const key = typeof concurrency === "string" ? { key: concurrency } : concurrency;
  return plain({
    name,
    description,
    params: params as PipelineDocument["params"],
    runId,
    priority,
    requires,
    display,
    concurrency: key === undefined ? undefined : { onConflict: "queue", ...key },
    limiters,
    modelBudget,
    defaults,
  }) as Omit<PipelineDocument, "kind" | "stages">;
}

function jobOf(form: JobForm, path: Segment[], problems: Problem[]): JobSpec {
  const { agent, command, shell, env, needs, forEach, input, compensate, ...rest } = form;
  const program = commandOf(form, path, problems);
  if (agent === undefined && program === undefined) {
    problems.push(problem(path, "says no work", "Give agent: layer/name, command: [program, …] or shell: text."));
  }
  if (agent !== undefined && program !== undefined) {
    problems.push(problem(path, `has the agent "${agent as string}" and a command`, "Keep one of them."));
  }
  const loop = forEach === undefined ? undefined : forEachOf(forEach, path, problems);
  return plain({
    ...rest,
    agent: program === undefined ? ((agent as string | undefined) ?? "") : "command/inline",
    command: program,
    input: (input === undefined && (loop ?? form.multiply) !== undefined ? "{{ item }}" : input) as Json | undefined,
    needs: needs?.map(
      (need): Dependency =>
        typeof need === "string" ? { job: need, on: "success" } : { job: need.job, on: need.on ?? "success" },
    ),
    forEach: loop,
    compensate: compensate === undefined ? undefined : compensateOf(compensate, [...path, "compensate"], problems),
  }) as JobSpec;
}

function compensateOf(form: CompensateForm, path: Segment[], problems: Problem[]): JobSpec["compensate"] {
  const { agent, command, shell, env, ...rest } = form;
  const program = commandOf(form, path, problems);
  if ((agent === undefined) === (program === undefined))
    problems.push(
      problem(path, "needs one thing to do", "Give agent: layer/name, command: [program, …] or shell: text."),
    );
  return { ...rest, agent: agent as string | undefined, command: program } as NonNullable<JobSpec["compensate"]>;
}

function commandOf(
  form: Pick<JobForm, "command" | "shell" | "env">,
  path: Segment[],
  problems: Problem[],
): CommandSpec | undefined {
  const { command, shell, env } = form;
  if (command === undefined && shell === undefined) {
    if (env !== undefined)
      problems.push(
        problem(
          [...path, "env"],
          "is given without a command",
          "Only commands have variables; hand values to agents in input.",
        ),
      );
    return undefined;
  }
  const given: CommandForm = command === undefined ? {} : isList(command) ? { argv: [...command] } : command;
  const texts: [string | undefined, Segment[]][] = [
    [shell, [...path, "shell"]],
    [given.shell, [...path, "command", "shell"]],
  ];
  for (const [text, place] of texts) {
    if (text === undefined || !hasPlaceholder(text)) continue;
    const hint =
      'Text in it would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input from the file in $TENUTO_INPUT.';
    problems.push(problem(place, "has a placeholder inside shell text", hint));
  }
  const ways = [given.argv, given.shell, shell].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    problems.push(
      problem(
        [...path, "command"],
        ways.length === 0 ? "names no program" : "names more than one program",
        "Give argv or shell, once.",
      ),
    );
    return { argv: [""] };
  }
  const { shell: inner, argv, ...rest } = given;
  const text = shell ?? inner;
  const both = env === undefined && given.env === undefined ? undefined : { ...given.env, ...env };
  return {
    ...rest,
    argv: text === undefined ? argv! : ["/bin/sh", "-c", text],
    ...(both === undefined ? {} : { env: both }),
  };
}

function forEachOf(form: ForEachForm, path: Segment[], problems: Problem[]): ForEachSpec {
  const given = typeof form === "string" || isList(form) ? { source: form } : form;
  const { file, source, ...rest } = given as Exclude<ForEachForm, string | readonly unknown[]>;
  if ((file === undefined) === (source === undefined)) {
    const found = file === undefined ? "has no source" : "has source and file";
    problems.push(
      problem([...path, "forEach"], found, 'Give source: a placeholder or list, or file: "records.jsonl".'),
    );
  }
  const from = file === undefined ? source : { file };
  return {
    concurrency: DEFAULT_FOREACH_CONCURRENCY,
    errorRate: DEFAULT_ERROR_RATE,
    ...rest,
    source: (from ?? "") as ForEachSpec["source"],
  };
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}

/** Problems of the document with the paths of what was written: `jobs` without stages has none of them. */
export function asWritten(problems: readonly Problem[], form: object): Problem[] {
  const prefix = "stages[0].jobs[";
  if ((form as GraphForm).jobs === undefined) return [...problems];
  return problems.map((found) => (found.path.startsWith(prefix) ? { ...found, path: found.path.slice(10) } : found));
}

/** Refuses what could not come from JSON before anything walks it. */
export function refuseNonObject(spec: unknown, what: string): asserts spec is object {
  if (typeof spec === "object" && spec !== null && !Array.isArray(spec)) return;
  throw new TenutoError("invalid_definition", `${what} takes one object`, { hint: `Call ${what}({ name: "…", … }).` });
}
