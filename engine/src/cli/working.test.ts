import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CommandLine } from "./fixtures/memory-io.ts";
import { Interrupts } from "./interrupt.ts";
import type { StopSignal } from "./io.ts";

const PIPELINES = fileURLToPath(new URL("./fixtures/pipelines.ts", import.meta.url));
let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
});
afterEach(() => line.remove());

const detached = async (name: string, ...argv: string[]): Promise<string> => {
  const { code, out } = await line.call("run", name, ...argv, "--detach");
  expect(code).toBe(0);
  return out.trim();
};

describe("resume", () => {
  it("goes on with everything that is open, with the code that it was run from", async () => {
    await detached(`${PIPELINES}#twice`, "-p", "n=1");
    await detached(`${PIPELINES}#twice`, "-p", "n=2");
    const { code, json } = await line.call("resume", "--json");
    expect(code).toBe(0);
    expect(json.runs.map((run: { state: string }) => run.state)).toEqual(["completed", "completed"]);
    const nothing = await line.call("resume");
    expect(nothing.code).toBe(0);
    expect(nothing.err).toBe("Nothing is open: there is nothing to resume.\n");
  });

  it("with a run waits for that one, and ends with its exit code", async () => {
    const id = await detached(`${PIPELINES}#failing`);
    const { code, out } = await line.call("resume", id);
    expect(code).toBe(1);
    expect(out).toContain("failed");
  });

  it("that is not possible says why", async () => {
    const done = (await line.call("run", `${PIPELINES}#twice`, "-p", "n=1", "--json")).json.run.id;
    const completed = await line.call("resume", done);
    expect(completed.code).toBe(5);
    expect(completed.err).toContain("can't be resumed: it is completed");
    const failed = (await line.call("run", `${PIPELINES}#failing`, "--json")).json.run.id;
    const over = await line.call("resume", failed);
    expect(over.err).toContain(`tenuto runs retry ${failed}`);
    expect(over.err).toContain("code:  cannot_resume");
    expect((await line.call("resume", "nobody")).code).toBe(3);
  });

  it("without the agents' code says which is missing, and goes on with the rest", async () => {
    const stuck = await detached(`${PIPELINES}#twice`, "-p", "n=1");
    rmSync(join(line.folder, ".tenuto", "sources"), { recursive: true });
    writeFileSync(join(line.folder, "echo.yaml"), "name: echo\njobs: [{ id: a, command: [echo, hi] }]\n");
    const able = await detached("echo.yaml");
    const { code, json, err } = await line.call("resume", "--json");
    expect(code).toBe(5);
    expect(json.runs).toMatchObject([{ id: able, state: "completed" }]);
    expect(json.refused).toMatchObject([{ code: "cannot_resume", details: { run: stuck, agents: ["test/double@2"] } }]);
    expect(err).toContain("needs agent test/double@2, which this process does not have");
    expect(err).toContain("--pipeline FILE");
    const given = await line.call("resume", stuck, "--pipeline", PIPELINES);
    expect(given.code).toBe(0);
  });
});

describe("an agent that nobody has", () => {
  const unknown = () => {
    writeFileSync(
      join(line.folder, "unknown.yaml"),
      "name: unknown\njobs:\n  - { id: a, command: [echo, hi] }\n  - { id: b, agent: my/wrok }\n",
    );
    return "unknown.yaml";
  };

  it("is a warning of validate, and a note of show and doctor", async () => {
    const checked = await line.call("templates", "validate", unknown(), "--json");
    expect(checked.code).toBe(0);
    expect(checked.json.warnings).toMatchObject([{ pipeline: "unknown", agent: "my/wrok" }]);
    expect(checked.err).toContain("warning: pipeline unknown needs agent my/wrok");
    const id = await detached("unknown.yaml");
    const shown = await line.call("runs", "show", id);
    expect(shown.out).toContain("waits: no worker offers my/wrok");
    expect((await line.call("doctor")).out).toContain(`job b of run ${id} waits: no worker offers my/wrok`);
  });

  it("is not waited for without end, also while another worker is alive", async () => {
    const worker = line.start("worker", "--pipeline", PIPELINES);
    await worker.io.stderr.shows(/Ctrl-C stops/);
    const id = await detached(unknown());
    const { code, err } = await line.call("resume", id);
    expect(code).toBe(1);
    expect(err).toContain(`run ${id} stands still: job b needs agent my/wrok`);
    worker.io.send("SIGTERM");
    await worker.done;
  }, 30_000);
});

describe("retry and rerun", () => {
  it("retry is refused where there is nothing to retry", async () => {
    const done = (await line.call("run", `${PIPELINES}#twice`, "-p", "n=1", "--json")).json.run.id;
    const completed = await line.call("runs", "retry", done);
    expect(completed.code).toBe(5);
    expect(completed.err).toContain("code:  cannot_resume");
    const open = await line.call("runs", "retry", await detached(`${PIPELINES}#twice`, "-p", "n=1"));
    expect(open.code).toBe(5);
    expect(open.err).toContain("It is open already: tenuto resume twice-2");
  });

  it("retry --detach reopens what did not complete", async () => {
    const failed = (await line.call("run", `${PIPELINES}#failing`, "--json")).json.run.id;
    const { code, json, err } = await line.call("runs", "retry", failed, "--detach", "--json");
    expect(code).toBe(0);
    expect(json).toMatchObject({ run: { id: failed, state: "running" }, reopened: 2 });
    expect(err).toContain("2 jobs to do");
  });

  it("retry takes jobs and items of fan-outs", async () => {
    writeFileSync(
      join(line.folder, "some.yaml"),
      `name: some\njobs:\n  - { id: each, shell: "test -e ${line.folder}/some", forEach: { source: [a, b, c, d], concurrency: 1, errorRate: 0.7 }, retry: { maxRetries: 0 } }\n  - { id: one, shell: "test -e ${line.folder}/some", retry: { maxRetries: 0 } }\n`,
    );
    expect((await line.call("run", "some.yaml")).code).toBe(1);
    writeFileSync(join(line.folder, "some"), "");
    for (const wrong of ["each", "each:", "each:x", "each:3-1", ":1", "each:0-99999"])
      expect((await line.call("runs", "retry", "latest", "--items", wrong)).code, wrong).toBe(2);
    const items = await line.call("runs", "retry", "latest", "--items", "each:0-1,2");
    expect([items.code, items.err]).toEqual([1, expect.stringContaining("1 job to do")]);
    const rest = await line.call("runs", "retry", "latest", "--job", "one");
    expect([rest.code, rest.out]).toEqual([0, expect.stringMatching(/^some-\d+ {2}completed/)]);
  });

  it("retry works until the run has ended", async () => {
    writeFileSync(
      join(line.folder, "gate.yaml"),
      `name: gate\njobs: [{ id: a, shell: "test -e ${line.folder}/open" }]\n`,
    );
    expect((await line.call("run", "gate.yaml")).code).toBe(1);
    writeFileSync(join(line.folder, "open"), "");
    const { code, out } = await line.call("runs", "retry", "latest");
    expect(code).toBe(0);
    expect(out).toMatch(/^gate-1 {2}completed/);
  });

  it("rerun is a new run with the same params, but for those given anew", async () => {
    await line.call("run", `${PIPELINES}#twice`, "-p", "n=4");
    expect((await line.call("runs", "rerun", "latest", "--json")).json).toMatchObject({
      run: { id: "twice-2" },
      output: { n: 8 },
    });
    expect((await line.call("runs", "rerun", "twice-1", "-p", "n=5", "--json")).json.output).toEqual({ n: 10 });
  });
});

describe("logs -f", () => {
  it("goes on until the run has ended", async () => {
    const id = await detached(`${PIPELINES}#twice`, "-p", "n=7");
    const following = line.start("logs", id, "-f");
    await following.io.stdout.shows(/run of pipeline twice created/);
    await line.call("resume", id);
    const { code, out } = await following.done;
    expect(code).toBe(0);
    expect(out).toContain("| test/double | INFO | doubling 7");
    expect(out.trimEnd().split("\n").at(-1)).toContain("| orchestrator | INFO | run completed");
  });
});

describe("cancel and watch", () => {
  it("cancels what nobody works on", async () => {
    const id = await detached(`${PIPELINES}#hanging`);
    const { code, out } = await line.call("runs", "cancel", id, "--reason", "not needed");
    expect(code).toBe(0);
    expect(out).toBe(`${id}  cancelled\n`);
    expect((await line.call("logs", id)).out).toContain("| WARNING | cancel requested: not needed");
    expect((await line.call("runs", "watch", id)).code).toBe(7);
    const again = await line.call("runs", "cancel", id);
    expect(again.code).toBe(5);
  });

  it("a cancel from elsewhere ends the run that is being watched with 7", async () => {
    const running = line.start("run", `${PIPELINES}#hanging`);
    await running.io.stderr.shows(/job wait started/);
    const watching = line.start("runs", "watch", "latest");
    await watching.io.stderr.shows(/Phase 1 of 1/);
    expect((await line.call("runs", "cancel", "latest")).code).toBe(0);
    expect((await running.done).code).toBe(7);
    expect((await watching.done).code).toBe(7);
  });

  it("watching ends when its time is up; the run goes on", async () => {
    const id = await detached(`${PIPELINES}#hanging`);
    const { code, err } = await line.call("runs", "watch", id, "--timeout", "0.2s");
    expect(code).toBe(6);
    expect(err).toContain(`tenuto resume ${id}`);
  });
});

describe("worker", () => {
  it("works on what is started elsewhere until it is stopped", async () => {
    const worker = line.start("worker", "--pipeline", PIPELINES);
    await worker.io.stderr.shows(/Ctrl-C stops/);
    const id = await detached(`${PIPELINES}#twice`, "-p", "n=3");
    await worker.io.stderr.shows(new RegExp(`Run ${id} completed`));
    worker.io.send("SIGTERM");
    expect((await worker.done).code).toBe(143);
  });

  it("takes only the agents that it is told", async () => {
    const worker = line.start("worker", "--pipeline", PIPELINES, "--agents", "other/*");
    await worker.io.stderr.shows(/Ctrl-C stops/);
    await detached(`${PIPELINES}#twice`, "-p", "n=3");
    worker.io.send("SIGINT");
    expect((await worker.done).code).toBe(130);
    expect((await line.call("runs", "list", "--state", "running", "--json")).json.runs).toHaveLength(1);
  });
});

describe("Ctrl-C", () => {
  it("once lets work end for a while, leaves the run resumable and says how", async () => {
    const { io, done } = line.start("run", `${PIPELINES}#hanging`, "--drain", "0.1s");
    await io.stderr.shows(/job wait started/);
    io.send("SIGINT");
    const { code, err } = await done;
    expect(code).toBe(130);
    expect(err).toContain("Stopping: running work has 0.1 s to end.");
    expect(err).toContain("Go on with: tenuto resume hanging-1\n");
    const { json } = await line.call("runs", "show", "hanging-1", "--json");
    expect(json.run.state).toBe("running");
    expect(json.jobs[0]).toMatchObject({ state: "ready", failures: 0, crashes: 0 });
  });

  it("twice stops at once and still gives the work back", async () => {
    const { io, done } = line.start("run", `${PIPELINES}#hanging`, "--drain", "1h");
    await io.stderr.shows(/job wait started/);
    io.send("SIGINT");
    await io.stderr.shows(/Stopping: /);
    // What comes within one press does not count again, so it is sent until it counts.
    const sending = setInterval(() => io.send("SIGINT"), 350);
    const { code, err } = await done;
    clearInterval(sending);
    expect(code).toBe(130);
    expect(err).toContain("Stopping at once.");
    expect(io.exited).toBe(null);
    const { json } = await line.call("runs", "show", "latest", "--json");
    expect(json.jobs[0]).toMatchObject({ state: "ready", crashes: 0 });
  });

  it("while watching stops only the watching", async () => {
    const id = await detached(`${PIPELINES}#hanging`);
    const { io, done } = line.start("runs", "watch", id);
    await io.stderr.shows(/Phase 1/);
    io.send("SIGINT");
    const { code, err } = await done;
    expect(code).toBe(130);
    expect(err).toContain("the run goes on");
  });

  it("counts signals within one press as one", async () => {
    let now = 0;
    let send = (_signal: StopSignal): void => {};
    const io = {
      onSignal: (listener: typeof send) => {
        send = listener;
        return () => {};
      },
    };
    const interrupts = new Interrupts(io as never, () => now);
    send("SIGINT");
    now = 20;
    send("SIGINT");
    expect(interrupts.signal).toBe("SIGINT");
    const early = await Promise.race([interrupts.second, Promise.resolve("none")]);
    expect(early).toBe("none");
    now = 1_000;
    send("SIGTERM");
    expect(await interrupts.second).toBe("SIGTERM");
  });
});
