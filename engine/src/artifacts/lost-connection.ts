/**
 * A database whose statements are sent again when nobody can tell whether they were carried out, for those that may be sent
 * twice. Waiting for a server that is away is the connection's part.
 *
 * Owner: artifacts.
 */
import { TenutoError } from "../core/errors.ts";
import type { SharedDatabase } from "../ports/database.ts";

const TRIES = 6;

/** Lost connections, conflicts that pass, a server that is ending. */
function passes(error: unknown): boolean {
  if ((error as Error | null)?.name === "LostConnection") return true;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^(40P01|40001|08\w{3}|57P0\d|25P03)$/.test(code);
}

/** @throws store_unavailable, as a fault that is retried */
async function insist<R>(work: () => Promise<R>): Promise<R> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (cause) {
      if (!passes(cause)) throw cause;
      if (attempt < TRIES) continue;
      throw new TenutoError("store_unavailable", `the database with the artifacts can't be reached: ${String(cause)}`, {
        hint: "Check that PostgreSQL runs and that this machine may connect; the job is tried again.",
        category: "retryable",
        cause,
      });
    }
  }
}

export function insistent(db: SharedDatabase): SharedDatabase {
  return {
    query: (sql, values) => insist(() => db.query(sql, values)),
    transaction: (work) => insist(() => db.transaction(work)),
  };
}
