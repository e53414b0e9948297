/**
 * Several statements behind one Sync: one round trip, and one implicit transaction unless BEGIN is among them. `pg` itself
 * pipelines too, but with a Sync after each statement, which would make each a transaction of its own.
 *
 * Invariants: (1) all results or an error; after an error the server skips what follows, so nothing of an implicit
 * transaction stays; (2) a named statement is parsed once per connection; one whose parsing may have failed is closed first.
 */
import { type Decoder, decoderOf, encode } from "./values.ts";

export interface Statement {
  /** With parameters as `$1`, `$2`. */
  sql: string;
  values?: readonly unknown[];
  /** Prepared once per connection under this name, which must belong to no other text. */
  name?: string;
  /** May take as long as it takes: a migration, a wait for one. */
  patient?: boolean;
}

/** What is needed of `pg`'s connection, on which the messages are written. */
export interface Wire {
  stream: { cork?(): void; uncork?(): void };
  parse(message: { text: string; name: string }): void;
  bind(message: { statement: string; values: readonly (string | Buffer | null)[] }): void;
  describe(message: { type: "P" }): void;
  execute(message: object): void;
  close(message: { type: "S"; name: string }): void;
  sync(): void;
}

interface Columns {
  names: string[];
  decoders: Decoder[];
}

const NO_COLUMNS: Columns = { names: [], decoders: [] };

/** Statements that one connection has parsed. */
export class Prepared {
  /** What each gives; null while nobody knows whether it was parsed. */
  readonly known = new Map<string, Columns | null>();
  /** Names whose parsing is under way. */
  readonly coming = new Set<string>();
}

/** Rows of one statement, and how many rows it has changed or given. */
export interface Reply {
  rows: Record<string, unknown>[];
  count: number;
}

export class Pipeline {
  private readonly statements: readonly Statement[];
  private readonly prepared: Prepared;
  private readonly settle: (error: Error | null, replies: Reply[]) => void;
  private readonly replies: Reply[] = [];
  private readonly described = new Map<number, Columns>();
  private rows: Record<string, unknown>[] = [];
  private columns: Columns | null = null;
  private failed = false;
  isSent = false;
  private refused: Error | null = null;
  /** Names that this one parses, and places of statements that go without theirs since an earlier one parses it. */
  private readonly parses = new Set<string>();
  private readonly nameless = new Set<number>();
  /** `pg` sets a callback on what it is given. */
  callback = (): void => {};

  constructor(
    statements: readonly Statement[],
    prepared: Prepared,
    settle: (error: Error | null, replies: Reply[]) => void,
  ) {
    this.statements = statements;
    this.prepared = prepared;
    this.settle = settle;
  }

  /** Called by `pg` when it is this one's turn to be answered. An error for what cannot be sent; nothing has been sent then. */
  submit(wire: Wire): Error | null {
    if (!this.isSent) this.send(wire);
    return this.refused;
  }

  /** Sends at once; the answers come when all that was sent before has been answered. */
  send(wire: Wire): void {
    this.isSent = true;
    let encoded: (string | Buffer | null)[][];
    try {
      encoded = this.statements.map(({ values = [] }) => values.map(encode));
    } catch (error) {
      this.refused = error as Error;
      return;
    }
    wire.stream.cork?.();
    try {
      for (const [at, { sql, name = "" }] of this.statements.entries()) {
        const known = name === "" ? undefined : this.prepared.known.get(name);
        const sentAs = known == null ? this.parse(wire, at, sql, name, known === null) : name;
        wire.bind({ statement: sentAs, values: encoded[at] as (string | Buffer | null)[] });
        if (known == null) wire.describe({ type: "P" });
        else this.described.set(at, known);
        wire.execute({});
      }
      wire.sync();
    } finally {
      wire.stream.uncork?.();
    }
  }

  /** The name under which it is to be bound. */
  private parse(wire: Wire, at: number, text: string, name: string, unsure: boolean): string {
    if (name !== "" && this.parses.has(name)) return name;
    const isComing = this.prepared.coming.has(name);
    const sentAs = isComing ? "" : name;
    if (isComing) this.nameless.add(at);
    else if (name !== "") {
      if (unsure) wire.close({ type: "S", name });
      this.parses.add(name);
      this.prepared.coming.add(name);
    }
    wire.parse({ text, name: sentAs });
    return sentAs;
  }

  private end(): void {
    for (const name of this.parses) this.prepared.coming.delete(name);
  }

  handleRowDescription({ fields }: { fields: { name: string; dataTypeID: number }[] }): void {
    this.columns = {
      names: fields.map((field) => field.name),
      decoders: fields.map((field) => decoderOf(field.dataTypeID)),
    };
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    const { names, decoders } = this.columns ?? this.described.get(this.replies.length) ?? NO_COLUMNS;
    const row: Record<string, unknown> = {};
    for (let at = 0; at < names.length; at++) {
      const text = fields[at] as string | null;
      row[names[at] as string] = text === null ? null : (decoders[at] as Decoder)(text);
    }
    this.rows.push(row);
  }

  handleCommandComplete({ text }: { text: string }): void {
    const at = this.replies.length;
    const { name, sql } = this.statements[at] as Statement;
    if (name !== undefined && !this.nameless.has(at))
      this.prepared.known.set(name, this.columns ?? this.prepared.known.get(name) ?? NO_COLUMNS);
    if (text === "ROLLBACK" && sql === "COMMIT")
      return this.handleError(
        Object.assign(new Error("a transaction in which a statement had failed cannot be committed"), {
          code: "25P02",
        }),
      );
    this.replies.push({ rows: this.rows, count: Number(/\d+$/.exec(text)?.[0] ?? 0) });
    this.rows = [];
    this.columns = null;
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete({ text: "" });
  }

  handlePortalSuspended(): void {}

  handleError(error: Error): void {
    if (this.failed) return;
    this.failed = true;
    this.end();
    for (const { name } of this.statements.slice(this.replies.length))
      if (name !== undefined) this.prepared.known.set(name, null);
    this.settle(error, []);
  }

  handleReadyForQuery(): void {
    this.end();
    if (!this.failed) this.settle(null, this.replies);
  }
}
