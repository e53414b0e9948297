/**
 * `tenuto logs`: the lines of a run in the source documents' form, `{timestamp} | {job_id} | {agent} | LEVEL | message`.
 *
 * What the engine did is told from the run's events, as the agent `orchestrator`, in order of time among the lines that
 * jobs wrote. `--raw` gives the bytes that commands wrote instead.
 */
import { createReadStream } from "node:fs";
import { isRunEnd } from "../../core/model.ts";
import { suggest } from "../../core/names.ts";
import { textForm } from "../../logs/line-form.ts";
import { fileNameOf } from "../../logs/names.ts";
import type { Tenuto } from "../../open.ts";
import type { JobRecord, RunRecord } from "../../ports/ledger.ts";
import type { LogLevel, LogLine } from "../../ports/log-sink.ts";
import { INLINE_COMMAND } from "../../runtime/definitions.ts";
import { eventText } from "../event-text.ts";
import { EXIT, usage } from "../failure.ts";
import { counted, parseCount } from "../figures.ts";
import { Interrupts } from "../interrupt.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import type { Style } from "../terminal.ts";

export interface LogsOptions {
  follow?: boolean;
  level?: string;
  raw?: boolean;
  attempt?: string;
  item?: string;
}

const LEVELS: readonly LogLevel[] = ["INFO", "WARNING", "ERROR"];
const PAGE = 1_000;
const FOLLOW_MS = 250;
const OUTPUTS_LOOKED_AT = 10_000;

export async function logs(cli: Cli, id: string, jobId: string | undefined, options: LogsOptions): Promise<number> {
  const level = levelNamed(options.level ?? "info");
  return await withLedger(cli, async (tenuto) => {
    const run = await tenuto.client.run(id);
    const job = jobId === undefined ? null : await tenuto.client.job(run.id, jobId);
    if (options.raw === true) return await rawOutput(cli, tenuto, run, job, options);
    const reader = new LogReader(tenuto, run, job?.id ?? null, level);
    const lines: LogLine[] = [];
    const write = async () => {
      for await (const line of reader.read()) {
        if (cli.out.json) lines.push(line);
        else cli.out.raw(painted(cli, line));
        if (cli.out.gone) return;
      }
    };
    await write();
    if (options.follow === true && !cli.out.json) {
      const code = await follow(cli, tenuto, run, write);
      if (code !== EXIT.ok) return code;
    }
    cli.out.document("logs", {
      run: run.id,
      lines: lines.map((line) => ({ ...line, at: new Date(line.at).toISOString() })),
    });
    await hintAtOutput(cli, tenuto, run, job);
    return EXIT.ok;
  });
}

/** Reads on while the run is open. */
async function follow(cli: Cli, tenuto: Tenuto, run: RunRecord, write: () => Promise<void>): Promise<number> {
  const interrupts = new Interrupts(cli.io);
  const off = tenuto.engine.parts.ledger.onForeignWrite(() => {});
  try {
    for (;;) {
      const over = isRunEnd((await tenuto.client.run(run.id)).state);
      await write();
      if (cli.out.gone) return EXIT.ok;
      if (over) {
        // The last lines may still be on their way from another machine.
        const { lagMs } = tenuto.engine.parts.logs;
        if (lagMs > 0) await new Promise((resolve) => setTimeout(resolve, lagMs));
        if (lagMs > 0) await write();
        return EXIT.ok;
      }
      const signal = await Promise.race([
        interrupts.first,
        new Promise<null>((resolve) => setTimeout(resolve, FOLLOW_MS, null)),
      ]);
      if (signal !== null) return EXIT[signal];
    }
  } finally {
    off();
    interrupts.stop();
  }
}

/** Events and log lines of a run as one stream in order of time; each read gives what is new. */
class LogReader {
  private readonly tenuto: Tenuto;
  private readonly run: RunRecord;
  private readonly job: string | null;
  private readonly level: LogLevel;
  /** Fan-outs whose list is fixed: being claimed again is no new try of theirs. */
  private readonly expanded = new Set<string>();
  private lastEvent = 0;
  private lastLine = 0;

  constructor(tenuto: Tenuto, run: RunRecord, job: string | null, level: LogLevel) {
    this.tenuto = tenuto;
    this.run = run;
    this.job = job;
    this.level = level;
  }

  async *read(): AsyncGenerator<LogLine> {
    const events = this.events();
    const lines = this.lines();
    let event = await events.next();
    let line = await lines.next();
    while (event.done !== true || line.done !== true) {
      if (line.done === true || (event.done !== true && event.value.at <= line.value.at)) {
        yield event.value as LogLine;
        event = await events.next();
      } else {
        yield line.value;
        line = await lines.next();
      }
    }
  }

  private async *events(): AsyncGenerator<LogLine> {
    const { ledger } = this.tenuto.engine.parts;
    for (;;) {
      const page = await ledger.events(this.run.seq, this.lastEvent, PAGE);
      for (const event of page) {
        this.lastEvent = event.seq;
        if (event.name === "job.expanded") this.expanded.add(event.job ?? "");
        if (event.name === "job.started" && this.expanded.has(event.job ?? "")) continue;
        const told = eventText(event);
        if (told === null || LEVELS.indexOf(told.level) < LEVELS.indexOf(this.level)) continue;
        if (this.job !== null && event.job !== this.job) continue;
        yield {
          at: event.at,
          run: this.run.id,
          ...(event.job === null ? {} : { job: event.job }),
          agent: "orchestrator",
          level: told.level,
          message: told.text,
        };
      }
      if (page.length < PAGE) return;
    }
  }

  private async *lines(): AsyncGenerator<LogLine> {
    const options = { after: this.lastLine, level: this.level, ...(this.job === null ? {} : { job: this.job }) };
    for await (const line of this.tenuto.engine.parts.logs.read(this.run.id, options)) {
      this.lastLine = line.number;
      const { number: _, ...rest } = line;
      yield rest;
    }
  }
}

function painted(cli: Cli, line: LogLine): string {
  // Inline commands have no name of their own: their job says which it was.
  const named = line.agent === INLINE_COMMAND && line.job !== undefined;
  const at = line.item === undefined ? "" : `[${line.item}]`;
  const text = textForm(named ? { ...line, message: `${line.job}${at}: ${line.message}` } : line);
  const style: Style | null = line.level === "ERROR" ? "red" : line.level === "WARNING" ? "yellow" : null;
  return style === null ? text : `${cli.out.paint(style, text.trimEnd())}\n`;
}

async function rawOutput(
  cli: Cli,
  tenuto: Tenuto,
  run: RunRecord,
  job: JobRecord | null,
  options: LogsOptions,
): Promise<number> {
  if (job === null)
    throw usage("--raw needs a job", `Write: tenuto logs ${run.id} JOB --raw. Jobs: tenuto runs show ${run.id}`);
  const item = options.item === undefined ? null : parseCount(options.item, "--item", 0);
  const attempt = options.attempt === undefined ? null : parseCount(options.attempt, "--attempt");
  const path = await outputPath(tenuto, run, job, attempt, item);
  if (path === null) {
    throw usage(
      `job ${job.id} has no raw output${item === null ? "" : ` for item ${item}`}`,
      job.kind === "single"
        ? "Only commands write some."
        : "Give an item of the fan-out with --item N, counted from 0.",
      "not_found",
    );
  }
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    cli.out.raw(chunk);
    if (cli.out.gone) break;
  }
  return EXIT.ok;
}

/** The file of that attempt; of the last that has one if none is asked for. */
async function outputPath(
  tenuto: Tenuto,
  run: RunRecord,
  job: JobRecord,
  attempt: number | null,
  item: number | null,
): Promise<string | null> {
  const { logs } = tenuto.engine.parts;
  const last = Math.max(job.attempt, 10);
  const wanted = attempt === null ? Array.from({ length: last }, (_, index) => last - index) : [attempt];
  for (const number of wanted) {
    const path = await logs.outputFile(run.id, job.id, number, item);
    if (path !== null) return path;
  }
  return null;
}

async function hintAtOutput(cli: Cli, tenuto: Tenuto, run: RunRecord, job: JobRecord | null): Promise<void> {
  const { ledger, logs: sink } = tenuto.engine.parts;
  const names = new Set(
    (await sink.outputs(run.id, OUTPUTS_LOOKED_AT)).map((name) => name.replace(/\.\d+(\.0)?\.out$/, "$1")),
  );
  if (names.size === 0) return;
  const jobs = job === null ? await ledger.jobs(run.seq, { limit: 200 }) : [job];
  const wrote = jobs.filter((each) => names.has(`${fileNameOf(each.id)}${each.kind === "single" ? "" : ".0"}`));
  const [first] = wrote;
  if (first === undefined) return;
  const item = first.kind === "single" ? "" : " --item 0";
  cli.out.say(`${counted(wrote.length, "job")} wrote raw output: tenuto logs ${run.id} ${first.id} --raw${item}`);
}

function levelNamed(text: string): LogLevel {
  const level = LEVELS.find(
    (known) => known === text.toUpperCase() || (known === "WARNING" && text.toLowerCase() === "warn"),
  );
  if (level !== undefined) return level;
  throw usage(`--level ${JSON.stringify(text)} is no level`, suggest(text, ["info", "warning", "error"], "level"));
}
