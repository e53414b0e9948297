/** Every pipeline and every command of these guides, as they stand there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CommandLine } from "../../src/cli/fixtures/memory-io.ts";
import { follow } from "../follow.ts";

let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
});
afterEach(() => line.remove());

it("artifacts.md", async () => {
  const said = await follow(line, "artifacts.md");
  const list = said.get("tenuto artifacts list latest")?.out ?? "";
  expect(list).toMatch(/final_output\.txt +plan +model_output +16 B +2/);
  expect(list).toMatch(/notes\.md +build +file +13 B +1/);
  expect(list).toMatch(/final_output\.txt +check +verification_report +13 B +0/);
  expect(said.get("tenuto artifacts get latest notes.md")?.out).toBe("# First done\n");
  expect(readFileSync(join(line.folder, "notes.copy"), "utf8")).toBe("# First done\n");
  expect(said.get("tenuto artifacts lineage latest notes.md")?.out).toMatch(
    /^notes\.md {2}file .* made by release-1\/build\n\nmade from\n {2}final_output\.txt .* made by release-1\/plan {2}\(offered\)\n\nused by\n {2}release-1\/check {2}\(offered\)\n {4}and made final_output\.txt\n$/,
  );
  const json = await line.call("artifacts", "lineage", "latest", "plan/final_output.txt", "--json");
  const direct = (json.json.uses as { artifact: number; job: string; how: string }[]).filter(
    (use) => use.artifact === json.json.artifact,
  );
  expect(direct.map((use) => `${use.job} ${use.how}`)).toEqual(["build offered", "check offered"]);
});

it("rollback-and-rerun.md", async () => {
  const said = await follow(line, "rollback-and-rerun.md");
  const dry = said.get("tenuto run publish.yaml --dry-run")?.out ?? "";
  expect(dry).toMatch(/^publish-1 {2}completed {2}3 jobs in [^\n]*\n2 jobs planned, not run:\n/);
  expect(dry).toContain("  upload    planned: it changes something outside\n");
  expect(dry).toContain('["echo","new: {{ jobs.upload.output }}"]');
  expect(said.get("tenuto run publish.yaml --plan")?.err).toContain("Nothing was started.");
  const rollback = said.get("tenuto runs rollback latest");
  expect(rollback?.out).toMatch(/^publish-2-rollback {2}completed {2}2 jobs in /);
  expect(rollback?.err).toContain("in this order: announce, upload\n");
  expect(said.get("tenuto runs show publish-2")?.out).toContain("Rollback  rolled back by run publish-2-rollback\n");
  const rerun = said.get("tenuto runs rerun latest --from announce")?.out ?? "";
  expect(rerun).toContain("2 jobs reused of 3:\n");
  expect(rerun).toMatch(/build +reused: publish-\d+\/build\n/);
  expect(rerun).toMatch(/announce +completed: the rerun begins with it\n/);
  const last = [...said.values()].at(-1)?.out ?? "";
  expect(last).toContain("0 jobs reused of 3:\n");
  const retried = await line.call("runs", "retry", "publish-2");
  expect([retried.code, retried.err]).toEqual([5, expect.stringContaining("nothing to retry")]);
});

it("a failed run that is rolled back can't be retried, and both commands say what to do", async () => {
  writeFileSync(
    join(line.folder, "half.yaml"),
    `name: half
jobs:
  - { id: a, command: ["true"], compensate: { command: ["false"] } }
  - { id: b, needs: [a], command: ["false"], compensate: { command: ["true"] } }
`,
  );
  expect((await line.call("run", "half.yaml")).code).toBe(1);
  const rollback = await line.call("runs", "rollback", "half-1", "--json");
  expect(rollback.code).toBe(1);
  const shown = await line.call("runs", "show", "half-1", "--json");
  expect(shown.json.run.rollback).toEqual({ run: "half-1-rollback", state: "partially rolled back", done: 0, of: 1 });
  const retry = await line.call("runs", "retry", "half-1");
  expect([retry.code, retry.err]).toEqual([5, expect.stringContaining("is rolled back by run half-1-rollback")]);
  const again = await line.call("runs", "rollback", "half-1");
  expect([again.code, again.err]).toEqual([5, expect.stringContaining("tenuto runs retry half-1-rollback")]);
  expect((await line.call("runs", "retry", "half-1-rollback")).code).toBe(1);
  expect((await line.call("runs", "rerun", "half-1", "--input", "1")).code).toBe(2);
  expect((await line.call("runs", "rerun", "half-1", "--from", "b", "--input", "{")).err).toContain("is no JSON");
  expect((await line.call("runs", "rerun", "half-1", "--from", "x")).code).toBe(3);
});
