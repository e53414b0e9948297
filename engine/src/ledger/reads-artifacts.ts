/**
 * Reads of artifacts: who made them, who used them, what still names them. See ports/artifacts.ts.
 *
 * Invariant: `namedAnywhere` looks at every text column of every table, so that a table that comes later is looked at too.
 */
import type { Consumption } from "../core/decision.ts";
import type { JobSeq, RunSeq } from "../core/model.ts";
import type { ArtifactReads, ArtifactRecord, ArtifactSearch, ConsumptionRecord } from "../ports/artifacts.ts";
import { marks } from "./read-sql.ts";
import { RowReader, type TextTable } from "./rows.ts";

const COLUMNS = `a.id, a.run, a.job, a.attempt, a.name, a.type, a.sha256, a.bytes, a.media_type AS mediaType, a.at, a.item,
  a.superseded, a.offered, a.source, j.id AS jobId, j.agent, r.id AS runId`;
const JOINED = "artifact a JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run";
/** Artifacts that one search looks at, at most. */
const LOOKED_AT = 20_000;
/** Jobs of a list, and all that are below them. */
const BELOW = `WITH RECURSIVE below (seq) AS (SELECT value FROM json_each(?) wanted
  UNION SELECT child.seq FROM below JOIN job child ON child.parent = below.seq)`;

const ARTIFACT_SQL = {
  anyOffered: "SELECT 1 AS n FROM artifact WHERE run = ? AND offered = 1 AND superseded = 0 LIMIT 1",
  ofRun: `SELECT ${COLUMNS} FROM ${JOINED} WHERE a.run = ? AND a.superseded <= ? ORDER BY a.id`,
  offeredOf: `${BELOW} SELECT ${COLUMNS} FROM below JOIN artifact a ON a.job = below.seq JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
    WHERE a.offered = 1 AND a.superseded = 0 ORDER BY a.id LIMIT ?`,
  offeredOfOnly: `SELECT ${COLUMNS} FROM json_each(?) wanted JOIN artifact a ON a.job = wanted.value JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
    WHERE a.offered = 1 AND a.superseded = 0 ORDER BY a.id LIMIT ?`,
  ofJob: `${BELOW} SELECT ${COLUMNS} FROM below JOIN artifact a ON a.job = below.seq JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
    WHERE a.superseded = 0 AND a.id > ? ORDER BY a.id LIMIT ?`,
  byHash: `SELECT ${COLUMNS} FROM ${JOINED} WHERE a.sha256 = ? AND coalesce(a.run = ?, true) ORDER BY a.superseded, a.id DESC LIMIT ?`,
  search: (conditions: string): string =>
    `SELECT ${COLUMNS} FROM (SELECT * FROM artifact WHERE id < ? ORDER BY id DESC LIMIT ${LOOKED_AT}) a JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
     WHERE a.superseded = 0${conditions} ORDER BY a.id DESC LIMIT ?`,
  edge: `SELECT id FROM artifact WHERE id < ? ORDER BY id DESC LIMIT 1 OFFSET ${LOOKED_AT - 1}`,
  byId: `SELECT ${COLUMNS} FROM ${JOINED} WHERE a.id = ?`,
  consumersOf: `SELECT c.job, c.artifact, c.how, c.at, j.id AS jobId, j.run, r.id AS runId FROM json_each(?) wanted
    JOIN consumption c ON c.artifact = wanted.value JOIN job j ON j.seq = c.job JOIN run r ON r.seq = j.run ORDER BY c.artifact, c.job`,
  consumedBy: "SELECT job, artifact, how, at FROM consumption WHERE job = ? ORDER BY artifact",
  takenOver: `SELECT ${COLUMNS} FROM json_each(?) wanted JOIN artifact a ON a.source = wanted.value JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run ORDER BY a.id`,
} as const;

const PAGE = 5_000;
/** Where hashes stand as rows: these are looked at by `referenced`, and a dataset's own row must not keep it. */
const OWN_ROWS = new Set(["artifact", "dataset"]);

export abstract class ArtifactReader extends RowReader implements ArtifactReads {
  async anyOffered(run: RunSeq): Promise<boolean> {
    return (await this.one(ARTIFACT_SQL.anyOffered, run)) !== null;
  }

  async offeredOf(jobs: readonly JobSeq[], limit: number, below = true): Promise<ArtifactRecord[]> {
    return await this.many(below ? ARTIFACT_SQL.offeredOf : ARTIFACT_SQL.offeredOfOnly, JSON.stringify(jobs), limit);
  }

  async artifactsOfRun(run: RunSeq, all = false): Promise<ArtifactRecord[]> {
    return await this.many(ARTIFACT_SQL.ofRun, run, all ? 1 : 0);
  }

  async artifactsOfJob(job: JobSeq, after: number, limit: number): Promise<ArtifactRecord[]> {
    return await this.many(ARTIFACT_SQL.ofJob, JSON.stringify([job]), after, limit);
  }

  async artifactsByHash(sha256: string, limit: number, run?: RunSeq): Promise<ArtifactRecord[]> {
    return await this.many(ARTIFACT_SQL.byHash, sha256, run ?? null, limit);
  }

  async artifactById(id: number): Promise<ArtifactRecord | null> {
    return await this.one<ArtifactRecord>(ARTIFACT_SQL.byId, id);
  }

  async searchArtifacts(search: ArtifactSearch): Promise<{ artifacts: ArtifactRecord[]; next: number | null }> {
    const { before, limit } = search;
    const wanted = [
      ["a.name", search.name],
      ["a.type", search.type],
      ["j.agent", search.agent],
      ["r.pipeline", search.pipeline],
    ].filter((one): one is [string, string] => one[1] !== undefined);
    const rows = await this.many<ArtifactRecord>(
      ARTIFACT_SQL.search(wanted.map(([column]) => ` AND ${column} = ?`).join("")),
      before,
      ...wanted.map(([, value]) => value),
      limit + 1,
    );
    if (rows.length > limit) return { artifacts: rows.slice(0, limit), next: rows[limit - 1]!.id };
    return { artifacts: rows, next: (await this.one<{ id: number }>(ARTIFACT_SQL.edge, before))?.id ?? null };
  }

  async consumersOf(artifacts: readonly number[]): Promise<ConsumptionRecord[]> {
    return await this.many(ARTIFACT_SQL.consumersOf, JSON.stringify(artifacts));
  }

  async consumedBy(job: JobSeq): Promise<(Consumption & { record: ArtifactRecord | null })[]> {
    const found: (Consumption & { record: ArtifactRecord | null })[] = [];
    for (const row of await this.many<Consumption>(ARTIFACT_SQL.consumedBy, job))
      found.push({ ...row, record: await this.one<ArtifactRecord>(ARTIFACT_SQL.byId, row.artifact) });
    return found;
  }

  async takenOverFrom(artifacts: readonly number[]): Promise<ArtifactRecord[]> {
    return await this.many(ARTIFACT_SQL.takenOver, JSON.stringify(artifacts));
  }

  async namedAnywhere(hashes: ReadonlySet<string>): Promise<Set<string>> {
    const named = new Set<string>();
    if (hashes.size === 0) return named;
    for (const table of await this.textTables())
      if (!OWN_ROWS.has(table.name)) await this.lookThrough(table, hashes, named);
    return named;
  }

  /** Page by page along the primary key, with a turn of the event loop between two pages. */
  private async lookThrough(
    { name, keys, texts }: TextTable,
    wanted: ReadonlySet<string>,
    named: Set<string>,
  ): Promise<void> {
    const quoted = keys.map((key) => `"${key}"`).join(", ");
    const keyNames = keys.map((key, at) => `"${key}" AS k${at}`).join(", ");
    const found = texts.map((text) => `CASE WHEN instr("${text}", 'sha256:') > 0 THEN "${text}" END`);
    const any = found.map((text, at) => `${text} AS t${at}`).join(", ");
    const page = (where: string) =>
      `SELECT ${keyNames}, ${any} FROM "${name}" ${where} ORDER BY ${quoted} LIMIT ${PAGE}`;
    const next = page(`WHERE (${quoted}) > (${marks(keys.length)})`);
    let rows = await this.many<Record<string, unknown>>(page(""));
    while (rows.length > 0) {
      for (const row of rows)
        for (let at = 0; at < texts.length; at++) {
          const text = row[`t${at}`];
          if (typeof text !== "string") continue;
          for (const [, hash] of text.matchAll(/sha256:([0-9a-f]{64})/g))
            if (wanted.has(hash as string)) named.add(hash as string);
        }
      if (rows.length < PAGE) return;
      const last = rows.at(-1) as Record<string, unknown>;
      await new Promise((turn) => setImmediate(turn));
      rows = await this.many(next, ...keys.map((_, at) => last[`k${at}`]));
    }
  }
}
