/** Port: when a cron expression comes up, in which time zone. */
export interface Calendar {
  /** What is wrong with an expression in a zone; null if it can be used. */
  fault(cron: string, zone: string): { what: "cron" | "zone"; message: string } | null;
  /** The first time after `after`; null if there is none. */
  next(cron: string, zone: string, after: number): number | null;
  /** The newest `limit` times in (after, until], oldest first. */
  between(cron: string, zone: string, range: { after: number; until: number; limit: number }): number[];
}
