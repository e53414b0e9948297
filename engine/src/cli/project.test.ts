/** Files of a project that changed, are broken, or are misspelt: what the command line says, and what it does all the same. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CommandLine } from "./fixtures/memory-io.ts";

let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
});
afterEach(() => line.remove());

function write(name: string, text: string): string {
  const path = join(line.folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const gate = (word: string) =>
  `name: gate\njobs:\n  - { id: before, command: [echo, x] }\n  - { id: opens, needs: [before], shell: "test -e ${line.folder}/open && echo ${word}", retry: { maxRetries: 0 } }\n`;

const HINT = (run: string) => `tenuto runs rerun ${run} --from opens`;

describe("a file that has changed since the run began", () => {
  it("is told at retry and resume, with how to take the new one, which rerun does", async () => {
    write("gate.yaml", gate("old"));
    expect((await line.call("run", "gate.yaml")).code).toBe(1);
    write("gate.yaml", gate("new"));
    const again = await line.call("runs", "retry", "gate-1");
    expect(again.code).toBe(1);
    expect(again.err).toContain("warning: pipeline gate has changed (gate.yaml) since run gate-1 began");
    expect(again.err).toContain(HINT("gate-1"));
    const detached = await line.call("runs", "retry", "gate-1", "--detach");
    expect(detached.err).toContain(HINT("gate-1"));
    write("open", "");
    const resumed = await line.call("resume");
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining(HINT("gate-1"))]);
    expect((await line.call("logs", "gate-1", "opens", "--raw")).out).toBe("old\n");
    const rerun = await line.call("runs", "rerun", "gate-1", "--from", "opens");
    expect([rerun.code, rerun.err]).toEqual([0, expect.not.stringContaining("has changed")]);
    expect((await line.call("logs", "gate-2", "opens", "--raw")).out).toBe("new\n");
  });

  it("is not told where nothing declared has changed, also of a run with jobs left out", async () => {
    const text = gate("same").replace("  - { id: opens", "  - { id: more, command: [echo, x] }\n  - { id: opens");
    write("tenuto.config.mjs", 'export default { pipelines: ["gate.yaml"] };');
    write("gate.yaml", text);
    expect((await line.call("run", "gate", "--exclude-job", "more")).code).toBe(1);
    write("gate.yaml", `# a comment\n${text}`);
    expect((await line.call("runs", "retry", "gate-1")).err).not.toContain("has changed");
    write("gate.yaml", text.replace("before, command: [echo, x]", "before, command: [echo, y]"));
    expect((await line.call("runs", "retry", "gate-1")).err).toContain("has changed");
  });
});

describe("retry", () => {
  it("names what ran on the failure and is not run again; rerun makes it anew", async () => {
    write(
      "report.yaml",
      `name: report
jobs:
  - { id: work, shell: "test -e ${line.folder}/open", retry: { maxRetries: 0 } }
  - { id: report, needs: [{ job: work, on: always }], command: [echo, "it is {{ jobs.work.state }}"] }
  - { id: next, needs: [work], command: [echo, x] }
`,
    );
    expect((await line.call("run", "report.yaml")).code).toBe(1);
    write("open", "");
    const again = await line.call("runs", "retry", "report-1");
    expect(again.code).toBe(0);
    expect(again.err).toContain("warning: report ran on how the run went before and completed");
    expect(again.err).toContain("tenuto runs rerun report-1 --from report");
    expect((await line.call("logs", "report-1", "report", "--raw")).out).toBe("it is failed\n");
    expect((await line.call("runs", "rerun", "report-1", "--from", "report")).code).toBe(0);
    expect((await line.call("logs", "report-2", "report", "--raw")).out).toBe("it is completed\n");
  });
});

describe("a file that can't be loaded", () => {
  beforeEach(() => {
    write("tenuto.config.mjs", 'export default { pipelines: ["pipelines"] };');
    write("pipelines/good.yaml", "name: good\njobs: [{ id: a, command: [echo, hi] }]\n");
    write("pipelines/wip.yaml", "name: wip\njobs: [{ id: a, comand: [echo, hi] }]\n");
    write("pipelines/typo.mjs", "export const x = ;\n");
    write("pipelines/helper.mjs", "export const double = (n) => 2 * n;\n");
  });

  it("stops nothing that does not need it, and is named", async () => {
    write("other.yaml", "name: other\njobs: [{ id: a, command: [echo, hi] }]\n");
    for (const name of ["good", "./other.yaml", "pipelines/good.yaml"]) {
      const { code, err } = await line.call("run", name);
      expect([code, err]).toEqual([0, expect.stringMatching(/warning: left out: .*typo\.mjs[\s\S]*wip\.yaml/)]);
      expect(err).not.toContain("helper");
    }
    expect((await line.call("runs", "rerun", "good-1")).code).toBe(0);
    const resumed = await line.call("resume");
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining("left out")]);
    const doctor = await line.call("doctor");
    expect(doctor.out).toMatch(/warning +configuration.*can't be loaded: pipelines\/typo\.mjs, pipelines\/wip\.yaml/);
  });

  it("is the reason where it is what was asked for", async () => {
    const wip = await line.call("run", "wip");
    expect([wip.code, wip.err]).toEqual([2, expect.stringContaining("comand")]);
    const given = await line.call("run", "pipelines/wip.yaml");
    expect([given.code, given.err]).toEqual([2, expect.stringContaining("comand")]);
    expect(given.err).not.toMatch(/left out: .*wip/);
    const helper = await line.call("run", "helper");
    expect([helper.code, helper.err]).toEqual([3, expect.stringContaining("helper.mjs exports no pipeline")]);
  });
});

describe("the configuration", () => {
  let made = 0;
  const faults = async (text: string) => {
    // Node keeps a module that it has loaded, so each has a name of its own.
    const name = `config-${++made}.mjs`;
    write(name, `export default ${text};`);
    const { code, err } = await line.call("run", "x", "--config", name);
    expect(code).toBe(2);
    expect(err).toContain("code:  invalid_config");
    expect(err).not.toContain("fault in Tenuto");
    return err.replaceAll(line.folder, "<folder>");
  };

  it("is refused with all its faults", async () => {
    expect(
      await faults('{ concurency: 5, pipeline: [], home: 5, retentionDays: "x", zzzzzz: 1 }'),
    ).toMatchInlineSnapshot(`
      "error: <folder>/config-1.mjs has 5 faults: concurency is no setting: did you mean concurrency?; pipeline is no setting: did you mean pipelines?; home must be a folder in quotes, not 5; retentionDays must be a number of days above 0, not "x"; zzzzzz is no setting
      hint:  There are: pipelines, agents, home, database, artifacts, concurrency, retentionDays, notifiers.
      code:  invalid_config
      "
    `);
    expect(await faults("{ retentionDays: NaN }")).toContain("retentionDays must be a number of days above 0, not NaN");
    expect(await faults("{ concurrency: 2.5 }")).toContain("concurrency must be a whole number from 1 on, not 2.5");
    expect(await faults('{ pipelines: ["pipelins"] }')).toContain("pipelines names pipelins, which is not there");
    expect(await faults('{ agents: ["a.mjs"] }')).toContain("agents names a.mjs, which is not there");
    expect(await faults('{ notifiers: "x" }')).toContain("notifiers must be a list");
  });

  it("may leave settings undefined", async () => {
    write("tenuto.config.mjs", "export default { home: undefined, concurrency: 3, retentionDays: 0.5 };");
    write("a.yaml", "name: a\njobs: [{ id: a, command: [echo, hi] }]\n");
    expect((await line.call("run", "a.yaml")).code).toBe(0);
  });
});

describe("places that are wrong", () => {
  it("are told as what they are, not as a fault of Tenuto", async () => {
    write("a.yaml", "name: a\njobs: [{ id: a, command: [echo, hi] }]\n");
    write("file", "");
    const cases: [string[], number, string][] = [
      [["init", "file"], 2, "file is a file"],
      [["run", "a.yaml", "--home", "file"], 2, "A file stands where a folder is needed"],
      [["serve", "--port", "70000"], 2, "--port 70000 is no port"],
    ];
    for (const [argv, code, text] of cases) {
      const result = await line.call(...argv);
      expect([result.code, result.err], argv.join(" ")).toEqual([code, expect.stringContaining(text)]);
      expect(result.err).not.toContain("fault in Tenuto");
    }
    expect((await line.call("run", "a.yaml")).code).toBe(0);
    const backup = await line.call("backup", "nowhere/x.db");
    expect([backup.code, backup.err]).toEqual([3, expect.stringContaining("there is no folder")]);
  });

  it.skipIf(process.getuid?.() === 0)("a home that may not be read is not one where nothing ran", async () => {
    mkdirSync(join(line.folder, ".tenuto"));
    chmodSync(join(line.folder, ".tenuto"), 0);
    const { code, err } = await line.call("runs", "list");
    chmodSync(join(line.folder, ".tenuto"), 0o700);
    expect([code, err]).toEqual([4, expect.stringContaining("may not be read by this user")]);
  });
});

describe("again", () => {
  it("retry and rerun take the options of run; dry runs are marked; help is a word too", async () => {
    write(
      "gate.yaml",
      `name: gate
jobs:
  - id: check
    command: { argv: [echo, '{"rows":0}'], output: stdout-json }
    gate: { checks: [{ when: { eq: ["{{ output.rows }}", 0] }, level: error, message: three rows are empty }] }
  - { id: after, needs: [], effects: outside, command: [echo, x] }
`,
    );
    const failed = await line.call("run", "gate.yaml");
    expect([failed.code, failed.err]).toEqual([1, expect.stringContaining("tenuto runs show gate-1 --job check")]);
    expect(failed.err).toContain("FAILED with 1 error: three rows are empty");
    expect((await line.call("runs", "show", "gate-1", "--job", "check")).out).toContain("three rows are empty");
    expect((await line.call("runs", "retry", "gate-1", "--job", "check", "--timeout", "1h", "--wait")).code).toBe(1);
    expect((await line.call("runs", "rerun", "gate-1", "--exclude-job", "check", "--timeout", "1h")).code).toBe(0);
    expect((await line.call("run", "gate.yaml", "--dry-run", "--exclude-job", "check")).code).toBe(0);
    expect((await line.call("runs", "list")).out.match(/gate \(dry run\)/g)).toHaveLength(1);
    const waiting = await line.call("runs", "rerun", "gate-1", "--detach");
    expect(waiting.err).toContain(`Nobody works on it yet: tenuto worker, or tenuto resume ${waiting.out.trim()}`);
    const help = await line.call("help", "runs", "retry");
    expect([help.code, help.out]).toEqual([0, expect.stringContaining("Usage: tenuto runs retry")]);
  });
});
