/** A report as one HTML file that needs nothing else: no script, no network, readable in light and dark and on paper. */
import { bytes, count, counted, duration } from "../figures.ts";
import { plainText } from "../terminal.ts";
import type { ReportFacts, StageFacts } from "./facts.ts";
import { decisionText, executiveLines, factRows, failedText, gateText } from "./facts-text.ts";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #1a7f37; --bad: #cf222e; --odd: #9a6700; --at: #0969da; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; --odd: #d29922; --at: #58a6ff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .9em ui-monospace, monospace; background: var(--soft); padding: .1em .3em; overflow-wrap: anywhere; }
.completed { color: var(--good); } .failed { color: var(--bad); } .cancelled, .skipped { color: var(--odd); } .running, .waiting { color: var(--at); }
.bar { background: var(--soft); height: .6rem; min-width: 6rem; } .bar div { background: currentColor; height: 100%; }
.hint { color: GrayText; } .executive { border-left: .3rem solid var(--line); padding-left: 1rem; }
`;

export function reportHtml(facts: ReportFacts): string {
  const { run } = facts;
  const title = `Run ${run.id}: ${run.state}`;
  const body = [
    `<h1>Run ${escaped(run.id)}: <span class="${run.state}">${run.state}</span></h1>`,
    executive(facts),
    `<table>${factRows(facts)
      .map(([name, value]) => `<tr><th scope="row">${escaped(name!)}</th><td>${escaped(value!)}</td></tr>`)
      .join("\n")}</table>`,
    "<h2>Stages</h2>",
    stageTable(facts.stages),
    ...gates(facts),
    ...approvals(facts),
    ...reasons(facts),
    ...failures(facts),
    ...skipped(facts),
    ...artifacts(facts),
    ...steps(facts),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body.join("\n")}
</body>
</html>
`;
}

function stageTable(stages: readonly StageFacts[]): string {
  const longest = Math.max(1, ...stages.map((stage) => stage.ms ?? 0));
  const rows = stages.map((stage) => {
    const share = Math.round((100 * (stage.ms ?? 0)) / longest);
    const cells = [
      `${count(stage.settled)}/${count(stage.total)}`,
      count(stage.completed),
      failedText(stage),
      count(stage.skipped),
    ];
    return `<tr><th scope="row">${escaped(stage.name)}</th><td class="${stage.state}">${stage.state}</td><td class="number">${stage.ms === null ? "-" : duration(stage.ms)}</td><td class="${stage.state}"><div class="bar"><div style="width:${share}%"></div></div></td>${cells.map((cell) => `<td class="number">${cell}</td>`).join("")}</tr>`;
  });
  return `<table><tr><th>Stage</th><th>State</th><th>Took</th><th></th><th>Jobs</th><th>Completed</th><th>Failed</th><th>Skipped</th></tr>\n${rows.join("\n")}</table>`;
}

function executive(facts: ReportFacts): string {
  const lines = executiveLines(facts);
  const list = lines.filter((line) => line.startsWith("- ")).map((line) => `<li>${escaped(line.slice(2))}</li>`);
  const head = lines.filter((line) => !line.startsWith("- ") && line !== "Summary:").map(escaped);
  return `<section class="executive"><p><strong>${escaped(facts.executive.title)}</strong><br>${head.join("<br>")}</p>${list.length === 0 ? "" : `<ul>${list.join("\n")}</ul>`}</section>`;
}

const VERDICTS: Record<string, string> = { PASSED: "completed", PASSED_WITH_WARNINGS: "skipped", FAILED: "failed" };

function gates(facts: ReportFacts): string[] {
  if (facts.gates.length === 0) return [];
  const rows = facts.gates.map((gate) => {
    const found = gate.findings.map(
      ({ level, message, place }) =>
        `<div>${level}: ${escaped(message)}${place === undefined ? "" : ` <code>${escaped(place)}</code>`}</div>`,
    );
    const more = gate.moreFindings > 0 ? `<div>and ${count(gate.moreFindings)} more</div>` : "";
    return `<tr><th scope="row">${escaped(gate.job)}</th><td class="${VERDICTS[gate.verdict] ?? ""}">${escaped(gateText(gate))}</td><td>${found.join("")}${more}</td></tr>`;
  });
  return [
    "<h2>Gates</h2>",
    `<table><tr><th>Job</th><th>Verdict</th><th>Findings</th></tr>\n${rows.join("\n")}</table>`,
  ];
}

function approvals(facts: ReportFacts): string[] {
  if (facts.approvals.length === 0) return [];
  const rows = facts.approvals.map(
    (approval) =>
      `<tr><th scope="row">${escaped(approval.title)}</th><td>${escaped(approval.job)}</td><td>${escaped(decisionText(approval))}</td></tr>`,
  );
  return [
    "<h2>Approvals</h2>",
    `<table><tr><th>What</th><th>Job</th><th>Decision</th></tr>\n${rows.join("\n")}</table>`,
  ];
}

function reasons(facts: ReportFacts): string[] {
  if (facts.reasons === null) return [];
  const rows = facts.reasons.map(
    ({ job, what, why }) =>
      `<tr><th scope="row">${escaped(job)}</th><td>${escaped(what)}</td><td>${escaped(why ?? "")}</td></tr>`,
  );
  const title = facts.relation.dryRun ? "Plan" : "Reused and run again";
  return [`<h2>${title}</h2>`, `<table><tr><th>Job</th><th>What</th><th>Why</th></tr>\n${rows.join("\n")}</table>`];
}

function failures(facts: ReportFacts): string[] {
  if (facts.failures.length === 0) return [];
  const entries = facts.failures.map((failure) => {
    const what = `${failure.job}${failure.item === null ? "" : `, item ${failure.item}`}`;
    const hint = failure.hint === null ? "" : `<div class="hint">Hint: ${escaped(failure.hint)}</div>`;
    const stderr = failure.stderr.map((line) => `<div><code>${escaped(line)}</code></div>`).join("");
    return `<tr><th scope="row">${escaped(what)}</th><td><code>${escaped(failure.code)}</code></td><td>${escaped(failure.message)}${stderr}${hint}</td></tr>`;
  });
  const more = facts.moreFailures > 0 ? `<p>and ${count(facts.moreFailures)} more</p>` : "";
  return [
    "<h2>Failures</h2>",
    `<table><tr><th>Where</th><th>Code</th><th>What</th></tr>\n${entries.join("\n")}</table>${more}`,
  ];
}

function skipped(facts: ReportFacts): string[] {
  if (facts.skipped.length === 0) return [];
  return [
    "<h2>Skipped jobs</h2>",
    `<ul>${facts.skipped.map(({ job, reason }) => `<li>${escaped(job)}: ${escaped(reason)}</li>`).join("\n")}</ul>`,
  ];
}

function artifacts(facts: ReportFacts): string[] {
  if (facts.artifacts.length === 0) return [];
  const rows = facts.artifacts.map(
    (artifact) =>
      `<tr><th scope="row">${escaped(artifact.name)}</th><td>${escaped(artifact.job)}</td><td>${escaped(artifact.type)}</td><td class="number">${bytes(artifact.bytes)}</td><td>${escaped(artifact.usedBy.join(", "))}</td><td><code>${artifact.sha256}</code></td></tr>`,
  );
  const more = facts.moreArtifacts > 0 ? `<p>and ${counted(facts.moreArtifacts, "more artifact")}</p>` : "";
  return [
    "<h2>Artifacts</h2>",
    `<table><tr><th>Name</th><th>Job</th><th>Type</th><th>Size</th><th>Used by</th><th>SHA-256</th></tr>\n${rows.join("\n")}</table>${more}`,
  ];
}

function steps(facts: ReportFacts): string[] {
  if (facts.nextSteps.length === 0) return [];
  const entries = facts.nextSteps.map((step) => {
    const at = step.indexOf("tenuto ");
    return at < 0
      ? `<li>${escaped(step)}</li>`
      : `<li>${escaped(step.slice(0, at))}<code>${escaped(step.slice(at))}</code></li>`;
  });
  return ["<h2>Next steps</h2>", `<ul>${entries.join("\n")}</ul>`];
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
  return plainText(text).replaceAll(/[&<>"']/g, (char) => ENTITIES[char]!);
}
