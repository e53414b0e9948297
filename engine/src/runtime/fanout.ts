/**
 * A fan-out from its list to its result: the source becomes a fixed dataset, its items are worked on window by window, and
 * the completed results become a dataset in the order of the list.
 */
import type { DatasetRef, FanoutResult, MapSource } from "../core/agent.ts";
import * as changes from "../core/changes.ts";
import type { Effect, ItemRow } from "../core/decision.ts";
import { type StoredError, TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import { MAX_ITEMS, WINDOW_ITEMS } from "../core/limits.ts";
import type { FanoutRow, JobSeq, Json } from "../core/model.ts";
import type { DatasetInfo } from "../ports/artifact-store.ts";
import { recordUse } from "./offer.ts";
import type { Parts } from "./parts.ts";
import { type AttemptScope, loadDataset } from "./scope.ts";

export interface ListOptions {
  concurrency: number;
  errorRate: number;
  batch: number | null;
  window: number | null;
  /** Key of a record; null if none is declared. */
  key: ((value: Json, index: number) => string) | null;
  /** When the job is out of time; null if it has no limit. */
  deadline: number | null;
  /** Name of pipeline and job, within which keys identify items. */
  keyScope: string;
}

const KEYS_PER_COMMIT = 1_000;
const PAGE = 2_000;

/** Fixes the list of a fan-out: the source as a dataset, its keys, and the fan-out's own row, which comes last. */
export async function expandList(
  parts: Parts,
  scope: AttemptScope,
  job: JobSeq,
  lease: Lease,
  source: MapSource | Json,
  folder: string,
  options: ListOptions,
): Promise<{ info: DatasetInfo; total: number }> {
  const info = await sourceDataset(parts, source, folder, scope.facts.job.id);
  await recordUse(scope, info.sha256, "input");
  const total = options.batch === null ? info.count : Math.ceil(info.count / options.batch);
  if (total > MAX_ITEMS)
    throw new TenutoError(
      "payload_too_large",
      `job ${scope.facts.job.id} would have ${total} items; at most ${MAX_ITEMS} are possible`,
      { hint: "Use `batch`, or split the list over several jobs." },
    );
  const guarded = (effects: Effect[]) => parts.ledger.apply(changes.whileLeased(job, lease, effects));
  const duplicates = options.key === null ? 0 : await storeKeys(parts, job, lease, info, options, guarded);
  const windowSize = options.window ?? windowFor(total, options.concurrency);
  await Promise.all([
    guarded(scope.datasetEffects(`${scope.facts.job.id}.items`, info)),
    parts.ledger.apply(
      changes.expandFanout(job, lease, {
        source: info.sha256,
        total,
        concurrency: options.concurrency,
        windowSize,
        errorRate: options.errorRate,
        duplicates,
        deadline: options.deadline,
      }),
    ),
  ]);
  return { info, total };
}

/** Small lists are cut finely, so that a lost window repeats little and several workers can share. */
function windowFor(total: number, concurrency: number): number {
  const some = Math.min(concurrency * 4, Math.max(concurrency, Math.ceil(total / 4)));
  return Math.max(1, Math.min(WINDOW_ITEMS, Math.max(some, Math.ceil(total / 16))));
}

async function sourceDataset(
  parts: Parts,
  source: MapSource | Json,
  folder: string,
  job: string,
): Promise<DatasetInfo> {
  if (Array.isArray(source)) return await parts.datasets.write(source);
  if (typeof source === "object" && source !== null) {
    if ("ref" in source && typeof source.ref === "object")
      return await loadDataset(parts, hashOf(source.ref as DatasetRef));
    if ("$dataset" in source) return await loadDataset(parts, hashOf(source as unknown as DatasetRef));
    if ("file" in source && typeof source.file === "string")
      return await parts.datasets.importJsonl(parts.files.resolve(folder, source.file));
    if (Symbol.asyncIterator in source || Symbol.iterator in source)
      return await parts.datasets.write(source as AsyncIterable<unknown>);
  }
  throw new TenutoError(
    "invalid_input",
    `the list of job ${job} is ${source === null ? "null" : typeof source === "object" ? "an object" : typeof source}, not a list`,
    { hint: "Give a list, a dataset, an output that is one of them, or {file: path} of a JSONL file." },
  );
}

function hashOf(ref: DatasetRef): string {
  return ref.$dataset.replace(/^sha256:/, "");
}

/** Records whose key an earlier record has are skipped from the start. */
async function storeKeys(
  parts: Parts,
  job: JobSeq,
  lease: Lease,
  info: DatasetInfo,
  options: ListOptions,
  guarded: (effects: Effect[]) => Promise<unknown>,
): Promise<number> {
  const scope = keyScopeNumber(parts, options.keyScope);
  await guarded([{ type: "clearItemKeys", job, scope }]);
  let duplicates = 0;
  let batch: { ordinal: number; hash: Uint8Array }[] = [];
  const flush = async () => {
    const keys = batch;
    batch = [];
    duplicates += await parts.ledger.apply(changes.claimItemKeys(job, lease, scope, keys));
  };
  let index = 0;
  for await (const raw of parts.datasets.iterate(info)) {
    const key = options.key?.(JSON.parse(raw) as Json, index) ?? "";
    batch.push({ ordinal: index, hash: hexBytes(parts.hash(key).slice(0, 32)) });
    index += 1;
    if (batch.length >= KEYS_PER_COMMIT) await flush();
  }
  if (batch.length > 0) await flush();
  return duplicates;
}

/** A number that stands for a pipeline's job in the key index. */
export function keyScopeNumber(parts: Parts, name: string): number {
  return Number.parseInt(parts.hash(name).slice(0, 13), 16);
}

export function hexBytes(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

/** The result of a fan-out whose items have all ended. @throws error_rate_exceeded, contract_violation with `batch` */
export async function collect(
  parts: Parts,
  scope: AttemptScope,
  fanout: FanoutRow,
  batch: number | null,
  guarded: (effects: Effect[]) => Promise<unknown>,
): Promise<FanoutResult> {
  const { job } = fanout;
  const bad = fanout.failed + fanout.skipped - fanout.duplicates;
  if (bad > fanout.errorRate * fanout.total)
    throw tooManyFailures(fanout, await parts.ledger.items(job, { states: ["failed", "skipped"], limit: 5 }), job);
  const info = await parts.datasets.write(results(parts, job, batch), { raw: true, batched: true });
  const effects = scope.datasetEffects(`${scope.facts.job.id}.results`, info);
  const result: FanoutResult = {
    $dataset: `sha256:${info.sha256}`,
    count: info.count,
    bytes: info.bytes,
    total: fanout.total,
    completed: fanout.completed,
    failed: fanout.failed,
    skipped: fanout.skipped,
  };
  if (fanout.failed + fanout.skipped > 0) {
    const errors = await parts.datasets.write(failures(parts, job), { raw: true, batched: true });
    effects.push(...scope.datasetEffects(`${scope.facts.job.id}.errors`, errors));
    result.errors = { $dataset: `sha256:${errors.sha256}`, count: errors.count, bytes: errors.bytes };
  }
  await guarded(effects);
  return result;
}

/** What did not complete, as JSON records of ordinal, state and error, in order. */
async function* failures(parts: Parts, job: JobSeq): AsyncGenerator<string[]> {
  let from = 0;
  for (;;) {
    const rows = await parts.ledger.items(job, { states: ["failed", "skipped"], from, limit: PAGE });
    if (rows.length === 0) return;
    from = rows.at(-1)!.ordinal + 1;
    yield rows.map((row) => `{"ordinal":${row.ordinal},"state":"${row.state}","error":${row.error ?? "null"}}`);
  }
}

/** Raw results in order, page by page. */
async function* results(parts: Parts, job: JobSeq, batch: number | null): AsyncGenerator<string[]> {
  let from = 0;
  for (;;) {
    const rows = await parts.ledger.items(job, { states: ["completed"], from, limit: PAGE });
    if (rows.length === 0) return;
    from = rows.at(-1)!.ordinal + 1;
    if (batch === null) yield rows.map((row) => row.result ?? "null");
    else
      yield rows.flatMap((row) => (JSON.parse(row.result ?? "[]") as Json[]).map((record) => JSON.stringify(record)));
  }
}

function tooManyFailures(fanout: FanoutRow, rows: readonly ItemRow[], job: JobSeq): TenutoError {
  const bad = fanout.failed + fanout.skipped - fanout.duplicates;
  const share = fanout.total === 0 ? 0 : (bad / fanout.total) * 100;
  const first = rows.slice(0, 5).map((row) => ({
    ordinal: row.ordinal,
    state: row.state,
    error: row.error === null ? null : (JSON.parse(row.error) as StoredError).message,
  }));
  return new TenutoError(
    "error_rate_exceeded",
    `${bad} of ${fanout.total} items failed or were skipped (${percent(share)}), ${percent(fanout.errorRate * 100)} are tolerated`,
    {
      hint: "List them with `tenuto runs show RUN --items failed,skipped`; `tenuto runs retry RUN` runs only these again.",
      details: {
        job,
        failed: fanout.failed,
        skipped: fanout.skipped,
        duplicates: fanout.duplicates,
        total: fanout.total,
        first,
      },
    },
  );
}

/** Digits enough that a share above its limit never looks equal to it. */
function percent(value: number): string {
  return `${Number(value.toPrecision(3))} %`;
}
