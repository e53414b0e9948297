/** A run's events in words: for progress lines and for the engine's lines in `tenuto logs`. */
import type { EventRow } from "../core/unit.ts";
import type { LogLevel } from "../ports/log-sink.ts";
import { count, counted, duration } from "./figures.ts";
import { oneLine } from "./terminal.ts";

export interface EventText {
  level: LogLevel;
  /** How much it matters to whoever watches. */
  weight: "step" | "job" | "progress" | "warning" | "error";
  text: string;
}

type Data = Record<string, unknown>;
type Teller = (job: string, data: Data) => Omit<EventText, "text"> & { text: string };

const info = (text: string, weight: EventText["weight"] = "job"): EventText => ({ level: "INFO", weight, text });
const warning = (text: string): EventText => ({ level: "WARNING", weight: "warning", text });
const error = (text: string): EventText => ({ level: "ERROR", weight: "error", text });
const because = (data: Data): string =>
  typeof data.message === "string"
    ? `: ${oneLine(data.message)} (${String(data.code)})`
    : data.reason === undefined
      ? ""
      : `: ${reasonText(String(data.reason))}`;
const numberOf = (value: unknown): number => (typeof value === "number" ? value : 0);

const TELLERS: Record<string, Teller> = {
  "run.created": (_job, data) => info(`run of pipeline ${String(data.pipeline)} created`, "step"),
  "run.started": () => info("run started, the concurrency key is free", "step"),
  "run.completed": () => info("run completed", "step"),
  "run.failed": () => error("run failed"),
  "run.cancelled": () => warning("run cancelled"),
  "run.cancelRequested": (_job, data) => warning(`cancel requested${because(data)}`),
  "run.halted": (_job, data) => error(`run halted, nothing new is started${because(data)}`),
  "run.reopened": (_job, data) => info(`run reopened: ${counted(numberOf(data.jobs), "job")} to do again`, "step"),
  "run.deadlocked": (_job, data) => error(`run deadlocked: ${JSON.stringify(data.jobs)} can never start`),
  "job.started": (job, data) =>
    info(`job ${job} started${numberOf(data.attempt) > 1 ? ` (attempt ${String(data.attempt)})` : ""}`),
  "job.spawned": (job, data) => info(`job ${job} spawned by ${String(data.parent)}`),
  "job.expanded": (job, data) =>
    info(
      `job ${job}: ${counted(numberOf(data.total), "item")}${numberOf(data.duplicates) > 0 ? `, ${count(numberOf(data.duplicates))} of them duplicates` : ""}`,
    ),
  "job.progress": (job, data) => info(`job ${job}: ${progressText(data)}`, "progress"),
  "job.waiting": (job, data) => info(`job ${job} waits${because(data)}`),
  "job.retrying": (job, data) =>
    warning(`job ${job} failed and is tried again in ${duration(numberOf(data.delayMs))}${because(data)}`),
  "job.stopped": (job, data) => info(`job ${job} was given back${because(data)}`),
  "job.again": (job, data) => info(`job ${job} runs again: ${oneLine(String(data.why))}`),
  "job.lost": (job) => warning(`job ${job} was lost with its worker and starts again`),
  "job.completed": (job, data) => info(`job ${job} completed${because(data)}`),
  "job.failed": (job, data) => error(`job ${job} failed${because(data)}`),
  "job.skipped": (job, data) => {
    const text = `job ${job} skipped${because(data)}`;
    return data.code === undefined ? info(text) : warning(text);
  },
  "approval.opened": (job, data) => warning(`job ${job} waits for a person: ${oneLine(String(data.title))}`),
  "approval.approved": (job, data) => info(`approved by ${String(data.by)}${because(data)} (job ${job})`),
  "approval.rejected": (job, data) => warning(`rejected by ${String(data.by)}${because(data)} (job ${job})`),
  "approval.expired": (job) => warning(`nobody decided in time (job ${job})`),
  "gate.decided": (job, data) =>
    data.verdict === "PASSED"
      ? info(`gate of job ${job}: PASSED`)
      : warning(`gate of job ${job}: ${String(data.verdict)}, ${String(data.action)}`),
  "job.cancelled": (job) => warning(`job ${job} cancelled`),
};

/** An event in words; null for those that only machines need. */
export function eventText(event: EventRow): EventText | null {
  // That items wait to be worked on says nothing that the line before did not say.
  if (event.name === "job.waiting" && event.data?.reason === "items") return null;
  const teller = TELLERS[event.name];
  return teller === undefined ? null : teller(event.job ?? "", event.data ?? {});
}

function progressText(data: Data): string {
  const done = count(numberOf(data.completed ?? data.done));
  const total = data.total === undefined ? "" : ` of ${count(numberOf(data.total))}`;
  const failed = numberOf(data.failed);
  const skipped = numberOf(data.skipped);
  const bad = `${failed > 0 ? `, ${count(failed)} failed` : ""}${skipped > 0 ? `, ${count(skipped)} skipped` : ""}`;
  const message = typeof data.message === "string" ? ` (${oneLine(data.message)})` : "";
  return `${done}${total} done${bad}${message}`;
}

const REASONS: Record<string, string> = {
  children: "for its children",
  items: "for its items",
  timer: "for a time",
  sleep: "for a time",
  when: "its condition is not met",
  halted: "the run was halted",
  run_cancelled: "the run was cancelled",
  retries_exhausted: "all tries were used up",
  retry: "for its next try",
  planned: "planned, not run",
  stopped: "its worker was stopped",
  deadlock: "it can never start",
};

/** A reason as it is stored, in words: `dependency_failed:crawl` becomes `crawl failed`. */
export function reasonText(reason: string): string {
  const [word, subject] = splitReason(reason);
  const dependency = /^dependency_(\w+)$/.exec(word);
  if (dependency !== null) return `${subject} ${dependency[1]}`;
  if (word === "stage_failed") return `stage ${subject} did not succeed`;
  if (word === "no_judge") return `no ${subject} here, which judges it`;
  if (word === "reused") return `answered from ${subject}`;
  return REASONS[reason] ?? (subject === "" ? reason : `${word.replaceAll("_", " ")} ${subject}`);
}

function splitReason(reason: string): [string, string] {
  const at = reason.indexOf(":");
  return at < 0 ? [reason, ""] : [reason.slice(0, at), reason.slice(at + 1)];
}
