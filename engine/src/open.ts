/**
 * `openTenuto`: puts the engine together from its adapters. The outermost wiring of the library; nothing else knows all of
 * them.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { copyFile, link, mkdir, rm } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import {
  decodeOffsets,
  encodeOffsets,
  iterateRecords,
  openDataset,
  readRecords,
  writeDataset,
} from "./artifacts/dataset.ts";
import { openFileStore } from "./artifacts/filesystem.ts";
import { importJsonl } from "./artifacts/import-jsonl.ts";
import { workspacesIn } from "./artifacts/workspaces.ts";
import { bindAgents, type Pipeline } from "./authoring/define.ts";
import { parseParams } from "./authoring/params.ts";
import { assertRequirements } from "./authoring/requirements.ts";
import type { Agent } from "./core/agent.ts";
import { recordProcess } from "./core/changes.ts";
import type { ProcessRow } from "./core/decision.ts";
import { TenutoError } from "./core/errors.ts";
import { HEARTBEAT_MS, LEASE_MS } from "./core/limits.ts";
import { createCommandExecutor } from "./executors/command.ts";
import { createLlmExecutor } from "./executors/llm/index.ts";
import { createProbe } from "./executors/probe.ts";
import { createThreadExecutor } from "./executors/thread.ts";
import { kernelFilesystem } from "./ledger/sqlite/filesystem.ts";
import { openLogFiles } from "./logs/files.ts";
import type { TracesOptions } from "./notify/traces.ts";
import { clockOf, databaseAt, isPostgres, openLedger } from "./open-ledger.ts";
import { addNotifiers, addTraces } from "./open-notifiers.ts";
import { addSchedules, type Named } from "./open-schedules.ts";
import type { Shared } from "./open-shared.ts";
import type { ArtifactStore } from "./ports/artifact-store.ts";
import type { Clock, Entropy } from "./ports/clock.ts";
import type { Datasets } from "./ports/datasets.ts";
import type { CommandAttempt, ProcessIdentity } from "./ports/executor.ts";
import type { Ledger } from "./ports/ledger.ts";
import type { LogSink } from "./ports/log-sink.ts";
import type { NotifierSpec } from "./ports/notifier.ts";
import type { Client, RunHandle, StartOptions } from "./runtime/client.ts";
import { Engine, type WorkOptions } from "./runtime/engine.ts";
import type { EngineOptions, Files, KnownPipeline, Params, Parts } from "./runtime/parts.ts";
import type { Schedules } from "./runtime/schedules.ts";
import type { Templates } from "./runtime/templates.ts";

export interface OpenOptions {
  /** Folder for ledger, artifacts, logs and workspaces. Default `.tenuto` in the working directory. */
  home?: string;
  /** Path of the ledger's file, or a `postgres:` URL. Default `TENUTO_DATABASE`, else `ledger.db` in the home. */
  database?: string;
  /**
   * With a ledger on PostgreSQL: where the bytes of artifacts go, as `s3://bucket/prefix?endpoint=…`; the same on all machines.
   * Default `TENUTO_ARTIFACT_STORE`, else the database.
   */
  artifacts?: string;
  /**
   * With a ledger on PostgreSQL: how long a question waits for a connection, each of up to ten times. Default 60,000, so that
   * work outlasts a server that is away for some minutes.
   */
  waitMs?: number;
  /** With a ledger on PostgreSQL: what copies of artifacts may take on this machine. Default 10 GiB. */
  cacheBytes?: number;
  pipelines?: readonly Pipeline<any>[];
  agents?: readonly Agent[];
  /** Jobs at the same time. Default 10. */
  concurrency?: number;
  /** False: no worker in this process; runs are started and read, another process works on them. Default true. */
  work?: boolean;
  /** Time without a heartbeat after which a worker counts as dead. At least three heartbeats. Default 30,000. */
  leaseMs?: number;
  heartbeatMs?: number;
  /** Time that `close` gives to running attempts. Default 30,000. */
  drainMs?: number;
  maxCrashes?: number;
  /** Ended runs older than this are pruned with their files. Default: kept for ever. */
  retentionMs?: number;
  /** Which agents this process works for. Default all that it knows. */
  takes?: (agent: string) => boolean;
  /** Who is told about runs, when and how. */
  notifiers?: readonly NotifierSpec[];
  /** Where spans of runs and attempts are sent, as OTLP over HTTP. Default: to `TENUTO_TRACES`, or nowhere. */
  traces?: TracesOptions;
  /** Where notifiers of kind `log` write. Default: standard error. */
  onNotice?: (text: string) => void;
  /** Told of faults that belong to no run: a full disk, a lost ledger. Default: standard error. */
  onFault?: (error: unknown) => void;
  clock?: Clock;
  entropy?: Entropy;
  ledger?: Ledger;
  cwd?: string;
}

/** An open Tenuto. Close it to stop in order. */
export interface Tenuto {
  readonly home: string;
  readonly client: Client;
  readonly engine: Engine;
  readonly store: ArtifactStore;
  /** Pipelines kept in the ledger. */
  readonly templates: Templates;
  /** What is started by itself. Fired while this engine works. */
  readonly schedules: Schedules;
  /** Starts a run. @throws unknown_pipeline, invalid_params, missing_prerequisites, concurrency_refused */
  start(pipeline: string | Pipeline<any>, params?: unknown, options?: StartOptions): Promise<RunHandle>;
  /** Begins to work on what is ready, or only on the run with this `seq`; done by `openTenuto` unless `work` is false. */
  work(options?: WorkOptions): Promise<void>;
  close(options?: { drainMs?: number }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** How far the clock may run ahead of the system's when that was set back. */
const MAX_LEAD_MS = 86_400_000;
let lastNow = Date.now();
let lastTick = performance.now();

/**
 * The system's time, but never slower than the time that really passes: when the clock is set back, sleeps and retries do
 * not wait for the difference. A clock that jumps forward is followed at once, as after a laptop's sleep.
 */
function steadyNow(): number {
  const wall = Date.now();
  const tick = performance.now();
  const paced = Math.floor(lastNow + (tick - lastTick));
  if (wall >= paced) {
    lastNow = wall;
    lastTick = tick;
    return wall;
  }
  return Math.min(paced, wall + MAX_LEAD_MS);
}

export const systemClock: Clock = {
  now: steadyNow,
  after: (ms, callback) => {
    // Node fires timers longer than this at once.
    const timer = setTimeout(callback, Math.min(ms, 2_147_483_647));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Opens home and ledger, and begins to work. @throws schema_newer, invalid_config, unsupported_filesystem */
export async function openTenuto(options: OpenOptions = {}): Promise<Tenuto> {
  const cwd = options.cwd ?? process.cwd();
  const home = resolve(cwd, options.home ?? ".tenuto");
  const engineOptions = checkedOptions(options);
  const database = databaseAt({ home, cwd, database: options.database });
  const onFault =
    options.onFault ?? ((error: unknown) => console.error(error instanceof Error ? `tenuto: ${error.message}` : error));
  refuseKernelFolders(home);
  mkdirSync(home, { recursive: true });
  const ledger = options.ledger ?? (await openLedger(database, options.clock, systemClock, onFault, options.waitMs));
  const clock = clockOf(ledger, database, options.clock, systemClock);
  let shared: Shared | null = null;
  try {
    if (isPostgres(database) && options.ledger === undefined)
      shared = await (await import("./open-shared.ts")).openShared(database, home, { ...options, clock, onFault });
    const { store, logs } = shared ?? (await ownParts(home, clock, onFault));
    const probe = createProbe({ manyMachines: shared !== null });
    const parts = assemble(home, cwd, ledger, clock, options, { store, logs, probe });
    const engine = new Engine(
      parts,
      engineOptions,
      cwd,
      (pipeline, params) => parseParams(pipeline as unknown as Pipeline, params) as Params,
    );
    const named = addSchedules(engine, cwd, (known, params, how) => startChecked(engine, known, params, how));
    if (shared !== null) engine.services.push(shared.upkeep(ledger));
    addNotifiers(engine, cwd, options.notifiers, options.onNotice ?? ((text) => console.error(text)));
    addTraces(engine, options.traces);
    engine.onFault(onFault);
    engine.sweeper.onPruned = (ids) => removeRunFiles(home, parts.logs, ids);
    for (const pipeline of options.pipelines ?? []) addPipeline(engine, pipeline, cwd);
    for (const agent of options.agents ?? []) engine.definitions.addAgent(agent);
    if (options.work !== false) await engine.work();
    return facade(home, cwd, engine, parts, named);
  } catch (error) {
    await shared?.logs.close();
    await ledger.close();
    throw error;
  }
}

/** Artifacts and logs in the home, for machines that share nothing. */
async function ownParts(home: string, clock: Clock, onFault: (error: unknown) => void) {
  const store = await openFileStore(join(home, "artifacts"));
  return { store, logs: openLogFiles(join(home, "logs"), { clock, onProblem: onFault }) };
}

function facade(home: string, cwd: string, engine: Engine, parts: Parts, named: Named): Tenuto {
  const close = async (how: { drainMs?: number } = {}) => await engine.close(how.drainMs);
  return {
    home,
    client: engine.client,
    engine,
    store: parts.store,
    start: async (pipeline, params, how) => {
      if (typeof pipeline !== "string" && pipeline?.kind !== "pipeline")
        throw new TenutoError("invalid_input", "start needs the name of a pipeline, or what definePipeline gave");
      const known = typeof pipeline === "string" ? await named.pipeline(pipeline) : addPipeline(engine, pipeline, cwd);
      return await startChecked(engine, known, params, how);
    },
    templates: named.templates,
    schedules: named.schedules,
    work: (how) => engine.work(how),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

async function startChecked(
  engine: Engine,
  known: KnownPipeline,
  params: unknown,
  how?: StartOptions,
): Promise<RunHandle> {
  const { document } = known;
  if (document.requires !== undefined && document.requires.length > 0) {
    assertRequirements(document, process.env, {
      cwd: known.folder,
      agents: new Set(engine.definitions.agentNames()),
      params: parseParams(known as unknown as Pipeline, params) as Params,
    });
  }
  return await engine.client.startKnown(known, params, how);
}

function addPipeline(engine: Engine, pipeline: Pipeline<any>, cwd: string): KnownPipeline {
  if (pipeline?.kind !== "pipeline")
    throw new TenutoError("invalid_config", "pipelines must hold what definePipeline gives", {
      hint: "Check the list for a missing export.",
    });
  const bound = bindAgents(pipeline, []);
  const folder = bound.file === undefined ? cwd : resolve(cwd, bound.file, "..");
  const known: KnownPipeline = { ...bound, folder };
  engine.definitions.add(known);
  return known;
}

function checkedOptions(options: OpenOptions): EngineOptions {
  const leaseMs = options.leaseMs ?? LEASE_MS;
  const heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
  const concurrency = options.concurrency ?? 10;
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw new TenutoError("invalid_config", `concurrency must be a whole number of at least 1, not ${concurrency}`);
  if (!(leaseMs >= 3 * heartbeatMs)) {
    throw new TenutoError(
      "invalid_config",
      `leaseMs (${leaseMs}) must be at least three times heartbeatMs (${heartbeatMs})`,
      { hint: "A shorter lease takes work from workers that are merely slow." },
    );
  }
  const positive = { leaseMs, heartbeatMs, retentionMs: options.retentionMs, maxCrashes: options.maxCrashes };
  for (const [name, value] of Object.entries(positive)) {
    if (value !== undefined && !(Number.isFinite(value) && value > 0))
      throw new TenutoError("invalid_config", `${name} must be a number above 0, not ${value}`);
  }
  if (options.drainMs !== undefined && !(options.drainMs >= 0))
    throw new TenutoError("invalid_config", `drainMs must be a number of 0 or more, not ${options.drainMs}`);
  return {
    concurrency,
    leaseMs,
    heartbeatMs,
    drainMs: options.drainMs ?? 30_000,
    maxCrashes: options.maxCrashes ?? 3,
    retentionMs: options.retentionMs ?? null,
    ...(options.takes === undefined ? {} : { agents: options.takes }),
  };
}

function refuseKernelFolders(home: string): void {
  const kind = kernelFilesystem(home);
  if (kind === undefined) return;
  throw new TenutoError("unsupported_filesystem", `${home} can't be a home: it lies on ${kind}`, {
    hint: "Choose a folder on a local disk with --home.",
  });
}

function assemble(
  home: string,
  cwd: string,
  ledger: Ledger,
  clock: Clock,
  options: OpenOptions,
  { store, logs, probe }: Pick<Parts, "store" | "logs" | "probe">,
): Parts {
  const entropy: Entropy = options.entropy ?? { hex: (bytes) => randomBytes(bytes).toString("hex") };
  const bootPrefix = entropy.hex(8);
  const commands = createCommandExecutor({ markerPrefix: bootPrefix, recordProcess: processRecorder(ledger) });
  return {
    ledger,
    store,
    datasets: datasetsOn(store),
    logs,
    files: filesIn(home, cwd),
    workspaces: workspacesIn(join(home, "baselines"), store),
    commands,
    models: createLlmExecutor({ commands }),
    threads: createThreadExecutor(),
    probe,
    clock,
    entropy,
    bootPrefix,
    hash: (text) => createHash("sha256").update(text).digest("hex"),
  };
}

/** Keeps the identities of running programs in the ledger, so that a later engine finds what this one leaves behind. */
function processRecorder(ledger: Ledger): (attempt: CommandAttempt, identity: ProcessIdentity | null) => void {
  const running = new WeakMap<CommandAttempt, ProcessRow>();
  return (attempt, identity) => {
    const row = identity === null ? running.get(attempt) : { ...identity, ...attempt.owner, epoch: attempt.epoch };
    if (row === undefined) return;
    running.set(attempt, row);
    // Not waited for: it travels with the next commit, and the marker identifies the tree as well.
    void ledger.apply(recordProcess(row, identity === null)).catch(() => {});
  };
}

function datasetsOn(store: ArtifactStore): Datasets {
  return {
    write: (records, how) => writeDataset(store, records, how),
    importJsonl: (path) => importJsonl(store, path),
    read: (info, start, end) => readRecords(store, info, start, end),
    iterate: (info) => iterateRecords(store, info),
    open: (loadInfo, ref) => openDataset(store, loadInfo, ref),
    encodeOffsets: (info) => encodeOffsets(info),
    decodeOffsets: (bytes) => decodeOffsets(bytes),
  };
}

function filesIn(home: string, cwd: string): Files {
  return {
    folder: async (...parts) => {
      const path = join(home, ...parts);
      await mkdir(path, { recursive: true, mode: 0o700 });
      return path;
    },
    make: async (path) => void (await mkdir(path, { recursive: true, mode: 0o700 })),
    ensure: (path) => void mkdirSync(path, { recursive: true, mode: 0o700 }),
    remove: (path) => rm(path, { recursive: true, force: true }),
    link: async (from, folder, name) => {
      await mkdir(folder, { recursive: true });
      await link(from, join(folder, name)).catch(() => copyFile(from, join(folder, name)));
    },
    resolve: (folder, path) =>
      isAbsolute(path) ? path : folder === "" ? join(home, "workspaces", path) : resolve(cwd, folder, path),
  };
}

/** Logs and workspaces of runs that are no longer in the ledger. */
export async function removeRunFiles(home: string, logs: LogSink, ids: readonly string[]): Promise<void> {
  await logs.forget(ids);
  for (const id of ids) {
    await rm(join(home, "workspaces", id), { recursive: true, force: true });
    await rm(join(home, "baselines", id), { recursive: true, force: true });
  }
}
