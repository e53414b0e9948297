/** Statements of one connection, and what they take. Nothing is prepared twice. */
import type { Statement } from "better-sqlite3";
import type { Connection } from "./open.ts";

/** Statements prepared once per connection, by their text. */
export class Statements {
  private readonly db: Connection;
  private readonly prepared = new Map<string, Statement>();

  constructor(db: Connection) {
    this.db = db;
  }

  of(sql: string): Statement<any[], any> {
    let statement = this.prepared.get(sql);
    if (statement === undefined) {
      statement = this.db.prepare(sql);
      this.prepared.set(sql, statement);
    }
    return statement as Statement<any[], any>;
  }
}

/** What statements about all jobs of a run take: for the declared ones and for the spawned ones. */
export const twice = (...values: unknown[]): unknown[] => [...values, ...values];
