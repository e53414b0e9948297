/**
 * The system as one command: chooses the pipeline, shows what would be done, runs it, goes on with what was interrupted.
 *
 *   node --conditions=source systems/associations/main.ts --mode extract -a PMA -a NEMA --dry-run
 *   node --conditions=source systems/associations/main.ts --mode full -a PMA --data data
 *   node --conditions=source systems/associations/main.ts --resume RUN
 *
 * Data goes to standard output, talk to standard error. Exit code 0: completed; 1: failed; 2: wrong use; 130: interrupted, resumable.
 */
import { parseArgs } from "node:util";
import { openTenuto, type Tenuto } from "tenuto";
import type { SelectorWriterOptions } from "./jobs/extraction/selector_writer.ts";
import type { Plan } from "./jobs/orchestration/planner.ts";
import { planRun } from "./jobs/orchestration/planner.ts";
import { associationsPipelines } from "./pipeline.ts";
import { MODES } from "./stages.ts";

const USAGE = `usage: main.ts [--mode ${MODES.join("|")}] [-a CODE]… [--enrichment all|firmographic|techstack|contacts]
       [--validation all|dedupe|crossref|score] [--dry-run] [--job-id ID] [--resume RUN] [--rate PER_SECOND]
       [--config DIR] [--data DIR] [--home DIR] [--selector-model ID] [--selector-url URL]`;
const MAX_ERRORS_SHOWN = 5;

interface Options {
  mode: (typeof MODES)[number];
  associations: string[];
  enrichment: string;
  validation: string;
  dryRun: boolean;
  jobId: string | undefined;
  resume: string | undefined;
  rate: number;
  config: string;
  data: string;
  home: string;
  selectors: SelectorWriterOptions | undefined;
}

process.exitCode = await main(process.argv.slice(2));

async function main(argv: string[]): Promise<number> {
  const options = readOptions(argv);
  if (typeof options === "string") {
    say(`${options}\n${USAGE}`);
    return 2;
  }
  try {
    return options.dryRun ? showPlan(options) : await runOrResume(options);
  } catch (error) {
    const { message, hint } = error as Error & { hint?: string };
    say(message);
    if (hint) say(hint);
    return 1;
  }
}

/** The options, or what is wrong with them. */
function readOptions(argv: string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        mode: { type: "string", default: "extract" },
        association: { type: "string", short: "a", multiple: true, default: [] },
        enrichment: { type: "string", default: "all" },
        validation: { type: "string", default: "all" },
        "dry-run": { type: "boolean", default: false },
        "job-id": { type: "string" },
        resume: { type: "string" },
        rate: { type: "string", default: "0.5" },
        config: { type: "string", default: "" },
        data: { type: "string", default: "data" },
        home: { type: "string", default: ".tenuto" },
        "selector-model": { type: "string" },
        "selector-url": { type: "string" },
      },
    });
    const mode = MODES.find((known) => known === values.mode);
    const rate = Number(values.rate);
    if (mode === undefined) return `there is no mode ${values.mode}`;
    if (!(rate > 0)) return `--rate must be a number above 0, not ${values.rate}`;
    const { enrichment, validation, resume, config, data, home } = values;
    return {
      mode,
      associations: values.association,
      enrichment,
      validation,
      dryRun: values["dry-run"],
      jobId: values["job-id"],
      resume,
      rate,
      config,
      data,
      home,
      selectors: selectorsOf(values["selector-model"], values["selector-url"]),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

/** The model that writes selectors, where one is named; at an address of one's own, or at its maker's. */
function selectorsOf(id: string | undefined, baseURL: string | undefined): SelectorWriterOptions | undefined {
  if (id === undefined) return undefined;
  return { model: baseURL === undefined ? id : { id, baseURL } };
}

function planOf({ mode, associations, config, data, rate }: Options): Plan {
  return planRun({ mode, associations, configDir: config, dataDir: data, ratePerSecond: rate });
}

/** What would be fetched, read and written; nothing of it happens. */
function showPlan(options: Options): number {
  const plan = planOf(options);
  for (const {
    association,
    name,
    asks,
    expected_requests,
    seconds_between_requests,
    expected_minutes,
    writes,
  } of plan.extraction) {
    say(`${association}: ${name}`);
    for (const url of asks) say(`  would ask for ${url}`);
    const amount =
      expected_requests === null
        ? "members not counted yet"
        : `about ${expected_requests} requests, ${expected_minutes} minutes`;
    say(`  ${amount}, one every ${seconds_between_requests} s; robots.txt may ask for more patience`);
    for (const path of writes) say(`  would write ${path}`);
  }
  for (const path of plan.reads) say(`would read ${path}`);
  for (const path of plan.writes) say(`would write ${path}`);
  process.stdout.write(`${JSON.stringify(plan, null, 2)}\n`);
  return 0;
}

async function runOrResume(options: Options): Promise<number> {
  const tenuto = await openTenuto({
    home: options.home,
    pipelines: [
      ...associationsPipelines({
        ratePerSecond: options.rate,
        ...(options.selectors === undefined ? {} : { selectors: options.selectors }),
      }),
    ],
  });
  const interrupted = Promise.withResolvers<null>();
  const stop = () => interrupted.resolve(null);
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    const run =
      options.resume === undefined ? await startRun(tenuto, options) : await tenuto.client.attach(options.resume);
    say(`${options.resume === undefined ? "Started" : "Going on with"} run ${run.id}`);
    // A run that is waited for does not end by closing the engine: whoever interrupts it wants to go on later.
    const ended = await Promise.race([run.wait(), interrupted.promise]);
    if (ended === null) {
      say(`Interrupted; go on with --resume ${run.id}`);
      return 130;
    }
    const { state, output, error } = ended;
    process.stdout.write(`${JSON.stringify({ run: run.id, state, output })}\n`);
    if (state === "completed") return 0;
    await showErrors(tenuto, run.id, error?.message ?? state);
    return 1;
  } finally {
    await tenuto.close();
  }
}

/** One association is a graph of its own; several share a run. */
async function startRun(tenuto: Tenuto, options: Options) {
  const { associations } = planOf(options);
  const { mode, enrichment, validation, config, data, jobId } = options;
  const common = { mode, enrichment, validation, configDir: config, dataDir: data };
  const start = jobId === undefined ? {} : { idempotencyKey: jobId };
  if (mode === "validate") return await tenuto.start("associations", common, start);
  return associations.length === 1
    ? await tenuto.start("associations", { ...common, association: associations[0] }, start)
    : await tenuto.start("associations-many", { ...common, associations }, start);
}

async function showErrors(tenuto: Tenuto, run: string, first: string): Promise<void> {
  say(`Run ${run} did not complete: ${first}`);
  const errors = await errorsOf(tenuto, run);
  for (const error of errors.slice(0, MAX_ERRORS_SHOWN)) say(`  ${error}`);
  if (errors.length > MAX_ERRORS_SHOWN) say(`  and ${errors.length - MAX_ERRORS_SHOWN} more`);
  say(`  npx tenuto runs show ${run}    what happened, job by job`);
}

/** Of failed jobs; of their items where a run was halted, since then no job has failed: a key was refused, say. */
async function errorsOf(tenuto: Tenuto, run: string): Promise<string[]> {
  const jobs = await tenuto.client.jobs(run);
  const failed = jobs.filter(({ state }) => state === "failed").map(({ id, error }) => `${id}: ${errorText(error)}`);
  if (failed.length > 0) return failed;
  const errors: string[] = [];
  for (const { id, kind } of jobs) {
    if (kind !== "fanout") continue;
    const items = await tenuto.client.items(run, id, { states: ["failed"], limit: MAX_ERRORS_SHOWN + 1 });
    for (const { ordinal, error } of items) errors.push(`${id}, item ${ordinal}: ${errorText(error)}`);
  }
  return errors;
}

function errorText(error: unknown): string {
  const stored = typeof error === "string" ? JSON.parse(error) : error;
  const { message = "no error was recorded", hint } = (stored ?? {}) as { message?: string; hint?: string };
  return hint ? `${message}\n    ${hint}` : message;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
