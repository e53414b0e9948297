/** Everything that the runtime is given from outside; adapters arrive here as arguments. */
import type { Agent } from "../core/agent.ts";
import type { PipelineDocument } from "../core/document.ts";
import type { Json } from "../core/model.ts";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import type { Workspaces } from "../ports/artifacts.ts";
import type { Clock, Entropy } from "../ports/clock.ts";
import type { Datasets } from "../ports/datasets.ts";
import type { CommandExecutor, ProcessProbe, ThreadExecutor } from "../ports/executor.ts";
import type { Ledger } from "../ports/ledger.ts";
import type { LlmExecutor } from "../ports/llm.ts";
import type { LogSink } from "../ports/log-sink.ts";

/** A pipeline as this process knows it; what it lacks (code, schemas) the ledger can't supply. */
export interface KnownPipeline {
  document: PipelineDocument;
  version: string;
  agents: readonly Agent[];
  /** Folder that relative paths in the pipeline refer to. */
  folder: string;
}

export interface Files {
  /** Makes the folder and returns its path. */
  folder(...parts: string[]): Promise<string>;
  /** Makes the folder, with all above it. */
  make(path: string): Promise<void>;
  /** The same at once. */
  ensure(path: string): void;
  remove(path: string): Promise<void>;
  /** Links or copies an object of the store into a folder under its hash. */
  link(from: string, folder: string, name: string): Promise<void>;
  resolve(folder: string, path: string): string;
}

/** Whose code runs. */
export interface Origin {
  run: string;
  job: string;
  item: number | null;
}

export interface Parts {
  ledger: Ledger;
  store: ArtifactStore;
  datasets: Datasets;
  logs: LogSink;
  files: Files;
  commands: CommandExecutor;
  threads: ThreadExecutor;
  models: LlmExecutor;
  workspaces: Workspaces;
  probe: ProcessProbe;
  clock: Clock;
  entropy: Entropy;
  /** Calls functions such that what they throw outside of what they await is known to be theirs, and fails them. */
  strays?: { run<T>(origin: Origin, work: () => T | Promise<T>): T | Promise<T> };
  /** What the ids of this process's boots, and the markers of its processes, begin with. */
  bootPrefix: string;
  /** SHA-256 in lower-case hex. */
  hash(text: string): string;
}

export interface EngineOptions {
  /** Jobs at the same time. Default 10. */
  concurrency: number;
  leaseMs: number;
  heartbeatMs: number;
  /** Time that a graceful stop gives to running attempts before they are stopped. Default 30,000. */
  drainMs: number;
  /** Crashes of a worker during one job before it is failed. */
  maxCrashes: number;
  /** Ended runs older than this are pruned from time to time; null keeps everything. */
  retentionMs: number | null;
  /** Agents that this worker takes; default all that it knows. */
  agents?: (name: string) => boolean;
}

export type Params = { [key: string]: Json };
