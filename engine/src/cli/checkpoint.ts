/**
 * The checkpoint document of the associations source document, read from the ledger.
 *
 * Nothing is ever resumed from it: the ledger itself is the checkpoint, and this shows it in the form that people know.
 */
import type { FanoutRow, Json, StageRow } from "../core/model.ts";
import { expandText } from "../core/placeholders.ts";
import type { Tenuto } from "../open.ts";
import type { JobRecord, RunRecord } from "../ports/ledger.ts";
import { loadDataset } from "../runtime/scope.ts";
import { allowedFailures } from "./documents.ts";

export interface Checkpoint {
  job_id: string;
  mode: Json;
  association: Json;
  stage: string;
  progress: { total: number; completed: number; failed: number; skipped: number };
  last_processed: Json;
  timestamp: string;
  can_resume: boolean;
}

/** Where a run stands: the fan-out of its present stage, else the last one that has begun, else its jobs. */
export async function checkpointOf(tenuto: Tenuto, run: RunRecord): Promise<Checkpoint> {
  const { ledger } = tenuto.engine.parts;
  const params = JSON.parse(run.params) as { [name: string]: Json };
  const stages = await ledger.stages(run.seq);
  const present = stages.find((stage) => stage.settled < stage.total) ?? stages.at(-1);
  const found = await fanoutOf(tenuto, run, present?.ordinal ?? 0);
  const [last] = await ledger.events(run.seq, run.eventSeq - 1, 1);
  return {
    job_id: run.id,
    mode: params.mode ?? run.pipeline,
    association: params.association ?? null,
    stage: present?.name ?? "",
    progress: found === null ? jobsProgress(stages, run) : itemsProgress(found.fanout),
    last_processed: found === null ? await lastJob(tenuto, run) : await lastItem(tenuto, run, found),
    timestamp: new Date(last?.at ?? run.createdAt).toISOString(),
    can_resume: run.state !== "completed",
  };
}

interface Found {
  job: JobRecord;
  fanout: FanoutRow;
}

async function fanoutOf(tenuto: Tenuto, run: RunRecord, stage: number): Promise<Found | null> {
  const { ledger } = tenuto.engine.parts;
  let found: Found | null = null;
  for (const job of await ledger.jobs(run.seq)) {
    if (job.kind === "single" || job.stage > stage) continue;
    const fanout = await ledger.fanout(job.seq);
    if (fanout !== null && (found === null || job.stage >= found.job.stage)) found = { job, fanout };
  }
  return found;
}

function itemsProgress(fanout: FanoutRow): Checkpoint["progress"] {
  const { total, completed, failed, skipped } = fanout;
  return { total, completed, failed, skipped };
}

function jobsProgress(stages: readonly StageRow[], run: RunRecord) {
  const sum = { total: run.jobCount, completed: 0, failed: 0, skipped: 0 };
  for (const stage of stages) {
    sum.completed += stage.completed;
    sum.failed += stage.failed + allowedFailures(stage);
    sum.skipped += stage.skipped;
  }
  return sum;
}

async function lastJob(tenuto: Tenuto, run: RunRecord): Promise<Json> {
  const ended = (await tenuto.engine.parts.ledger.jobs(run.seq)).filter((job) => job.endedAt !== null);
  return ended.sort((a, b) => a.endedAt! - b.endedAt!).at(-1)?.id ?? null;
}

/** The item as people know it: by its declared key, else by its `url`, `id` or `key`, else by its number. */
async function lastItem(tenuto: Tenuto, run: RunRecord, { job, fanout }: Found): Promise<Json> {
  const { engine } = tenuto;
  if (fanout.lastOrdinal === null) return null;
  const { spec, params } = await engine.definitions.resolve(run, job);
  const batch = spec.forEach?.batch ?? 1;
  const last = Math.min(fanout.lastOrdinal * batch + batch - 1, Number.MAX_SAFE_INTEGER);
  const dataset = await loadDataset(engine.parts, fanout.source).catch(() => null);
  if (dataset === null || dataset.count === 0) return fanout.lastOrdinal;
  const ordinal = Math.min(last, dataset.count - 1);
  const [text] = await engine.parts.datasets.read(dataset, ordinal, ordinal + 1);
  if (text === undefined) return fanout.lastOrdinal;
  const value = JSON.parse(text) as Json;
  const key = spec.forEach?.key;
  if (key !== undefined && batch === 1) {
    try {
      return expandText(key, { params, item: value, index: fanout.lastOrdinal, run: { id: run.id } }, "key");
    } catch {
      // A key that needs more than the item: the item itself names it well enough.
    }
  }
  if (typeof value !== "object" || value === null) return value;
  if (!Array.isArray(value))
    for (const name of ["url", "id", "key", "name"]) if (typeof value[name] === "string") return value[name];
  return fanout.lastOrdinal;
}
