/**
 * PGlite, PostgreSQL in this process, behind the driver's own protocol: what runs against it is the code that runs against a
 * server, pipelines and all. It has one session.
 */
import { Duplex } from "node:stream";
import { PGlite } from "@electric-sql/pglite";

/** Stands in for a socket: what the driver writes is answered by the database. */
class Wire extends Duplex {
  private readonly lite: PGlite;

  constructor(lite: PGlite) {
    super();
    this.lite = lite;
  }

  connect(): this {
    process.nextTick(() => this.emit("connect"));
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.lite.execProtocolRaw(new Uint8Array(chunk)).then((answer) => {
      this.push(Buffer.from(answer));
      done();
    }, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "", done);
  }

  override _final(done: () => void): void {
    this.push(null);
    done();
  }
}

export interface Lite {
  /** For `openDatabase`, with one writer and no readers. */
  stream(): Duplex;
  stop(): Promise<void>;
}

export async function startLite(): Promise<Lite> {
  const lite = await PGlite.create();
  return { stream: () => new Wire(lite), stop: async () => await lite.close() };
}
