/** The quality report, for people: the summary as Markdown, and as one HTML page with plots that stands alone. */
import { escapeHtml, histogram, horizontalBars } from "./plots.ts";
import type { Summary } from "./summary.ts";

interface Row {
  name: string;
  number: number;
  share: number;
}

/** As Markdown. */
export function markdownReport(summary: Summary): string {
  const parts = [
    "# Quality of the dataset",
    "",
    headline(summary),
    "",
    ...markdownTable("Grades", ["Grade", "Records", "Share"], gradeRows(summary)),
    ...markdownTable("Scores", ["Score", "Records", "Share"], scoreRows(summary)),
    ...markdownTable("Fields", ["Field", "Filled", "Share"], fieldRows(summary)),
    ...markdownTable("Associations", ["Association", "Records", "Share"], rowsOf(summary.associations, summary)),
    ...markdownTable("ERP systems", ["System", "Records", "Share"], rowsOf(summary.erp_distribution, summary)),
    ...markdownTable("Issues", ["Issue", "Records", "Share"], rowsOf(summary.issues, summary)),
    "## Cross-checks",
    "",
    "| Check | Valid | Invalid | Unknown |",
    "| --- | ---: | ---: | ---: |",
    ...checks(summary).map(([name, { valid, invalid, unknown }]) => `| ${name} | ${valid} | ${invalid} | ${unknown} |`),
    "",
    `Made ${summary.generated_at}. Unknown means: not asked, or no answer; it counts neither for nor against a record.`,
  ];
  return `${parts.join("\n")}\n`;
}

/** As one HTML page; nothing is loaded from anywhere. */
export function htmlReport(summary: Summary): string {
  const { average_quality_score: average, median_quality_score: median } = summary;
  const facts: [string, string][] = [
    ["Records", String(summary.total_records)],
    [`Score ${summary.min_score} or more`, `${summary.passed} (${percent(shareOf(summary.passed, summary))})`],
    ["Average score", average === null ? "none" : String(average)],
    ["Median score", median === null ? "none" : String(median)],
    ["Merged from several", String(summary.merged_records)],
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Quality of the dataset</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Quality of the dataset</h1>
<dl>${facts.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`).join("")}</dl>
${section("Grades", bars(gradeRows(summary), "Records by grade"))}
${section("Scores", scorePlot(summary))}
${section("Fields", fieldPlot(summary))}
${section("Associations", bars(rowsOf(summary.associations, summary), "Records by association"))}
${section("ERP systems", bars(rowsOf(summary.erp_distribution, summary), "Records by ERP system"))}
${section("Cross-checks", checkTable(summary))}
${section("Issues", bars(rowsOf(summary.issues, summary), "Records by issue"))}
<footer>Made ${escapeHtml(summary.generated_at)}. Unknown means: not asked, or no answer; it counts neither for nor against a record.</footer>
</main>
</body>
</html>
`;
}

const STYLE = `:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dfe7;--bar:#2f6f9f;--mark:#b3541e;--page:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#343d4a;--bar:#6aa9d8;--mark:#e39a6b;--page:#161b22}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:720px;margin:0 auto;padding:32px 20px}
h1{font-size:26px;margin:0 0 16px}h2{font-size:18px;margin:32px 0 8px}
dl{display:flex;flex-wrap:wrap;gap:8px 32px;margin:0}dt{color:var(--soft);font-size:13px}dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .label{fill:var(--soft)}
svg .bar{fill:var(--bar)}svg .mark{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:4 3}
table{border-collapse:collapse;width:100%}th,td{padding:4px 8px;border-bottom:1px solid var(--line);text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}footer{margin-top:32px;color:var(--soft);font-size:13px}`;

function headline(summary: Summary): string {
  const { total_records: total, passed, min_score: minimum, average_quality_score: average } = summary;
  const score = average === null ? "" : ` Average score ${average}, median ${summary.median_quality_score}.`;
  return `${total} records, ${passed} (${percent(shareOf(passed, summary))}) with a score of ${minimum} or more.${score}`;
}

function gradeRows(summary: Summary): Row[] {
  return rowsOf(summary.quality_distribution, summary);
}

function scoreRows(summary: Summary): Row[] {
  return summary.score_histogram.map((number, at) => ({
    name: at === 9 ? "90–100" : `${at * 10}–${at * 10 + 9}`,
    number,
    share: shareOf(number, summary),
  }));
}

function fieldRows({ field_completeness, total_records }: Summary): Row[] {
  return Object.entries(field_completeness).map(([name, share]) => ({
    name,
    number: Math.round(share * total_records),
    share,
  }));
}

function rowsOf(counts: Readonly<Record<string, number>>, summary: Summary): Row[] {
  return Object.entries(counts).map(([name, number]) => ({ name, number, share: shareOf(number, summary) }));
}

function checks({ validation }: Summary): [string, Summary["validation"]["dns"]][] {
  return [
    ["Domain (DNS)", validation.dns],
    ["Address (Places)", validation.places],
  ];
}

function shareOf(number: number, { total_records }: Summary): number {
  return total_records === 0 ? 0 : number / total_records;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function markdownTable(title: string, head: readonly string[], rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  return [
    `## ${title}`,
    "",
    `| ${head.join(" | ")} |`,
    "| --- | ---: | ---: |",
    ...rows.map(({ name, number, share }) => `| ${cell(name)} | ${number} | ${percent(share)} |`),
    "",
  ];
}

/** Names come from web pages: no pipe or line break may end a cell. */
function cell(text: string): string {
  return text.replace(/[\r\n]+/g, " ").replace(/[\\|<>[\]`*_]/g, (sign) => (sign === "_" ? "\\_" : `\\${sign}`));
}

function section(title: string, content: string): string {
  return content === "" ? "" : `<section><h2>${escapeHtml(title)}</h2>${content}</section>`;
}

function bars(rows: readonly Row[], title: string): string {
  if (rows.length === 0) return "";
  return horizontalBars(
    rows.map(({ name, number, share }) => ({ label: name, value: number, text: `${number} (${percent(share)})` })),
    { title },
  );
}

function fieldPlot(summary: Summary): string {
  const fields = fieldRows(summary).map(({ name, share }) => ({ label: name, value: share, text: percent(share) }));
  return horizontalBars(fields, { title: "Share of records that have each field", max: 1 });
}

function scorePlot(summary: Summary): string {
  const columns = scoreRows(summary).map(({ name, number }) => ({ label: name, value: number }));
  const mark = { at: summary.min_score / 100, label: `minimum ${summary.min_score}` };
  return histogram(columns, { title: "Records by score", mark });
}

function checkTable(summary: Summary): string {
  const rows = checks(summary).map(
    ([name, { valid, invalid, unknown }]) =>
      `<tr><td>${escapeHtml(name)}</td><td>${valid}</td><td>${invalid}</td><td>${unknown}</td></tr>`,
  );
  return `<table><thead><tr><th>Check</th><th>Valid</th><th>Invalid</th><th>Unknown</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}
