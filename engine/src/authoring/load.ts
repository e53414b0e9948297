/**
 * Pipelines and agents from files: TypeScript and JavaScript modules, YAML, and the project's `tenuto.config.mts`.
 *
 * Owner: authoring. Invariants:
 * 1. A module's exports are collected by what they are, not by their names; the same object exported twice counts once.
 * 2. Two pipelines or agents with one name are an error that names both files.
 * 3. A module that can't be loaded is an error that names the file, and keeps the cause.
 * 4. A file of the configuration that can't be loaded does not keep the others from being used; it is listed with its error.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Agent } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import { isAgentName } from "../core/names.ts";
import type { NotifierSpec } from "../ports/notifier.ts";
import { checkConfig } from "./config-check.ts";
import { bindAgents, type CommandDefinition, defineAgent, type Pipeline } from "./define.ts";
import type { LlmDefinition } from "./llm.ts";
import { loadYamlPipeline, valueInYaml } from "./yaml.ts";

const MODULES = [".ts", ".mts", ".js", ".mjs"];
const YAML = [".yaml", ".yml"];
/** Names of the project's configuration; the first that is there counts. */
export const CONFIG_FILES = MODULES.map((extension) => `tenuto.config${extension}`);

export interface Loaded {
  pipelines: Pipeline[];
  agents: Agent[];
}

/** The project's configuration. */
export interface Config {
  /** Pipelines, or paths of files or folders with them, relative to the configuration's file. */
  pipelines?: readonly (Pipeline<any> | string)[];
  /** Agents, LLM agents as plain data, or paths of modules and YAML files that hold them. */
  agents?: readonly (Agent | LlmDefinition | string)[];
  /** Folder of ledger, artifacts, logs and workspaces. Default `.tenuto`. */
  home?: string;
  /** Ledger: a file, or a `postgres:` URL. */
  database?: string;
  /** With a ledger on PostgreSQL: where the bytes of artifacts go, as `s3://bucket/prefix?endpoint=…`. Default the database. */
  artifacts?: string;
  /** Jobs and items at work at the same time in one process. */
  concurrency?: number;
  /** Ended runs older than this are pruned. */
  retentionDays?: number;
  /** Who is told about runs, when and how. */
  notifiers?: readonly NotifierSpec[];
}

/** A file that the configuration names, and why nothing of it can be used. */
export interface BrokenFile {
  file: string;
  error: TenutoError;
}

export interface LoadedConfig extends Loaded {
  file: string;
  config: Config;
  broken: BrokenFile[];
  /** Modules in folders of pipelines that export neither a pipeline nor an agent: helpers of the others, most likely. */
  empty: string[];
}

/** The configuration as it is, typed. */
export function defineConfig(config: Config): Config {
  return config;
}

/**
 * What a file defines. A pipeline without a file of its own gets this one.
 * @throws not_found, invalid_definition
 */
export async function loadPipelines(path: string, { mayBeEmpty = false } = {}): Promise<Loaded> {
  const file = resolve(path);
  const extension = extname(file);
  if (YAML.includes(extension)) {
    const text = readText(file);
    const agent = agentIn(valueInYaml(text, { file }), file);
    if (agent !== null) return { pipelines: [], agents: [agent] };
    return { pipelines: [loadYamlPipeline(text, { file })], agents: [] };
  }
  if (!MODULES.includes(extension)) {
    throw new TenutoError("invalid_input", `${file} is no pipeline file`, {
      hint: `Use ${[...MODULES, ...YAML].join(", ")}.`,
    });
  }
  const found = collect(await importModule(file), file);
  if (isEmpty(found) && !mayBeEmpty) {
    throw new TenutoError("invalid_definition", `${file} exports no pipeline and no agent`, {
      hint: "Export what definePipeline or defineAgent returns.",
    });
  }
  return found;
}

const isEmpty = (found: Loaded): boolean => found.pipelines.length === 0 && found.agents.length === 0;

/**
 * The configuration's file alone, without what it names by path: `path` is the file itself or its folder. Null if a
 * folder has none. @throws not_found, invalid_config
 */
export async function readConfig(path: string): Promise<{ file: string; config: Config } | null> {
  const place = resolve(path);
  const candidates = CONFIG_FILES.map((name) => join(place, name));
  const file = kindOf(place) === "folder" ? candidates.find((candidate) => kindOf(candidate) === "file") : place;
  if (file === undefined) return null;
  const exported = await importModule(file);
  const config = exported.default as Config | undefined;
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new TenutoError("invalid_config", `${file} has no default export with the configuration`, {
      hint: "Write export default defineConfig({ pipelines: [ … ] }).",
    });
  }
  checkConfig(config as Record<string, unknown>, file);
  return { file, config };
}

/**
 * The configuration in a folder, or in this file, with all that it names; null if the folder has none.
 * @throws invalid_config, and what loadPipelines throws
 */
export async function loadConfig(path: string): Promise<LoadedConfig | null> {
  const read = await readConfig(path);
  if (read === null) return null;
  const { file, config } = read;
  const loaded: LoadedConfig = { file, config, pipelines: [], agents: [], broken: [], empty: [] };
  for (const entry of config.pipelines ?? []) await addEntry(loaded, entry, "pipelines");
  for (const entry of config.agents ?? []) await addEntry(loaded, entry, "agents");
  const { pipelines, agents } = merged([loaded]);
  return { ...loaded, agents, pipelines: pipelines.map((pipeline) => bindAgents(pipeline, agents)) };
}

/** Several loads as one. @throws invalid_config where a name stands for two things */
export function merged(parts: readonly Loaded[]): Loaded {
  const pipelines = new Map<string, Pipeline>();
  const agents = new Map<string, Agent>();
  for (const pipeline of parts.flatMap((part) => part.pipelines)) {
    const name = pipeline.document.name;
    const before = pipelines.get(name);
    if (
      before !== undefined &&
      before !== pipeline &&
      (before.version !== pipeline.version || before.file !== pipeline.file)
    ) {
      throw new TenutoError(
        "invalid_config",
        `two pipelines have the name "${name}": ${before.file ?? "one"} and ${pipeline.file ?? "another"}`,
        {
          hint: "Rename one of them.",
          details: { pipeline: name, files: [before.file ?? null, pipeline.file ?? null] },
        },
      );
    }
    pipelines.set(name, before ?? pipeline);
  }
  for (const agent of parts.flatMap((part) => [
    ...part.agents,
    ...part.pipelines.flatMap((pipeline) => pipeline.agents),
  ])) {
    const before = agents.get(agent.name);
    if (before !== undefined && before !== agent && !agent.name.startsWith("pipeline/")) {
      throw new TenutoError("invalid_config", `two agents have the name "${agent.name}"`, {
        hint: "Rename one of them, or export it once.",
        details: { agent: agent.name },
      });
    }
    agents.set(agent.name, before ?? agent);
  }
  return { pipelines: [...pipelines.values()], agents: [...agents.values()] };
}

async function addEntry(loaded: LoadedConfig, entry: unknown, key: "pipelines" | "agents"): Promise<void> {
  const { file: config } = loaded;
  if (typeof entry === "string") await addPath(loaded, entry, key);
  else if (isPipeline(entry)) loaded.pipelines.push(withFile(entry, config));
  else if (isAgent(entry)) loaded.agents.push(entry);
  else if (key === "agents" && agentIn(entry, config) !== null) loaded.agents.push(agentIn(entry, config) as Agent);
  else {
    throw new TenutoError("invalid_config", `${config}: an entry of ${key} is neither a path nor a definition`, {
      hint: "Use a path, or what definePipeline or defineAgent returns.",
    });
  }
}

async function addPath(loaded: LoadedConfig, entry: string, key: "pipelines" | "agents"): Promise<void> {
  const path = resolve(dirname(loaded.file), entry);
  const kind = kindOf(path);
  if (kind === "none") {
    throw new TenutoError("invalid_config", `${loaded.file}: ${key} names ${entry}, which is not there`, {
      hint: `Correct the path, or make it; paths are relative to the configuration: ${path}`,
      details: { file: loaded.file, path },
    });
  }
  for (const file of kind === "folder" ? pipelineFiles(path) : [path]) {
    try {
      const found = await loadPipelines(file, { mayBeEmpty: kind === "folder" });
      if (isEmpty(found)) loaded.empty.push(file);
      if (key === "pipelines") loaded.pipelines.push(...found.pipelines);
      loaded.agents.push(...found.agents);
    } catch (error) {
      if (!(error instanceof TenutoError)) throw error;
      loaded.broken.push({ file, error });
    }
  }
}

/** An LLM agent or a command that is written as plain data; its paths are relative to `file`. @throws invalid_definition */
function agentIn(value: unknown, file: string): Agent | null {
  const { kind } = (typeof value === "object" && value !== null ? value : {}) as { kind?: unknown };
  if (kind === "llm") return defineAgent({ file, ...(value as object) } as LlmDefinition);
  return kind === "command" ? defineAgent(value as CommandDefinition) : null;
}

function pipelineFiles(folder: string): string[] {
  const usable = (name: string): boolean =>
    [...MODULES, ...YAML].includes(extname(name)) && !/\.(test|d)\.\w+$/.test(name);
  return readdirSync(folder)
    .filter(usable)
    .sort()
    .map((name) => join(folder, name));
}

function collect(exported: Record<string, unknown>, file: string): Loaded {
  const values = new Set(Object.values(exported).flatMap((value) => (Array.isArray(value) ? value : [value])));
  const pipelines = [...values].filter(isPipeline).map((pipeline) => withFile(pipeline, file));
  return { pipelines, agents: [...values].filter(isAgent) };
}

/** Keeps the object, so that whoever imports the module holds the same pipeline. */
function withFile(pipeline: Pipeline, file: string): Pipeline {
  pipeline.file ??= file;
  return pipeline;
}

async function importModule(file: string): Promise<Record<string, unknown>> {
  if (kindOf(file) !== "file") throw notFound(file);
  try {
    return await import(pathToFileURL(file).href);
  } catch (error) {
    if (error instanceof TenutoError) {
      throw new TenutoError(error.code, `${file}: ${error.message}`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        details: error.details,
        cause: error,
      });
    }
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new TenutoError("invalid_definition", `${file} can't be loaded: ${message}`, {
      hint: hintFor(error, file),
      details: { file },
      cause: error,
    });
  }
}

function hintFor(error: unknown, file: string): string {
  const code = (error as { code?: unknown } | null)?.code;
  const asCommonJs =
    error instanceof SyntaxError &&
    /Cannot use import statement|Unexpected token 'export'|await is only valid/.test(error.message);
  if (asCommonJs && [".ts", ".js"].includes(extname(file))) {
    const other = basename(file).replace(/\.(?=[tj]s$)/, ".m");
    return `The nearest package.json says "type": "commonjs", so Node reads this file as such: rename it to ${other}, or write "type": "module" there.`;
  }
  if (code === "ERR_MODULE_NOT_FOUND")
    return "Install the package (npm install), or correct the import; relative imports need their .ts or .js.";
  if (code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX")
    return "Node only strips types: no enums, namespaces or parameter properties.";
  if (code === "ERR_UNKNOWN_FILE_EXTENSION") return "This Node does not run TypeScript; use Node 22.18 or newer.";
  return "Run the file with node alone to see the whole error.";
}

function readText(file: string): string {
  if (kindOf(file) !== "file") throw notFound(file);
  return readFileSync(file, "utf8");
}

function kindOf(path: string): "file" | "folder" | "none" {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return "none";
  return found.isDirectory() ? "folder" : "file";
}

function notFound(file: string): TenutoError {
  return new TenutoError("not_found", `there is no file ${file}`, {
    hint: "Check the path; it is relative to the working directory.",
  });
}

function isPipeline(value: unknown): value is Pipeline {
  const candidate = value as Partial<Pipeline> | null;
  return (
    typeof value === "object" &&
    candidate?.kind === "pipeline" &&
    typeof candidate.version === "string" &&
    typeof candidate.document === "object"
  );
}

function isAgent(value: unknown): value is Agent {
  const candidate = value as Partial<Agent> | null;
  return (
    typeof value === "object" &&
    candidate !== null &&
    (candidate.kind === "function" ||
      candidate.kind === "command" ||
      (candidate.kind === "llm" && "llm" in candidate)) &&
    typeof candidate.name === "string" &&
    isAgentName(candidate.name)
  );
}
