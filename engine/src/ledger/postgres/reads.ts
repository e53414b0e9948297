/** How PostgreSQL answers the reads that all ledgers share, on connections that do nothing else. */
import type { FeedEntry } from "../../ports/feed.ts";
import { LedgerReads } from "../reads-deliveries.ts";
import type { TextTable } from "../rows.ts";
import type { Database } from "./connection.ts";
import { translate } from "./dialect.ts";
import { type FeedState, gatherFeed } from "./feed.ts";
import { storageError } from "./storage-error.ts";

/** The first of each agent, by a walk from agent to agent. */
const AGENTS = `WITH RECURSIVE a (agent) AS (SELECT min(agent) FROM queue UNION ALL
  SELECT (SELECT min(agent) FROM queue WHERE agent > a.agent) FROM a WHERE a.agent IS NOT NULL) SELECT agent FROM a WHERE agent IS NOT NULL`;

const COLUMNS = `SELECT c.table_name AS name, c.column_name AS column, c.data_type = 'text' AS text, k.ordinal_position AS key
  FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
  LEFT JOIN information_schema.table_constraints p
    ON p.table_schema = c.table_schema AND p.table_name = c.table_name AND p.constraint_type = 'PRIMARY KEY'
  LEFT JOIN information_schema.key_column_usage k
    ON k.constraint_schema = p.constraint_schema AND k.constraint_name = p.constraint_name AND k.column_name = c.column_name
  WHERE c.table_schema = ? AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position`;

export abstract class PostgresReads extends LedgerReads {
  readonly database: Database;

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

  async readyAgents(): Promise<string[]> {
    return (await this.many<{ agent: string }>(AGENTS)).map((row) => row.agent);
  }
}
