/** Reads of single rows that are asked for at about the same time, as one statement: a round trip costs more than the rows. */

export class Gathered<V> {
  private readonly fetch: (keys: number[]) => Promise<{ key: number; row: V }[]>;
  private waiting: Map<number, { resolve(row: V | null): void; reject(error: unknown): void }[]> | null = null;

  constructor(fetch: (keys: number[]) => Promise<{ key: number; row: V }[]>) {
    this.fetch = fetch;
  }

  /** The row, or null if there is none. It is read after this call. */
  get(key: number): Promise<V | null> {
    return new Promise((resolve, reject) => {
      if (this.waiting === null) {
        this.waiting = new Map();
        setImmediate(() => void this.send());
      }
      const asked = this.waiting.get(key);
      if (asked === undefined) this.waiting.set(key, [{ resolve, reject }]);
      else asked.push({ resolve, reject });
    });
  }

  private async send(): Promise<void> {
    const asked = this.waiting ?? new Map();
    this.waiting = null;
    try {
      const rows = new Map((await this.fetch([...asked.keys()])).map(({ key, row }) => [key, row]));
      for (const [key, askers] of asked)
        for (const { resolve } of askers) {
          const row = rows.get(key);
          // Each asker may change what it is given.
          resolve(row === undefined ? null : { ...row });
        }
    } catch (error) {
      for (const askers of asked.values()) for (const { reject } of askers) reject(error);
    }
  }
}
