/** `tenuto resume` goes on with what is open; `tenuto runs retry` reopens a run that failed or was cancelled first. */
import { TenutoError } from "../../core/errors.ts";
import { isRunEnd } from "../../core/model.ts";
import type { RunRecord } from "../../ports/ledger.ts";
import type { RetryRequest } from "../../runtime/retry.ts";
import { type AttendOptions, attend, exitCodeOfRuns } from "../attend.ts";
import { ranOnFailure, tellChanged, tellStaying } from "../changed.ts";
import { runDocument } from "../documents.ts";
import { EXIT, exitCodeOf, tellFailure } from "../failure.ts";
import { counted, parseCount } from "../figures.ts";
import type { Cli } from "../main.ts";
import { addSources, openForWork, openRuns, type WorkingPlace, whyNot } from "../open-runs.ts";
import { tellEnd } from "../summary.ts";
import { timedOut } from "./run.ts";

export interface ResumeOptions extends AttendOptions {
  pipeline?: string[];
  concurrency?: string;
  detach?: boolean;
}

export async function resume(cli: Cli, id: string | undefined, options: ResumeOptions): Promise<number> {
  const place = await openForWork(cli, workOptions(options));
  try {
    if (id !== undefined) {
      const run = await place.tenuto.client.run(id);
      return await goOnWith(cli, place, run, options);
    }
    return await goOnWithAll(cli, place, options);
  } finally {
    await place.tenuto.close();
  }
}

export interface RetryOptions extends ResumeOptions {
  job?: string[];
  items?: string[];
}

/** `pages:3,7-9`: a fan-out and ordinals of its items. @throws invalid_input */
export function parseItems(given: string): { job: string; ordinals: number[] } {
  const at = given.lastIndexOf(":");
  const ordinals: number[] = [];
  for (const part of at <= 0 ? [""] : given.slice(at + 1).split(",")) {
    const found = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part.trim());
    const [first, last] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])];
    if (found === null || last < first || last - first >= MOST_ITEMS)
      throw new TenutoError("invalid_input", `--items ${given}: there must be a job, a colon, and numbers of items`, {
        hint: `For example --items pages:3,7-9, at most ${MOST_ITEMS} of them.`,
      });
    for (let ordinal = first; ordinal <= last; ordinal++) ordinals.push(ordinal);
  }
  return { job: given.slice(0, at), ordinals };
}

const MOST_ITEMS = 10_000;

export async function retry(cli: Cli, id: string, options: RetryOptions): Promise<number> {
  const request = { jobs: options.job ?? [], items: (options.items ?? []).map(parseItems) };
  const place = await openForWork(cli, workOptions(options));
  try {
    const { client } = place.tenuto;
    const run = await client.run(id);
    await addSources(place, [run]);
    const staying = await ranOnFailure(place.tenuto, run);
    const jobs = await reopen(place, run, request);
    tellStaying(cli, run, staying);
    cli.out.say(`Run ${run.id} is open again: ${counted(jobs, "job")} to do.`);
    if (options.detach === true) {
      await tellChanged(cli, place.tenuto, run);
      cli.out.data(run.id);
      cli.out.document("run", { run: runDocument(await client.run(run.id)), reopened: jobs });
      return EXIT.ok;
    }
    return await goOnWith(cli, place, await client.run(run.id), options);
  } finally {
    await place.tenuto.close();
  }
}

async function reopen(place: WorkingPlace, run: RunRecord, request: RetryRequest): Promise<number> {
  if (!isRunEnd(run.state)) {
    throw new TenutoError(
      "illegal_transition",
      `run ${run.id} is ${run.state}; only a failed or cancelled run can be retried`,
      {
        hint: `It is open already: tenuto resume ${run.id}`,
      },
    );
  }
  if (run.state === "completed") {
    throw new TenutoError("cannot_resume", `run ${run.id} is completed; there is nothing to retry`, {
      hint: `To do it all again, start a new run: tenuto run ${run.pipeline}`,
    });
  }
  return (await place.tenuto.client.retry(run.id, request)).jobs;
}

export function workOptions(options: ResumeOptions) {
  return {
    ...(options.pipeline === undefined ? {} : { pipeline: options.pipeline }),
    ...(options.concurrency === undefined ? {} : { concurrency: parseCount(options.concurrency, "--concurrency") }),
  };
}

export async function goOnWith(cli: Cli, place: WorkingPlace, run: RunRecord, options: ResumeOptions): Promise<number> {
  const { tenuto } = place;
  await addSources(place, [run]);
  const reason = await whyNot(place, run);
  if (reason !== null) throw reason;
  await tellChanged(cli, tenuto, run);
  const attended = await attend(cli, tenuto, [run], { ...options, work: true });
  if (attended.kind === "stopped") return attended.code;
  if (attended.kind === "timeout") throw timedOut(run.id);
  await tellEnd(cli, tenuto, run.id);
  return exitCodeOfRuns(attended.states.values());
}

/** Everything that is open, and what was started meanwhile, until nothing is left that this process can do. */
async function goOnWithAll(cli: Cli, place: WorkingPlace, options: ResumeOptions): Promise<number> {
  const { tenuto } = place;
  const done: RunRecord[] = [];
  const refused = new Map<number, TenutoError>();
  const told = new Set<number>();
  for (;;) {
    const open = (await openRuns(tenuto)).filter((run) => !refused.has(run.seq));
    await addSources(place, open);
    const able: RunRecord[] = [];
    for (const run of open) {
      const reason = await whyNot(place, run);
      if (reason === null) {
        if (!told.has(run.seq)) await tellChanged(cli, tenuto, run);
        told.add(run.seq);
        able.push(run);
      } else {
        refused.set(run.seq, reason);
        tellFailure(withoutDocument(cli), reason, cli.io.env);
      }
    }
    if (able.length === 0) break;
    cli.out.say(`Going on with ${able.length === 1 ? `run ${able[0]!.id}` : counted(able.length, "run")}.`);
    const attended = await attend(cli, tenuto, able, { ...options, work: true });
    if (attended.kind === "stopped") return attended.code;
    done.push(...able);
  }
  return await tellAll(cli, place, done, refused);
}

/** Reasons are told as they are found; the document comes once, at the end. */
function withoutDocument(cli: Cli) {
  return Object.assign(Object.create(cli.out) as typeof cli.out, { document: () => {} });
}

async function tellAll(
  cli: Cli,
  place: WorkingPlace,
  done: RunRecord[],
  refused: Map<number, TenutoError>,
): Promise<number> {
  const { client } = place.tenuto;
  const runs = await Promise.all(done.map((run) => client.run(run.id)));
  if (runs.length === 0 && refused.size === 0) cli.out.say("Nothing is open: there is nothing to resume.");
  if (runs.length === 1 && refused.size === 0) await tellEnd(cli, place.tenuto, runs[0]!.id);
  else {
    for (const run of runs) cli.out.data(`${run.id}  ${run.state}`);
    const reasons = [...refused.values()].map(({ code, message, hint, details }) => ({
      code,
      message,
      hint: hint ?? null,
      details,
    }));
    cli.out.document("runs", { runs: runs.map(runDocument), refused: reasons });
  }
  const worst = exitCodeOfRuns(runs.map((run) => run.state));
  const [reason] = refused.values();
  return worst === EXIT.ok && reason !== undefined ? exitCodeOf(reason) : worst;
}
