/**
 * Progress as a picture: the lines that show some runs at one moment, for a terminal of a given width. Pure.
 *
 * Invariant: no line is wider than the terminal, and there are never more lines than fit.
 */
import { isRunEnd, type StageRow } from "../core/model.ts";
import { reasonText } from "./event-text.ts";
import { count, counted, duration, percent, rate } from "./figures.ts";
import type { ActiveJob, RunView } from "./run-view.ts";
import { cut, oneLine, type Paint, type Signs, type Style, widthOf } from "./terminal.ts";

export interface Frame {
  columns: number;
  rows: number;
  now: number;
  signs: Signs;
  paint: Paint;
}

const MOST_JOBS = 8;
const BAR = 20;

/** `Phase 2 of 5: extraction - 40% complete` */
export function phaseLine(view: RunView): string {
  const { ordinal, of, name, percent } = view.phase;
  return `Phase ${ordinal + 1} of ${of}: ${name} - ${percent}% complete`;
}

/** The lines for these runs. One run is shown with its stages and jobs, several with a line each. */
export function boardLines(views: readonly RunView[], frame: Frame): string[] {
  const [view] = views;
  if (view === undefined) return [];
  if (views.length === 1) return oneRun(view, frame);
  const room = Math.max(1, frame.rows - 2);
  const lines = views.slice(0, room).map((each) => runLine(each, frame));
  if (views.length > room) lines.push(cut(`and ${counted(views.length - room, "more run")}`, frame.columns - 1));
  return lines;
}

function runLine(view: RunView, frame: Frame): string {
  const { run } = view;
  const done = count(run.jobCount - run.openJobs);
  const errors = errorsOf(view);
  const text = `${run.id}  ${isRunEnd(run.state) ? run.state : phaseLine(view)}  ${done}/${count(run.jobCount)} jobs${errors === "" ? "" : `  ${errors}`}`;
  return painted(signOfState(run.state, frame.signs), text, frame, styleOf(run.state));
}

function oneRun(view: RunView, frame: Frame): string[] {
  const { run } = view;
  const head = `${run.id}  ${view.state}  ${duration((run.endedAt ?? frame.now) - run.createdAt)}`;
  const lines = [painted("", head, frame, "bold")];
  const jobs = [...view.active.values()].sort(
    (a, b) => Number(b.total !== null) - Number(a.total !== null) || a.since - b.since,
  );
  let room = frame.rows - 4;
  const stages = visibleStages(view, Math.max(3, room - Math.min(MOST_JOBS, jobs.length)));
  const nameWidth = Math.min(24, Math.max(...view.stages.map((stage) => widthOf(stage.name)), 0));
  for (const stage of stages) {
    lines.push(stageLine(view, stage, nameWidth, frame));
    room -= 1;
    const own = jobs.filter((job) => job.stage === stage.ordinal);
    const shown = own.slice(0, Math.max(0, Math.min(MOST_JOBS, room - (view.stages.length - stage.ordinal))));
    for (const job of shown) lines.push(jobLine(job, frame));
    room -= shown.length;
    if (shown.length > 0 && own.length > shown.length) {
      lines.push(painted(" ", `   and ${counted(own.length - shown.length, "more job")} at work`, frame, "dim"));
      room -= 1;
    }
  }
  const errors = errorsOf(view);
  lines.push(
    painted(
      "",
      `${phaseLine(view)}${errors === "" ? "" : `  (${errors})`}`,
      frame,
      view.errors.jobs > 0 ? "yellow" : undefined,
    ),
  );
  return lines;
}

/** With more stages than rows: those around the present one. */
function visibleStages(view: RunView, room: number): readonly StageRow[] {
  if (view.stages.length <= room) return view.stages;
  const start = Math.max(0, Math.min(view.phase.ordinal - 1, view.stages.length - room));
  return view.stages.slice(start, start + room);
}

function stageLine(view: RunView, stage: StageRow, nameWidth: number, frame: Frame): string {
  const over = stage.settled >= stage.total;
  const begun = over || stage.settled > 0 || [...view.active.values()].some((job) => job.stage === stage.ordinal);
  const state = over
    ? stage.failed > 0
      ? "failed"
      : stage.completed === 0 && stage.skipped > 0
        ? "skipped"
        : "completed"
    : begun
      ? "running"
      : "pending";
  const name = cut(stage.name, nameWidth) + " ".repeat(Math.max(0, nameWidth - widthOf(stage.name)));
  const bad = `${stage.failed > 0 ? `  ${count(stage.failed)} failed` : ""}${stage.skipped > 0 ? `  ${count(stage.skipped)} skipped` : ""}`;
  const done = state === "running" ? view.stagePercent(stage.ordinal) : percent(stage.settled, stage.total);
  const bar = frame.columns >= 60 && begun ? `  ${barOf(done, frame.signs)} ${String(done).padStart(3)}%` : "";
  const text = `${name}${bar}  ${count(stage.settled)}/${counted(stage.total, "job")}${bad}`;
  return painted(signOfState(state, frame.signs), text, frame, state === "pending" ? "dim" : styleOf(state));
}

function jobLine(job: ActiveJob, frame: Frame): string {
  return painted(" ", `  ${oneLine(job.id)}  ${jobParts(job, frame.now).join("  ")}`, frame);
}

/** The job at work with the most still to do, of those that tell how much that is. */
export function busiestJob(view: RunView): ActiveJob | null {
  const left = (job: ActiveJob) => (job.total === null ? -1 : job.total - job.done - job.failed - job.skipped);
  let busiest: ActiveJob | null = null;
  for (const job of view.active.values()) if (left(job) > (busiest === null ? 0 : left(busiest))) busiest = job;
  return busiest;
}

/** What there is to say on a job at work, most important first. */
export function jobParts(job: ActiveJob, now: number): string[] {
  const parts: string[] = [];
  if (job.total !== null) {
    const settled = job.done + job.failed + job.skipped;
    parts.push(`${count(settled)} of ${count(job.total)}`);
    if (job.perSecond !== null && job.perSecond > 0) {
      parts.push(rate(job.perSecond));
      if (settled < job.total) parts.push(`ETA ${duration((1_000 * (job.total - settled)) / job.perSecond)}`);
    }
    if (job.failed > 0) parts.push(`${count(job.failed)} failed`);
    if (job.skipped > 0) parts.push(`${count(job.skipped)} skipped`);
  } else {
    parts.push(duration(now - job.since));
    if (job.done > 0) parts.push(`${count(job.done)} done`);
  }
  if (job.attempt > 1 && !job.fanout) parts.push(`attempt ${job.attempt}`);
  if (job.waiting !== null && job.waiting !== "" && job.waiting !== "items")
    parts.push(`waits ${reasonText(job.waiting)}`);
  if (job.message !== null) parts.push(oneLine(job.message));
  return parts;
}

function errorsOf(view: RunView): string {
  const parts: string[] = [];
  if (view.errors.jobs > 0) parts.push(`${counted(view.errors.jobs, "job")} failed`);
  if (view.badItems > 0) parts.push(`${counted(view.badItems, "item")} not done`);
  if (view.errors.retries > 0)
    parts.push(view.errors.retries === 1 ? "1 retry" : `${count(view.errors.retries)} retries`);
  return parts.join(", ");
}

function barOf(done: number, signs: Signs): string {
  const full = Math.round((BAR * done) / 100);
  return signs.full.repeat(full) + signs.empty.repeat(BAR - full);
}

function painted(sign: string, text: string, frame: Frame, style?: Style): string {
  const lead = sign === "" ? "" : `${sign} `;
  const shown = cut(text, frame.columns - 1 - widthOf(lead), frame.signs.more);
  if (style === undefined) return lead + shown;
  // Only the sign is coloured where there is one: long coloured lines are hard to read.
  return sign === "" || style === "dim"
    ? frame.paint(style, lead + shown)
    : frame.paint(style, sign) + lead.slice(sign.length) + shown;
}

export function signOfState(state: string, signs: Signs): string {
  if (state === "completed") return signs.done;
  if (state === "failed") return signs.failed;
  if (state === "skipped" || state === "cancelled") return signs.skipped;
  if (state === "running") return signs.running;
  return state === "waiting" ? signs.waiting : signs.pending;
}

export function styleOf(state: string): Style | undefined {
  if (state === "completed") return "green";
  if (state === "failed") return "red";
  if (state === "cancelled" || state === "skipped") return "yellow";
  return state === "running" ? "cyan" : undefined;
}
