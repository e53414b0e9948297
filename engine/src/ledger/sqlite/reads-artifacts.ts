/**
 * Reads of artifacts: who made them, who used them, what still names them. See ports/artifacts.ts.
 *
 * Invariant: `namedAnywhere` looks at every text column of every table, so that a table that comes later is looked at too.
 */
import type { Consumption } from "../../core/decision.ts";
import type { JobSeq, RunSeq } from "../../core/model.ts";
import type { ArtifactReads, ArtifactRecord, ConsumptionRecord } from "../../ports/artifacts.ts";
import { SqliteWriter } from "./ledger.ts";

const COLUMNS = `a.id, a.run, a.job, a.attempt, a.name, a.type, a.sha256, a.bytes, a.media_type AS mediaType, a.at, a.item,
  a.superseded, a.offered, a.source, j.id AS jobId, r.id AS runId`;
const JOINED = "artifact a JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run";
/** Jobs of a list, and all that are below them. */
const BELOW = `WITH RECURSIVE below (seq) AS (SELECT value FROM json_each(?)
  UNION SELECT child.seq FROM below JOIN job child ON child.parent = below.seq)`;

const ARTIFACT_SQL = {
  anyOffered: "SELECT 1 FROM artifact WHERE run = ? AND offered = 1 AND superseded = 0 LIMIT 1",
  ofRun: `SELECT ${COLUMNS} FROM ${JOINED} WHERE a.run = ? AND a.superseded <= ? ORDER BY a.id`,
  offeredOf: `${BELOW} SELECT ${COLUMNS} FROM below JOIN artifact a ON a.job = below.seq JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
    WHERE a.offered = 1 AND a.superseded = 0 ORDER BY a.id LIMIT ?`,
  offeredOfOnly: `SELECT ${COLUMNS} FROM json_each(?) wanted JOIN artifact a ON a.job = wanted.value JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
    WHERE a.offered = 1 AND a.superseded = 0 ORDER BY a.id LIMIT ?`,
  ofJob: `${BELOW} SELECT ${COLUMNS} FROM below JOIN artifact a ON a.job = below.seq JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run
    WHERE a.superseded = 0 AND a.id > ? ORDER BY a.id LIMIT ?`,
  byHash: `SELECT ${COLUMNS} FROM ${JOINED} WHERE a.sha256 = ? AND ifnull(a.run = ?, 1) ORDER BY a.superseded, a.id DESC LIMIT ?`,
  byId: `SELECT ${COLUMNS} FROM ${JOINED} WHERE a.id = ?`,
  consumersOf: `SELECT c.job, c.artifact, c.how, c.at, j.id AS jobId, j.run, r.id AS runId FROM json_each(?) wanted
    JOIN consumption c ON c.artifact = wanted.value JOIN job j ON j.seq = c.job JOIN run r ON r.seq = j.run ORDER BY c.artifact, c.job`,
  consumedBy: "SELECT job, artifact, how, at FROM consumption WHERE job = ? ORDER BY artifact",
  takenOver: `SELECT ${COLUMNS} FROM json_each(?) wanted JOIN artifact a ON a.source = wanted.value JOIN job j ON j.seq = a.job JOIN run r ON r.seq = a.run ORDER BY a.id`,
  tables:
    "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'",
  columns: "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY pk",
} as const;

const PAGE = 5_000;
/** Where hashes stand as rows: these are looked at by `referenced`, and a dataset's own row must not keep it. */
const OWN_ROWS = new Set(["artifact", "dataset"]);

export class SqliteArtifactReader extends SqliteWriter implements ArtifactReads {
  private rows<T>(sql: string, ...args: unknown[]): T[] {
    return this.statements.of(sql).all(...args) as T[];
  }

  async anyOffered(run: RunSeq): Promise<boolean> {
    return this.statements.of(ARTIFACT_SQL.anyOffered).get(run) !== undefined;
  }

  async offeredOf(jobs: readonly JobSeq[], limit: number, below = true): Promise<ArtifactRecord[]> {
    return this.rows(below ? ARTIFACT_SQL.offeredOf : ARTIFACT_SQL.offeredOfOnly, JSON.stringify(jobs), limit);
  }

  async artifactsOfRun(run: RunSeq, all = false): Promise<ArtifactRecord[]> {
    return this.rows(ARTIFACT_SQL.ofRun, run, all ? 1 : 0);
  }

  async artifactsOfJob(job: JobSeq, after: number, limit: number): Promise<ArtifactRecord[]> {
    return this.rows(ARTIFACT_SQL.ofJob, JSON.stringify([job]), after, limit);
  }

  async artifactsByHash(sha256: string, limit: number, run?: RunSeq): Promise<ArtifactRecord[]> {
    return this.rows(ARTIFACT_SQL.byHash, sha256, run ?? null, limit);
  }

  async artifactById(id: number): Promise<ArtifactRecord | null> {
    return this.rows<ArtifactRecord>(ARTIFACT_SQL.byId, id)[0] ?? null;
  }

  async consumersOf(artifacts: readonly number[]): Promise<ConsumptionRecord[]> {
    return this.rows(ARTIFACT_SQL.consumersOf, JSON.stringify(artifacts));
  }

  async consumedBy(job: JobSeq): Promise<(Consumption & { record: ArtifactRecord | null })[]> {
    const found = this.rows<Consumption>(ARTIFACT_SQL.consumedBy, job);
    return found.map((row) => ({
      ...row,
      record: this.rows<ArtifactRecord>(ARTIFACT_SQL.byId, row.artifact)[0] ?? null,
    }));
  }

  async takenOverFrom(artifacts: readonly number[]): Promise<ArtifactRecord[]> {
    return this.rows(ARTIFACT_SQL.takenOver, JSON.stringify(artifacts));
  }

  async namedAnywhere(hashes: ReadonlySet<string>): Promise<Set<string>> {
    const named = new Set<string>();
    if (hashes.size === 0) return named;
    for (const { name, wr } of this.rows<{ name: string; wr: 0 | 1 }>(ARTIFACT_SQL.tables)) {
      const columns = this.rows<{ name: string; type: string; pk: number }>(ARTIFACT_SQL.columns, name);
      const texts = columns.filter((column) => column.type === "TEXT" && column.pk === 0).map((column) => column.name);
      if (OWN_ROWS.has(name) || texts.length === 0) continue;
      const keys = wr === 0 ? ["rowid"] : columns.filter((column) => column.pk > 0).map((column) => column.name);
      await this.lookThrough(name, keys, texts, hashes, named);
    }
    return named;
  }

  /** Page by page along the primary key, with a turn of the event loop between two pages. */
  private async lookThrough(
    table: string,
    keys: readonly string[],
    texts: readonly string[],
    wanted: ReadonlySet<string>,
    named: Set<string>,
  ): Promise<void> {
    const quoted = keys.map((key) => (key === "rowid" ? key : `"${key}"`)).join(", ");
    const keyNames = keys.map((key, at) => `${key === "rowid" ? key : `"${key}"`} AS k${at}`).join(", ");
    const found = texts.map((text) => `CASE WHEN instr("${text}", 'sha256:') > 0 THEN "${text}" END`);
    const any = found.map((text, at) => `${text} AS t${at}`).join(", ");
    const marks = keys.map(() => "?").join(", ");
    const page = (where: string) =>
      `SELECT ${keyNames}, ${any} FROM "${table}" ${where} ORDER BY ${quoted} LIMIT ${PAGE}`;
    const next = page(`WHERE (${quoted}) > (${marks})`);
    let rows = this.rows<Record<string, unknown>>(page(""));
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
      rows = this.rows(next, ...keys.map((_, at) => last[`k${at}`]));
    }
  }
}
