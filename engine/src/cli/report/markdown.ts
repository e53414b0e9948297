/** A report in Markdown. What comes from outside is escaped, so that it can't become markup or a table row of its own. */
import { bytes, count, counted, duration } from "../figures.ts";
import { oneLine } from "../terminal.ts";
import type { ReportFacts } from "./facts.ts";
import { decisionText, executiveLines, factRows, failedText, gateText } from "./facts-text.ts";

export function reportMarkdown(facts: ReportFacts): string {
  const { run } = facts;
  const lines = [`# Run ${text(run.id)}: ${run.state}`, "", ...executive(facts), "", "## Facts", ""];
  lines.push(...markdownTable(["Fact", "Value"], factRows(facts)));
  lines.push("", "## Stages", "");
  lines.push(
    ...markdownTable(
      ["Stage", "State", "Took", "Jobs", "Completed", "Failed", "Skipped"],
      facts.stages.map((stage) => [
        stage.name,
        stage.state,
        stage.ms === null ? "-" : duration(stage.ms),
        `${count(stage.settled)}/${count(stage.total)}`,
        count(stage.completed),
        failedText(stage),
        count(stage.skipped),
      ]),
    ),
  );
  lines.push(...judgements(facts));
  if (facts.failures.length > 0) {
    lines.push("", "## Failures", "");
    for (const failure of facts.failures) {
      const what = `${failure.job}${failure.item === null ? "" : `, item ${failure.item}`}`;
      lines.push(`- **${text(what)}** (${text(failure.code)}, ${failure.category}): ${text(failure.message)}`);
      for (const line of failure.stderr) lines.push(`  - stderr: \`${line.replaceAll("`", "'")}\``);
      if (failure.hint !== null) lines.push(`  - Hint: ${text(failure.hint)}`);
    }
    if (facts.moreFailures > 0) lines.push(`- and ${count(facts.moreFailures)} more`);
  }
  if (facts.skipped.length > 0) {
    lines.push("", "## Skipped jobs", "");
    for (const { job, reason } of facts.skipped) lines.push(`- ${text(job)}: ${text(reason)}`);
  }
  if (facts.artifacts.length > 0) {
    lines.push("", "## Artifacts", "");
    lines.push(
      ...markdownTable(
        ["Name", "Job", "Type", "Size", "Used by", "SHA-256"],
        facts.artifacts.map((artifact) => [
          artifact.name,
          artifact.job,
          artifact.type,
          bytes(artifact.bytes),
          artifact.usedBy.join(", "),
          artifact.sha256,
        ]),
      ),
    );
    if (facts.moreArtifacts > 0) lines.push("", `and ${counted(facts.moreArtifacts, "more artifact")}`);
  }
  if (facts.nextSteps.length > 0)
    lines.push("", "## Next steps", "", ...facts.nextSteps.map((step) => `- ${stepText(step)}`));
  return `${lines.join("\n")}\n`;
}

function executive(facts: ReportFacts): string[] {
  const lines = executiveLines(facts).map((line) => (line.startsWith("- ") ? `- ${text(line.slice(2))}` : text(line)));
  const at = lines.indexOf("Summary:");
  const head = at < 0 ? lines : lines.slice(0, at);
  const list = at < 0 ? [] : lines.slice(at + 1);
  return [
    `**${text(facts.executive.title)}**`,
    "",
    ...head.map((line) => `${line}  `),
    ...(list.length === 0 ? [] : ["", ...list]),
  ];
}

/** Gates, approvals, and what a dry run or a rerun did with each job. */
function judgements(facts: ReportFacts): string[] {
  const lines: string[] = [];
  if (facts.gates.length > 0) {
    lines.push("", "## Gates", "");
    for (const gate of facts.gates) {
      lines.push(`- **${text(gate.job)}** ${text(gateText(gate))}`);
      for (const { level, message, place } of gate.findings)
        lines.push(`  - ${level}: ${text(message)}${place === undefined ? "" : ` (${text(place)})`}`);
      if (gate.moreFindings > 0) lines.push(`  - and ${count(gate.moreFindings)} more`);
    }
  }
  if (facts.approvals.length > 0) {
    lines.push("", "## Approvals", "");
    for (const approval of facts.approvals)
      lines.push(`- **${text(approval.title)}** (${text(approval.job)}) ${text(decisionText(approval))}`);
  }
  if (facts.reasons !== null) {
    lines.push("", facts.relation.dryRun ? "## Plan" : "## Reused and run again", "");
    for (const { job, what, why } of facts.reasons)
      lines.push(`- ${text(job)}: ${text(what)}${why === null ? "" : ` (${text(why)})`}`);
  }
  return lines;
}

function markdownTable(head: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.map(text).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)];
}

/** The command of a step as code. */
function stepText(step: string): string {
  const at = step.indexOf("tenuto ");
  return at < 0 ? text(step) : `${text(step.slice(0, at).trimEnd())} \`${step.slice(at).replaceAll("`", "'")}\``;
}

function text(value: string): string {
  return oneLine(value).replaceAll(/[\\`*_{}[\]<>|]/g, (char) =>
    char === "<" ? "&lt;" : char === ">" ? "&gt;" : `\\${char}`,
  );
}
