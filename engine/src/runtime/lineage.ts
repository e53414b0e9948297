/**
 * Where an artifact comes from and where it went, over any number of jobs and runs.
 *
 * Invariants: (1) a job that used an artifact counts as an origin of everything that the job made: what really went into it
 * nobody can tell from outside; (2) each artifact and each use is told once, and loops end.
 */
import type { Consumption } from "../core/decision.ts";
import type { ArtifactReads, ArtifactRecord } from "../ports/artifacts.ts";

export interface LineageUse {
  /** Id of the artifact that was used. */
  artifact: number;
  run: string;
  job: string;
  how: Consumption["how"];
  at: number;
  /** Ids of what the job made. */
  made: number[];
}

export interface Lineage {
  artifact: ArtifactRecord;
  /** Everything that is named below, by id. */
  artifacts: Map<number, ArtifactRecord>;
  /** Uses that lead to the artifact, and those that begin with it; the nearest first. */
  origins: LineageUse[];
  uses: LineageUse[];
  /** Pairs of an artifact and the one that it was taken over from. */
  takenOver: { artifact: number; source: number }[];
  /** Not everything is told, because it was too much. */
  cut: boolean;
}

const MOST = 2_000;

/** Follows the artifact both ways. */
export async function lineageOf(ledger: ArtifactReads, artifact: ArtifactRecord): Promise<Lineage> {
  const lineage: Lineage = {
    artifact,
    artifacts: new Map([[artifact.id, artifact]]),
    origins: [],
    uses: [],
    takenOver: [],
    cut: false,
  };
  await backwards(ledger, lineage);
  await forwards(ledger, lineage);
  return lineage;
}

/** Visits the artifact, and each one that a visit follows, once; ends early when there are too many. */
async function walk(
  lineage: Lineage,
  visit: (record: ArtifactRecord, follow: (next: ArtifactRecord) => void) => Promise<void>,
): Promise<void> {
  const todo = [lineage.artifact];
  const seen = new Set([lineage.artifact.id]);
  const follow = (record: ArtifactRecord) => {
    lineage.artifacts.set(record.id, record);
    if (!seen.has(record.id)) todo.push(record);
    seen.add(record.id);
  };
  for (let record = todo.shift(); record !== undefined; record = todo.shift()) {
    if (lineage.artifacts.size >= MOST) {
      lineage.cut = true;
      return;
    }
    await visit(record, follow);
  }
}

async function backwards(ledger: ArtifactReads, lineage: Lineage): Promise<void> {
  const jobs = new Map<number, LineageUse[]>();
  await walk(lineage, async (made, follow) => {
    if (made.source !== null) {
      lineage.takenOver.push({ artifact: made.id, source: made.source });
      const source = await ledger.artifactById(made.source);
      if (source !== null) follow(source);
    }
    const known = jobs.get(made.job);
    if (known !== undefined) {
      for (const use of known) use.made.push(made.id);
      return;
    }
    const uses: LineageUse[] = [];
    for (const { artifact, how, at, record } of await ledger.consumedBy(made.job)) {
      uses.push({ artifact, run: made.runId, job: made.jobId, how, at, made: [made.id] });
      if (record !== null) follow(record);
    }
    jobs.set(made.job, uses);
    lineage.origins.push(...uses);
  });
}

async function forwards(ledger: ArtifactReads, lineage: Lineage): Promise<void> {
  const madeBy = new Map<number, ArtifactRecord[]>();
  await walk(lineage, async (used, follow) => {
    for (const record of await ledger.takenOverFrom([used.id])) {
      lineage.takenOver.push({ artifact: record.id, source: used.id });
      follow(record);
    }
    for (const consumer of await ledger.consumersOf([used.id])) {
      let made = madeBy.get(consumer.job);
      if (made === undefined) {
        made = (await ledger.artifactsOfJob(consumer.job, 0, MOST)).filter((record) => record.job === consumer.job);
        madeBy.set(consumer.job, made);
      }
      const { artifact, runId, jobId, how, at } = consumer;
      lineage.uses.push({ artifact, run: runId, job: jobId, how, at, made: made.map((record) => record.id) });
      for (const record of made) follow(record);
    }
  });
}
