/**
 * Where a command's words go: data on stdout, talk on stderr, one JSON document with `--json`.
 *
 * Invariants: (1) with `--json` exactly one document goes to stdout, its `schema` names shape and version;
 * (2) talk that comes while an area of the terminal is being redrawn goes above it.
 */
import type { CliIo } from "./io.ts";
import { mayAnimate, type Paint, painter, type Signs, signsFor, wantsColour } from "./terminal.ts";

/** An area at the end of the terminal that is drawn again and again. */
export interface LiveArea {
  above(write: () => void): void;
}

export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
  color?: boolean;
}

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Paints data. */
  readonly paint: Paint;
  /** Paints talk. */
  readonly paintTalk: Paint;
  readonly signs: Signs;
  readonly animate: boolean;
  area: LiveArea | null = null;
  private readonly io: CliIo;

  constructor(io: CliIo, options: OutputOptions) {
    this.io = io;
    this.json = options.json === true;
    this.quiet = options.quiet === true;
    this.paint = painter(wantsColour(io.stdout, io.env, options.color));
    this.paintTalk = painter(wantsColour(io.stderr, io.env, options.color));
    this.signs = signsFor(io.env);
    this.animate = mayAnimate(io.stderr, io.env) && !this.quiet;
  }

  /** Columns for tables on stdout; null if it is no terminal, so that nothing is cut in a pipe. */
  get width(): number | null {
    return this.io.stdout.isTTY ? this.io.stdout.columns : null;
  }

  /** True once whoever read the data has gone. */
  get gone(): boolean {
    return this.io.stdout.gone;
  }

  /** Lines of data. Not written with `--json`: there the document is the data. */
  data(...lines: string[]): void {
    if (this.json) return;
    this.write(() => this.io.stdout.write(lines.map((line) => `${line}\n`).join("")));
  }

  /** Data whatever the form: bytes of an artifact, or lines of a log. */
  raw(content: string | Uint8Array): void {
    this.write(() => this.io.stdout.write(content));
  }

  /** The document of a command with `--json`; nothing otherwise. */
  document(schema: string, content: object): void {
    if (this.json) this.io.stdout.write(`${JSON.stringify({ schema: `tenuto.${schema}/1`, ...content }, null, 2)}\n`);
  }

  /** Talk; silent with `--quiet`. */
  say(...lines: string[]): void {
    if (!this.quiet) this.tell(...lines);
  }

  /** Talk that must be seen: errors and warnings. */
  tell(...lines: string[]): void {
    this.write(() => this.io.stderr.write(lines.map((line) => `${line}\n`).join("")));
  }

  private write(write: () => void): void {
    if (this.area === null) write();
    else this.area.above(write);
  }
}
