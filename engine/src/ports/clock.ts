/** Port: time and timers. Nothing in the core or in a ledger's decisions reads a clock of its own. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls back once after `ms`. The callback must not throw. */
  after(ms: number, callback: () => void): { cancel(): void };
}

/** Randomness for ids; tests seed it. */
export interface Entropy {
  /** Lower-case hex. */
  hex(bytes: number): string;
}
