/** A ledger on PostgreSQL, as an end of a move: all within one transaction, so that a target is there wholly or not at all. */

import { createProbe } from "../../executors/probe.ts";
import type { Database, Session } from "../../ledger/postgres/index.ts";
import type { Boot, Row, Tables, Target } from "./end.ts";

const PAGE = 2_000;
/** A worker that has sent a heartbeat within this time counts as alive. */
const ALIVE_MS = 60_000;

interface Column {
  table: string;
  name: string;
  type: string;
  identity: string;
}

export class PostgresEnd implements Target {
  readonly shown: string;
  private readonly db: Database;
  private readonly session: Session;
  private columns: Column[] | null = null;

  constructor(db: Database, session: Session) {
    this.db = db;
    this.session = session;
    this.shown = db.shown;
  }

  private async known(): Promise<Column[]> {
    this.columns ??= await this.session.query<Column>(
      `SELECT table_name::text AS "table", column_name::text AS name, udt_name::text AS type, is_identity::text AS identity
       FROM information_schema.columns WHERE table_schema = $1 AND is_generated = 'NEVER' ORDER BY table_name, ordinal_position`,
      [this.db.schema],
    );
    return this.columns;
  }

  async tables(): Promise<Tables> {
    const tables = new Map<string, string[]>();
    for (const { table, name } of await this.known()) tables.set(table, [...(tables.get(table) ?? []), name]);
    return tables;
  }

  async *rows(table: string, columns: readonly string[]): AsyncGenerator<Row[]> {
    const list = columns.map((name) => `"${name}"`).join(", ");
    await this.session.query(`DECLARE moved NO SCROLL CURSOR FOR SELECT ${list} FROM "${table}"`);
    for (;;) {
      const page = await this.session.query<Row>(`FETCH ${PAGE} FROM moved`);
      if (page.length > 0) yield page;
      if (page.length < PAGE) break;
    }
    await this.session.query("CLOSE moved");
  }

  async working(): Promise<string[]> {
    const probe = createProbe({ manyMachines: true });
    const boots = await this.session.query<Boot & { recent: boolean }>(
      `SELECT host, machine, pid, pid_start AS "pidStart",
        heartbeat_at > extract(epoch FROM clock_timestamp()) * 1000 - $1::bigint AS recent
       FROM boot WHERE state = 'alive'`,
      [ALIVE_MS],
    );
    return boots.filter((boot) => probe.alive(boot) ?? boot.recent).map((boot) => `${boot.host}:${boot.pid}`);
  }

  async insert(table: string, columns: readonly string[], rows: readonly Row[]): Promise<void> {
    const types = new Map(
      (await this.known()).filter((column) => column.table === table).map((column) => [column.name, column.type]),
    );
    const arrays = columns.map((name, at) => `$${at + 1}::${types.get(name)}[]`).join(", ");
    const list = columns.map((name) => `"${name}"`).join(", ");
    await this.session.query(
      `INSERT INTO "${table}" (${list}) SELECT * FROM unnest(${arrays})`,
      columns.map((name) => rows.map((row) => row[name] ?? null)),
    );
  }

  async settle(numbers: { run: number; job: number }): Promise<void> {
    for (const { table, name, identity } of await this.known()) {
      if (identity !== "YES") continue;
      await this.session.query(
        `SELECT setval(pg_get_serial_sequence($1, $2), greatest(1, (SELECT max("${name}") FROM "${table}")))`,
        [`"${this.db.schema}"."${table}"`, name],
      );
    }
    for (const [name, next] of Object.entries(numbers))
      await this.session.query("UPDATE number SET next = $1 WHERE name = $2", [next, name]);
    await this.session.query(
      "UPDATE number SET next = greatest(next, (SELECT coalesce(max(seq), 0) + 1 FROM feed)) WHERE name = 'feed'",
    );
    await this.session.query(
      "INSERT INTO queue (job, run, agent, rank, state, crashes) SELECT seq, run, agent, rank, state, crashes FROM job WHERE claimable = 1",
    );
  }

  async close(): Promise<void> {}
}
