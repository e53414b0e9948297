/**
 * Port: the database that all machines share, for what is neither decided nor claimed: bytes of artifacts, lines of logs.
 * Whole numbers arrive as numbers, bytea as bytes, everything else as text.
 */
export interface DatabaseSession {
  query<T>(sql: string, values?: readonly unknown[]): Promise<T[]>;
}

export interface SharedDatabase extends DatabaseSession {
  /** All or nothing; a commit that failed has changed nothing, or throws without knowing. */
  transaction<R>(work: (session: DatabaseSession) => Promise<R>): Promise<R>;
}
