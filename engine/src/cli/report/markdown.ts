/** A report in Markdown. What comes from outside is escaped, so that it can't become markup or a table row of its own. */
import { bytes, count, counted, duration } from "../figures.ts";
import { oneLine } from "../terminal.ts";
import type { ReportFacts } from "./facts.ts";
import { factRows, failedText } from "./facts-text.ts";

export function reportMarkdown(facts: ReportFacts): string {
  const { run } = facts;
  const lines = [`# Run ${text(run.id)}: ${run.state}`, "", "## Summary", ""];
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
        ["Name", "Job", "Type", "Size", "SHA-256"],
        facts.artifacts.map((artifact) => [
          artifact.name,
          artifact.job,
          artifact.type,
          bytes(artifact.bytes),
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
