/** Every pipeline, configuration and command of these guides, as they stand there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CommandLine } from "../../src/cli/fixtures/memory-io.ts";
import { follow } from "../follow.ts";

let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
});
afterEach(() => line.remove());

it("templates-and-schedules.md", async () => {
  const said = await follow(line, "templates-and-schedules.md");
  expect(said.get("tenuto templates push nightly.yaml")?.out).toContain("nothing has changed");
  expect(said.get("tenuto templates versions nightly")?.out).toContain("first version");
  expect(said.get("tenuto templates show nightly")?.out).toContain("alarm  command/inline  needs clean (failure)");
  const plan = said.get("tenuto run nightly.yaml --exclude-job clean --plan");
  expect(plan?.err).toContain('Left out as well: alarm, since it runs only when "clean" has failed');
  expect(plan?.out).toContain("publish  command/inline  needs fetch");
  expect(said.get("tenuto schedules next daily --count 3")?.out).toMatch(/^(.* 02:30:00 Europe\/Berlin\n){3}$/);
  expect(said.get("tenuto schedules show daily")?.out).toContain('params   {"region":"east"}');
  const report = await line.call("runs", "report", "nightly-3");
  expect(report.out).toContain("**Fetch, check and publish the day's figures: SUCCESS**");
  expect(report.out).toContain("- Fetched: figures of north");
});

it("notifications.md", async () => {
  const said = await follow(line, "notifications.md");
  expect(said.get("tenuto run hello")?.err).toMatch(/Run hello-1 of hello completed in \d+ s\n/);
  expect(JSON.parse(readFileSync(join(line.folder, "told.jsonl"), "utf8"))).toMatchObject({
    occasion: "completed",
    notifier: "file",
    run: { id: "hello-1" },
  });
  expect(said.get("tenuto runs report latest")?.out).toContain("| Notifications | 2 delivered |");
});
