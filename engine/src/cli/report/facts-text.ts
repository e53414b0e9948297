/** The summary of a report as rows of name and value, for every form. */
import { count, duration } from "../figures.ts";
import type { ReportFacts, StageFacts } from "./facts.ts";

export function factRows(facts: ReportFacts): string[][] {
  const { run, jobs, items } = facts;
  const rows = [
    ["Pipeline", `${run.pipeline}, version ${run.version.slice(0, 12)}`],
    ["State", `${run.state}${run.haltedAt === null ? "" : " (halted)"}`],
    ["Started", run.createdAt ?? ""],
    ["Ended", run.endedAt ?? "not yet"],
    ["Took", `${duration(facts.ms)}${run.endedAt === null ? " so far" : ""}`],
    [
      "Jobs",
      listed(
        [
          [jobs.completed, "completed"],
          [jobs.failed, "failed"],
          [jobs.skipped, "skipped"],
          [jobs.cancelled, "cancelled"],
          [jobs.open, "open"],
        ],
        jobs.total,
      ),
    ],
  ];
  if (jobs.retries > 0) rows.push(["Tried again", `${count(jobs.retries)} times`]);
  if (items !== null)
    rows.push([
      "Items",
      listed(
        [
          [items.completed, "completed"],
          [items.failed, "failed"],
          [items.skipped, "skipped"],
          [items.duplicates, "duplicates"],
          [items.notStarted, "not started"],
        ],
        items.total,
      ),
    ]);
  rows.push(["Params", JSON.stringify(run.params)]);
  rows.push(["Report made", facts.madeAt]);
  return rows;
}

function listed(parts: [number, string][], total: number): string {
  const shown = parts.filter(([value]) => value > 0).map(([value, name]) => `${count(value)} ${name}`);
  return `${count(total)}${shown.length === 0 ? "" : `: ${shown.join(", ")}`}`;
}

/** Failed jobs of a stage, with those that were allowed to. */
export function failedText(stage: StageFacts): string {
  const allowed = stage.allowedFailures;
  return allowed === 0 ? count(stage.failed) : `${count(stage.failed + allowed)} (${count(allowed)} allowed)`;
}
