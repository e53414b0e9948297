/**
 * What the code of one attempt works in: identity, lease, steps, logs, artifacts, limiters. A job and an item of a fan-out
 * differ only in how their writes are guarded (lease or window) and in what they may wait for.
 */
import type { ArtifactRef, Dataset, DatasetRef, StepKey, StepOptions } from "../core/agent.ts";
import { ARTIFACT_TYPES, isArtifactType } from "../core/artifact.ts";
import type { ArtifactRow, Effect, StepRow } from "../core/decision.ts";
import { TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import type { JobRow, Json, RunRow } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import { canonicalJson } from "../core/pipeline.ts";
import { stepKeyText } from "../core/step-key.ts";
import type { DatasetInfo } from "../ports/artifact-store.ts";
import type { LogLevel } from "../ports/log-sink.ts";
import type { ResolvedJob } from "./definitions.ts";
import { findLimiter, pass, sleep, spendFrom, stopped, tellOutcome } from "./limiting.ts";
import { recordUse } from "./offer.ts";
import type { Parts } from "./parts.ts";

const FULL_DISK_RETRY_MS = 1_000;
const NAME_MAX = 1_000;

/** Thrown by `ctx.skip`. */
export class SkipSignal extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.name = "SkipSignal";
    this.reason = reason;
  }
}

/** `timeout` is the limit of one attempt, `deadline` that of the whole job. */
export type AbortReason = "cancel" | "stop" | "timeout" | "deadline" | "lease";

export interface ScopeFacts {
  run: RunRow;
  job: JobRow;
  resolved: ResolvedJob;
  /** Ordinal, or null for a job. */
  item: number | null;
  attempt: number;
  /** Whether steps may have been recorded by an earlier attempt. */
  mayHaveSteps: boolean;
  workspace: string;
}

export abstract class AttemptScope {
  readonly parts: Parts;
  readonly facts: ScopeFacts;
  private places: Map<string, { stack?: string }> | null = null;
  private controller: AbortController | null = null;
  private abortReason: AbortReason | null = null;

  constructor(parts: Parts, facts: ScopeFacts) {
    this.parts = parts;
    this.facts = facts;
  }

  abstract get lease(): Lease;
  /** Commits a step under the lease. @throws lease_lost */
  protected async saveStep(row: StepRow): Promise<void> {
    await this.guarded([{ type: "step", row }]);
  }

  /** Commits effects under the lease. @throws lease_lost */
  abstract guarded(effects: readonly Effect[]): Promise<void>;

  /** A write that met a full disk is made again when there is room; work under way need not fail for it. */
  async insist(fault: unknown, write: () => Promise<unknown>): Promise<void> {
    for (let error = fault; ; ) {
      if (!(error instanceof TenutoError) || error.code !== "disk_full") throw error;
      await sleep(this.parts.clock, FULL_DISK_RETRY_MS, this.signal);
      try {
        await write();
        return;
      } catch (again) {
        error = again;
      }
    }
  }

  /** Called around everything that must not be interrupted by a wait. */
  enter(): Promise<void> | null {
    return null;
  }
  leave(): void {}

  /** Takes what a program of this attempt writes to standard output, while somebody wants it; `begin` forgets an earlier one. */
  stdout: { begin(): void; write(chunk: Uint8Array): void } | null = null;

  /** Set by whoever watches the time of this attempt. */
  time: { hold(): void; start(): void } = { hold: () => {}, start: () => {} };

  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.abortReason !== null) this.controller.abort(this.abortReason);
    }
    return this.controller.signal;
  }

  get aborted(): AbortReason | null {
    return this.abortReason;
  }

  abort(reason: AbortReason): void {
    if (this.abortReason !== null) return;
    this.abortReason = reason;
    this.controller?.abort(reason);
  }

  /** Settles with the work, or throws `stopped` as soon as the attempt is aborted. */
  abortable<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    if (signal.aborted) return Promise.race([work, Promise.reject(stopped())]);
    return new Promise<T>((resolve, reject) => {
      const onAbort = () => setImmediate(() => reject(stopped()));
      signal.addEventListener("abort", onAbort, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    });
  }

  get idempotencyKey(): string {
    const { run, job, item } = this.facts;
    return item === null ? `${run.id}/${job.id}` : `${run.id}/${job.id}/${item}`;
  }

  /** A step's key as text; a key used twice in one attempt is a mistake that would answer with the wrong result. */
  claimKey(key: StepKey, caller: (...args: never[]) => unknown): string {
    if (typeof key !== "string" && !Array.isArray(key))
      throw new TenutoError(
        "invalid_input",
        `a step's key must be a text or a list, not ${key === null ? "null" : typeof key}`,
      );
    const text = stepKeyText(key);
    if (text === "")
      throw new TenutoError("invalid_input", "a step's key is empty", { hint: "Give each step a name of its own." });
    const place: { stack?: string } = {};
    captureCaller(place, caller);
    this.places ??= new Map();
    const before = this.places.get(text);
    if (before !== undefined) throw duplicateKey(text, before, place);
    this.places.set(text, place);
    return text;
  }

  /** Runs `work` unless its result is recorded. */
  async stepOnce<T>(key: string, options: StepOptions | undefined, work: () => T | Promise<T>): Promise<T> {
    const inputHash = options?.input === undefined ? null : this.parts.hash(canonicalJson(options.input));
    const recorded = await this.recorded(key, inputHash);
    if (recorded !== undefined) return recorded as T;
    const startedAt = this.parts.clock.now();
    const value = await work();
    const payload = checkPayload(value, `result of step ${JSON.stringify(key)} of job ${this.facts.job.id}`);
    await this.record(key, inputHash, payload.json, startedAt);
    return value === undefined ? (null as T) : value;
  }

  async recorded(key: string, inputHash: string | null): Promise<Json | undefined> {
    if (!this.facts.mayHaveSteps) return undefined;
    const row = await this.parts.ledger.step(this.facts.job.seq, this.facts.item ?? -1, key);
    if (row === null || (inputHash !== null && row.inputHash !== inputHash)) return undefined;
    return JSON.parse(row.output) as Json;
  }

  /** `more` is written in the same commit. */
  async record(
    key: string,
    inputHash: string | null,
    output: string,
    startedAt: number,
    more: readonly Effect[] = [],
  ): Promise<void> {
    const row: StepRow = {
      job: this.facts.job.seq,
      item: this.facts.item ?? -1,
      key,
      inputHash,
      output,
      startedAt,
      endedAt: this.parts.clock.now(),
    };
    if (more.length === 0) await this.saveStep(row);
    else await this.guarded([{ type: "step", row }, ...more]);
  }

  async artifact(
    name: string,
    content: string | Uint8Array | { path: string },
    options: { mediaType?: string; type?: string } = {},
  ): Promise<ArtifactRef> {
    const { store } = this.parts;
    const { type = "file" } = options;
    if (!isArtifactType(type))
      throw new TenutoError("invalid_input", `${JSON.stringify(type)} is no type of an artifact`, {
        hint: `Types: ${ARTIFACT_TYPES.join(", ")}.`,
      });
    if (typeof name !== "string" || name === "" || name.length > NAME_MAX)
      throw new TenutoError("invalid_input", `the name of an artifact must be a text of 1 to ${NAME_MAX} characters`);
    const stored =
      typeof content === "object" && "path" in content && !(content instanceof Uint8Array)
        ? await store.putFile(content.path)
        : await store.put(typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array));
    const mediaType = options.mediaType ?? "application/octet-stream";
    const row: ArtifactRow = {
      ...this.artifactFacts(),
      name,
      type,
      sha256: stored.sha256,
      bytes: stored.bytes,
      mediaType,
      offered: this.offers(),
    };
    await this.guarded([{ type: "artifact", row }]);
    return { $artifact: `sha256:${stored.sha256}`, name, bytes: stored.bytes, mediaType };
  }

  private artifactFacts() {
    return {
      run: this.facts.run.seq,
      job: this.facts.job.seq,
      attempt: this.facts.attempt,
      item: this.facts.item ?? -1,
      at: this.parts.clock.now(),
    };
  }

  /** Artifacts of items are not offered one by one: there may be a million. */
  private offers(): 0 | 1 {
    return this.facts.item === null && this.facts.resolved.spec.artifacts?.offer !== "none" ? 1 : 0;
  }

  /** With `internal`, the engine's own: found by whoever is given the reference, but not offered. */
  async dataset(
    name: string,
    records: Iterable<unknown> | AsyncIterable<unknown>,
    internal = false,
  ): Promise<DatasetRef> {
    const info = await this.parts.datasets.write(records);
    await this.guarded([...this.datasetEffects(name, info, internal ? 0 : this.offers())]);
    return { $dataset: `sha256:${info.sha256}`, count: info.count, bytes: info.bytes };
  }

  datasetEffects(name: string, info: DatasetInfo, offered: 0 | 1 = 0): Effect[] {
    return [
      {
        type: "dataset",
        sha256: info.sha256,
        count: info.count,
        bytes: info.bytes,
        stride: info.stride,
        offsets: this.parts.datasets.encodeOffsets(info),
      },
      {
        type: "artifact",
        row: {
          ...this.artifactFacts(),
          name,
          type: "dataset",
          sha256: info.sha256,
          bytes: info.bytes,
          mediaType: "application/jsonl",
          offered,
        },
      },
    ];
  }

  open<T>(ref: DatasetRef): Dataset<T> {
    const load = async (sha256: string) => {
      await recordUse(this, sha256, "read");
      return await loadDataset(this.parts, sha256);
    };
    return this.parts.datasets.open<T>(load, ref);
  }

  async *readArtifact(ref: ArtifactRef | DatasetRef): AsyncGenerator<Uint8Array> {
    const name = "$artifact" in ref ? ref.$artifact : ref.$dataset;
    const sha256 = name.replace(/^sha256:/, "");
    await recordUse(this, sha256, "read");
    yield* this.parts.store.get(sha256);
  }

  log(level: LogLevel, message: string, fields?: Record<string, Json>): void {
    if (this.abortReason === "lease") return;
    const text = typeof message === "string" ? message : String(message);
    const { run, job, item, attempt } = this.facts;
    this.parts.logs.line({
      at: this.parts.clock.now(),
      run: run.id,
      job: job.id,
      attempt,
      ...(item === null ? {} : { item }),
      agent: this.facts.resolved.spec.agent,
      level,
      message: text,
      ...(fields === undefined ? {} : { fields }),
    });
  }

  async limit(name: string): Promise<void> {
    const limiter = findLimiter(name, this.facts.resolved.definition.document.limiters ?? {});
    await pass(this.parts.ledger, this.parts.clock, limiter, this.holder(), this.signal, Number.POSITIVE_INFINITY);
  }

  async spend(name: string, amount: number): Promise<void> {
    await spendFrom(
      this.parts.ledger,
      findLimiter(name, this.facts.resolved.definition.document.limiters ?? {}),
      this.holder(),
      amount,
    );
  }

  async outcome(name: string, ok: boolean): Promise<void> {
    await tellOutcome(
      this.parts.ledger,
      findLimiter(name, this.facts.resolved.definition.document.limiters ?? {}),
      this.holder(),
      ok,
    );
  }

  holder() {
    return { job: this.facts.job.seq, lease: this.lease, item: this.facts.item ?? -1 };
  }

  /** A durable pause that keeps the item: the end is recorded, so that a crash does not start it anew. */
  async pauseInPlace(key: string, ms: number): Promise<void> {
    const until = await this.stepOnce(`sleep:${key}`, undefined, () => this.parts.clock.now() + ms);
    const left = Number(until) - this.parts.clock.now();
    if (left > 0) await sleep(this.parts.clock, left, this.signal);
  }
}

export async function loadDataset(parts: Parts, sha256: string): Promise<DatasetInfo> {
  const row = await parts.ledger.dataset(sha256);
  if (row === null)
    throw new TenutoError("not_found", `there is no dataset sha256:${sha256}`, {
      hint: "It was made by another ledger or has been pruned.",
    });
  return { sha256, count: row.count, bytes: row.bytes, ...parts.datasets.decodeOffsets(row.offsets) };
}

/** Only the line that called is wanted; a whole stack would cost more than the rest of a step. */
function captureCaller(place: object, caller: (...args: never[]) => unknown): void {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 1;
  Error.captureStackTrace(place, caller);
  Error.stackTraceLimit = limit;
}

function duplicateKey(key: string, before: { stack?: string }, now: { stack?: string }): TenutoError {
  const where = (place: { stack?: string }) => /\n\s*at (.*)/.exec(place.stack ?? "")?.[1] ?? "an unknown place";
  return new TenutoError(
    "duplicate_step_key",
    `step key ${JSON.stringify(key)} is used twice in one attempt: at ${where(before)} and at ${where(now)}`,
    {
      hint: 'Put the identity into the key, for example ctx.step(["fetch", url], …).',
      details: { key, first: where(before), second: where(now) },
    },
  );
}
