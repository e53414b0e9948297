/**
 * Definitions in TypeScript: `defineAgent` and `definePipeline`, checked completely when the module loads.
 *
 * Owner: authoring. Invariants:
 * 1. A pipeline's version is the SHA-256 of its document in canonical JSON; code is not part of it, declared agent
 *    versions are.
 * 2. What these functions return is complete: whoever holds it needs no registry to run it in this process.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Agent, CommandAgent, Context, FunctionAgent, LlmAgent, Schema, SchemaOutput } from "../core/agent.ts";
import type { PipelineDocument, WorkPolicy } from "../core/document.ts";
import { POLICY_KEYS } from "../core/document-shape.ts";
import type { LlmTool } from "../core/llm.ts";
import type { Json } from "../core/model.ts";
import { AGENT_NAME_RULE, isAgentName } from "../core/names.ts";
import { canonicalJson, definitionError, validateDocument } from "../core/pipeline.ts";
import { checkShape, object, type Problem, problem, word } from "../core/shape.ts";
import type { CommandForm, HeadForm, JobForm, StageForm } from "./form.ts";
import { LLM_KEYS, type LlmDefinition, llmSpec, outputSchema, type ToolDefinition } from "./llm.ts";
import { asWritten, type Normalised, normaliseCode, normaliseGraph, plain, refuseNonObject } from "./normalise.ts";
import { anyJsonSchema, jsonSchemaOf, schemaFromJson } from "./params.ts";

/** A pipeline ready to run: its document with version, the schema of its params, and its own agents. */
export interface Pipeline<P = any> {
  readonly kind: "pipeline";
  document: PipelineDocument;
  /** SHA-256 of the canonical document, hex. */
  version: string;
  paramsSchema?: Schema<P>;
  /** Durable code. */
  run?: (ctx: Context, params: P) => unknown;
  /** Path of the file that it was loaded from; paths in it are relative to that. */
  file?: string;
  /** Agents that came with the definition. */
  agents: Agent[];
}

type ParamsOf<S> = S extends Schema<any> ? SchemaOutput<S> : Record<string, never>;

interface Head<S extends Schema<any> | undefined> extends HeadForm {
  /** Schema of an object: zod, or any Standard Schema that can tell its JSON Schema. */
  params?: S;
  /** Further agents that this pipeline needs, those of `ctx.spawn` and `ctx.map` for example. */
  agents?: readonly Agent[];
  /** Path or URL of this file, `import.meta.url`; paths in the pipeline are relative to it. */
  file?: string;
}

/** A pipeline as an explicit graph. */
export interface GraphDefinition<S extends Schema<any> | undefined = undefined> extends Head<S> {
  stages?: readonly StageForm[];
  /** Short for one stage `main`. */
  jobs?: readonly JobForm[];
  run?: never;
}

/** A pipeline as durable code. */
export interface CodeDefinition<S extends Schema<any> | undefined = undefined> extends Head<S> {
  run: (ctx: Context, params: ParamsOf<S>) => unknown;
  /** Change it when the code changes in a way that a run must not mix. */
  version?: string;
  stages?: never;
  jobs?: never;
}

/**
 * A pipeline, checked. With `stages` a graph, with `run` durable code; `params` types what `run` receives.
 * @throws invalid_definition listing every problem
 */
export function definePipeline<const S extends Schema<any> | undefined = undefined>(
  definition: GraphDefinition<S> | CodeDefinition<S>,
): Pipeline<ParamsOf<S>> {
  refuseNonObject(definition, "definePipeline");
  const { params, agents = [], run, file, ...form } = definition as CodeDefinition<any> & Record<string, unknown>;
  const name = typeof form.name === "string" ? form.name : "without a name";
  const schema: Schema<any> | undefined = isSchema(params) ? params : undefined;
  const written = { ...form, params: schema === undefined ? params : jsonSchemaOf(schema, name) } as Record<
    string,
    unknown
  >;
  const own: Agent[] = [...agents];
  if (run !== undefined) {
    if (typeof run !== "function")
      throw definitionError(
        [problem(["run"], "must be a function", "Write run: async (ctx, params) => { … }.")],
        `pipeline "${name}"`,
      );
    const { version, ...head } = written;
    own.push(codeAgent(name, run, version as string | undefined));
    return finish(normaliseCode(head), own, { schema, run, file }, name);
  }
  return finish(normaliseGraph(withAgentNames(written, own)), own, { schema, file, form: written }, name);
}

/** An agent of kind `function`: typed by its schemas. @throws invalid_definition */
export function defineAgent<
  const I extends Schema<any> | undefined = undefined,
  const O extends Schema<any> | undefined = undefined,
  R = any,
>(
  definition: FunctionDefinition<I, O, R>,
): FunctionAgent<I extends Schema<any> ? SchemaOutput<I> : any, O extends Schema<any> ? SchemaOutput<O> : R>;
/** An agent of kind `command`: a program in any language. @throws invalid_definition */
export function defineAgent(definition: CommandDefinition): CommandAgent;
/** An agent of kind `llm`: a model with instructions, tools and rights. @throws invalid_definition */
export function defineAgent(definition: LlmDefinition): LlmAgent;
export function defineAgent(definition: FunctionDefinition<any, any, any> | CommandDefinition | LlmDefinition): Agent {
  refuseNonObject(definition, "defineAgent");
  if (definition.kind === "llm") return llmAgent(definition);
  const { name, kind, run, command, shell, description, version, input, output, isolation, module, ...policy } =
    definition as Record<string, any>;
  const problems: Problem[] = headProblems({ name, input, output, version }, policy);
  const programs = command !== undefined || shell !== undefined;
  if ((typeof run === "function") === programs || (run !== undefined && typeof run !== "function")) {
    problems.push(
      problem([], "needs either run or command", "Give run: async (input, ctx) => …, or command: [program, …]."),
    );
  }
  if (isolation === "thread" && typeof module !== "string") {
    problems.push(problem(["module"], "is missing", "A thread loads the agent anew: add module: import.meta.url."));
  }
  const base = { name, description, version, input, output, ...policy };
  const agent = programs
    ? commandAgent(base, command, shell, problems)
    : { ...base, kind: "function", run, isolation, module };
  if (problems.length > 0) throw definitionError(problems, `agent "${String(name).slice(0, 120)}"`);
  return withoutUndefined(agent) as unknown as Agent;
}

/** What every agent has. */
function headProblems(
  { name, input, output, version }: Record<string, unknown>,
  policy: Record<string, unknown>,
): Problem[] {
  const problems: Problem[] = checkShape(plain(policy), object({ ...POLICY_KEYS, effects: word("outside") }));
  if (typeof name !== "string" || !isAgentName(name)) {
    problems.push(
      problem(["name"], `"${String(name).slice(0, 120)}" is not the name of an agent`, `Use ${AGENT_NAME_RULE}.`),
    );
  } else if (/^(command|pipeline)\//.test(name)) {
    problems.push(
      problem(["name"], `"${name}" is in a layer of the engine`, "Use another layer than command and pipeline."),
    );
  }
  for (const [schema, key] of [
    [input, "input"],
    [output, "output"],
  ] as const) {
    if (schema !== undefined && !isSchema(schema))
      problems.push(problem([key], "is not a schema", "Use zod, or any Standard Schema."));
  }
  if (version !== undefined && (typeof version !== "string" || !/^[\w.+-]{1,60}$/.test(version))) {
    problems.push(problem(["version"], "must be a short text", 'Write version: "2".'));
  }
  return problems;
}

function llmAgent(definition: LlmDefinition): LlmAgent {
  const form = definition as unknown as Record<string, unknown>;
  const { name, kind, description, version, input, output, ...rest } = form;
  const policy = Object.fromEntries(Object.entries(rest).filter(([key]) => !LLM_KEYS.includes(key)));
  const problems = headProblems({ name, input, version }, policy);
  const made = llmSpec(form, problems);
  if (problems.length > 0) throw definitionError(problems, `agent "${String(name).slice(0, 120)}"`);
  return withoutUndefined({
    ...policy,
    kind: "llm",
    name,
    description: description ?? made.description,
    version,
    input,
    output: outputSchema(output),
    llm: made.llm,
  }) as unknown as LlmAgent;
}

/** A tool in TypeScript for LLM agents; each call is a step. @throws invalid_definition */
export function defineTool<const I extends Schema<any>>(definition: ToolDefinition<I>): LlmTool {
  refuseNonObject(definition, "defineTool");
  const { name, description, input, run } = definition;
  const problems: Problem[] = [];
  if (typeof name !== "string" || !/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name) || name.includes("__"))
    problems.push(
      problem(["name"], "is not the name of a tool", "Use letters, digits, '_' and '-', no two '_' together."),
    );
  if (typeof description !== "string" || description.trim() === "")
    problems.push(problem(["description"], "is missing", "Say what the tool does; the model reads it."));
  if (typeof run !== "function")
    problems.push(problem(["run"], "must be a function", "Write run: async (input, ctx) => …."));
  const schema = isSchema(input) ? anyJsonSchema(input) : undefined;
  if (schema?.["type"] !== "object")
    problems.push(problem(["input"], "must be a schema of an object", "Use z.object({ … })."));
  if (problems.length > 0) throw definitionError(problems, `tool "${String(name).slice(0, 60)}"`);
  return { name, description, input, inputSchema: schema ?? {}, run };
}

export interface FunctionDefinition<I extends Schema<any> | undefined, O extends Schema<any> | undefined, R = any>
  extends WorkPolicy {
  /** `outside`: it changes something outside; in a dry run its jobs are planned instead of run. */
  effects?: "outside";
  name: string;
  kind?: "function";
  description?: string;
  /** Change it when the meaning of the output changes. */
  version?: string;
  /** What the agent takes; checked before each call. */
  input?: I;
  /** What it returns; checked after each call. */
  output?: O;
  /** `thread`: own thread, for work that computes. Needs `module: import.meta.url`. */
  isolation?: "none" | "thread";
  module?: string;
  run: (
    input: I extends Schema<any> ? SchemaOutput<I> : any,
    ctx: Context,
  ) => O extends Schema<any> ? SchemaOutput<O> | Promise<SchemaOutput<O>> : R | Promise<R>;
}

export interface CommandDefinition extends WorkPolicy {
  effects?: "outside";
  name: string;
  kind?: "command";
  description?: string;
  version?: string;
  input?: Schema<any>;
  output?: Schema<any>;
  command?: readonly string[] | CommandForm;
  /** Text for `/bin/sh -c`, without placeholders. */
  shell?: string;
}

/** The pipeline with the declared versions of these agents in its document, and so in its version. */
export function bindAgents<P>(pipeline: Pipeline<P>, agents: Iterable<Agent>): Pipeline<P> {
  const versions: Record<string, string> = { ...pipeline.document.agents };
  const used = new Set(
    pipeline.document.stages.flatMap((stage) =>
      stage.jobs.flatMap((job) => [job.agent, job.gate?.agent ?? job.agent, job.compensate?.agent ?? job.agent]),
    ),
  );
  const own = new Set(pipeline.agents.map((agent) => agent.name));
  for (const agent of agents) {
    if (agent.version !== undefined && (used.has(agent.name) || own.has(agent.name)))
      versions[agent.name] = agent.version;
  }
  if (
    Object.keys(versions).length === Object.keys(pipeline.document.agents ?? {}).length &&
    Object.entries(versions).every(([name, version]) => pipeline.document.agents?.[name] === version)
  ) {
    return pipeline;
  }
  const document: PipelineDocument = { ...pipeline.document, agents: versions };
  return { ...pipeline, document, version: versionOf(document) };
}

/** Version of a document: SHA-256 of its canonical JSON, hex. */
export function versionOf(document: PipelineDocument): string {
  return createHash("sha256")
    .update(canonicalJson(document as unknown as Json))
    .digest("hex");
}

/** A pipeline from a document that was stored or read; its agents come from elsewhere. @throws invalid_definition */
export function pipelineFromDocument(document: PipelineDocument, file?: string): Pipeline {
  return finish({ document, problems: [] }, [], { schema: undefined, file }, document.name);
}

function finish(
  normalised: Normalised,
  agents: Agent[],
  extra: { schema?: Schema<any> | undefined; run?: Pipeline["run"]; file?: string | undefined; form?: object },
  name: string,
): Pipeline {
  const { document } = normalised;
  const problems = document === null ? normalised.problems : asWritten(validateDocument(document), extra.form ?? {});
  if (document === null || problems.length > 0) throw definitionError(problems, `pipeline "${name}"`);
  const paramsSchema = extra.schema ?? (document.params === undefined ? undefined : schemaFromJson(document.params));
  const pipeline: Pipeline = { kind: "pipeline", document, version: versionOf(document), agents };
  if (paramsSchema !== undefined) pipeline.paramsSchema = paramsSchema;
  if (extra.run !== undefined) pipeline.run = extra.run;
  if (extra.file !== undefined) pipeline.file = extra.file.startsWith("file:") ? fileURLToPath(extra.file) : extra.file;
  return bindAgents(pipeline, agents);
}

function codeAgent(name: string, run: NonNullable<Pipeline["run"]>, version: string | undefined): FunctionAgent {
  const agent: FunctionAgent = {
    kind: "function",
    name: `pipeline/${name}`,
    run: (_input, ctx) => run(ctx, ctx.params),
  };
  if (version !== undefined) agent.version = version;
  return agent;
}

function commandAgent(
  base: Record<string, unknown>,
  command: unknown,
  shell: unknown,
  problems: Problem[],
): Record<string, unknown> {
  // A pipeline of one job goes through every check that an inline command goes through.
  const job = { id: "job", command, shell, forEach: ["item"] };
  const { document, problems: found } = normaliseGraph({
    name: "agent",
    params: { type: "object", additionalProperties: true },
    jobs: [job],
  });
  const all = document === null ? found : validateDocument(document);
  for (const { path, message, hint } of all)
    problems.push({ path: path.replace(/^(stages\[0\]\.)?jobs\[0\]\.?/, ""), message, hint });
  return { ...base, kind: "command", command: document?.stages[0]?.jobs[0]?.command };
}

/** Jobs that name an agent by itself name it by name afterwards; the agents are collected. */
function withAgentNames(written: Record<string, unknown>, agents: Agent[]): Record<string, unknown> {
  const known = new Set(agents.map((agent) => agent.name));
  const named = (job: unknown): unknown => {
    const agent = (job as { agent?: unknown } | null)?.agent;
    if (typeof agent !== "object" || agent === null || typeof (agent as Agent).name !== "string") return job;
    if (!known.has((agent as Agent).name)) agents.push(agent as Agent);
    known.add((agent as Agent).name);
    return { ...(job as object), agent: (agent as Agent).name };
  };
  const withUndo = (job: unknown): unknown => {
    const compensate = (job as { compensate?: unknown } | null)?.compensate;
    return compensate === undefined ? named(job) : { ...(named(job) as object), compensate: named(compensate) };
  };
  const jobs = (list: unknown): unknown => (Array.isArray(list) ? list.map(withUndo) : list);
  const { stages } = written;
  return {
    ...written,
    jobs: jobs(written.jobs),
    stages: Array.isArray(stages)
      ? stages.map((stage) =>
          typeof stage === "object" && stage !== null ? { ...stage, jobs: jobs(stage.jobs) } : stage,
        )
      : stages,
  };
}

function isSchema(value: unknown): value is Schema<any> {
  return ((typeof value === "object" && value !== null) || typeof value === "function") && "~standard" in value;
}

function withoutUndefined(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined));
}
