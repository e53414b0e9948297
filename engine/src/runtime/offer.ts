/**
 * What a job finds of other jobs' artifacts: which it is offered, where they lie in its workspace, and the record of what it
 * was given or read.
 *
 * Invariants: (1) whatever is handed over is recorded before the job can use it; (2) more than `MAX_OFFERED` are not handed
 * over at all, and the log says so: which of them a job gets must not hang on their number.
 */
import type { OfferedArtifact } from "../core/agent.ts";
import { MAX_OFFERED, upstreamOf } from "../core/artifact.ts";
import type { Consumption } from "../core/decision.ts";
import type { JobRow, JobSeq, Json } from "../core/model.ts";
import type { ArtifactRecord } from "../ports/artifacts.ts";
import type { AttemptScope } from "./scope.ts";

export interface Offer {
  artifacts: OfferedArtifact[];
  /** Artifacts that were too many to be handed over. */
  omitted: number;
}

const NOTHING: Offer = { artifacts: [], omitted: 0 };
/** Producers of the same bytes that are looked at when something is read by its hash. */
const SAME_BYTES = 20;

/** Items of one claim share the workspace of their job, and so its inputs. */
const ofItems = new WeakMap<object, Promise<Offer>>();
/** What an attempt has been recorded to have read. */
const alreadyRead = new WeakMap<object, Set<string>>();

/** What an attempt was handed last. Calls at the same time must not lay out one folder twice. */
const handed = new WeakMap<AttemptScope, { ids: string; offer: Promise<Offer> }>();

/**
 * Links what the job is offered into its workspace and records it. Nothing is done twice while the offer is the same, unless
 * `anew` asks for it: each program finds its inputs as they were made, whatever the one before has done to them.
 */
export async function offerTo(scope: AttemptScope, anew = false): Promise<Offer> {
  const { item, resolved } = scope.facts;
  if (item === null) {
    const found = await offeredTo(scope);
    const ids = found.map((record) => record.id).join();
    const last = handed.get(scope);
    if (last !== undefined && last.ids === ids && !anew) return await last.offer;
    const offer = (last?.offer ?? Promise.resolve()).catch(() => {}).then(() => handOver(scope, found));
    handed.set(scope, { ids, offer });
    offer.catch(() => handed.delete(scope));
    return await offer;
  }
  let shared = ofItems.get(resolved);
  if (shared === undefined) {
    shared = offeredTo(scope).then((found) => handOver(scope, found));
    ofItems.set(resolved, shared);
    shared.catch(() => ofItems.delete(resolved));
  }
  return await shared;
}

async function handOver(scope: AttemptScope, found: readonly ArtifactRecord[]): Promise<Offer> {
  const { parts, facts } = scope;
  if (found.length === 0) return NOTHING;
  if (found.length > MAX_OFFERED) {
    scope.log(
      "WARNING",
      `more than ${MAX_OFFERED} artifacts are offered to job ${facts.job.id}; none is linked. Hand on a dataset instead, or set artifacts.offer: none`,
    );
    return { artifacts: [], omitted: found.length };
  }
  await consume(scope, found, "offered");
  const paths = await parts.workspaces.link(
    facts.workspace,
    found.map(({ jobId, name, sha256, bytes }) => ({ job: jobId, name, sha256, bytes })),
  );
  return { artifacts: found.map((record, at) => shown(record, paths[at] ?? null)), omitted: 0 };
}

function shown(record: ArtifactRecord, path: string | null): OfferedArtifact {
  const { jobId, name, type, sha256, bytes, mediaType } = record;
  return { $artifact: `sha256:${sha256}`, name, bytes, mediaType, job: jobId, type, path };
}

/** Artifacts of what the job depends on, of its children, and of the jobs above it; at most one more than may be linked. */
export async function offeredTo(scope: AttemptScope): Promise<ArtifactRecord[]> {
  const { run, job, resolved } = scope.facts;
  const { ledger } = scope.parts;
  // A compensation finds what the job left behind that it undoes.
  const { compensates } = resolved.spec;
  if (compensates !== undefined) return await ledger.offeredOf([compensates.seq], MAX_OFFERED + 1);
  if (!(await ledger.anyOffered(run.seq))) return [];
  const above = await ancestors(scope, job);
  const root = above.at(-1) ?? job;
  const before = [...upstreamOf(resolved.definition.plan, root.seq - run.firstJob)];
  const whole = [...before.map((ordinal) => run.firstJob + ordinal), job.seq];
  const found = await ledger.offeredOf(whole, MAX_OFFERED + 2);
  const own = above.length === 0 ? [] : await ledger.offeredOf(aboveOnly(above), MAX_OFFERED + 2, false);
  return [...found, ...own].filter((record) => record.job !== job.seq).sort((a, b) => a.id - b.id);
}

const aboveOnly = (jobs: readonly { seq: JobSeq }[]): JobSeq[] => jobs.map((entry) => entry.seq);

async function ancestors(scope: AttemptScope, job: JobRow): Promise<JobRow[]> {
  const above: JobRow[] = [];
  for (let parent = job.parent; parent !== null; parent = above.at(-1)?.parent ?? null) {
    const row = await scope.parts.ledger.job(parent);
    if (row === null) break;
    above.push(row);
  }
  return above;
}

async function consume(scope: AttemptScope, found: readonly ArtifactRecord[], how: Consumption["how"]): Promise<void> {
  const { job } = scope.facts;
  const at = scope.parts.clock.now();
  const rows = found
    .filter((record) => record.job !== job.seq)
    .map((record): Consumption => ({ job: job.seq, artifact: record.id, how, at }));
  if (rows.length > 0) await scope.guarded([{ type: "consume", rows }]);
}

/** Records that the job uses these bytes, whoever made them: the producer in its own run counts, or else the newest one. */
export async function recordUse(scope: AttemptScope, sha256: string, how: "input" | "read"): Promise<void> {
  const { job, run, resolved } = scope.facts;
  let known = alreadyRead.get(resolved);
  if (known === undefined) {
    known = new Set();
    alreadyRead.set(resolved, known);
  }
  if (known.has(sha256)) return;
  known.add(sha256);
  const { ledger } = scope.parts;
  const here = await ledger.artifactsByHash(sha256, SAME_BYTES, run.seq);
  const producers = here.length > 0 ? here : await ledger.artifactsByHash(sha256, 1);
  const used = producers.find((record) => record.job !== job.seq);
  if (used !== undefined) await consume(scope, [used], how);
}

/** Hashes of all objects that a value refers to. */
export function* referencedHashes(value: Json): Generator<string> {
  if (Array.isArray(value)) for (const entry of value) yield* referencedHashes(entry);
  else if (typeof value === "object" && value !== null) {
    for (const [key, entry] of Object.entries(value)) {
      if ((key === "$dataset" || key === "$artifact") && typeof entry === "string") yield entry.replace(/^sha256:/, "");
      else yield* referencedHashes(entry);
    }
  }
}
