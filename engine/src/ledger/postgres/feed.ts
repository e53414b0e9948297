/**
 * The feed of PostgreSQL: commits leave what they have to say in an inbox, without an order, so that none waits for another
 * one's; whoever reads gives numbers to what has arrived.
 *
 * Invariants: (1) who has read number n has read all before it: numbers are given by one reader at a time, which holds the row
 * `feed` of `number` until its numbers are committed; (2) events of one run keep their order, since its commits follow each other.
 */
import { FEED_KEPT } from "../events.ts";
import type { Database } from "./connection.ts";
import { LostConnection } from "./storage-error.ts";

const MOVED_AT_ONCE = 10_000;
const TRIM_EVERY = 1_024;
const AGAIN = 5;

const STATE = `SELECT (SELECT max(seq) FROM feed) AS newest, (SELECT min(seq) FROM feed) AS oldest,
  EXISTS (SELECT 1 FROM feed_inbox) AS waiting`;

/** The lock first: the statement after it sees everything that whoever held it has committed. */
const LOCK = "SELECT next FROM number WHERE name = 'feed' FOR UPDATE";
const MOVE = `WITH gone AS (
    DELETE FROM feed_inbox WHERE id IN (SELECT id FROM feed_inbox ORDER BY id LIMIT ${MOVED_AT_ONCE}) RETURNING id, at, entries
  ), added AS (
    INSERT INTO feed (seq, at, entries)
    SELECT (SELECT next FROM number WHERE name = 'feed') + row_number() OVER (ORDER BY id) - 1, at, entries FROM gone RETURNING seq
  )
  UPDATE number SET next = next + (SELECT count(*) FROM added) WHERE name = 'feed'
  RETURNING next - 1 AS newest, (SELECT count(*) FROM added) AS moved`;
const TRIM = "DELETE FROM feed WHERE seq <= $1";

export interface FeedState {
  newest: number | null;
  oldest: number | null;
}

interface Moved {
  newest: number;
  moved: number;
}

async function move(database: Database): Promise<Moved> {
  for (let attempt = 0; ; attempt++) {
    try {
      const [, moved] = await database.pipeline([{ sql: LOCK }, { sql: MOVE }]);
      return (moved as Moved[])[0] ?? { newest: 0, moved: 0 };
    } catch (error) {
      // Whether or not they were moved: what is left is moved now.
      if (!(error instanceof LostConnection) || attempt >= AGAIN) throw error;
    }
  }
}

/** Gives numbers to all that has arrived. */
export async function gatherFeed(database: Database): Promise<FeedState> {
  for (;;) {
    const [state] = await database.read<FeedState & { waiting: boolean }>(STATE);
    if (state === undefined || !state.waiting) return state ?? { newest: null, oldest: null };
    const { newest, moved } = await move(database);
    const trims = Math.floor(newest / TRIM_EVERY) > Math.floor((newest - moved) / TRIM_EVERY);
    if (trims) await database.put(TRIM, [newest - FEED_KEPT]);
    if (moved < MOVED_AT_ONCE) return { newest, oldest: state.oldest ?? newest - moved + 1 };
  }
}
