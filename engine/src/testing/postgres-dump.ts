/**
 * A whole PostgreSQL ledger as rows, read with statements of its own: the auditor must not share the ledger's mistakes.
 *
 * Owner: testing.
 */
import type { Dump } from "../core/dump.ts";
import { camelCase, DUMPED_TABLES, dumpOf, HEAVY_COLUMNS } from "./dump-rows.ts";

/** What is needed of a session whose search path is the ledger's schema, in a transaction that sees one moment. */
export interface Queryable {
  query<T>(sql: string): Promise<T[]>;
}

/** Rows lie in no order of their own. */
const ORDER: Partial<Record<(typeof DUMPED_TABLES)[number], string>> = {
  run: "seq",
  job: "seq",
  boot: "seq",
  propagation: "seq",
  event: "id",
  stage: "run, ordinal",
  fanout: "job",
  item_window: "job, start",
  item: "job, ordinal",
  attempt: "job, number",
  dependency: "source, target",
};

export async function dumpPostgres(session: Queryable): Promise<Dump> {
  const tables = new Map<string, unknown[]>();
  for (const name of DUMPED_TABLES) {
    const rows = await session.query<Record<string, unknown>>(`SELECT * FROM "${name}" ORDER BY ${ORDER[name] ?? "1"}`);
    tables.set(
      name,
      rows.map((row) =>
        Object.fromEntries(
          Object.entries(row)
            .filter(([column]) => !HEAVY_COLUMNS.has(column))
            .map(([column, value]) => [camelCase(column), value]),
        ),
      ),
    );
  }
  return dumpOf(<T>(name: string) => tables.get(name) as T[]);
}
