/**
 * The context object that an agent's code sees: the public face of a scope. One object per attempt or item, methods on the
 * prototype, so that a million items cost a million small objects and no closures.
 */
import type {
  ApprovalOptions,
  ApprovalOutcome,
  ArtifactRef,
  ChildOutcome,
  Context,
  Dataset,
  DatasetRef,
  MapOptions,
  MapResult,
  MapSource,
  OfferedArtifact,
  SpawnSpec,
  StepKey,
  StepOptions,
} from "../core/agent.ts";
import { isDryRun } from "../core/model.ts";
import { offerTo } from "./offer.ts";
import { type AttemptScope, SkipSignal } from "./scope.ts";

/** Operations that need the worker. */
export interface ContextHost {
  spawn<T>(scope: AttemptScope, key: string, spec: SpawnSpec): Promise<ChildOutcome<T>>;
  map(scope: AttemptScope, key: string, source: MapSource, work: unknown, options: MapOptions): Promise<MapResult<any>>;
  sleep(scope: AttemptScope, key: string, ms: number): Promise<void>;
  approval<T>(scope: AttemptScope, key: string, options: ApprovalOptions): Promise<ApprovalOutcome<T>>;
  progress(scope: AttemptScope, done: number, total?: number, message?: string): void;
}

type StepWork<T> = (step: { idempotencyKey: string; signal: AbortSignal }) => T | Promise<T>;

/** A promise that nobody awaits must not bring the process down when it fails after the attempt has ended. */
function heeded<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

export class AttemptContext implements Context {
  readonly #scope: AttemptScope;
  readonly #host: ContextHost;
  #log: Context["log"] | null = null;

  constructor(scope: AttemptScope, host: ContextHost) {
    this.#scope = scope;
    this.#host = host;
  }

  get runId(): string {
    return this.#scope.facts.run.id;
  }

  get jobId(): string {
    return this.#scope.facts.job.id;
  }

  get params(): Readonly<Record<string, any>> {
    return this.#scope.facts.resolved.params;
  }

  get attempt(): number {
    return this.#scope.facts.attempt;
  }

  get epoch(): number {
    return this.#scope.lease.epoch;
  }

  get item(): number | null {
    return this.#scope.facts.item;
  }

  get idempotencyKey(): string {
    return this.#scope.idempotencyKey;
  }

  get signal(): AbortSignal {
    return this.#scope.signal;
  }

  get workspace(): string {
    const { workspace } = this.#scope.facts;
    this.#scope.parts.files.ensure(workspace);
    return workspace;
  }

  get dryRun(): boolean {
    return isDryRun(this.#scope.facts.run);
  }

  step<T>(key: StepKey, work: StepWork<T>, options?: StepOptions): Promise<T> {
    return heeded(this.#step(key, work, options));
  }

  async #step<T>(key: StepKey, work: StepWork<T>, options?: StepOptions): Promise<T> {
    const scope = this.#scope;
    const text = scope.claimKey(key, AttemptContext.prototype.step);
    const gate = scope.enter();
    if (gate !== null) await gate;
    try {
      return await scope.stepOnce(text, options, () =>
        work({
          idempotencyKey: `${scope.idempotencyKey}/${text}`,
          get signal() {
            return scope.signal;
          },
        }),
      );
    } finally {
      scope.leave();
    }
  }

  spawn<T = any>(key: StepKey, spec: SpawnSpec): Promise<ChildOutcome<T>> {
    return heeded(this.#spawn(key, spec));
  }

  async #spawn<T = any>(key: StepKey, spec: SpawnSpec): Promise<ChildOutcome<T>> {
    return await this.#host.spawn<T>(this.#scope, this.#scope.claimKey(key, AttemptContext.prototype.spawn), spec);
  }

  async map<I = any, O = any>(
    key: StepKey,
    source: MapSource,
    work: ((item: I, ctx: Context) => O | Promise<O>) | string,
    options: MapOptions = {},
  ): Promise<MapResult<O>> {
    const text = this.#scope.claimKey(key, AttemptContext.prototype.map);
    return await this.#host.map(this.#scope, text, source, work, options);
  }

  sleep(key: StepKey, ms: number): Promise<void> {
    return heeded(this.#sleep(key, ms));
  }

  approval<T = any>(key: StepKey, options: ApprovalOptions): Promise<ApprovalOutcome<T>> {
    return heeded(this.#approval<T>(key, options));
  }

  async #approval<T>(key: StepKey, options: ApprovalOptions): Promise<ApprovalOutcome<T>> {
    return await this.#host.approval<T>(
      this.#scope,
      this.#scope.claimKey(key, AttemptContext.prototype.approval),
      options,
    );
  }

  async #sleep(key: StepKey, ms: number): Promise<void> {
    await this.#host.sleep(this.#scope, this.#scope.claimKey(key, AttemptContext.prototype.sleep), ms);
  }

  artifact(
    name: string,
    content: string | Uint8Array | { path: string },
    options?: { mediaType?: string; type?: string },
  ): Promise<ArtifactRef> {
    return heeded(this.#scope.artifact(name, content, options));
  }

  artifacts(filter: Parameters<Context["artifacts"]>[0] = {}): Promise<OfferedArtifact[]> {
    return heeded(this.#artifacts(filter));
  }

  async #artifacts({ job, name, type }: NonNullable<Parameters<Context["artifacts"]>[0]>): Promise<OfferedArtifact[]> {
    const { artifacts } = await offerTo(this.#scope);
    return artifacts.filter(
      (entry) =>
        (job === undefined || entry.job === job) &&
        (name === undefined || entry.name === name) &&
        (type === undefined || entry.type === type),
    );
  }

  dataset(name: string, records: Iterable<unknown> | AsyncIterable<unknown>): Promise<DatasetRef> {
    return heeded(this.#scope.dataset(name, records));
  }

  open<T>(ref: DatasetRef): Dataset<T> {
    return this.#scope.open<T>(ref);
  }

  readArtifact(ref: ArtifactRef | DatasetRef): AsyncIterable<Uint8Array> {
    return this.#scope.readArtifact(ref);
  }

  progress(done: number, total?: number, message?: string): void {
    this.#host.progress(this.#scope, done, total, message);
  }

  get log(): Context["log"] {
    const scope = this.#scope;
    this.#log ??= {
      info: (message, fields) => scope.log("INFO", message, fields),
      warn: (message, fields) => scope.log("WARNING", message, fields),
      error: (message, fields) => scope.log("ERROR", message, fields),
    };
    return this.#log;
  }

  limit(name: string): Promise<void> {
    return heeded(this.#scope.limit(name));
  }

  outcome(name: string, ok: boolean): Promise<void> {
    return heeded(this.#scope.outcome(name, ok));
  }

  spend(name: string, amount: number): Promise<void> {
    return heeded(this.#scope.spend(name, amount));
  }

  skip(reason: string): never {
    throw new SkipSignal(reason);
  }
}
