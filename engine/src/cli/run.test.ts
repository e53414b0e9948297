import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CommandLine } from "./fixtures/memory-io.ts";

const PIPELINES = fileURLToPath(new URL("./fixtures/pipelines.ts", import.meta.url));
const line = new CommandLine();
afterAll(() => line.remove());

describe("a new project", () => {
  it("init writes what is missing and keeps what is there", async () => {
    const first = await line.call("init", "--json");
    expect(first.json.written).toEqual(["tenuto.config.mts", join("pipelines", "hello.yaml"), ".gitignore"]);
    writeFileSync(join(line.folder, ".gitignore"), "mine\n");
    const second = await line.call("init");
    expect(second.out).toContain("kept   .gitignore");
    expect(readFileSync(join(line.folder, ".gitignore"), "utf8")).toBe("mine\n");
  });

  it("runs its first pipeline, from the configuration, with data on stdout and talk on stderr", async () => {
    const { code, out, err } = await line.call("run", "hello", "-p", "name=Ada");
    expect(code).toBe(0);
    expect(out).toMatch(/^hello-1 {2}completed {2}3 jobs in [\d.]+ s\n$/);
    expect(err).toContain("Run hello-1: 3 jobs in 2 stages\njob first started\n");
    expect(err).toContain("output: Hello, Ada, and 3 more\n");
    expect((await line.call("runs", "show", "latest")).out).toContain("Output    Hello, Ada, and 3 more\n");
    expect(`${out}${err}`).not.toContain("\u001b");
    expect((await line.call("logs", "hello-1", "first", "--raw")).out).toBe("Hello, Ada\n");
    expect((await line.call("logs", "hello-1", "each", "--raw", "--item", "1")).out).toBe("Hello, Grace\n");
  });

  it("is read although its configuration can't be loaded", async () => {
    await line.call("run", "hello");
    writeFileSync(join(line.folder, "tenuto.config.ts"), "export default {{\n");
    const { code, out, err } = await line.call("runs", "list");
    expect(code).toBe(0);
    expect(out).toContain("hello-1");
    expect(err).toMatch(/^warning: .*tenuto\.config\.ts can't be loaded/);
    expect((await line.call("prune", "--older-than", "1d")).code).toBe(2);
    rmSync(join(line.folder, "tenuto.config.ts"));
  });

  it("checks files with positions", async () => {
    writeFileSync(join(line.folder, "wrong.yaml"), "name: wrong\njobs:\n  - id: a\n    comand: [x]\n");
    const { code, err } = await line.call("templates", "validate", "wrong.yaml");
    expect(code).toBe(2);
    expect(err).toContain("wrong.yaml:4:5");
    expect(err).toContain("command");
    expect((await line.call("templates", "validate", "pipelines/hello.yaml")).out).toContain(
      "valid  hello  3 jobs in 2 stages",
    );
  });
});

describe("counts", () => {
  it("hold what was not started and what was allowed to fail, and hints name the run", async () => {
    writeFileSync(
      join(line.folder, "y.yaml"),
      `name: y
jobs:
  - { id: bad, command: [sh, -c, "echo oops >&2; exit 3"], allowFailure: true, retry: { maxRetries: 0 } }
  - { id: never, command: [echo], when: { eq: ["{{ run.id }}", "x"] } }
  - id: fan
    needs: []
    forEach: { source: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], concurrency: 1, errorRate: 0 }
    retry: { maxRetries: 0 }
    command: [sh, -c, "exit 3"]
`,
    );
    const { code, out, err } = await line.call("run", "y.yaml");
    expect(code).toBe(1);
    expect(out).toContain("(1 failed, allowed)");
    expect(err).toContain("12 items not done (11 of them not started)");
    expect(err).toContain("tenuto runs show y-3 --items");
    expect(err).toContain("hint: See its output: tenuto logs y-3 bad --raw");
    const shown = (await line.call("runs", "show", "latest")).out;
    expect(shown).toContain("2 (1 allowed)");
    expect(shown).toContain("1 failed, 11 not started");
    expect(shown).toMatch(/never .* skipped +0 +- /);
    expect((await line.call("runs", "report", "latest")).out).toContain("  - stderr: `oops`");
  });
});

describe("run", () => {
  it("a file with several pipelines needs to be told which", async () => {
    const { code, err } = await line.call("run", PIPELINES);
    expect(code).toBe(2);
    expect(err).toContain(`hint:  Say which one: ${PIPELINES}#twice`);
    expect((await line.call("run", `${PIPELINES}#twise`)).err).toContain('Did you mean "twice"?');
    expect((await line.call("run", "helo")).err).toContain('Did you mean "hello"?');
    expect((await line.call("run", "./nowhere.yaml")).code).toBe(3);
  });

  it("params come from a file and from the command line, typed by the schema", async () => {
    writeFileSync(join(line.folder, "params.json"), '{"n": 4}');
    const { json, code } = await line.call("run", `${PIPELINES}#twice`, "--params", "params.json", "--json");
    expect(code).toBe(0);
    expect(json).toMatchObject({
      schema: "tenuto.run/1",
      run: { state: "completed", params: { n: 4 } },
      output: { n: 8 },
    });
    const over = await line.call("run", `${PIPELINES}#twice`, "--params", "params.json", "-p", "n=21", "--json");
    expect(over.json.output).toEqual({ n: 42 });
  });

  it.each([
    [["-p", "n=many"], "n:"],
    [["-p", "m=1"], "m: there is no such param"],
    [["-p", "n"], "Write -p name=value."],
    [[], "n: is missing"],
  ])("bad params %j start nothing", async (argv, told) => {
    const before = (await line.call("runs", "list", "--json")).json.runs.length;
    const { code, err } = await line.call("run", `${PIPELINES}#twice`, ...argv);
    expect(code).toBe(2);
    expect(err).toContain(told);
    expect(err).toContain("code:  invalid_params");
    expect((await line.call("runs", "list", "--json")).json.runs.length).toBe(before);
  });

  it("--dry-run shows the plan and writes nothing", async () => {
    const fresh = new CommandLine();
    const { code, out, err } = await fresh.call("run", `${PIPELINES}#failing`, "--dry-run");
    expect(code).toBe(0);
    expect(out).toContain("Phase 2 of 2: second\n  never  test/double@2");
    expect(err).toContain("Nothing was started.");
    expect(existsSync(join(fresh.folder, ".tenuto"))).toBe(false);
    expect((await fresh.call("run", `${PIPELINES}#twice`, "--dry-run")).code).toBe(2);
    fresh.remove();
  });

  it("two starts with one idempotency key are one run", async () => {
    const argv = ["run", `${PIPELINES}#twice`, "-p", "n=1", "--idempotency-key", "once", "--json"];
    const first = await line.call(...argv);
    const second = await line.call(...argv);
    expect(second.json.run.id).toBe(first.json.run.id);
    expect(second.err).toContain("nothing new was started");
    const other = await line.call("run", `${PIPELINES}#twice`, "-p", "n=2", "--idempotency-key", "once");
    expect(other.code).toBe(5);
  });

  it("a failed run ends with 1, says what failed, why, and what to do", async () => {
    const { code, out, err } = await line.call("run", `${PIPELINES}#failing`);
    expect(code).toBe(1);
    expect(out).toMatch(/^failing-\d+ {2}failed/);
    expect(err).toContain("✖ breaks: the disk [31m is on fire (Error, permanent)\n  hint: Call the fire brigade.");
    expect(err).toMatch(/tenuto runs retry failing-\d+/);
  });

  it("--quiet says nothing", async () => {
    const { out, err } = await line.call("run", `${PIPELINES}#twice`, "-p", "n=1", "--quiet");
    expect(out).toMatch(/completed/);
    expect(err).toBe("");
  });
});

describe("what is left of runs", () => {
  let failed = "";
  let fanned = "";
  beforeAll(async () => {
    failed = (await line.call("run", `${PIPELINES}#failing`, "--json")).json.run.id;
    fanned = (await line.call("run", `${PIPELINES}#items`, "--json")).json.run.id;
  });

  it("runs list: a table, or a document", async () => {
    const { out } = await line.call("runs", "list", "--limit", "1");
    expect(out.split("\n")[0]).toMatch(/^RUN +PIPELINE +STATE +JOBS +STARTED \(UTC\) +TOOK$/);
    expect(out).toContain(fanned);
    const { json } = await line.call("runs", "list", "--state", "failed", "--limit", "1", "--json");
    expect(json).toMatchObject({ schema: "tenuto.runs/1", runs: [{ id: failed }], more: true });
  });

  it("runs show: stages and jobs with reasons and errors", async () => {
    const { out } = await line.call("runs", "show", failed);
    expect(out).toMatch(/first +✖ failed +1\/1 +1 +0/);
    expect(out).toMatch(/never +second +↷ skipped +0 +- +stage first did not succeed/);
    expect(out).toContain("hint: Call the fire brigade.");
    const { json } = await line.call("runs", "show", failed, "--json");
    expect(json).toMatchObject({
      schema: "tenuto.run.details/1",
      jobs: [{ id: "breaks", error: { code: "Error" } }, { reason: "stage_failed:first" }],
    });
    const fanout = await line.call("runs", "show", fanned, "--json");
    expect(fanout.json.jobs[0].items).toEqual({
      total: 40,
      completed: 36,
      failed: 0,
      skipped: 4,
      duplicates: 0,
      lastOrdinal: 39,
    });
    expect((await line.call("runs", "show", failed, "--job", "breaks")).out).toContain("Attempt 1  failed");
    expect((await line.call("runs", "show", failed, "--job", "braks")).code).toBe(3);
  });

  it("runs show --items lists what failed or was skipped, with errors", async () => {
    const { out, err } = await line.call("runs", "show", fanned, "--items", "failed,skipped", "--limit", "3");
    expect(out).toMatch(/pages +3 +skipped +1 +http_404: no page for 3/);
    expect(err).toContain("The first 3 items");
    const { json } = await line.call("runs", "show", fanned, "--items", "skipped", "--json");
    expect(json.items.map((item: { ordinal: number }) => item.ordinal)).toEqual([3, 13, 23, 33]);
  });

  it("runs show --checkpoint is the source documents' checkpoint", async () => {
    const { json } = await line.call("runs", "show", fanned, "--checkpoint");
    expect(json).toEqual({
      job_id: fanned,
      mode: "items",
      association: null,
      stage: "extraction",
      progress: { total: 40, completed: 36, failed: 0, skipped: 4 },
      last_processed: 39,
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      can_resume: false,
    });
    expect((await line.call("runs", "show", failed, "--checkpoint")).json).toMatchObject({
      stage: "second",
      can_resume: true,
    });
  });

  it("logs: lines of jobs and of the engine in order of time", async () => {
    const id = (await line.call("run", `${PIPELINES}#twice`, "-p", "n=5", "--json")).json.run.id;
    const { out } = await line.call("logs", id);
    const lines = out
      .trimEnd()
      .split("\n")
      .map((text) => text.split(" | "));
    expect(lines.every(([at, run]) => /^[\d-]+T[\d:]+Z$/.test(at!) && run === id)).toBe(true);
    expect(lines.map(([, , agent, level, message]) => `${agent} ${level} ${message}`)).toEqual([
      "orchestrator INFO run of pipeline twice created",
      "orchestrator INFO job double started",
      "test/double INFO doubling 5",
      "orchestrator INFO job double completed",
      "orchestrator INFO run completed",
    ]);
    const errors = await line.call("logs", failed, "--level", "error");
    expect(errors.out).toMatch(
      /^\S+ \| \S+ \| orchestrator \| ERROR \| job breaks failed: the disk \[31m is on fire \(Error\)\n/,
    );
    expect((await line.call("logs", failed, "--level", "loud")).code).toBe(2);
    expect((await line.call("logs", failed, "breaks", "--raw")).code).toBe(3);
  });

  it("artifacts: list, get by name and hash, verify", async () => {
    const id = (await line.call("run", `${PIPELINES}#twice`, "-p", "n=50", "--json")).json.run.id;
    const { json } = await line.call("artifacts", "list", id, "--json");
    expect(json.artifacts).toMatchObject([{ name: "result.txt", job: "double", bytes: 3 }]);
    expect((await line.call("artifacts", "get", id, "result.txt")).out).toBe("100");
    expect((await line.call("artifacts", "get", json.artifacts[0].sha256.slice(0, 12))).out).toBe("100");
    const missing = await line.call("artifacts", "get", id, "reslt.txt");
    expect(missing.code).toBe(3);
    expect(missing.err).toContain('Did you mean "result.txt"?');
    expect((await line.call("artifacts", "verify")).code).toBe(0);
    const { sha256 } = json.artifacts[0];
    const path = join(line.folder, ".tenuto", "artifacts", "objects", sha256.slice(0, 2));
    const object = [sha256, sha256.slice(2)].map((name) => join(path, name)).find((candidate) => existsSync(candidate));
    if (object === undefined) throw new Error("where are objects?");
    writeFileSync(`${object}`, "101", { mode: 0o600 });
    const unfinished = join(line.folder, "unfinished.txt");
    expect((await line.call("artifacts", "get", sha256, "-o", unfinished)).code).toBe(4);
    expect(existsSync(unfinished)).toBe(false);
    const damaged = await line.call("artifacts", "verify", id);
    expect(damaged.code).toBe(4);
    expect(damaged.err).toContain("code:  artifact_corrupt");
    rmSync(`${object}`);
    for (const runs of [[id], []]) {
      const gone = await line.call("artifacts", "verify", ...runs);
      expect(gone.code).toBe(4);
      expect(gone.out).toContain(`${sha256}  it is missing from the store`);
    }
  });

  it("report in all forms, with what comes from outside escaped", async () => {
    const { out } = await line.call("runs", "report", failed);
    expect(out).toContain(`# Run ${failed}: failed`);
    expect(out).toContain(
      "**breaks** (Error, permanent): the disk \\[31m is on fire\n  - Hint: Call the fire brigade.",
    );
    expect(out).toContain("- never: stage first did not succeed");
    expect(out).toContain(`\`tenuto runs retry ${failed}\``);
    const html = (await line.call("runs", "report", failed, "--format", "html")).out;
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).not.toMatch(/<script|src=|href=|@import|url\(/);
    const { json } = await line.call("runs", "report", fanned, "--json");
    expect(json).toMatchObject({
      schema: "tenuto.report/1",
      items: { total: 40, completed: 36, skipped: 4 },
      moreFailures: 0,
    });
    expect(json.failures).toHaveLength(4);
    expect((await line.call("runs", "report", failed, "-o", "r.html")).code).toBe(0);
    expect(readFileSync(join(line.folder, "r.html"), "utf8")).toContain("<h2>Failures</h2>");
  });

  it("agents, doctor, backup, migrate, prune", async () => {
    expect((await line.call("agents")).err).toContain("knows no agents");
    const { out, code } = await line.call("doctor");
    expect(code).toBe(4);
    expect(out).toMatch(/broken +artifacts +1 (of \d+ are damaged|object of runs are gone)/);
    expect(out).toMatch(/ok +ledger +\.tenuto\/ledger\.db, schema \d+/);
    expect((await line.call("backup", "copy.db")).code).toBe(0);
    expect((await line.call("backup", "copy.db")).code).toBe(5);
    expect((await line.call("runs", "list", "--database", "copy.db")).out).toContain(failed);
    expect((await line.call("migrate", "--plan")).out).toContain("the newest that this Tenuto knows");
    const would = await line.call("prune", "--older-than", "0s", "--dry-run", "--json");
    expect(would.json.runs).toContain(failed);
    const pruned = await line.call("prune", "--older-than", "0s", "--json");
    expect(pruned.json.runs).toBe(would.json.runs.length);
    expect((await line.call("runs", "show", failed)).code).toBe(3);
    expect((await line.call("runs", "list")).err).toContain("No runs yet.");
  });
});
