/**
 * Progress of runs while somebody watches: redrawn in place on a terminal, a plain line per change worth telling elsewhere.
 *
 * Invariants: (1) drawn at most ten times a second, and only when something changed or a second has passed; (2) plain
 * lines are at most about two a second, errors excepted, and what is left out is counted; (3) after `stop` nothing is drawn.
 */
import type { Tenuto } from "../open.ts";
import { boardLines, busiestJob, jobParts, phaseLine } from "./board.ts";
import { counted } from "./figures.ts";
import type { CliIo } from "./io.ts";
import type { LiveArea, Output } from "./output.ts";
import type { News, RunView } from "./run-view.ts";
import { StatusLines } from "./status-lines.ts";
import { widthOf } from "./terminal.ts";

const DRAW_MS = 100;
const PLAIN_MS = 250;
/** With many runs, looking at all of them must not take the time from working on them. */
const VIEW_MS = 10;
const LINES_A_SECOND = 2;
const BURST = 12;
/** Errors may overdraw the allowance by this many lines. */
const MOST_LOUD = 50;

/** Shows the runs until it is stopped. */
export class Progress {
  private readonly out: Output;
  private readonly views: readonly RunView[];
  private readonly timer: NodeJS.Timeout;
  private readonly offs: (() => void)[];
  private readonly teller: Teller;
  private dirty = true;
  private drawnAt = 0;
  private working: Promise<void> | null = null;
  private stopped = false;

  constructor(io: CliIo, out: Output, tenuto: Tenuto, views: readonly RunView[]) {
    this.out = out;
    this.views = views;
    this.teller = out.quiet
      ? { tell: () => {}, end: () => {} }
      : out.animate
        ? new Board(io, out, views)
        : views.length === 1 && views[0]?.jobs != null
          ? new StatusLines(out)
          : new PlainLines(out, views);
    const { ledger } = tenuto.engine.parts;
    const mark = () => {
      this.dirty = true;
    };
    this.offs = [ledger.onCommit(mark), ledger.onForeignWrite(mark), io.onResize(mark)];
    const every = Math.max(out.animate ? DRAW_MS : PLAIN_MS, views.length * VIEW_MS);
    this.timer = setInterval(() => void this.step(), every);
  }

  /** Refreshes and shows what is new. */
  private async step(): Promise<void> {
    if (this.working !== null) return;
    const now = Date.now();
    if (!this.dirty && now - this.drawnAt < 1_000) return;
    this.working = this.show();
    try {
      await this.working;
    } catch {
      // The ledger is busy or closing; the next step looks again, and whoever waits for the run hears of it.
    } finally {
      this.working = null;
    }
  }

  private async show(): Promise<void> {
    this.dirty = false;
    this.drawnAt = Date.now();
    const news: { view: RunView; news: News[] }[] = [];
    for (const view of this.views) if (!view.over) news.push({ view, news: await view.refresh() });
    this.teller.tell(news);
  }

  /** Shows the last state and leaves it there. */
  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    clearInterval(this.timer);
    for (const off of this.offs) off();
    await this.working?.catch(() => {});
    await this.show().catch(() => {});
    this.teller.end();
    this.out.area = null;
  }
}

/** What shows changes. */
export interface Teller {
  tell(changes: { view: RunView; news: News[] }[]): void;
  end(): void;
}

/** The picture at the end of the terminal, with errors and warnings above it. */
class Board implements Teller, LiveArea {
  private readonly io: CliIo;
  private readonly out: Output;
  private readonly views: readonly RunView[];
  private drawn: string[] = [];

  constructor(io: CliIo, out: Output, views: readonly RunView[]) {
    this.io = io;
    this.out = out;
    this.views = views;
    out.area = this;
  }

  tell(changes: { view: RunView; news: News[] }[]): void {
    const loud = changes.flatMap(({ news }) =>
      news.filter((entry) => entry.weight === "error" || entry.weight === "warning"),
    );
    const shown = loud.slice(-5);
    this.redraw(() => {
      if (loud.length > shown.length) this.line("dim", `(${counted(loud.length - shown.length, "more change")})`);
      for (const entry of shown) this.line(entry.weight === "error" ? "red" : "yellow", entry.text);
    });
  }

  private line(style: "dim" | "red" | "yellow", text: string): void {
    this.io.stderr.write(`${this.out.paintTalk(style, text)}\n`);
  }

  above(write: () => void): void {
    this.redraw(write);
  }

  end(): void {
    this.drawn = [];
  }

  private redraw(write: () => void): void {
    const { stderr } = this.io;
    // Lines that were drawn for a wider terminal have wrapped by now.
    const rows = this.drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / stderr.columns)), 0);
    stderr.write(rows > 0 ? `\u001b[${rows}A\r\u001b[0J` : "");
    write();
    this.drawn = boardLines(this.views, {
      columns: stderr.columns,
      rows: stderr.rows,
      now: Date.now(),
      signs: this.out.signs,
      paint: this.out.paintTalk,
    });
    stderr.write(this.drawn.map((line) => `${line}\n`).join(""));
  }
}

/** A line per change, within an allowance that grows by two a second. */
class PlainLines implements Teller {
  private readonly out: Output;
  private readonly several: boolean;
  private readonly phases = new Map<RunView, string>();
  private allowance = BURST;
  private toldAt = performance.now();
  private leftOut = 0;

  constructor(out: Output, views: readonly RunView[]) {
    this.out = out;
    this.several = views.length > 1;
  }

  tell(changes: { view: RunView; news: News[] }[]): void {
    const now = performance.now();
    this.allowance = Math.min(BURST, this.allowance + ((now - this.toldAt) / 1_000) * LINES_A_SECOND);
    this.toldAt = now;
    for (const { view, news } of changes) {
      const lead = this.several ? `${view.run.id}: ` : "";
      for (const entry of news) {
        // How far a job is, is told with the phase.
        if (entry.weight !== "progress")
          this.line(lead + entry.text, entry.weight === "error" || entry.weight === "step");
      }
      const phase = phaseLine(view);
      if (view.over || phase === this.phases.get(view) || this.allowance < 1) continue;
      this.phases.set(view, phase);
      const busiest = busiestJob(view);
      const details = busiest === null ? [] : jobParts(busiest, Date.now());
      this.line(`${lead}${phase}${busiest === null ? "" : ` (${busiest.id}: ${details.join(", ")})`}`, false);
    }
  }

  private line(text: string, always: boolean): void {
    if (this.allowance < (always ? -MOST_LOUD : 1)) {
      this.leftOut += 1;
      return;
    }
    this.allowance -= 1;
    if (this.leftOut > 0) this.out.say(`(${counted(this.leftOut, "more change")})`);
    this.leftOut = 0;
    this.out.say(text);
  }

  end(): void {
    if (this.leftOut > 0) this.out.say(`(${counted(this.leftOut, "more change")})`);
    this.leftOut = 0;
  }
}
