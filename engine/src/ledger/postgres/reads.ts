/** How PostgreSQL answers the reads that all ledgers share, on connections that do nothing else. */
import type { RunState } from "../../core/model.ts";
import type { FeedEntry } from "../../ports/feed.ts";
import { READ } from "../read-sql.ts";
import { LedgerReads } from "../reads-deliveries.ts";
import type { TextTable } from "../rows.ts";
import type { Database } from "./connection.ts";
import { translate } from "./dialect.ts";
import { type FeedState, gatherFeed } from "./feed.ts";
import { LEASED } from "./sql.ts";
import { storageError } from "./storage-error.ts";

/** The first of each agent, by a walk from agent to agent. */
const AGENTS = `WITH RECURSIVE a (agent) AS (SELECT min(agent) FROM queue UNION ALL
  SELECT (SELECT min(agent) FROM queue WHERE agent > a.agent) FROM a WHERE a.agent IS NOT NULL) SELECT agent FROM a WHERE agent IS NOT NULL`;

const OTHERS = `SELECT state, count(*) AS n FROM run WHERE ended_at IS NULL GROUP BY state
  UNION ALL SELECT outcome, count(*) FROM run WHERE outcome IS NOT NULL GROUP BY outcome`;
/** All runs can only be counted by looking at each: when that has taken long, it is not done again at once. */
const SLOW_MS = 25;
const SLOW_FACTOR = 20;

const COLUMNS = `SELECT c.relname AS name, a.attname AS column, a.atttypid = 'text'::regtype AS text,
    array_position(i.indkey::smallint[], a.attnum) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
  WHERE n.nspname = ? AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum`;

export abstract class PostgresReads extends LedgerReads {
  readonly database: Database;
  protected override readonly leased = LEASED;
  private total = { runs: 0, until: 0 };

  constructor(database: Database) {
    super();
    this.database = database;
  }

  protected async many<T>(text: string, ...values: unknown[]): Promise<T[]> {
    const { sql, name } = translate(text);
    try {
      return await this.database.read<T>(sql, values, name);
    } catch (error) {
      throw storageError(error, this.database.shown);
    }
  }

  protected async one<T>(sql: string, ...values: unknown[]): Promise<T | null> {
    return (await this.many<T>(sql, ...values))[0] ?? null;
  }

  protected async textTables(): Promise<TextTable[]> {
    const rows = await this.many<{ name: string; column: string; text: boolean; key: number | null }>(
      COLUMNS,
      this.database.schema,
    );
    const tables = new Map<string, { texts: string[]; keys: { column: string; key: number }[] }>();
    for (const { name, column, text, key } of rows) {
      const table = tables.get(name) ?? { texts: [], keys: [] };
      tables.set(name, table);
      if (key !== null) table.keys.push({ column, key });
      else if (text) table.texts.push(column);
    }
    return [...tables]
      .filter(([, { texts, keys }]) => texts.length > 0 && keys.length > 0)
      .map(([name, { texts, keys }]) => ({
        name,
        texts,
        keys: keys.sort((a, b) => a.key - b.key).map(({ column }) => column),
      }));
  }

  private async gather(): Promise<FeedState> {
    try {
      return await gatherFeed(this.database);
    } catch (error) {
      throw storageError(error, this.database.shown);
    }
  }

  override async feedEnd(): Promise<number> {
    return (await this.gather()).newest ?? 0;
  }

  override async feedStart(): Promise<number> {
    return (await this.gather()).oldest ?? 1;
  }

  override async feed(after: number, limit: number): Promise<FeedEntry[]> {
    await this.gather();
    return await super.feed(after, limit);
  }

  protected override isRare(state: RunState): string {
    return state === "failed" || state === "cancelled" ? "r.outcome = ?" : "r.state = ? AND r.ended_at IS NULL";
  }

  override async runCounts(): Promise<Record<RunState, number>> {
    const counts = { pending: 0, running: 0, waiting: 0, completed: 0, failed: 0, cancelled: 0 };
    let others = 0;
    for (const { state, n } of await this.many<{ state: RunState; n: number }>(OTHERS)) {
      counts[state] = n;
      others += n;
    }
    counts.completed = Math.max(0, (await this.countRuns()) - others);
    return counts;
  }

  private async countRuns(): Promise<number> {
    const since = performance.now();
    if (since < this.total.until) return this.total.runs;
    const runs = (await this.one<{ n: number }>(READ.runTotal))?.n ?? 0;
    const took = performance.now() - since;
    this.total = { runs, until: took < SLOW_MS ? 0 : since + took * (SLOW_FACTOR + 1) };
    return runs;
  }

  async readyAgents(): Promise<string[]> {
    return (await this.many<{ agent: string }>(AGENTS)).map((row) => row.agent);
  }
}
