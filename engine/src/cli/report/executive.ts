/**
 * The executive summary at the top of a report: how it ended, how long it took, and what came of it in a few lines.
 *
 * What came of it is said by the pipeline itself: each job's `summary`, with its placeholders filled in; and by gates,
 * approvals and rollback. Invariant: a summary that can't be filled in is left out, never a reason for a report to fail.
 */
import { variantOf } from "../../core/model.ts";
import { expandIfPresent } from "../../core/placeholders.ts";
import type { Tenuto } from "../../open.ts";
import type { JobRecord, RunRecord } from "../../ports/ledger.ts";
import { counted, duration } from "../figures.ts";
import { oneLine } from "../terminal.ts";
import type { ReportFacts } from "./facts.ts";

export interface Executive {
  title: string;
  /** SUCCESS, FAILED, CANCELLED, or RUNNING and WAITING for a run that goes on. */
  status: string;
  duration: string;
  lines: string[];
  /** The stage that took longest, where there are several. */
  slowest: { stage: string; ms: number; share: number } | null;
}

const MOST_LINES = 30;
const LINE_CHARS = 200;
const STATUS: Record<string, string> = { completed: "SUCCESS" };

type Rest = Omit<ReportFacts, "executive">;

export async function executiveOf(
  tenuto: Tenuto,
  run: RunRecord,
  jobs: readonly JobRecord[],
  facts: Rest,
): Promise<Executive> {
  const { definitions } = tenuto.engine;
  const { document } = await definitions.load(run.version);
  const status = STATUS[run.state] ?? run.state.toUpperCase();
  const dry = variantOf(run).dryRun === true ? ", dry run" : "";
  return {
    title: `${document.description === undefined ? run.pipeline : oneLine(document.description).replace(/\.$/, "")}: ${status}${dry}`,
    status,
    duration: duration(facts.ms),
    lines: [...(await summaries(tenuto, run, jobs)), ...judgements(facts)].slice(0, MOST_LINES),
    slowest: slowestOf(facts),
  };
}

/** The declared summaries of jobs that have completed. */
async function summaries(tenuto: Tenuto, run: RunRecord, jobs: readonly JobRecord[]): Promise<string[]> {
  const { definitions } = tenuto.engine;
  const lines: string[] = [];
  for (const job of jobs) {
    if (job.state !== "completed" || job.parent !== null || lines.length >= MOST_LINES) continue;
    try {
      const resolved = await definitions.resolve(run, job);
      if (resolved.spec.summary === undefined) continue;
      const scope = await definitions.scope(run, job, resolved);
      const output = job.output === null ? null : JSON.parse(job.output);
      const text = expandIfPresent(resolved.spec.summary, { ...scope, output }, `summary of job ${job.id}`);
      if (text !== undefined) lines.push(cut(typeof text === "string" ? text : JSON.stringify(text)));
    } catch {
      // Agents or files that are not here; the rest of the report is as good without.
    }
  }
  return lines;
}

function cut(text: string): string {
  const line = oneLine(text);
  return line.length <= LINE_CHARS ? line : `${line.slice(0, LINE_CHARS - 1)}…`;
}

/** Verdicts, decisions, items, failures and what was undone, one line each. */
function judgements(facts: Rest): string[] {
  const lines: string[] = [];
  const last = new Map(facts.gates.map((gate) => [gate.job, gate]));
  for (const gate of last.values()) {
    const what = [
      gate.errors > 0 ? counted(gate.errors, "error") : "",
      gate.warnings > 0 ? counted(gate.warnings, "warning") : "",
    ];
    const found = what.filter((part) => part !== "").join(", ");
    lines.push(`${gate.job}: ${gate.verdict}${found === "" ? "" : ` (${found})`}`);
  }
  for (const approval of facts.approvals) {
    const by = approval.decidedBy === null ? "" : ` by ${approval.decidedBy}`;
    lines.push(cut(`${approval.title} ${approval.state}${by}`));
  }
  if (facts.items !== null) lines.push(`${counted(facts.items.completed, "item")} of ${facts.items.total} completed`);
  const [first] = facts.failures;
  if (first !== undefined && facts.run.state === "failed")
    lines.push(cut(`Why it failed: ${first.job}: ${first.message}`));
  const { rollback } = facts.relation;
  if (rollback !== null)
    lines.push(`Afterwards ${rollback.state} by run ${rollback.run} (${rollback.done} of ${rollback.of})`);
  return lines;
}

function slowestOf({ stages }: Rest): Executive["slowest"] {
  const timed = stages.filter((stage) => stage.ms !== null && stage.ms > 0);
  if (timed.length < 2) return null;
  const sum = timed.reduce((total, stage) => total + stage.ms!, 0);
  const longest = timed.reduce((a, b) => (b.ms! > a.ms! ? b : a));
  return { stage: longest.name, ms: longest.ms!, share: Math.round((100 * longest.ms!) / sum) };
}
