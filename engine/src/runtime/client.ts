/**
 * What apps and the command line call: start, cancel, retry, wait, read. It needs no worker; a worker in another process
 * notices what is written here.
 */
import { totalsOf, type UsageTotals } from "../core/budget.ts";
import * as changes from "../core/changes.ts";
import type { ItemRow } from "../core/decision.ts";
import { type StoredError, TenutoError } from "../core/errors.ts";
import type { ItemState, JobState, Json, Priority, RunRow, RunSeq, RunVariant } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import { canonicalJson } from "../core/pipeline.ts";
import { expandText } from "../core/placeholders.ts";
import { planOf } from "../core/plan.ts";
import type { ApprovalRow, ApprovalState } from "../core/records.ts";
import { DEFAULT_RUN_ID, formatRunId } from "../core/run-id.ts";
import { type Exclusion, excludeJobs, excludes } from "../core/template.ts";
import type { EventRow } from "../core/unit.ts";
import type { JobRecord, RunFilter, RunRecord } from "../ports/ledger.ts";
import type { Definitions } from "./definitions.ts";
import { checkDryRun } from "./dry-run.ts";
import { importRun, type RunToImport } from "./import.ts";
import { referencedHashes } from "./offer.ts";
import type { KnownPipeline, Params, Parts } from "./parts.ts";
import { requestText } from "./request.ts";
import { type RerunRequest, rerunStart } from "./rerun.ts";
import { choiceOf, type RetryRequest } from "./retry.ts";
import { type RollbackStatus, rollbackStatus, type StartedRollback, startRollback } from "./rollback.ts";
import { RunWaiters } from "./waiters.ts";

export interface StartOptions {
  /** Two starts with the same key are one run. */
  idempotencyKey?: string;
  priority?: Priority;
  labels?: { [name: string]: string };
  /** Stages and jobs to leave out; what depends on them depends on what they depended on. */
  exclude?: Exclusion;
  /** Jobs that change something outside are planned, not run. */
  dryRun?: boolean;
  /** The run to begin again; with `from`, what that job does not touch is answered from there. */
  rerun?: RerunRequest;
}

export interface RunEnd {
  id: string;
  state: "completed" | "failed" | "cancelled";
  /** Output of the last declared job, or of the function for durable code. */
  output: Json;
  error: StoredError | null;
}

export interface DecisionInput {
  approve: boolean;
  /** Who decided. */
  by: string;
  reason?: string | null;
  /** SHA-256 of what was shown, or at least its first 8 characters. Without it the decision counts for what is shown now. */
  hash?: string | null;
  /** Takes the place of what was shown, if the approval is editable. */
  edited?: Json;
}

export interface RunHandle {
  readonly id: string;
  readonly seq: RunSeq;
  /** False if an earlier start with this idempotency key had made the run. */
  readonly created: boolean;
  /** Id of the run that holds the concurrency key, if this one has to wait for it. */
  readonly queuedBehind: string | null;
  /** Resolves when the run has ended, however it ended. @throws timeout */
  wait(options?: { timeoutMs?: number }): Promise<RunEnd>;
  cancel(reason?: string): Promise<void>;
}

const PRIORITIES: readonly string[] = ["high", "normal", "low"] satisfies Priority[];
const KEY_MAX = 255;
const REASON_MAX = 10_000;
/** Characters of a hash that a decision must at least name. */
const HASH_MIN = 8;

function checkStartOptions(options: StartOptions): void {
  const refuse = (message: string) => {
    throw new TenutoError("invalid_input", message);
  };
  if (typeof options !== "object" || options === null) refuse("the options of a start must be an object");
  const { idempotencyKey: key, priority, labels } = options;
  if (priority !== undefined && !PRIORITIES.includes(priority))
    refuse(`priority must be high, normal or low, not ${JSON.stringify(priority)}`);
  if (key !== undefined && (typeof key !== "string" || key === "" || key.length > KEY_MAX || key.includes("\0")))
    refuse(`an idempotency key must be a text of 1 to ${KEY_MAX} characters`);
  if (labels !== undefined) checkPayload(labels, "the labels of a run");
  for (const names of [options.exclude?.stages ?? [], options.exclude?.jobs ?? []])
    if (!Array.isArray(names) || !names.every((name) => typeof name === "string"))
      refuse("exclude must hold lists of names: { stages: [ … ], jobs: [ … ] }");
}

export class Client {
  private readonly parts: Parts;
  private readonly definitions: Definitions;
  private readonly parse: (pipeline: KnownPipeline, params: unknown) => Params;
  private readonly known = new Map<string, Promise<void>>();
  private readonly waiters: RunWaiters;

  constructor(parts: Parts, definitions: Definitions, parse: (pipeline: KnownPipeline, params: unknown) => Params) {
    this.parts = parts;
    this.definitions = definitions;
    this.parse = parse;
    this.waiters = new RunWaiters(parts);
  }

  /** Starts a run of a known pipeline. @throws unknown_pipeline, invalid_params, concurrency_refused, idempotency_mismatch */
  async start(name: string, params: unknown = {}, options: StartOptions = {}): Promise<RunHandle> {
    return await this.startKnown(this.definitions.pipeline(name), params, options);
  }

  /** Throws whatever a start would throw for wrong params, options or exclusions. */
  check(pipeline: KnownPipeline, params: unknown, options: StartOptions = {}): void {
    checkStartOptions(options);
    this.parse(this.without(pipeline, options.exclude).pipeline, params);
  }

  /** Many starts at once are told of one and the same definition; it is written once. */
  private makeKnown(version: string, name: string, document: KnownPipeline["document"]): Promise<void> {
    let known = this.known.get(version);
    if (known === undefined) {
      known = this.parts.ledger.putDefinition(version, name, JSON.stringify(document));
      this.known.set(version, known);
      known.catch(() => this.known.delete(version));
    }
    return known;
  }

  /** A start of a pipeline that need not be known by name here, one of a template for example. */
  async startKnown(given: KnownPipeline, params: unknown = {}, options: StartOptions = {}): Promise<RunHandle> {
    checkStartOptions(options);
    const { pipeline, variant: reduced } = this.without(given, options.exclude);
    const { document, version } = pipeline;
    const { name } = document;
    const values = this.parse(pipeline, params);
    const payload = checkPayload(values, `params of pipeline ${name}`);
    await this.makeKnown(version, name, document);
    const plan = (await this.definitions.load(version)).plan ?? planOf(document);
    const { rerun } = options;
    if (options.dryRun === true) checkDryRun(document, this.definitions.agentsOf(plan, given.agents));
    const again =
      rerun === undefined ? null : await rerunStart(this.parts.ledger, plan, await this.run(rerun.run), rerun);
    const variant = { ...reduced, ...again?.variant, ...(options.dryRun === true ? { dryRun: true as const } : {}) };
    for (const hash of referencedHashes(values)) await this.parts.store.touch(hash).catch(() => false);
    const at = this.parts.clock.now();
    const pattern = document.runId ?? DEFAULT_RUN_ID;
    const key = document.concurrency;
    const started = await this.parts.ledger.apply(
      changes.startRun({
        pipeline: name,
        version,
        plan,
        priority: options.priority ?? document.priority ?? "normal",
        makeId: (seq) =>
          formatRunId(pattern, {
            pipeline: name,
            seq,
            at,
            random: pattern.includes("{random}") ? this.parts.entropy.hex(4) : "",
          }),
        facts: {
          params: payload.json,
          idempotencyKey: options.idempotencyKey ?? null,
          requestHash:
            options.idempotencyKey === undefined ? null : this.parts.hash(requestText(name, values, options)),
          labels: options.labels === undefined ? null : JSON.stringify(options.labels),
        },
        variant: Object.keys(variant).length === 0 ? null : variant,
        ...(again === null ? {} : { origin: again.origin, specs: again.specs }),
        concurrency:
          key === undefined
            ? null
            : {
                key: `${name}/${expandText(key.key, { params: values }, "concurrency.key")}`,
                onConflict: key.onConflict,
              },
      }),
    );
    if (started.created) {
      this.definitions.rememberParams(started.seq, values);
      this.waiters.track(started.seq);
    }
    return this.handle(started.seq, started.id, started.created, started.queuedBehind);
  }

  /** The pipeline without what is left out; its version is that of what remains. */
  private without(
    pipeline: KnownPipeline,
    exclude: Exclusion | undefined,
  ): { pipeline: KnownPipeline; variant: RunVariant | null } {
    if (exclude === undefined || !excludes(exclude)) return { pipeline, variant: null };
    const { document, jobs, implied } = excludeJobs(pipeline.document, exclude);
    const version = this.parts.hash(canonicalJson(document as unknown as Json));
    return {
      pipeline: { ...pipeline, document, version },
      variant: { excluded: [...jobs, ...implied.map((one) => one.job)] },
    };
  }

  private handle(seq: RunSeq, id: string, created: boolean, queuedBehind: string | null): RunHandle {
    return {
      id,
      seq,
      created,
      queuedBehind,
      wait: (options) => this.wait(seq, options),
      cancel: async (reason) => void (await this.cancel(id, reason)),
    };
  }

  /** @throws not_found */
  async run(id: string): Promise<RunRecord> {
    const record = await this.parts.ledger.runById(id);
    if (record !== null) return record;
    const recent = await this.parts.ledger.runs({ limit: 200 });
    if (id === "latest" && recent[0] !== undefined) return recent[0];
    const near = recent.filter((run) => run.id.startsWith(id));
    if (near.length === 1) return near[0]!;
    throw new TenutoError("not_found", `there is no run ${JSON.stringify(id)}`, {
      hint:
        near.length > 1
          ? `Several begin so: ${near
              .slice(0, 5)
              .map((run) => run.id)
              .join(", ")}.`
          : "List them with `tenuto runs list`.",
    });
  }

  async attach(id: string): Promise<RunHandle> {
    const run = await this.run(id);
    return this.handle(run.seq, run.id, false, null);
  }

  async runs(filter: Partial<RunFilter> = {}): Promise<RunRecord[]> {
    const { limit = 50 } = filter;
    if (!Number.isInteger(limit) || limit < 1)
      throw new TenutoError("invalid_input", `limit must be a whole number of at least 1, not ${limit}`);
    return await this.parts.ledger.runs({ ...filter, limit });
  }

  async jobs(
    id: string,
    filter?: { states?: readonly JobState[]; after?: number; limit?: number },
  ): Promise<JobRecord[]> {
    return await this.parts.ledger.jobs((await this.run(id)).seq, filter);
  }

  /** What models were asked in a run, and what it cost. */
  async usage(id: string): Promise<UsageTotals> {
    return totalsOf(await this.parts.ledger.runUsage((await this.run(id)).seq));
  }

  /** One job by its id within the run. @throws not_found */
  async job(runId: string, jobId: string): Promise<JobRecord> {
    const run = await this.run(runId);
    const definition = await this.definitions.load(run.version);
    const ordinal = definition.plan.ordinals.get(jobId);
    const record =
      ordinal === undefined
        ? (await this.parts.ledger.jobs(run.seq)).find((job) => job.id === jobId)
        : await this.parts.ledger.job(run.firstJob + ordinal);
    if (record == null)
      throw new TenutoError("not_found", `run ${run.id} has no job ${JSON.stringify(jobId)}`, {
        hint: `Its jobs: ${[...definition.plan.ordinals.keys()].slice(0, 20).join(", ")}.`,
      });
    return record;
  }

  async items(
    runId: string,
    jobId: string,
    filter: { states?: readonly ItemState[]; from?: number; limit?: number } = {},
  ): Promise<ItemRow[]> {
    const job = await this.job(runId, jobId);
    return await this.parts.ledger.items(job.seq, { limit: 100, ...filter });
  }

  async events(id: string, after = 0, limit = 1_000): Promise<EventRow[]> {
    return await this.parts.ledger.events((await this.run(id)).seq, after, limit);
  }

  /** Asks for the end of a run; its jobs are `cancelled` when nothing of them is left running. @throws illegal_transition */
  async cancel(id: string, reason?: string): Promise<boolean> {
    const run = await this.run(id);
    return await this.parts.ledger.apply(changes.cancelRun(run.seq, reason ?? null));
  }

  /** Reopens a failed or cancelled run: what did not complete runs again, or only what is chosen. @throws cannot_resume */
  async retry(id: string, request: RetryRequest = {}): Promise<{ jobs: number }> {
    const run = await this.run(id);
    const choice = await choiceOf(this.parts.ledger, run, request, (job) => this.job(run.id, job));
    return await this.parts.ledger.apply(changes.reopenRun(run.seq, choice));
  }

  /**
   * Starts a run that undoes what this one did: one compensation after the other, in the reverse order of completion.
   * @throws illegal_transition, conflict if there is a rollback already, invalid_input if there is nothing to undo
   */
  async rollback(id: string): Promise<RunHandle & Pick<StartedRollback, "order" | "left">> {
    const { seq, id: started, order, left } = await startRollback(this.parts, this.definitions, await this.run(id));
    return { ...this.handle(seq, started, true, null), order, left };
  }

  /** What has become of the effects of a run; null if nobody has rolled it back. */
  async rollbackOf(id: string): Promise<RollbackStatus | null> {
    return await rollbackStatus(this.parts.ledger, await this.run(id));
  }

  /** Approvals, the oldest first; of one run, or of all. */
  async approvals(filter: { run?: string; state?: ApprovalState; limit?: number } = {}): Promise<ApprovalRow[]> {
    const { run, ...rest } = filter;
    const of = run === undefined ? {} : { run: (await this.run(run)).seq };
    return await this.parts.ledger.approvals({ ...rest, ...of });
  }

  /** By its id, or by the id of a run that waits for exactly one. @throws not_found, conflict */
  async approval(id: string): Promise<ApprovalRow> {
    const found = await this.parts.ledger.approval(id);
    if (found !== null) return found;
    const run = await this.run(id).catch(() => null);
    if (run === null)
      throw new TenutoError("not_found", `there is no approval ${JSON.stringify(id)}`, {
        hint: "List them with `tenuto approvals list`.",
      });
    const open = await this.parts.ledger.approvals({ run: run.seq, state: "open" });
    if (open.length === 1) return open[0]!;
    // Whoever comes second is told who was first, not that there was nothing.
    const [decided] = open.length > 0 ? [] : (await this.parts.ledger.approvals({ run: run.seq })).slice(-1);
    if (decided !== undefined) return decided;
    throw new TenutoError(
      open.length === 0 ? "not_found" : "conflict",
      `run ${run.id} has ${open.length} open approvals`,
      {
        hint:
          open.length === 0 ? "Nobody needs to decide on it." : `Name one: ${open.map((row) => row.id).join(", ")}.`,
      },
    );
  }

  /**
   * Decides on an approval. Of several decisions one is taken. `hash` is that of what was shown: a decision on something else
   * is refused. @throws approval_decided, approval_changed, not_found
   */
  async decide(id: string, decision: DecisionInput): Promise<ApprovalRow> {
    const row = await this.approval(id);
    const { approve, by, reason = null, hash = null, edited } = decision;
    if (typeof approve !== "boolean") throw new TenutoError("invalid_input", "a decision needs approve: true or false");
    if (typeof by !== "string" || by.trim() === "" || by.length > KEY_MAX)
      throw new TenutoError("invalid_input", "a decision needs by: the name of who decided");
    if (reason !== null && (typeof reason !== "string" || reason.length > REASON_MAX))
      throw new TenutoError("invalid_input", `the reason of a decision is a text of at most ${REASON_MAX} characters`);
    if (hash !== null && (hash.length < HASH_MIN || !row.hash.startsWith(hash)))
      throw new TenutoError("approval_changed", `approval ${row.id} shows something else than what was decided on`, {
        hint: "Look at what it shows now, then decide again.",
        details: { hash: row.hash, given: hash },
      });
    const json = edited === undefined ? null : checkPayload(edited, `the edit of approval ${row.id}`).json;
    return await this.parts.ledger.apply(
      changes.decideApproval(row, { approve, by, reason, hash: row.hash, edited: json }),
    );
  }

  /** Takes in a run that was worked on elsewhere, as it ended. @throws invalid_input, idempotency_mismatch */
  async importRun(run: RunToImport): Promise<{ id: string; seq: RunSeq; created: boolean }> {
    return await importRun(this.parts, run);
  }

  /** Resolves when the run has ended. @throws timeout */
  async wait(seq: RunSeq, options: { timeoutMs?: number } = {}): Promise<RunEnd> {
    const run = await this.waiters.ended(seq, options.timeoutMs);
    return await this.endOf(run);
  }

  private async endOf(run: RunRow): Promise<RunEnd> {
    const definition = await this.definitions.load(run.version);
    const last = await this.parts.ledger.outcome(run.firstJob + definition.plan.jobs.length - 1);
    const failed =
      run.state === "failed" ? (await this.parts.ledger.jobs(run.seq, { states: ["failed"], limit: 1 }))[0] : undefined;
    return {
      id: run.id,
      state: run.state as RunEnd["state"],
      output: last?.output == null ? null : (JSON.parse(last.output) as Json),
      error: failed?.error == null ? null : (JSON.parse(failed.error) as StoredError),
    };
  }
}
