/**
 * What an agent of kind `llm` is made of, as data: instructions, model, tools and rights, budget.
 *
 * Owner: core. Invariants:
 * 1. What is not listed here an agent may not do: tools, hosts, MCP tools and agents to spawn are allow-lists.
 * 2. A spawned job has at most the rights and the budget of its parent (`narrowed`).
 */
import type { Context, Schema } from "./agent.ts";
import type { SpawnRights } from "./document-agents.ts";
import type { Json } from "./model.ts";

/** Money per million tokens, in any one currency. */
export interface ModelPrice {
  input: number;
  output: number;
  /** Tokens read from the provider's cache. Default: as `input`. */
  cacheRead?: number;
  /** Tokens written to it. Default: 1.25 times `input`. */
  cacheWrite?: number;
}

export interface ModelSpec {
  /** `anthropic/<model>` or `openai-compatible/<model>`. */
  id: string;
  /** Endpoint, up to and without `/chat/completions` or `/messages`. Needed for `openai-compatible`. */
  baseURL?: string;
  /** Variable that holds the key; null if the endpoint needs none. */
  keyEnv: string | null;
  price?: ModelPrice;
  /** Most tokens of one answer. Default 4,096. */
  maxOutputTokens: number;
  temperature?: number;
  /** Limit of one call. Default 300. */
  callTimeoutSeconds: number;
}

/** Limits for all calls of the run's whole tree, checked before each call. */
export interface LlmBudget {
  /** Tokens, read and written. */
  tokens?: number;
  /** Money, in the currency of the prices. */
  cost?: number;
  calls?: number;
  /** From the first call of the run. */
  wallSeconds?: number;
}

/** What the tool `http_request` may reach. */
export interface HttpRights {
  /** Hosts: `api.example.com`, `*.example.com`, `localhost:8080`, or `*`. */
  hosts: string[];
  /** Default GET and HEAD. */
  methods: string[];
  /** Whether these hosts may have private addresses. Default false. */
  privateAddresses: boolean;
  maxBytes: number;
  timeoutSeconds: number;
}

export interface McpServerSpec {
  /** A program that speaks MCP over its standard input and output. */
  command?: string[];
  env?: Record<string, string>;
  /** Variables of the engine that it gets beside PATH, HOME, LANG, LC_*, TZ and TMPDIR. */
  passEnv?: string[];
  /** Or an endpoint over HTTP. */
  url?: string;
  /** Headers by name of the variable that holds the value. */
  headersEnv?: Record<string, string>;
  /** Tools that the agent may use. */
  tools: string[];
  timeoutSeconds: number;
}

/** A tool written in TypeScript. */
export interface LlmTool {
  name: string;
  description: string;
  input: Schema<any>;
  /** JSON Schema of the input, shown to the model. */
  inputSchema: { [key: string]: Json };
  /** Runs as a step: at least once. `idempotencyKey` makes it exactly once at the other end. */
  run(input: any, ctx: LlmToolContext): unknown;
}

export type LlmToolContext = Pick<Context, "runId" | "jobId" | "params" | "signal" | "workspace" | "log"> & {
  idempotencyKey: string;
};

export interface LlmSpec {
  /** Text of the skill. */
  instructions: string;
  model: ModelSpec;
  /** Names of built-in tools. */
  tools: BuiltInTool[];
  custom: LlmTool[];
  http?: HttpRights;
  mcp: Record<string, McpServerSpec>;
  /** What its jobs may spawn unless their own spec says otherwise. */
  spawns?: SpawnRights;
  /** Tools of which each call needs a person's approval. */
  approve: string[];
  budget: LlmBudget;
  maxTurns: number;
  /** Calls of tools in one conversation. */
  maxToolCalls: number;
  /** How often a result that does not match the output schema is sent back to the model. */
  corrections: number;
  /** JSON Schema of the result; null: the last text is the result. */
  result: { [key: string]: Json } | null;
}

export const FILE_TOOLS = [
  "read_file",
  "write_file",
  "create_file",
  "edit_file",
  "list_directory",
  "find_files",
] as const;
export const ARTIFACT_TOOLS = ["list_artifacts", "read_artifact", "save_artifact"] as const;
export const BUILT_IN_TOOLS = [...FILE_TOOLS, ...ARTIFACT_TOOLS, "spawn_job", "todo", "http_request"] as const;
export type BuiltInTool = (typeof BUILT_IN_TOOLS)[number];
/** Names that stand for several tools. */
export const TOOL_GROUPS: Readonly<Record<string, readonly BuiltInTool[]>> = {
  files: FILE_TOOLS,
  artifacts: ARTIFACT_TOOLS,
};
/** Title of the schema of a result that is no object and travels under `result`. */
export const WRAPPED = "wrapped result";
/** The tool with which an agent gives a result that has a schema. */
export const FINISH = "finish";

/** Levels of jobs below a declared one that a model may reach by spawning, whatever is declared. */
export const LLM_MAX_DEPTH = 3;
/** Calls of tools in one answer that are carried out; the others are refused to the model. */
export const CALLS_PER_ANSWER = 32;
export const LLM_DEFAULTS = {
  maxTurns: 50,
  maxToolCalls: 500,
  corrections: 2,
  maxOutputTokens: 4_096,
  callTimeoutSeconds: 300,
  httpMaxBytes: 1_000_000,
  httpTimeoutSeconds: 30,
  mcpTimeoutSeconds: 60,
  /** A conversation takes longer than a function, and its calls meet limits of rate. */
  policy: { timeoutSeconds: 3_600, retry: { maxRetries: 8, baseSeconds: 2, factor: 2 } },
} as const;

/** Upper bounds that a spawned job takes over from the model that spawned it. */
export interface Ceiling {
  budget: LlmBudget;
  /** Hosts that it may reach at most. */
  hosts: string[];
}

/** The spec within a ceiling. */
export function narrowed(spec: LlmSpec, ceiling: Ceiling | null): LlmSpec {
  if (ceiling === null) return spec;
  const result: LlmSpec = { ...spec, budget: smallerBudget(spec.budget, ceiling.budget) };
  if (spec.http === undefined) return result;
  const hosts = commonHosts(spec.http.hosts, ceiling.hosts);
  result.http = { ...spec.http, hosts };
  if (hosts.length === 0) result.tools = spec.tools.filter((name) => name !== "http_request");
  return result;
}

/** What a job may at most that this one spawns. */
export function ceilingFor(spec: LlmSpec): Ceiling {
  return { budget: spec.budget, hosts: spec.http?.hosts ?? [] };
}

/** The smaller limit of each kind. */
export function smallerBudget(a: LlmBudget, b: LlmBudget): LlmBudget {
  const result: LlmBudget = { ...a };
  for (const key of ["tokens", "cost", "calls", "wallSeconds"] as const) {
    const [mine, theirs] = [a[key], b[key]];
    if (theirs !== undefined) result[key] = mine === undefined ? theirs : Math.min(mine, theirs);
  }
  return result;
}

function commonHosts(own: readonly string[], bound: readonly string[]): string[] {
  const within = (host: string, pattern: string): boolean =>
    pattern === "*" || pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)));
  const kept = own.filter((host) => bound.some((pattern) => within(host, pattern)));
  const narrower = bound.filter((host) => own.some((pattern) => within(host, pattern)));
  return [...new Set([...kept, ...narrower])];
}

/** Whether a host matches one of the patterns. `port` is empty for the scheme's own; only patterns with a port allow another. */
export function hostAllowed(hostname: string, port: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    if (pattern === "*") return true;
    const [, wanted = "", wantedPort = ""] = /^(.*?)(?::(\d+))?$/.exec(pattern.toLowerCase()) ?? [];
    if (wantedPort !== port) return false;
    return wanted.startsWith("*.")
      ? hostname.endsWith(wanted.slice(1)) && hostname !== wanted.slice(2)
      : wanted === hostname;
  });
}
