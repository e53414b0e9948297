/** How SQLite answers the reads that all ledgers share. */
import { LedgerReads } from "../reads-deliveries.ts";
import type { TextTable } from "../rows.ts";
import type { Connection } from "./open.ts";
import { SQL } from "./sql.ts";
import { Statements } from "./statements.ts";

const TABLES =
  "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'";
const COLUMNS = "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY pk";

export abstract class SqliteReads extends LedgerReads {
  readonly db: Connection;
  readonly statements: Statements;

  constructor(db: Connection) {
    super();
    this.db = db;
    this.statements = new Statements(db);
  }

  protected one<T>(sql: string, ...values: unknown[]): T | null {
    return (this.statements.of(sql).get(...values) as T | undefined) ?? null;
  }

  protected many<T>(sql: string, ...values: unknown[]): T[] {
    return this.statements.of(sql).all(...values) as T[];
  }

  protected async textTables(): Promise<TextTable[]> {
    const found: TextTable[] = [];
    for (const { name, wr } of this.many<{ name: string; wr: 0 | 1 }>(TABLES)) {
      const columns = this.many<{ name: string; type: string; pk: number }>(COLUMNS, name);
      const texts = columns.filter((column) => column.type === "TEXT" && column.pk === 0).map((column) => column.name);
      const keys = wr === 0 ? ["rowid"] : columns.filter((column) => column.pk > 0).map((column) => column.name);
      if (texts.length > 0) found.push({ name, keys, texts });
    }
    return found;
  }

  async readyAgents(): Promise<string[]> {
    return this.many<{ agent: string }>(SQL.agentsReady).map((row) => row.agent);
  }
}
