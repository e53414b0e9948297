/**
 * Port: how an LLM agent's attempt is carried out. Everything durable goes through the context and the meter that the
 * runtime hands over; the executor keeps nothing of its own between two calls that a crash could lose.
 */
import type { Context, LlmAgent } from "../core/agent.ts";
import type { CallUsage, Grant, UsageTotals } from "../core/budget.ts";
import type { SpawnContext, SpawnRights } from "../core/document-agents.ts";
import type { LlmSpec } from "../core/llm.ts";
import type { BootSeq, JobSeq, Json } from "../core/model.ts";
import type { AttemptApi } from "./executor.ts";

/** What a model call asks for, before it is made. */
export interface CallRequest {
  model: string;
  /** Estimate of what is sent. */
  inputTokens: number;
  /** Most that may come back; the grant may be smaller. */
  maxOutputTokens: number;
}

/** How a call went that gave no answer: `refused` costs nothing, of a `lost` one nobody knows. */
export type CallFault = "refused" | "lost";

/** Model calls as durable steps whose usage is booked in the commit that records them. */
export interface CallMeter {
  /** The recorded value, or what `work` gives. @throws budget_exhausted before anything is sent */
  call<T>(
    key: readonly (string | number)[],
    request: CallRequest,
    spec: LlmSpec,
    work: (grant: Grant) => Promise<{ value: T; usage: CallUsage }>,
    faultOf: (error: unknown) => CallFault,
  ): Promise<T>;
  /** The value of a finished step of this job, whoever recorded it. */
  recall(key: readonly (string | number)[]): Promise<Json | undefined>;
  totals(): Promise<UsageTotals>;
}

/** An artifact that the agent may read. */
export interface OfferedArtifact {
  name: string;
  type: string;
  job: string | null;
  sha256: string;
  bytes: number;
  mediaType: string;
}

export interface LlmAttempt {
  agent: LlmAgent;
  input: Json;
  context: Context;
  meter: CallMeter;
  /** What this job may spawn. */
  spawns: SpawnRights;
  /** Why this job was spawned; null for a declared job. */
  regression: SpawnContext | null;
  /**
   * The same for attempts that are to give the same result (after a crash, a wait); another one when new work is wanted,
   * after a failure or a person's retry.
   */
  life: string;
  /** Why the attempt before failed; null if it did not. */
  previousError(): Promise<Json>;
  offered(): Promise<OfferedArtifact[]>;
  /** For programs that speak MCP. */
  owner: { job: JobSeq; boot: BootSeq };
  item: number | null;
  /** A folder of this attempt, made anew. */
  scratch(name: string): Promise<string>;
  discard(folder: string): Promise<void>;
  api: AttemptApi;
  now(): number;
  hash(text: string): string;
}

export interface LlmExecutor {
  /** The result, checked against the agent's output schema. Throws what classify.ts understands. */
  run(attempt: LlmAttempt): Promise<Json>;
}
