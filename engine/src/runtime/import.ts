/** Takes a run that was worked on elsewhere into the ledger: checked as a whole before anything is written. */

import * as changes from "../core/changes.ts";
import type { Dependency, PipelineDocument } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { ImportedEnd } from "../core/import.ts";
import type { Json } from "../core/model.ts";
import { isName } from "../core/names.ts";
import { checkPayload } from "../core/payload.ts";
import { canonicalJson, definitionError, validateDocument } from "../core/pipeline.ts";
import { planOf } from "../core/plan.ts";
import { DEFAULT_RUN_ID, formatRunId } from "../core/run-id.ts";
import type { Parts } from "./parts.ts";

export interface JobToImport {
  /** Unique in the run. Of a spawned job: below its parent's id, `test/fix`. */
  id: string;
  stage: string;
  /** `layer/name`; need not be known here. */
  agent: string;
  needs?: readonly Dependency[];
  /** Id of the job that spawned it. */
  parent?: string;
  state: ImportedEnd;
  /** Of a skip or cancel. */
  reason?: string;
  attempts: number;
  /** Milliseconds. */
  startedAt: number | null;
  endedAt: number | null;
  input?: Json;
  output?: Json;
  error?: { code: string; message: string; details?: { [key: string]: Json } };
  artifacts?: readonly {
    name: string;
    type: string;
    content: Uint8Array | { path: string };
    mediaType?: string;
  }[];
  /** Raw output of its last attempt. */
  log?: string;
}

export interface RunToImport {
  /** Two imports with one key are one run. */
  idempotencyKey: string;
  pipeline: string;
  description?: string;
  params: { [name: string]: Json };
  labels?: { [name: string]: string };
  state: "completed" | "failed" | "cancelled";
  createdAt: number;
  startedAt: number | null;
  endedAt: number;
  stages: readonly { name: string }[];
  jobs: readonly JobToImport[];
}

const MAX_JOBS = 10_000;
const MAX_ATTEMPTS = 1_000;
const LOG_BYTES = 64 * 1024 * 1024;

/** @throws invalid_input, invalid_definition, idempotency_mismatch */
export async function importRun(
  parts: Parts,
  run: RunToImport,
): Promise<{ id: string; seq: number; created: boolean }> {
  checkRun(run);
  const declared = run.stages.flatMap(({ name }) =>
    run.jobs.filter((job) => job.stage === name && job.parent === undefined),
  );
  const ordered = [...declared, ...inOrder(run.jobs)];
  const document = documentOf(run);
  const version = parts.hash(canonicalJson(document as unknown as Json));
  await parts.ledger.putDefinition(version, run.pipeline, JSON.stringify(document));
  const plan = planOf(document);
  const position = new Map(ordered.map((job, at) => [job.id, at]));
  const stages = new Map(run.stages.map((stage, at) => [stage.name, at]));
  const jobs = [];
  for (const job of ordered) {
    const artifacts = [];
    for (const { name, type, content, mediaType = "application/octet-stream" } of job.artifacts ?? []) {
      const stored =
        content instanceof Uint8Array ? await parts.store.put(content) : await parts.store.putFile(content.path);
      artifacts.push({ name, type, mediaType, ...stored });
    }
    const { parent, output, error } = job;
    jobs.push({
      id: job.id,
      stage: stages.get(job.stage)!,
      agent: job.agent,
      parent: parent === undefined ? null : position.get(parent)!,
      state: job.state,
      reason: job.reason ?? null,
      attempts: job.attempts,
      startedAt: job.startedAt,
      endedAt: job.endedAt ?? run.endedAt,
      output: output === undefined ? null : checkPayload(output, `output of job ${job.id}`).json,
      error: error === undefined ? null : JSON.stringify({ category: "permanent", ...error }),
      spec: parent === undefined ? null : JSON.stringify({ id: job.id, agent: job.agent, input: job.input ?? null }),
      artifacts,
    });
  }
  const imported = await parts.ledger.apply(
    changes.importRun({
      pipeline: run.pipeline,
      version,
      plan,
      makeId: (seq) => formatRunId(DEFAULT_RUN_ID, { pipeline: run.pipeline, seq, at: run.createdAt, random: "" }),
      facts: {
        params: checkPayload(run.params, "params of the run").json,
        idempotencyKey: run.idempotencyKey,
        requestHash: parts.hash(canonicalJson({ params: run.params, state: run.state, jobs: jobs as unknown as Json })),
        labels: run.labels === undefined ? null : JSON.stringify(run.labels),
      },
      state: run.state,
      createdAt: run.createdAt,
      startedAt: run.startedAt,
      endedAt: run.endedAt,
      jobs,
    }),
  );
  if (imported.created) await writeLogs(parts, imported.id, ordered);
  return imported;
}

async function writeLogs(parts: Parts, run: string, jobs: readonly JobToImport[]): Promise<void> {
  for (const job of jobs) {
    if (job.log === undefined || job.log === "") continue;
    const log = parts.logs.output(run, job.id, Math.max(1, job.attempts), null, LOG_BYTES);
    log.write("stdout", new TextEncoder().encode(job.log));
    await log.close();
  }
}

function documentOf(run: RunToImport): PipelineDocument {
  const document: PipelineDocument = {
    name: run.pipeline,
    ...(run.description === undefined ? {} : { description: run.description }),
    kind: "graph",
    params: { type: "object", additionalProperties: true },
    stages: run.stages.map(({ name }) => ({
      name,
      jobs: run.jobs
        .filter((job) => job.stage === name && job.parent === undefined)
        .map((job) => ({
          id: job.id,
          agent: job.agent,
          ...(job.needs === undefined ? {} : { needs: [...job.needs] }),
        })),
    })),
  };
  const problems = validateDocument(document);
  if (problems.length > 0) throw definitionError(problems, `the run to import ${JSON.stringify(run.idempotencyKey)}`);
  return document;
}

/** Spawned jobs, each after its parent. */
function inOrder(jobs: readonly JobToImport[]): JobToImport[] {
  const known = new Set(jobs.filter((job) => job.parent === undefined).map((job) => job.id));
  const ordered: JobToImport[] = [];
  let left = jobs.filter((job) => job.parent !== undefined);
  while (left.length > 0) {
    const next = left.filter((job) => known.has(job.parent!));
    if (next.length === 0)
      throw refused(`job ${left[0]!.id} has the parent ${JSON.stringify(left[0]!.parent)}, which is not there`);
    for (const job of next) known.add(job.id);
    ordered.push(...next);
    left = left.filter((job) => !known.has(job.id));
  }
  return ordered;
}

function refused(message: string): TenutoError {
  return new TenutoError("invalid_input", message, { hint: "Nothing of this run was imported." });
}

function checkRun(run: RunToImport): void {
  if (run.jobs.length === 0 || run.jobs.length > MAX_JOBS) throw refused(`a run has 1 to ${MAX_JOBS} jobs`);
  if (!(run.endedAt >= (run.startedAt ?? run.createdAt) && (run.startedAt ?? run.createdAt) >= run.createdAt))
    throw refused("the times of the run are not in order: createdAt, startedAt, endedAt");
  const stages = new Set(run.stages.map((stage) => stage.name));
  const ids = new Set<string>();
  for (const job of run.jobs) {
    if (ids.has(job.id)) throw refused(`job ${job.id} is there twice`);
    ids.add(job.id);
    if (!stages.has(job.stage))
      throw refused(`job ${job.id} is in stage ${JSON.stringify(job.stage)}, which is not there`);
    if (job.parent !== undefined && !job.id.split("/").every(isName))
      throw refused(`${JSON.stringify(job.id)} can't be the id of a job`);
    if (!Number.isInteger(job.attempts) || job.attempts < 0 || job.attempts > MAX_ATTEMPTS)
      throw refused(`job ${job.id} has ${job.attempts} attempts; 0 to ${MAX_ATTEMPTS} can be kept`);
    if (job.state === "completed" && job.attempts === 0) throw refused(`job ${job.id} is completed without an attempt`);
    if (job.attempts > 0 && job.startedAt === null) throw refused(`job ${job.id} has attempts and no start`);
    if (job.startedAt !== null && (job.endedAt ?? run.endedAt) < job.startedAt)
      throw refused(`job ${job.id} ended before it started`);
  }
}
