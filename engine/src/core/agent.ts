/**
 * Agents as the engine sees them: a name, a kind, schemas at both ends and a policy. And the context that code receives.
 *
 * Schemas are anything that implements Standard Schema (zod, valibot, arktype), so the core needs no schema library.
 */
import type { ArtifactType } from "./artifact.ts";
import type { CommandSpec, WorkPolicy } from "./document.ts";
import type { Ceiling, LlmSpec } from "./llm.ts";
import type { Json } from "./model.ts";

/** The part of https://standardschema.dev (version 1) that is used here. */
export interface Schema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: any; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
      }[];
    };

export type SchemaOutput<S> = S extends Schema<infer O> ? O : never;

/** A reference to a dataset artifact: a stream of JSON records. Travels through inputs and outputs as this object. */
export interface DatasetRef {
  /** `sha256:` and the hash of the JSONL bytes. */
  $dataset: string;
  count: number;
  bytes: number;
}

/** Result of a fan-out: the dataset of its completed items in order, and the counts of all. */
export interface FanoutResult extends DatasetRef {
  total: number;
  completed: number;
  failed: number;
  skipped: number;
  /** Dataset of `{ordinal, state, error}` of the items that did not complete, if there are any. */
  errors?: DatasetRef;
}

/** A dataset opened for reading. Iterate it; `array()` only up to 1 MB. */
export interface Dataset<T = Json> extends AsyncIterable<T> {
  readonly ref: DatasetRef;
  readonly count: number;
  /** All records. @throws payload_too_large above 1 MB: iterate instead. */
  array(): Promise<T[]>;
  /** Records [start, end). */
  slice(start: number, end: number): Promise<T[]>;
}

/** What `ctx.map` gives: the results of completed items in order, and what did not complete. */
export interface MapResult<T = Json> extends Dataset<T> {
  readonly result: FanoutResult;
}

export interface ArtifactRef {
  /** `sha256:` and the hash. */
  $artifact: string;
  name: string;
  bytes: number;
  mediaType: string;
}

/** An artifact of another job that this one is offered. */
export interface OfferedArtifact extends ArtifactRef {
  /** Id of the job that made it. */
  job: string;
  type: string;
  /** A file with its bytes, in the workspace below `inputs/`; read-only. */
  path: string | null;
}

/** A step's key: a string, or parts that are joined (`["fetch", url]`). Unique within one attempt of a job or item. */
export type StepKey = string | readonly (string | number)[];

export interface StepOptions {
  /** Declared input. When it differs from the recorded one, the step runs anew. */
  input?: Json;
}

export interface MapOptions extends WorkPolicy {
  /** Items at work at the same time. Default 5. */
  concurrency?: number;
  /** Hand over this many records at once. */
  batch?: number;
  /** Identity of an item; later items with a key seen before are skipped. */
  key?: (item: any) => string;
  /** Tolerated share of failed and skipped items. Default 0.1. */
  errorRate?: number;
  window?: number;
}

export type MapSource =
  | readonly unknown[]
  | AsyncIterable<unknown>
  | DatasetRef
  | FanoutResult
  | Dataset<any>
  | { file: string };

export interface SpawnSpec {
  /** Needed unless `like` names a declared job. */
  agent?: string;
  input?: Json;
  /** Id of the child below this job; default: the key. */
  id?: string;
  stage?: string;
  priority?: "high" | "normal" | "low";
  allowFailure?: boolean;
  policy?: WorkPolicy;
  /** A declared job of the pipeline to run again in the place of `agent`: its agent, command, policy and gate. */
  like?: string;
  /** Why; the child finds it as `context.reason`. */
  reason?: string;
  /** What this job has made so far, for the child's `context.parentOutput`. */
  parentOutput?: Json;
  /** Bounds for a child that is an LLM agent; set by the engine for children of LLM agents. */
  ceiling?: Ceiling;
  forEach?: { source: Json; concurrency?: number; batch?: number; errorRate?: number; window?: number };
  summary?: string;
}

export interface ChildOutcome<T = Json> {
  id: string;
  state: "completed" | "failed" | "skipped" | "cancelled";
  output: T;
  error: { code: string; message: string } | null;
}

export interface ApprovalOptions {
  /** One line that says what is to be decided. */
  title: string;
  /** What the person sees, any JSON. The decision is bound to it: when it has changed after a crash, it is asked again. */
  show?: Json;
  /** The person may hand back another value in the place of `show`. */
  editable?: boolean;
  /** Default: never. */
  expiresSeconds?: number;
}

export interface ApprovalOutcome<T = Json> {
  /** What was shown, or what the person made of it. */
  value: T;
  edited: boolean;
  by: string;
  reason: string | null;
}

/** What an agent's code receives beside its input. */
export interface Context {
  readonly runId: string;
  readonly jobId: string;
  readonly params: Readonly<Record<string, any>>;
  readonly attempt: number;
  /** Fencing number of this claim; hand it to systems that can refuse stale writers. */
  readonly epoch: number;
  /** Ordinal of the item in a fan-out, otherwise null. */
  readonly item: number | null;
  /** Stable over attempts: `<runId>/<jobId>` and the item. Inside a step use the step's own key as well. */
  readonly idempotencyKey: string;
  /** Aborted when the attempt must end: cancel, timeout, stop, lost lease. */
  readonly signal: AbortSignal;
  /** Folder of this job; kept until the run is pruned. */
  readonly workspace: string;
  /** True in a dry run: nothing outside may be changed. */
  readonly dryRun: boolean;

  /** Runs `work` once; after a crash or a wait the recorded result is returned. @throws duplicate_step_key */
  step<T>(
    key: StepKey,
    work: (step: { idempotencyKey: string; signal: AbortSignal }) => T | Promise<T>,
    options?: StepOptions,
  ): Promise<T>;
  /** Runs a job of this run and waits for its end, without slot or lease. A failed child throws unless `allowFailure`. */
  spawn<T = any>(key: StepKey, spec: SpawnSpec): Promise<ChildOutcome<T>>;
  /** Works on up to a million items with a checkpoint each. With a closure it runs here; with an agent's name any worker helps. */
  map<I = any, O = any>(
    key: StepKey,
    source: MapSource,
    work: ((item: I, ctx: Context) => O | Promise<O>) | string,
    options?: MapOptions,
  ): Promise<MapResult<O>>;
  /**
   * Waits for a person, without slot or lease. @throws approval_rejected, approval_expired
   */
  approval<T = Json>(key: StepKey, options: ApprovalOptions): Promise<ApprovalOutcome<T>>;
  /** Waits durably, without slot or lease. */
  sleep(key: StepKey, ms: number): Promise<void>;
  /** Stores bytes or text under its hash and records it as made by this job. */
  artifact(
    name: string,
    content: string | Uint8Array | { path: string },
    options?: { mediaType?: string; type?: ArtifactType | (string & {}) },
  ): Promise<ArtifactRef>;
  /** Artifacts of the jobs that this one depends on, of its children and of its parents; linked into the workspace and recorded. */
  artifacts(filter?: { job?: string; name?: string; type?: ArtifactType }): Promise<OfferedArtifact[]>;
  /** Stores records as a dataset. */
  dataset(name: string, records: Iterable<unknown> | AsyncIterable<unknown>): Promise<DatasetRef>;
  /** Opens a dataset reference for reading. */
  open<T = Json>(ref: DatasetRef): Dataset<T>;
  /** Reads an artifact whole. */
  readArtifact(ref: ArtifactRef | DatasetRef): AsyncIterable<Uint8Array>;
  progress(done: number, total?: number, message?: string): void;
  log: {
    info(message: string, fields?: Record<string, Json>): void;
    warn(message: string, fields?: Record<string, Json>): void;
    error(message: string, fields?: Record<string, Json>): void;
  };
  /** Passes a limiter, waiting as long as it asks. `name` as declared, or `name:key` for `name:*`. @throws quota_exhausted, circuit_open */
  limit(name: string): Promise<void>;
  /** Tells a limiter's circuit breaker how the call went. */
  outcome(name: string, ok: boolean): Promise<void>;
  /** Books money against a budget, before it is spent. @throws budget_exhausted */
  spend(name: string, amount: number): Promise<void>;
  /** Ends this job or item as skipped. */
  skip(reason: string): never;
}

interface AgentBase extends WorkPolicy {
  name: string;
  description?: string;
  /** Change it when the meaning of the output changes; part of a pipeline's version. */
  version?: string;
  input?: Schema<any>;
  output?: Schema<any>;
  /** `outside`: it changes something outside; in a dry run its jobs are planned instead of run. */
  effects?: "outside";
}

export interface FunctionAgent<I = any, O = any> extends AgentBase {
  kind: "function";
  /** `thread`: own thread, so that computing does not stop the engine. Needs `module`. */
  isolation?: "none" | "thread";
  /** For `thread`: `import.meta.url` of the module that exports this agent. */
  module?: string;
  run(input: I, ctx: Context): O | Promise<O>;
}

export interface CommandAgent extends AgentBase {
  kind: "command";
  command: CommandSpec;
}

/** A model with instructions, tools and rights; see core/llm.ts. */
export interface LlmAgent extends AgentBase {
  kind: "llm";
  llm: LlmSpec;
}

export type Agent = FunctionAgent | CommandAgent | LlmAgent;

/** What a worker must offer for a job: the name, with the declared version. */
export function agentReference(name: string, version: string | undefined): string {
  return version === undefined ? name : `${name}@${version}`;
}
