/** How events are numbered in the ledger: an event's id is its run's number times this, plus its own number. */
export const EVENTS_PER_RUN = 16_777_216;

/** Entries of the feed that are kept; who has read less than that far starts again from the present state. */
export const FEED_KEPT = 100_000;
