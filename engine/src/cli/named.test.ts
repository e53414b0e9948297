/** Templates, exclusions and schedules from the command line. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CommandLine } from "./fixtures/memory-io.ts";

const FLOW = `
name: flow
description: Make a greeting and check it.
params: { name: { type: text, default: you } }
stages:
  - name: make
    jobs:
      - { id: greet, command: [echo, "hello {{ params.name }}"] }
      - { id: polish, command: [echo, polished], needs: [greet] }
  - name: check
    jobs:
      - { id: check, command: [echo, fine], needs: [polish] }
`;

let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
  writeFileSync(join(line.folder, "flow.yaml"), FLOW);
});
afterEach(() => line.remove());

describe("templates", () => {
  it("push, list, show, versions", async () => {
    expect(await line.call("templates", "push", "flow.yaml", "--note", "the first")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Template flow has version 1 now \([0-9a-f]{12}\)\n$/),
    });
    expect((await line.call("templates", "push", "./flow.yaml")).out).toContain("is at version 1 already");
    writeFileSync(join(line.folder, "flow.yaml"), FLOW.replace("polished", "shining"));
    expect((await line.call("templates", "push", "flow.yaml", "--json")).json).toMatchObject({
      schema: "tenuto.template.pushed/1",
      number: 2,
      changed: true,
    });
    const list = await line.call("templates");
    expect(list.out).toMatch(/TEMPLATE +VERSION +STAGES +JOBS +SCHEDULES/);
    expect(list.out).toMatch(/flow +2 +2 +3 +0 +\d{4}.*Make a greeting/);
    const shown = await line.call("templates", "show", "flow", "--number", "1");
    expect(shown.out).toContain("flow version 1");
    expect(shown.out).toContain("not the present one");
    expect(shown.out).toContain("Note    the first");
    expect(shown.out).toContain("Phase 2 of 2: check\n  check  command/inline  needs polish");
    expect((await line.call("templates", "show", "flow", "--json")).json.document.stages[0].jobs[1].command).toEqual({
      argv: ["echo", "shining"],
    });
    const versions = (await line.call("templates", "versions", "flow", "--json")).json.versions;
    expect(versions.map((one: { number: number; note: string | null }) => [one.number, one.note])).toEqual([
      [2, null],
      [1, "the first"],
    ]);
    expect(await line.call("templates", "show", "flwo")).toMatchObject({
      code: 3,
      err: expect.stringContaining('Did you mean "flow"?'),
    });
  });

  it("run finds a template where no file and no pipeline has that name; start takes a version", async () => {
    await line.call("templates", "push", "flow.yaml");
    writeFileSync(join(line.folder, "flow.yaml"), FLOW.replace("hello", "goodbye"));
    await line.call("templates", "push", "flow.yaml");
    const run = await line.call("run", "flow", "-p", "name=Ann", "--json");
    expect([run.code, run.json.run.state]).toEqual([0, "completed"]);
    expect((await line.call("logs", run.json.run.id, "greet", "--raw")).out).toBe("goodbye Ann\n");
    const before = await line.call("templates", "start", "flow", "--number", "1", "--json");
    expect((await line.call("logs", before.json.run.id, "greet", "--raw")).out).toBe("hello you\n");
    expect(await line.call("run", "flow", "-p", "naem=x")).toMatchObject({ code: 2 });
    expect(await line.call("templates", "start", "flow.yaml")).toMatchObject({ code: 3 });
    expect(await line.call("templates", "start", "flow", "--number", "7")).toMatchObject({ code: 3 });
  });

  it("what was left out is told, planned and run", async () => {
    const plan = await line.call("run", "flow.yaml", "--exclude-job", "polish", "--dry-run");
    expect(plan.err).toContain("Left out: polish");
    expect(plan.out).toContain("2 jobs in 2 stages");
    expect(plan.out).toContain("check  command/inline  needs greet");
    const run = await line.call("run", "flow.yaml", "--exclude-stage", "make", "--json");
    expect([run.code, run.json.run.jobs.total]).toEqual([0, 1]);
    const wrong = await line.call("run", "flow.yaml", "--exclude-job", "polsh");
    expect([wrong.code, wrong.err]).toEqual([
      2,
      expect.stringContaining('there is no job "polsh". Did you mean "polish"?'),
    ]);
    expect((await line.call("runs", "list", "--json")).json.runs.length).toBe(1);
  });

  it("remove is refused while a schedule starts it", async () => {
    await line.call("templates", "push", "flow.yaml");
    await line.call("schedules", "add", "nightly", "flow", "--cron", "0 2 * * *");
    expect(await line.call("templates", "remove", "flow")).toMatchObject({
      code: 5,
      err: expect.stringContaining("tenuto schedules remove nightly"),
    });
    await line.call("schedules", "remove", "nightly");
    expect((await line.call("templates", "remove", "flow")).code).toBe(0);
    expect((await line.call("run", "flow")).code).toBe(3);
  });
});

describe("schedules", () => {
  beforeEach(() => line.call("templates", "push", "flow.yaml"));

  it("add, list, show, next, disable, enable", async () => {
    const added = await line.call(
      "schedules",
      "add",
      "nightly",
      "flow",
      "--cron",
      "30 2 * * *",
      "--zone",
      "Europe/Berlin",
      "-p",
      "name=Ann",
      "--exclude-job",
      "polish",
      "--missed",
      "all",
      "--cap",
      "3",
    );
    expect(added.out).toMatch(/^Schedule nightly starts flow next at \d{4}-\d{2}-\d{2} 02:30:00 Europe\/Berlin\n$/);
    expect(added.err).toContain("tenuto worker");
    const { schedule, next } = (await line.call("schedules", "show", "nightly", "--json")).json;
    expect(schedule).toMatchObject({
      template: true,
      params: { name: "Ann" },
      exclude: { stages: [], jobs: ["polish"] },
      missed: "all",
      cap: 3,
      enabled: true,
      fired: 0,
    });
    expect(next.length).toBe(5);
    expect((await line.call("schedules", "show", "nightly")).out).toContain("template flow without job polish");
    expect((await line.call("schedules", "next", "nightly", "--count", "2")).out).toMatch(
      /^(.* 02:30:00 Europe\/Berlin\n){2}$/,
    );
    expect((await line.call("schedules", "disable", "nightly")).out).toBe("Schedule nightly is disabled\n");
    expect((await line.call("schedules", "list")).out).toMatch(/nightly +flow +30 2 \* \* \* +disabled +0 +0 +-/);
    expect((await line.call("schedules", "enable", "nightly")).out).toContain("is enabled; next at");
  });

  it("trigger starts it now; what was left out is shown, and left out again by a rerun", async () => {
    await line.call(
      "schedules",
      "add",
      "nightly",
      "flow",
      "--cron",
      "0 2 * * *",
      "-p",
      "name=Ann",
      "--exclude-job",
      "polish",
    );
    const id = (await line.call("schedules", "trigger", "nightly")).out.trim();
    expect((await line.call("resume", id)).code).toBe(0);
    const { run, jobs } = (await line.call("runs", "show", id, "--json")).json;
    expect([run.params, run.excluded, jobs.length]).toEqual([{ name: "Ann" }, ["polish"], 2]);
    expect((await line.call("runs", "show", id)).out).toContain("Left out  polish\n");
    expect((await line.call("runs", "report", id)).out).toContain("| Left out | polish |");
    const again = await line.call("runs", "rerun", id, "--json");
    expect([again.code, again.json.run.jobs.total]).toEqual([0, 2]);
    expect(await line.call("schedules", "trigger", "nigthly")).toMatchObject({ code: 3 });
  });

  it("a worker fires it", { timeout: 20_000 }, async () => {
    await line.call("schedules", "add", "often", "flow", "--cron", "* * * * * *", "--missed", "skip");
    const worker = line.start("worker");
    await worker.io.stderr.shows(/Run flow-\d+ completed/);
    worker.io.send("SIGTERM");
    expect((await worker.done).code).toBe(143);
    const { schedule, runs } = (await line.call("schedules", "show", "often", "--json")).json;
    expect(schedule.fired).toBeGreaterThan(0);
    expect(runs.map((run: { id: string }) => run.id)).toContain(schedule.lastRun);
  });

  it("what is wrong is refused", async () => {
    const add = (...argv: string[]) => line.call("schedules", "add", "s", "flow", ...argv);
    expect(await add("--cron", "0 2 * *")).toMatchObject({
      code: 2,
      err: expect.stringContaining("hint:  Five fields"),
    });
    expect(await add("--cron", "0 2 * * *", "--zone", "Berlin")).toMatchObject({ code: 2 });
    expect(await add("--cron", "0 2 * * *", "-p", "nmae=x")).toMatchObject({ code: 2 });
    expect(await add()).toMatchObject({ code: 2 });
    expect(await line.call("schedules", "add", "s", "folw", "--cron", "0 2 * * *")).toMatchObject({ code: 3 });
    expect(await line.call("schedules", "show", "s")).toMatchObject({ code: 3 });
    expect((await line.call("schedules", "list", "--json")).json.schedules).toEqual([]);
  });
});
