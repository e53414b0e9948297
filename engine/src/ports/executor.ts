/**
 * Port: how an agent's work is carried out. The runtime resolves everything (input, policy, limits) and hands over one
 * attempt; the executor returns an outcome and never touches the ledger itself.
 */

import type { SpawnSpec } from "../core/agent.ts";
import type { CommandSpec, ErrorRule } from "../core/document.ts";
import type { StoredError } from "../core/errors.ts";
import type { BootSeq, JobSeq, Json } from "../core/model.ts";
import type { LogLevel } from "./log-sink.ts";

export type ExecutionOutcome =
  | { kind: "completed"; output: Json }
  | { kind: "failed"; error: StoredError }
  | { kind: "skipped"; reason: string }
  /** The attempt was ended by `signal`; nothing of it is left running. */
  | { kind: "stopped" };

/** Operations that work outside this process (a command's socket, a thread) may ask of its attempt. */
export interface AttemptApi {
  log(level: LogLevel, message: string, fields?: Record<string, Json>): void;
  progress(done: number, total?: number, message?: string): void;
  step(key: string, inputHash: string | null): Promise<{ found: false } | { found: true; output: Json }>;
  saveStep(key: string, inputHash: string | null, output: Json): Promise<void>;
  artifact(
    name: string,
    content: Uint8Array | { path: string },
    mediaType?: string,
    type?: string,
  ): Promise<{ sha256: string; bytes: number }>;
  limit(name: string, key?: string): Promise<void>;
  spend(name: string, amount: number): Promise<void>;
  spawn(key: string, spec: SpawnSpec): Promise<Json>;
  sleep(key: string, ms: number): Promise<void>;
}

/** One attempt of one command. */
export interface CommandAttempt {
  runId: string;
  jobId: string;
  /** Who is responsible for the processes: the ledger's numbers of job and boot. */
  owner: { job: JobSeq; boot: BootSeq };
  /** Ordinal of the item, for a fan-out. */
  item: number | null;
  attempt: number;
  epoch: number;
  command: CommandSpec;
  input: Json;
  /** What else it may want to know, for TENUTO_CONTEXT; null if there is nothing to say. */
  context: Json;
  /** Folder that belongs to this job; exists. */
  workspace: string;
  /** Folder for this attempt's input, output and socket; exists, private, removed by the caller. */
  scratch: string;
  /** Folder that holds links to the artifacts which the input refers to. */
  artifacts: string;
  /** Raw output goes here, see LogSink. */
  output: (stream: "stdout" | "stderr", chunk: Uint8Array) => void;
  /** Given the program's standard input, to write to while it runs; in the place of the command's `stdin`. */
  converse?: (stdin: { write(text: string): unknown }) => void;
  timeoutMs: number;
  api: AttemptApi;
  /** Aborted to end the attempt. `reason` is `cancel`, `stop`, `timeout` or `lease`. */
  signal: AbortSignal;
}

export interface ProcessIdentity {
  pid: number;
  /** Start time in clock ticks since boot, from /proc; empty where unknown. */
  pidStart: string;
  /** Value of TENUTO_MARKER in the environment of the whole tree. */
  marker: string;
}

export interface CommandExecutor {
  run(attempt: CommandAttempt): Promise<ExecutionOutcome>;
  /** A private folder in memory for one attempt's `scratch`, or null where there is none; whoever asked drops it. */
  scratch(name: string): string | null;
  dropScratch(folder: string): Promise<void>;
  /** Ends everything still running. Resolves when each tree is verified dead. */
  close(): Promise<void>;
}

/** What an agent in a thread knows of its attempt. */
export interface ThreadContext {
  runId: string;
  jobId: string;
  params: Record<string, Json>;
  attempt: number;
  epoch: number;
  item: number | null;
  idempotencyKey: string;
  workspace: string;
  dryRun: boolean;
}

/** One attempt of a function agent with `isolation: "thread"`. */
export interface ThreadAttempt {
  /** Name of the agent, as exported by the module; `layer/name@version` is understood too. */
  agent: string;
  /** URL of the module, see FunctionAgent.module. */
  module: string;
  input: Json;
  context: ThreadContext;
  /** Rule lists of the resolved policy, nearest first; what the agent throws is classified by them. */
  rules?: ErrorRule[][];
  timeoutMs: number;
  api: AttemptApi;
  /** Aborted to end the attempt. `reason` is `cancel`, `stop`, `timeout` or `lease`. */
  signal: AbortSignal;
  /** Called when a thread is free for it; until then its time does not run. */
  started?: () => void;
}

export interface ThreadExecutor {
  /** Never rejects. After `stop`, an agent that still returns within the grace is `completed`. */
  run(attempt: ThreadAttempt): Promise<ExecutionOutcome>;
  /** Ends everything still running. */
  close(): Promise<void>;
}

/** Tells living processes from dead ones, and ends what dead workers left running. */
export interface ProcessProbe {
  /** Identity of this process. */
  self(): { host: string; machine: string; pid: number; pidStart: string };
  /** False only if the process that these facts identify is certainly gone; null if it can't be told from here. */
  alive(identity: { host: string; machine: string; pid: number; pidStart: string }): boolean | null;
  /** Ends recorded trees, and whatever carries a marker with one of the prefixes. Resolves when verified. */
  endOrphans(identities: ProcessIdentity[], prefixes: string[]): Promise<number>;
}
