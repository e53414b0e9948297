/**
 * The database's clock: how far it is from this process's, measured now and then, and the time that passes here between.
 *
 * Invariant: it never goes back, whatever either clock does.
 */
import type { Database } from "./connection.ts";

const MEASURE_EVERY_MS = 30_000;
const SAMPLES = 3;
const NOW = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now";

export class DatabaseClock {
  private readonly database: Database;
  /** Add to `performance.now()`. */
  private offset: number | null = null;
  private last = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(database: Database) {
    this.database = database;
  }

  async start(): Promise<void> {
    await this.measure();
    this.timer = setInterval(() => void this.measure().catch(() => {}), MEASURE_EVERY_MS).unref();
  }

  /** The answer that came quickest says it best. */
  private async measure(): Promise<void> {
    let best = Number.POSITIVE_INFINITY;
    let offset = this.offset;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const asked = performance.now();
      const [row] = await this.database.read<{ now: number }>(NOW, [], "now");
      const took = performance.now() - asked;
      if (took >= best || row === undefined) continue;
      best = took;
      offset = row.now - asked - took / 2;
    }
    this.offset = offset;
  }

  now(): number {
    this.last = Math.max(this.last, Math.floor(performance.now() + (this.offset ?? performance.timeOrigin)));
    return this.last;
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }
}
