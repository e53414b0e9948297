/** `tenuto runs show`: a run's stages and jobs; with `--checkpoint` where it stands, with `--items` single items. */
import type { UsageTotals } from "../../core/budget.ts";
import type { ItemRow } from "../../core/decision.ts";
import type { FanoutRow, ItemState, StageRow } from "../../core/model.ts";
import { suggest } from "../../core/names.ts";
import type { Tenuto } from "../../open.ts";
import type { JobRecord, RunRecord } from "../../ports/ledger.ts";
import { relationLines, relationOf } from "../aftermath.ts";
import { signOfState, styleOf } from "../board.ts";
import { checkpointOf } from "../checkpoint.ts";
import {
  allowedFailures,
  itemDocument,
  itemsDocument,
  jobDocument,
  runDocument,
  stageDocument,
  stageState,
  time,
} from "../documents.ts";
import { reasonText } from "../event-text.ts";
import { EXIT, failureLines, storedError, usage } from "../failure.ts";
import { count, counted, parseCount, span, stamp } from "../figures.ts";
import { standingStill } from "../known-agents.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { itemsText, nextSteps, smallOutput } from "../summary.ts";
import { table } from "../table.ts";
import { cut, oneLine } from "../terminal.ts";

const ITEM_STATES: readonly ItemState[] = ["pending", "completed", "failed", "skipped", "cancelled"];

export interface RunsShowOptions {
  checkpoint?: boolean;
  items?: string;
  job?: string;
  limit: string;
}

export async function runsShow(cli: Cli, id: string, options: RunsShowOptions): Promise<number> {
  const limit = parseCount(options.limit, "--limit");
  const states = options.items === undefined ? null : options.items.split(",").map(itemState);
  return await withLedger(cli, async (tenuto) => {
    const run = await tenuto.client.run(id);
    if (options.checkpoint === true) {
      const checkpoint = await checkpointOf(tenuto, run);
      cli.out.raw(`${JSON.stringify(checkpoint, null, 2)}\n`);
    } else if (states !== null) await showItems(cli, tenuto, run, states, options.job, limit);
    else if (options.job !== undefined) await showJob(cli, tenuto, run, await tenuto.client.job(run.id, options.job));
    else await showRun(cli, tenuto, run, limit);
    return EXIT.ok;
  });
}

async function showRun(cli: Cli, tenuto: Tenuto, run: RunRecord, limit: number): Promise<void> {
  const { out } = cli;
  const { ledger } = tenuto.engine.parts;
  const stages = await ledger.stages(run.seq);
  // What failed is shown first when not all can be shown.
  const all = await ledger.jobs(run.seq, { limit: limit + 1 });
  const failed = all.length > limit ? await ledger.jobs(run.seq, { states: ["failed"], limit }) : [];
  const jobs =
    all.length > limit ? [...new Map([...failed, ...all].map((job) => [job.seq, job])).values()].slice(0, limit) : all;
  const fanouts = new Map<number, FanoutRow>();
  for (const job of jobs) {
    const fanout = job.kind === "single" ? null : await ledger.fanout(job.seq);
    if (fanout !== null) fanouts.set(job.seq, fanout);
  }
  const still = await standingStill(cli, tenuto, [run], jobs);
  const parents = new Map(jobs.map((job) => [job.seq, job.id]));
  const { relation, origin, from, dryRun, excluded, rollback } = await relationOf(tenuto, run);
  const models = await tenuto.client.usage(run.id);
  out.document("run.details", {
    run: { ...runDocument(run), relation, origin, from, dryRun, excluded, rollback },
    stages: stages.map((stage) => stageDocument(stage, jobs)),
    jobs: jobs.map((job) => ({
      ...jobDocument(job, stages[job.stage]?.name ?? "", parentOf(job, parents)),
      items: itemsDocument(fanouts.get(job.seq)),
      unknownAgent: still.get(job.id) ?? null,
    })),
    moreJobs: run.jobCount > jobs.length,
    usage: models.calls === 0 ? null : models,
  });
  showHead(cli, run);
  if (models.calls > 0) out.data(`Models    ${usageText(models)}`);
  out.data(...(await relationLines(tenuto, run)));
  const output = run.state === "completed" ? smallOutput((await tenuto.client.wait(run.seq)).output) : null;
  if (output !== null) out.data(`Output    ${output}`);
  out.data("", ...stageTable(cli, stages, jobs), "", ...jobTable(cli, jobs, stages, fanouts, still));
  if (run.jobCount > jobs.length)
    out.data(`… and ${counted(run.jobCount - jobs.length, "more job")}; --limit ${run.jobCount} shows all`);
  showErrors(cli, run, jobs);
  out.say("", ...(await nextSteps(tenuto, run)));
}

function usageText({ calls, lostCalls, inputTokens, outputTokens, cost }: UsageTotals): string {
  const lost = lostCalls === 0 ? "" : ` (${count(lostCalls)} without an answer)`;
  const price = cost === 0 ? "" : `, cost ${cost < 0.01 ? cost.toFixed(6) : cost.toFixed(2)}`;
  return `${counted(calls, "call")}${lost}, ${count(inputTokens)} tokens in, ${count(outputTokens)} out${price}`;
}

function parentOf(job: JobRecord, ids: ReadonlyMap<number, string>): string | null {
  return job.parent === null ? null : (ids.get(job.parent) ?? job.id.slice(0, job.id.lastIndexOf("/")));
}

function showHead(cli: Cli, run: RunRecord): void {
  const { out } = cli;
  const style = styleOf(run.state);
  const state = `${signOfState(run.state, out.signs)} ${run.state}${run.haltedAt !== null ? " (halted)" : ""}${run.cancelRequestedAt !== null && run.endedAt === null ? " (cancel requested)" : ""}`;
  out.data(
    `Run       ${run.id}`,
    `Pipeline  ${run.pipeline}  ${out.paint("dim", `version ${run.version.slice(0, 12)}`)}`,
    `State     ${style === undefined ? state : out.paint(style, state)}`,
    `Created   ${stamp(run.createdAt)}${run.endedAt === null ? "" : `, ended ${stamp(run.endedAt)}`}, took ${span(run.createdAt, run.endedAt, Date.now())}`,
    `Params    ${cut(oneLine(run.params), (out.width ?? 2_000) - 10)}`,
  );
  if (run.idempotencyKey !== null) out.data(`Key       ${oneLine(run.idempotencyKey)}`);
}

function stageTable(cli: Cli, stages: readonly StageRow[], jobs: readonly JobRecord[]): string[] {
  const { out } = cli;
  return table(
    [
      { title: "STAGE", shrink: true },
      { title: "STATE" },
      { title: "JOBS", align: "right" },
      { title: "FAILED", align: "right" },
      { title: "SKIPPED", align: "right" },
    ],
    stages.map((stage) => {
      const state = stageState(stage, jobs);
      return [
        stage.name,
        { text: `${signOfState(state, out.signs)} ${state}`, style: styleOf(state) },
        `${count(stage.settled)}/${count(stage.total)}`,
        failedText(stage),
        count(stage.skipped),
      ];
    }),
    out.paint,
    out.width,
  );
}

function failedText(stage: StageRow): string {
  const allowed = allowedFailures(stage);
  return allowed === 0 ? count(stage.failed) : `${count(stage.failed + allowed)} (${count(allowed)} allowed)`;
}

function jobTable(
  cli: Cli,
  jobs: readonly JobRecord[],
  stages: readonly { name: string }[],
  fanouts: ReadonlyMap<number, FanoutRow>,
  still: ReadonlyMap<string, string>,
): string[] {
  const { out } = cli;
  const now = Date.now();
  return table(
    [
      { title: "JOB", shrink: true },
      { title: "STAGE", shrink: true },
      { title: "STATE" },
      { title: "TRIES", align: "right" },
      { title: "TOOK", align: "right" },
      { title: "NOTE", shrink: true },
    ],
    jobs.map((job) => [
      job.id,
      stages[job.stage]?.name ?? "",
      { text: `${signOfState(job.state, out.signs)} ${job.state}`, style: styleOf(job.state) },
      String(tries(job)),
      notTried(job) ? "-" : span(job.firstStartedAt, job.endedAt, now),
      noteOn(job, fanouts.get(job.seq), now, still.get(job.id)),
    ]),
    out.paint,
    out.width,
  );
}

/** Attempts that were made, as events and `logs --raw --attempt` count them; a fan-out is one, however often it went on. */
function tries(job: JobRecord): number {
  if (job.firstStartedAt === null || notTried(job)) return 0;
  return job.kind === "single"
    ? job.attempt
    : Math.max(1, job.failures + job.crashes + (job.state === "failed" ? 0 : 1));
}

/** To look at its condition, a job is started. */
function notTried(job: JobRecord): boolean {
  return job.state === "skipped" && job.reason === "when";
}

function noteOn(job: JobRecord, fanout: FanoutRow | undefined, now: number, unknownAgent?: string): string {
  const notes: string[] = [];
  if (unknownAgent !== undefined) notes.push(`waits: no worker offers ${unknownAgent}`);
  if (fanout !== undefined) notes.push(itemsText(job, fanout));
  if (job.reason !== null && !(fanout !== undefined && job.reason === "items")) notes.push(reasonText(job.reason));
  if (job.dueAt !== null) notes.push(`again in ${span(now, Math.max(now, job.dueAt), now)}`);
  if (job.state === "failed" && job.allowFailure === 1) notes.push("allowed to fail");
  const error = storedError(job.error);
  if (error !== null) notes.push(`${error.code}: ${oneLine(error.message)}`);
  if (job.crashes > 0) notes.push(counted(job.crashes, "lost worker"));
  return notes.join("; ");
}

function showErrors(cli: Cli, run: RunRecord, jobs: readonly JobRecord[]): void {
  const { out } = cli;
  for (const job of jobs) {
    const error = job.state === "failed" ? storedError(job.error) : null;
    if (error === null) continue;
    const lines = failureLines(error, out.paint, { run: run.id, job: job.id });
    out.data(
      "",
      `${out.paint("red", signOfState("failed", out.signs))} ${job.id}: ${lines[0]}`,
      ...lines.slice(1).map((line) => `  ${line}`),
    );
  }
}

async function showJob(cli: Cli, tenuto: Tenuto, run: RunRecord, job: JobRecord): Promise<void> {
  const { out } = cli;
  const { ledger } = tenuto.engine.parts;
  const stages = await ledger.stages(run.seq);
  const attempts = await ledger.attempts(job.seq);
  const fanout = job.kind === "single" ? null : await ledger.fanout(job.seq);
  const stage = stages[job.stage]?.name ?? "";
  out.document("job", {
    job: { ...jobDocument(job, stage, parentOf(job, new Map())), items: itemsDocument(fanout) },
    attempts: attempts.map((attempt) => ({
      number: attempt.number,
      state: attempt.state,
      startedAt: time(attempt.startedAt),
      endedAt: time(attempt.endedAt),
      error: storedError(attempt.error),
    })),
  });
  const now = Date.now();
  out.data(
    `Job       ${job.id}  ${out.paint("dim", `in stage ${stage} of run ${run.id}`)}`,
    `Agent     ${job.agent}`,
    `State     ${signOfState(job.state, out.signs)} ${job.state}${job.reason === null ? "" : ` (${reasonText(job.reason)})`}, took ${span(job.firstStartedAt, job.endedAt, now)}`,
  );
  if (fanout !== null) out.data(`Items     ${itemsText(job, fanout)}`);
  if (job.output !== null) out.data(`Output    ${cut(oneLine(job.output), (out.width ?? 10_000) - 10)}`);
  if (attempts.length > 0) out.data("");
  for (const attempt of attempts) {
    const error = storedError(attempt.error);
    out.data(
      `Attempt ${attempt.number}  ${attempt.state}  ${stamp(attempt.startedAt)}  ${span(attempt.startedAt, attempt.endedAt, now)}${error === null ? "" : `  ${error.code}: ${oneLine(error.message)}`}`,
    );
  }
  showErrors(cli, run, [job]);
  const findings = storedError(job.error)?.details?.["findings"];
  if (job.state === "failed" && Array.isArray(findings)) out.data(...findings.map(findingLine));
}

function findingLine(finding: { level?: unknown; message?: unknown; place?: unknown }): string {
  const place = typeof finding.place === "string" ? ` (${oneLine(finding.place)})` : "";
  return `  ${String(finding.level ?? "finding").padEnd(7)}  ${oneLine(String(finding.message ?? ""))}${place}`;
}

async function showItems(
  cli: Cli,
  tenuto: Tenuto,
  run: RunRecord,
  states: ItemState[],
  jobId: string | undefined,
  limit: number,
): Promise<void> {
  const { out } = cli;
  const { ledger } = tenuto.engine.parts;
  const jobs = jobId === undefined ? await ledger.jobs(run.seq) : [await tenuto.client.job(run.id, jobId)];
  const found: { job: string; item: ItemRow }[] = [];
  for (const job of jobs) {
    if (job.kind === "single" || found.length > limit) continue;
    for (const item of await ledger.items(job.seq, { states, limit: limit + 1 - found.length }))
      found.push({ job: job.id, item });
  }
  const shown = found.slice(0, limit);
  out.document("items", {
    run: run.id,
    items: shown.map(({ job, item }) => itemDocument(job, item)),
    more: found.length > limit,
  });
  if (shown.length === 0) return out.say("No such items.");
  out.data(
    ...table(
      [
        { title: "JOB", shrink: true },
        { title: "ITEM", align: "right" },
        { title: "STATE" },
        { title: "TRIES", align: "right" },
        { title: "ERROR", shrink: true },
      ],
      shown.map(({ job, item }) => {
        const error = storedError(item.error);
        return [
          job,
          String(item.ordinal),
          { text: item.state, style: styleOf(item.state) },
          String(item.attempts),
          error === null ? "" : `${error.code}: ${oneLine(error.message)}`,
        ];
      }),
      out.paint,
      out.width,
    ),
  );
  if (found.length > limit) out.say(`The first ${counted(limit, "item")}; --limit shows more.`);
}

function itemState(text: string): ItemState {
  const state = ITEM_STATES.find((known) => known === text.trim());
  if (state !== undefined) return state;
  throw usage(`--items ${JSON.stringify(text)} is no state of an item`, suggest(text, ITEM_STATES, "state"));
}
