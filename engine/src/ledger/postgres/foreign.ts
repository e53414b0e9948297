/**
 * What other processes have written: looked for a few times a second, which is the truth; and told by notifications, which
 * are quicker and may be lost.
 */
import type { Database } from "./connection.ts";
import { SQL } from "./sql.ts";

const POLL_MS = 250;
/** Notifications that come close together are one. */
const GATHER_MS = 10;
const CHANNEL = "tenuto";

export class ForeignWrites {
  private readonly database: Database;
  private readonly writer: string;
  private readonly onWrite: () => void;
  private poll: NodeJS.Timeout | null = null;
  private gather: NodeJS.Timeout | null = null;
  private tell: NodeJS.Timeout | null = null;
  private listening: { close(): Promise<void> } | null = null;
  private opening: Promise<void> | null = null;
  private looking: Promise<void> | null = null;
  private tokens: number | null = null;
  /** Whether there are other processes to be told; they may have come since the last look. */
  private others = true;
  private closed = false;

  constructor(database: Database, writer: string, onWrite: () => void) {
    this.database = database;
    this.writer = writer;
    this.onWrite = onWrite;
  }

  /** From now on `onWrite` is called. */
  start(): void {
    if (this.poll !== null || this.closed) return;
    this.poll = setInterval(() => this.look(), POLL_MS).unref();
    // Without notifications, through a pooler for example, looking is enough.
    this.opening = this.database
      .listen(this.channel, (payload) => this.hear(payload))
      .then((listening) => {
        this.listening = listening;
      })
      .catch(() => {});
  }

  private get channel(): string {
    return `${CHANNEL}_${this.database.schema}`;
  }

  private hear(payload: string): void {
    if (payload === this.writer || this.gather !== null || this.closed) return;
    this.gather = setTimeout(() => {
      this.gather = null;
      this.onWrite();
    }, GATHER_MS);
  }

  /** Something may have been overlooked: the next look counts as one that has found something. */
  missed(): void {
    this.tokens = -1;
  }

  private look(): void {
    this.looking ??= this.ask()
      .catch(() => this.missed())
      .finally(() => {
        this.looking = null;
      });
  }

  private async ask(): Promise<void> {
    const [row] = await this.database.read<{ tokens: number; writers: number }>(
      SQL.foreignTokens,
      [this.writer],
      "foreign_tokens",
    );
    if (row === undefined || this.closed) return;
    this.others = row.writers > 0;
    const before = this.tokens;
    this.tokens = row.tokens;
    if (before !== null && before !== row.tokens) this.onWrite();
  }

  /** Something was committed that others may wait for. */
  announce(): void {
    if (this.tell !== null || !this.others || this.closed) return;
    this.tell = setTimeout(() => {
      this.tell = null;
      void this.notify();
    }, GATHER_MS).unref();
  }

  private async notify(): Promise<void> {
    await this.database.query("SELECT pg_notify($1, $2)", [this.channel, this.writer]).catch(() => {});
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.poll !== null) clearInterval(this.poll);
    if (this.gather !== null) clearTimeout(this.gather);
    if (this.tell !== null) {
      clearTimeout(this.tell);
      await this.notify();
    }
    await this.opening;
    await this.listening?.close();
    await this.looking;
  }
}
