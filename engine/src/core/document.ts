/**
 * A pipeline as data: what `definePipeline` and a YAML file both become, what is hashed into the version and stored.
 *
 * Owner: core. Everything here is plain JSON. Placeholders (`{{ params.x }}`) stay unexpanded until a job starts.
 * Seconds are used where people write figures; the engine converts to milliseconds at its edge.
 */

import type { ArtifactsSpec } from "./artifact.ts";
import type { ApprovalSpec, Bindings, GateSpec, MultiplySpec, SpawnRights } from "./document-agents.ts";
import type { ErrorCategory } from "./errors.ts";
import type { LlmBudget } from "./llm.ts";
import type { DependencyType, Json, Priority } from "./model.ts";

/** A string that may hold placeholders: `{{ params.x }}`, `{{ jobs.a.output.y }}`, `{{ item }}`, `{{ index }}`, `{{ run.id }}`. */
export type Template = string;

/** A check over placeholders; data, never code. Operands may be any JSON, with placeholders inside strings. */
export type Condition =
  | { eq: [Json, Json] }
  | { ne: [Json, Json] }
  | { gt: [Json, Json] }
  | { lt: [Json, Json] }
  | { in: [Json, Json] }
  | { exists: Json }
  | { all: Condition[] }
  | { any: Condition[] }
  | { not: Condition };

export interface RetryPolicy {
  /** Tries after the first one. Default 3. */
  maxRetries: number;
  /** Delay before the first retry. Default 1. */
  baseSeconds: number;
  /** Each further delay is this many times the one before. Default 5. */
  factor: number;
  /** No delay is longer. Default 300. */
  capSeconds: number;
  /** Share of the delay that is random, 0 to 1. Default 0.2. */
  jitter: number;
}

/** Maps an error to a category. All given fields must match; the first rule that matches decides. */
export interface ErrorRule {
  /** Class name (`name`) of the error. */
  class?: string;
  /** `code` of the error, for example `ECONNREFUSED`. */
  code?: string;
  /** HTTP status (429), class of statuses (`5xx`) or list of them. */
  status?: number | string | (number | string)[];
  /** Exit code of a command. */
  exitCode?: number | number[];
  /** Text that the message contains. */
  message?: string;
  category: ErrorCategory;
}

/** What may be set for a pipeline, an agent or a job; the nearest setting wins, rule lists are tried nearest first. */
export interface WorkPolicy {
  retry?: Partial<RetryPolicy>;
  /** Limit of one attempt. Default 300. */
  timeoutSeconds?: number;
  /** Limit of the job from its first start to its end, waits included. Default none. */
  jobTimeoutSeconds?: number;
  errors?: ErrorRule[];
  /** When retries are used up. Default `fail`. */
  onExhausted?: "fail" | "skip";
  /** Crashes of the worker during this job after which it is failed. Default 3. */
  maxCrashes?: number;
}

/** A program run as a job. No shell is involved unless argv names one. */
export interface CommandSpec {
  /** Program and arguments. Placeholders are expanded inside each argument, which stays one argument. */
  argv: Template[];
  /** Variables set for the program. */
  env?: Record<string, Template>;
  /** Names of variables passed on from the engine's environment, beside PATH, HOME, LANG, LC_*, TZ and TMPDIR. */
  passEnv?: string[];
  /** Working directory, relative to the pipeline's file. Default: the job's workspace. */
  cwd?: Template;
  /** Written to standard input, then closed. Default: empty. */
  stdin?: Template;
  /** Seconds between the polite signal and the kill. Default 10. */
  graceSeconds?: number;
  /** How the output is found. `file` (default): JSON in TENUTO_OUTPUT, null if absent; `stdout-json`; `stdout-text`. */
  output?: "file" | "stdout-json" | "stdout-text";
  /** Bytes of log kept, head and tail. Default 64 MiB. */
  logBytes?: number;
}

export interface ForEachSpec {
  /** A placeholder that yields a list or dataset, a list, or a JSONL file. */
  source: Template | Json[] | { file: Template };
  /** Items at work at the same time, over all workers. Default 5. */
  concurrency: number;
  /** Hand over this many records at once; an item is then one batch. */
  batch?: number;
  /** Identity of an item across runs and duplicates; later items with a key seen before are skipped. */
  key?: Template;
  /** Tolerated share of failed and skipped items. Default 0.1. */
  errorRate: number;
  /** Items leased at once. Default 1,000, smaller for small lists. */
  window?: number;
}

/** An agent or a program that undoes what a job did. Its placeholders see what the job's did, and `output`, the job's output. */
export interface CompensateSpec extends WorkPolicy {
  agent?: string;
  command?: CommandSpec;
  input?: Json;
}

export interface CacheSpec {
  key: Template;
  maxAgeSeconds: number;
}

export interface Dependency {
  job: string;
  on: DependencyType;
}

export interface JobSpec extends WorkPolicy {
  id: string;
  /** `layer/name` of a registered agent, or `command/inline` with `command`. */
  agent: string;
  command?: CommandSpec;
  input?: Json;
  /** Absent: waits for the stage before. Empty: starts at once. */
  needs?: Dependency[];
  /** With `needs`: waits for the stage before as well. */
  afterStage?: boolean;
  when?: Condition;
  forEach?: ForEachSpec;
  allowFailure?: boolean;
  priority?: Priority;
  /** Limiters to pass before the job, or each item of it, starts: `name` or `name:key`, with placeholders. */
  limits?: Template[];
  cache?: CacheSpec;
  /** One line for people, told when the job has completed; may refer to the job's own `output`. */
  summary?: Template;
  approval?: ApprovalSpec;
  gate?: GateSpec;
  spawns?: SpawnRights;
  multiply?: MultiplySpec;
  /** What it leaves behind beside its output. */
  artifacts?: ArtifactsSpec;
  /** `outside`: it changes something that a rerun or a rollback can't see; a dry run plans it instead of running it. */
  effects?: "outside";
  /** How its effects are undone when the run is rolled back. */
  compensate?: CompensateSpec;
  /** Of jobs of a rollback only: the job of the origin whose effects it undoes. */
  compensates?: { job: string; seq: number };
  /** Of spawned jobs only. */
  bindings?: Bindings;
}

export interface StageSpec {
  name: string;
  jobs: JobSpec[];
}

/** What must be there before a run starts. All missing ones are listed at once. */
export type Requirement =
  | { file: Template; hint?: string }
  | { env: string; hint?: string }
  | { command: string; hint?: string }
  | { agent: string; hint?: string };

/** One limiter. A name ending in `:*` makes one limiter per key; all parts given apply together. */
export interface LimiterSpec {
  /** At most `count` per `perSeconds`, evenly; `burst` may go at once (default 1). */
  rate?: { count: number; perSeconds: number; burst?: number };
  /** Holders at the same time. */
  concurrency?: number;
  /** Uses per calendar day and month, UTC. */
  quota?: { day?: number; month?: number };
  /** Money per calendar day and month, UTC, in the unit that `ctx.spend` uses. */
  budget?: { day?: number; month?: number; total?: number };
  /** Opens after `failures` failures in a row, for `openSeconds`, then lets one trial through. Defaults 5 and 60. */
  breaker?: { failures: number; openSeconds: number };
}

export interface PipelineDocument {
  name: string;
  description?: string;
  /** `code`: one job that runs durable code. */
  kind: "graph" | "code";
  /** JSON Schema of the params; an object. */
  params?: { [key: string]: Json };
  /** Pattern of run ids. Placeholders {pipeline} {timestamp} {date} {seq} {random}. Default `{pipeline}-{seq}`. */
  runId?: string;
  priority?: Priority;
  requires?: Requirement[];
  /** How progress is told where there is no terminal: how far each stage is (default), or the state of each job. */
  display?: "phases" | "status";
  /** One run per key at a time. */
  concurrency?: { key: Template; onConflict: "queue" | "refuse" | "replace" };
  limiters?: { [name: string]: LimiterSpec };
  /** Bounds for what all LLM agents of a run use together, beside their own. */
  modelBudget?: LlmBudget;
  defaults?: WorkPolicy;
  /** Declared versions of the agents used; part of the pipeline's version. */
  agents?: { [name: string]: string };
  stages: StageSpec[];
}

export const DEFAULT_RETRY: RetryPolicy = { maxRetries: 3, baseSeconds: 1, factor: 5, capSeconds: 300, jitter: 0.2 };
export const DEFAULT_TIMEOUT_SECONDS = 300;
export const DEFAULT_MAX_CRASHES = 3;
export const DEFAULT_ERROR_RATE = 0.1;
export const DEFAULT_FOREACH_CONCURRENCY = 5;
