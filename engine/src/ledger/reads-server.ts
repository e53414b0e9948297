/**
 * Reads of the server: tokens, audit log, feed, and lists for people.
 *
 * Invariant: none of them looks at more than a bounded number of rows, however many runs the ledger holds.
 */
import type { TokenRow } from "../core/access.ts";
import type { AuditRow, MarkRow } from "../core/audit.ts";
import type { JobState, RunSeq, RunState } from "../core/model.ts";
import type { HookRow, WebhookRow } from "../core/webhook.ts";
import type { AuditReads } from "../ports/audit.ts";
import type { FeedEntry, FeedEvent, FeedReads, JobSummary, RunSearch, RunSummary } from "../ports/feed.ts";
import type { TokenReads } from "../ports/tokens.ts";

import { EVENTS_PER_RUN } from "./events.ts";
import { READ, twice } from "./read-sql.ts";
import { MainReader } from "./reads.ts";
import { RECORD_SQL } from "./records.ts";

/** Runs that one search looks at, at most. */
const LOOKED_AT = 20_000;
const OPEN_TOKENS = `WHERE (kind = 'token' OR (revoked_at IS NULL AND used_at IS NULL AND coalesce(expires_at > ?, true)))`;

export abstract class ServerReader extends MainReader implements TokenReads, AuditReads, FeedReads {
  async token(id: string): Promise<TokenRow | null> {
    return await this.one<TokenRow>(RECORD_SQL.token.get, id);
  }

  async tokens(at: number): Promise<TokenRow[]> {
    return await this.many<TokenRow>(
      `${RECORD_SQL.token.select} ${OPEN_TOKENS} ORDER BY created_at DESC, id LIMIT 1000`,
      at,
    );
  }

  async tokensOver(before: number, limit: number): Promise<TokenRow[]> {
    return await this.many<TokenRow>(
      `${RECORD_SQL.token.select} WHERE kind <> 'token' AND (expires_at < ? OR revoked_at < ?) ORDER BY id LIMIT ?`,
      before,
      before,
      limit,
    );
  }

  async webhook(id: string): Promise<WebhookRow | null> {
    return await this.one<WebhookRow>(RECORD_SQL.webhook.get, id);
  }

  async webhooks(): Promise<WebhookRow[]> {
    return await this.many<WebhookRow>(`${RECORD_SQL.webhook.select} ORDER BY id LIMIT 1000`);
  }

  async incomingHook(id: string): Promise<HookRow | null> {
    return await this.one<HookRow>(RECORD_SQL.hook.get, id);
  }

  async incomingHooks(): Promise<HookRow[]> {
    return await this.many<HookRow>(`${RECORD_SQL.hook.select} ORDER BY id LIMIT 1000`);
  }

  async mark(id: string): Promise<MarkRow | null> {
    return await this.one<MarkRow>(RECORD_SQL.mark.get, id);
  }

  async audit(after: number, limit: number): Promise<AuditRow[]> {
    return await this.many<AuditRow>(
      `${RECORD_SQL.audit.select} WHERE number > ? ORDER BY number LIMIT ?`,
      after,
      limit,
    );
  }

  async auditBefore(before: number, limit: number): Promise<AuditRow[]> {
    return await this.many<AuditRow>(
      `${RECORD_SQL.audit.select} WHERE number < ? ORDER BY number DESC LIMIT ?`,
      before,
      limit,
    );
  }

  async feedEnd(): Promise<number> {
    return (await this.one<{ seq: number | null }>("SELECT max(seq) AS seq FROM feed"))?.seq ?? 0;
  }

  async feedStart(): Promise<number> {
    return (await this.one<{ seq: number | null }>("SELECT min(seq) AS seq FROM feed"))?.seq ?? 1;
  }

  async feed(after: number, limit: number): Promise<FeedEntry[]> {
    const rows = await this.many<{ seq: number; at: number; entries: string }>(
      "SELECT seq, at, entries FROM feed WHERE seq > ? ORDER BY seq LIMIT ?",
      after,
      limit,
    );
    return rows.map(({ seq, at, entries }) => ({
      seq,
      at,
      ranges: entries.split(",").map((text) => {
        const [run, first, last] = text.split(/[:-]/).map(Number) as [number, number, number];
        return { run, first, last };
      }),
    }));
  }

  async feedEvents({ run, first, last }: FeedEntry["ranges"][number]): Promise<FeedEvent[]> {
    const base = run * EVENTS_PER_RUN;
    const rows = await this.many<FeedEvent & { data: string | null }>(
      `SELECT e.run, e.id - e.run * ${EVENTS_PER_RUN} AS seq, e.at, e.name, e.job, e.data, r.id AS runId, r.pipeline
       FROM event e JOIN run r ON r.seq = e.run WHERE e.id >= ? AND e.id <= ? ORDER BY e.id`,
      base + first,
      base + last,
    );
    return rows.map((row) => ({
      ...row,
      data: row.data === null ? null : JSON.parse(row.data as unknown as string),
    }));
  }

  async runSummary(seq: RunSeq): Promise<RunSummary | null> {
    return await this.one<RunSummary>(`SELECT ${READ.summaryColumns} FROM run r WHERE r.seq = ?`, seq);
  }

  async searchRuns(search: RunSearch): Promise<{ runs: RunSummary[]; next: RunSeq | null }> {
    const { states = [], limit, before = Number.MAX_SAFE_INTEGER } = search;
    // Runs that did not complete have an index by state; the others are found by walking back from the newest.
    const rare = states.length > 0 && !states.includes("completed");
    if (rare) return await this.rareRuns(search, states, before);
    const scanned = await this.many<RunSummary>(
      `SELECT * FROM (SELECT ${READ.summaryColumns} FROM run r WHERE r.seq < ? ORDER BY r.seq DESC LIMIT ${LOOKED_AT}) newest
       WHERE ${conditions(search, states)} ORDER BY seq DESC LIMIT ?`,
      before,
      ...operands(search, states),
      limit + 1,
    );
    if (scanned.length > limit) return { runs: scanned.slice(0, limit), next: scanned[limit - 1]!.seq };
    const edge = await this.one<{ seq: number }>(
      "SELECT seq FROM run WHERE seq < ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
      before,
      LOOKED_AT - 1,
    );
    const more = edge !== null && (await this.one("SELECT 1 AS n FROM run WHERE seq < ? LIMIT 1", edge.seq)) !== null;
    return { runs: scanned, next: more ? edge.seq : null };
  }

  /** That a run is in a state other than `completed`, which it takes as a value, by an index. */
  protected isRare(_state: RunState): string {
    return "r.state = ? AND r.state <> 'completed'";
  }

  private async rareRuns(search: RunSearch, states: readonly RunState[], before: RunSeq) {
    const found: RunSummary[] = [];
    for (const state of states)
      found.push(
        ...(await this.many<RunSummary>(
          `SELECT * FROM (SELECT ${READ.summaryColumns} FROM run r WHERE ${this.isRare(state)} AND r.seq < ?
         ORDER BY r.seq DESC LIMIT ${LOOKED_AT}) newest WHERE ${conditions(search, [])} ORDER BY seq DESC LIMIT ?`,
          state,
          before,
          ...operands(search, []),
          search.limit + 1,
        )),
      );
    found.sort((a, b) => b.seq - a.seq);
    const runs = found.slice(0, search.limit);
    if (found.length > search.limit) return { runs, next: runs.at(-1)!.seq };
    let edge = 0;
    for (const state of states) {
      const row = await this.one<{ seq: number }>(
        `SELECT r.seq FROM run r WHERE ${this.isRare(state)} AND r.seq < ? ORDER BY r.seq DESC LIMIT 1 OFFSET ?`,
        state,
        before,
        LOOKED_AT,
      );
      edge = Math.max(edge, row?.seq ?? 0);
    }
    // What was found below the edge is found again from there.
    return { runs: runs.filter((run) => run.seq >= edge), next: edge === 0 ? null : edge };
  }

  async runCounts(): Promise<Record<RunState, number>> {
    const counts = { pending: 0, running: 0, waiting: 0, completed: 0, failed: 0, cancelled: 0 };
    let others = 0;
    for (const { state, n } of await this.many<{ state: RunState; n: number }>(READ.runCounts)) {
      counts[state] = n;
      others += n;
    }
    counts.completed = ((await this.one<{ n: number }>(READ.runTotal))?.n ?? 0) - others;
    return counts;
  }

  async jobSummaries(
    run: RunSeq,
    filter: { states?: readonly JobState[]; after?: number; limit: number },
  ): Promise<JobSummary[]> {
    const states = filter.states ?? [];
    return await this.many<JobSummary>(
      READ.jobSummaries(states.length),
      ...twice(run, filter.after ?? 0, ...states),
      filter.limit,
    );
  }

  async labelsOf(run: RunSeq): Promise<string | null> {
    return (await this.one<{ labels: string | null }>("SELECT labels FROM run WHERE seq = ?", run))?.labels ?? null;
  }
}

/** A text for LIKE in which nothing of the text means more than itself. */
const literal = (text: string): string => `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`;

function conditions({ pipeline, text, label, createdFrom, createdTo }: RunSearch, states: readonly RunState[]): string {
  const all = ["true"];
  if (states.length > 0) all.push(`state IN (${states.map(() => "?").join(", ")})`);
  if (pipeline !== undefined) all.push("pipeline = ?");
  if (text !== undefined) all.push("(id LIKE ? ESCAPE '\\' OR pipeline LIKE ? ESCAPE '\\')");
  if (label !== undefined)
    all.push(
      `labels IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(labels) l WHERE l.key = ?${label.includes("=") ? " AND l.value = ?" : ""})`,
    );
  if (createdFrom !== undefined) all.push("createdAt >= ?");
  if (createdTo !== undefined) all.push("createdAt < ?");
  return all.join(" AND ");
}

function operands(search: RunSearch, states: readonly RunState[]): unknown[] {
  const { pipeline, text, label, createdFrom, createdTo } = search;
  const at = label?.indexOf("=") ?? -1;
  return [
    ...states,
    ...(pipeline === undefined ? [] : [pipeline]),
    ...(text === undefined ? [] : [literal(text), literal(text)]),
    ...(label === undefined ? [] : at < 0 ? [label] : [label.slice(0, at), label.slice(at + 1)]),
    ...(createdFrom === undefined ? [] : [createdFrom]),
    ...(createdTo === undefined ? [] : [createdTo]),
  ];
}
