/** Reports on runs with gates, approvals, artifacts, a rollback and notifications: what they say, in all forms. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CommandLine } from "../fixtures/memory-io.ts";

const SOURCE = fileURLToPath(new URL("../../index.ts", import.meta.url));
const CONFIG = `
import { defineAgent, defineConfig, definePipeline } from ${JSON.stringify(SOURCE)};
const extract = defineAgent({
  name: "move/extract",
  run: async (input, ctx) => {
    await ctx.artifact("rows.json", "[1,2,3]");
    return { records: 3_500, "<b>": 1 };
  },
});
const load = defineAgent({ name: "move/load", run: () => ({ loaded: 3 }) });
const undo = defineAgent({ name: "move/undo", run: () => ({ deleted: 3 }) });
const move = definePipeline({
  name: "move",
  description: "Migration of <b>north</b>",
  params: { type: "object", properties: { warn: { type: "number", default: 1 } }, additionalProperties: false },
  stages: [
    { name: "extract", jobs: [{ id: "extract", agent: extract, summary: "Extracted: {{ output.records }} records" }] },
    {
      name: "validate",
      jobs: [
        {
          id: "validate",
          agent: "move/load",
          gate: {
            checks: [
              { when: { gt: ["{{ params.warn }}", 0] }, level: "warning", message: "ages | look <odd>" },
              { when: { gt: ["{{ params.warn }}", 5] }, level: "error", message: "too many" },
            ],
          },
        },
      ],
    },
    {
      name: "load",
      jobs: [
        {
          id: "load",
          agent: load,
          approval: { title: "Load 3 rows?" },
          effects: "outside",
          summary: "Loaded to CERT: {{ output.loaded }}, {{ jobs.extract.output.missing }}",
          compensate: { agent: "move/undo" },
        },
      ],
    },
  ],
  agents: [undo],
});
export default defineConfig({ pipelines: [move], notifiers: [{ name: "here", log: true }] });
`;

let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
  writeFileSync(join(line.folder, "tenuto.config.mts"), CONFIG);
});
afterEach(() => line.remove());

async function moved(): Promise<string> {
  const run = await line.call("run", "move", "--json");
  expect(run.code).toBe(8);
  const id = (await line.call("runs", "list", "--json")).json.runs[0].id;
  expect((await line.call("approve", id, "--by", "ann", "--reason", "it | fits")).code).toBe(0);
  expect((await line.call("resume", id)).code).toBe(0);
  return id;
}

it("a migration that was approved and undone", async () => {
  const id = await moved();
  expect((await line.call("runs", "rollback", id)).code).toBe(0);
  const { json } = await line.call("runs", "report", id, "--json");
  expect(json.executive).toMatchObject({
    title: "Migration of <b>north</b>: SUCCESS",
    status: "SUCCESS",
    lines: [
      "Extracted: 3500 records",
      "validate: PASSED_WITH_WARNINGS (1 warning)",
      "Load 3 rows? approved by ann",
      `Afterwards rolled back by run ${id}-rollback (1 of 1)`,
    ],
  });
  expect(json.gates).toMatchObject([
    {
      job: "validate",
      verdict: "PASSED_WITH_WARNINGS",
      warnings: 1,
      errors: 0,
      findings: [{ level: "warning", message: "ages | look <odd>" }],
    },
  ]);
  expect(json.approvals).toMatchObject([
    { job: "load", state: "approved", decidedBy: "ann", reason: "it | fits", edited: null },
  ]);
  expect(json.relation.rollback).toMatchObject({ state: "rolled back", done: 1, of: 1 });
  expect(json.artifacts).toMatchObject([{ name: "rows.json", job: "extract", usedBy: [] }]);
  expect(json.notifications).toMatchObject({ pending: 0, failed: [] });
  expect(json.notifications.delivered).toBeGreaterThan(0);
  expect((await line.call("runs", "report", `${id}-rollback`, "--json")).json.relation).toMatchObject({
    relation: "rollback",
    origin: id,
  });
});

it("in Markdown and HTML, with what comes from outside escaped", async () => {
  const id = await moved();
  const { out } = await line.call("runs", "report", id);
  expect(out).toContain(
    `# Run ${id}: completed\n\n**Migration of &lt;b&gt;north&lt;/b&gt;: SUCCESS**\n\nRun ID: ${id}  \nDuration: `,
  );
  expect(out).toContain("- Extracted: 3500 records\n- validate: PASSED\\_WITH\\_WARNINGS (1 warning)\n");
  expect(out).toContain(
    "## Gates\n\n- **validate** PASSED\\_WITH\\_WARNINGS: 0 errors, 1 warnings; continue\n  - warning: ages \\| look &lt;odd&gt;\n",
  );
  expect(out).toMatch(/## Approvals\n\n- \*\*Load 3 rows\?\*\* \(load\) approved by ann after .*: it \\\| fits\n/);
  expect(out).toContain("| Notifications | ");
  const html = (await line.call("runs", "report", id, "--format", "html")).out;
  expect(html).toContain("<li>Extracted: 3500 records</li>");
  expect(html).toContain("warning: ages | look &lt;odd&gt;");
  expect(html).toContain("<h2>Approvals</h2>");
  expect(html).not.toMatch(/<script|<b>|src=|href=/);
});

it("a run that a gate has failed says so first", async () => {
  const { code } = await line.call("run", "move", "-p", "warn=9");
  expect(code).toBe(1);
  const { json } = await line.call("runs", "report", "latest", "--json");
  expect(json.executive.status).toBe("FAILED");
  expect(json.executive.lines).toContain("validate: FAILED (1 error, 1 warning)");
  expect(json.executive.lines.at(-1)).toMatch(/^Why it failed: validate: /);
  expect(json.gates[0]).toMatchObject({ verdict: "FAILED", action: "fail" });
});

it("a dry run says what it planned, a run that waits says for what", async () => {
  const dry = await line.call("run", "move", "--dry-run");
  expect([0, 8]).toContain(dry.code);
  const { json } = await line.call("runs", "report", "latest", "--json");
  expect(json.relation.dryRun).toBe(true);
  expect(json.executive.title).toContain("dry run");
  expect(json.reasons.map((entry: { job: string; what: string }) => [entry.job, entry.what])).toContainEqual([
    "load",
    "planned",
  ]);
  await line.call("run", "move");
  const waiting = (await line.call("runs", "report", "latest", "--json")).json;
  expect(waiting.executive.status).toBe("WAITING");
  expect(waiting.executive.lines).toContain("Load 3 rows? open");
});
