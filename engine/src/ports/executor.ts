/**
 * Port: how an agent's work is carried out. The runtime resolves everything (input, policy, limits) and hands over one
 * attempt; the executor returns an outcome and never touches the ledger itself.
 */
import type { StoredError } from "../core/errors.ts";
import type { CommandSpec } from "../core/document.ts";
import type { Json } from "../core/model.ts";
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
  artifact(name: string, content: Uint8Array | { path: string }, mediaType?: string): Promise<{ sha256: string; bytes: number }>;
  limit(name: string, key?: string): Promise<void>;
  spend(name: string, amount: number): Promise<void>;
  spawn(key: string, spec: { agent: string; input?: Json }): Promise<Json>;
  sleep(key: string, ms: number): Promise<void>;
}

/** One attempt of one command. */
export interface CommandAttempt {
  runId: string;
  jobId: string;
  /** Ordinal of the item, for a fan-out. */
  item: number | null;
  attempt: number;
  epoch: number;
  command: CommandSpec;
  input: Json;
  /** Folder that belongs to this job; exists. */
  workspace: string;
  /** Folder for this attempt's input, output and socket; exists, private, removed by the caller. */
  scratch: string;
  /** Folder that holds links to the artifacts which the input refers to. */
  artifacts: string;
  /** Raw output goes here, see LogSink. */
  output: (stream: "stdout" | "stderr", chunk: Uint8Array) => void;
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
  /** Ends everything still running. Resolves when each tree is verified dead. */
  close(): Promise<void>;
}
