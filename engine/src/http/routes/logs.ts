/**
 * Log lines and raw output: from a number on, from the end, of some jobs, as files.
 *
 * Owner: http. Invariants: (1) one request looks at a bounded number of lines, and says up to which; (2) a number names the
 * same line for ever, so that pages can be asked for in both directions without gaps.
 */
import { TenutoError } from "../../core/errors.ts";
import { isRunEnd } from "../../core/model.ts";
import type { LogLine } from "../../ports/log-sink.ts";
import { type Call, type Handlers, runOf } from "../call.ts";
import { fileAnswer } from "../files.ts";
import { lineShape } from "../shapes.ts";
import { jobOf } from "./jobs.ts";

const RANK = { INFO: 0, WARNING: 1, ERROR: 2 };
/** Lines that one request looks at, at most. */
const LOOKED_AT = 50_000;
/** Lines that are read at once on the way from the end. */
const BLOCK = 5_000;

type Numbered = LogLine & { number: number };

/** Whether a line is one of those that are asked for. What is searched is what is shown: secrets can't be guessed by it. */
function filterOf({ services: { masker }, query }: Call): {
  all: boolean;
  fits: (line: Numbered) => boolean;
} {
  const { job, jobs, attempt, level = "INFO", q } = query;
  const wanted: string | undefined = q === "" ? undefined : q?.toLowerCase();
  const of =
    jobs === undefined && job === undefined
      ? null
      : new Set<string>([...(jobs ?? []), ...(job === undefined ? [] : [job])]);
  const least = RANK[level as keyof typeof RANK];
  return {
    all: of === null && attempt === undefined && least === 0 && wanted === undefined,
    fits: (line) =>
      (of === null || (line.job !== undefined && of.has(line.job))) &&
      (attempt === undefined || line.attempt === attempt) &&
      RANK[line.level] >= least &&
      (wanted === undefined || masker.text(line.message).toLowerCase().includes(wanted)),
  };
}

async function forward(call: Call, run: string) {
  const { since, limit } = call.query;
  const { fits } = filterOf(call);
  const items = [];
  let last: number = since;
  let more = false;
  for await (const line of call.services.backend.engine.parts.logs.read(run, { after: since })) {
    if (items.length === limit || line.number - since > LOOKED_AT) {
      more = true;
      break;
    }
    last = line.number;
    if (fits(line)) items.push(lineShape(line));
  }
  return { items, next: more ? String(last) : null, last, first: since + 1 };
}

/** The last lines that fit, read in blocks from the end. */
async function backward(call: Call, run: string) {
  const { services, query } = call;
  const { logs } = services.backend.engine.parts;
  const { tail, before } = query;
  const { all, fits } = filterOf(call);
  const newest = await logs.lines(run);
  const end = Math.min(before ?? newest + 1, newest + 1);
  let found: Numbered[] = [];
  let first = end;
  while (first > 1 && found.length < tail && end - first < LOOKED_AT) {
    const from = Math.max(0, first - 1 - (all ? tail : BLOCK));
    const block: Numbered[] = [];
    for await (const line of logs.read(run, { after: from })) {
      if (line.number >= first) break;
      if (fits(line)) block.push(line);
    }
    found = [...block, ...found];
    first = from + 1;
  }
  const items = found.slice(-tail);
  if (items.length < found.length) first = items[0]!.number;
  return { items: items.map(lineShape), next: null, last: Math.max(0, end - 1), first };
}

async function readLogs(call: Call) {
  const run = await runOf(call);
  const found = call.query["tail"] === undefined ? await forward(call, run.id) : await backward(call, run.id);
  return { json: { ...found, live: !isRunEnd(run.state) } };
}

async function rawOutput(call: Call) {
  const { services, params, query } = call;
  const run = await runOf(call);
  const job = await jobOf(services, run, params["job"]);
  const { attempt, item = null, tail, download } = query;
  const { logs } = services.backend.engine.parts;
  const numbers =
    attempt === undefined
      ? Array.from({ length: Math.max(job.attempt, 10) }, (_, i) => Math.max(job.attempt, 10) - i)
      : [attempt];
  for (const number of numbers) {
    const path = await logs.outputFile(run.id, job.id, number, item);
    if (path === null) continue;
    const answer = await fileAnswer(call, path, {
      type: "text/plain; charset=utf-8",
      name: `${run.id}.${job.id.replaceAll("/", ".")}.${number}.log`,
      download: download === true,
      ...(tail === undefined ? {} : { tail }),
    });
    if (answer !== null) return answer;
  }
  throw new TenutoError("not_found", `job ${job.id} has no raw output`, {
    hint: "Only commands write some; for a fan-out, name the item.",
  });
}

export const logHandlers: Handlers = {
  readLogs,
  downloadLog: async (call) => {
    const run = await runOf(call);
    const path = await call.services.backend.engine.parts.logs.logFile(run.id);
    const how = { type: "text/plain; charset=utf-8", name: `${run.id}.log`, download: true };
    const answer = path === null ? null : await fileAnswer(call, path, how);
    return answer ?? { body: "", type: "text/plain; charset=utf-8" };
  },
  readOutput: rawOutput,
};
