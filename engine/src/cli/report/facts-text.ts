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
  for (const row of relationRows(facts)) rows.push(row);
  const { usage, notifications } = facts;
  if (usage !== null)
    rows.push([
      "Models",
      `${count(usage.calls)} calls, ${count(usage.inputTokens)} tokens in, ${count(usage.outputTokens)} out${usage.cost > 0 ? `, cost ${usage.cost.toFixed(2)}` : ""}`,
    ]);
  if (notifications !== null)
    rows.push([
      "Notifications",
      `${count(notifications.delivered)} delivered${notifications.pending > 0 ? `, ${count(notifications.pending)} under way` : ""}${notifications.failed.map((one) => `; ${one.notifier} failed: ${one.error}`).join("")}`,
    ]);
  rows.push(["Params", JSON.stringify(run.params)]);
  rows.push(["Report made", facts.madeAt]);
  return rows;
}

function relationRows({ relation }: ReportFacts): string[][] {
  const { origin, from, dryRun, excluded, rollback } = relation;
  const rows: string[][] = [];
  const before = origin ?? "a run that has been pruned";
  if (relation.relation === "rollback") rows.push(["Undoes", before]);
  if (relation.relation === "rerun") rows.push(["Rerun of", `${before}${from === null ? "" : `, from job ${from}`}`]);
  if (excluded.length > 0) rows.push(["Left out", excluded.join(", ")]);
  if (dryRun) rows.push(["Dry run", "what changes something outside was planned, not run"]);
  if (rollback !== null)
    rows.push(["Rollback", `${rollback.state} (${rollback.done} of ${rollback.of}) by run ${rollback.run}`]);
  return rows;
}

/** The executive summary as lines, without its title. */
export function executiveLines({ executive, run }: ReportFacts): string[] {
  const { status, slowest, lines } = executive;
  return [
    `Run ID: ${run.id}`,
    `Duration: ${executive.duration}${slowest === null ? "" : `, of which stage ${slowest.stage} took ${duration(slowest.ms)} (${slowest.share}%)`}`,
    `Status: ${status}`,
    ...(lines.length === 0 ? [] : ["Summary:", ...lines.map((line) => `- ${line}`)]),
  ];
}

/** One line for a gate's verdict. */
export function gateText(gate: ReportFacts["gates"][number]): string {
  const attempt = gate.attempt > 1 ? `, attempt ${gate.attempt}` : "";
  return `${gate.verdict}: ${count(gate.errors)} errors, ${count(gate.warnings)} warnings; ${gate.action}${attempt}`;
}

/** Who decided what on an approval, and how long that took. */
export function decisionText(approval: ReportFacts["approvals"][number]): string {
  const by = approval.decidedBy === null ? "" : ` by ${approval.decidedBy}`;
  const edited = approval.edited === null ? "" : ", edited";
  const reason = approval.reason === null ? "" : `: ${approval.reason}`;
  const open =
    approval.state === "open"
      ? `open for ${duration(approval.ms)}`
      : `${approval.state}${by} after ${duration(approval.ms)}`;
  return `${open}${edited}${reason}`;
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
