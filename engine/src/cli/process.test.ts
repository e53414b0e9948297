/** The launcher and what only a real process shows: signals, pipes, escape bytes. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CommandLine } from "./fixtures/memory-io.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/tenuto.mjs", import.meta.url));
const PIPELINES = fileURLToPath(new URL("./fixtures/pipelines.ts", import.meta.url));
const SOURCE = { ...process.env, TENUTO_SOURCE: "1" };
const exec = promisify(execFile);
const call = (file: string, argv: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) =>
  exec(file, argv, { ...options, env: { ...SOURCE, ...options.env } });
let line: CommandLine;
const children: ChildProcess[] = [];
beforeEach(() => {
  line = new CommandLine();
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  line.remove();
});

function start(...argv: string[]) {
  const child = spawn(process.execPath, [LAUNCHER, ...argv], {
    cwd: line.folder,
    env: SOURCE,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let err = "";
  const watchers = new Set<() => void>();
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    for (const look of watchers) look();
  });
  const shows = (pattern: RegExp) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (pattern.test(err)) resolve();
      };
      watchers.add(look);
      look();
    });
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  return { child, ended, shows, err: () => err };
}

/** Living processes whose environment carries a run of this test's folder. */
function survivors(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const state = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];
        return (
          state !== "Z" && readFileSync(`/proc/${pid}/environ`, "utf8").includes(`TENUTO_WORKSPACE=${line.folder}`)
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe("the launcher", () => {
  it("answers --help from a cold and a warm start, without a word on stderr", async () => {
    const { stdout, stderr } = await call(process.execPath, [LAUNCHER, "--help"]);
    expect(stdout).toContain("Usage: tenuto");
    expect(stderr).toBe("");
  });

  it("refuses a Node that is too old with what to do", async () => {
    // The launcher sees the version that this preload claims, and there is no other Node to go to.
    const pretend = join(line.folder, "old.mjs");
    writeFileSync(pretend, 'Object.defineProperty(process.versions, "node", { value: "20.11.0" });\n');
    const failed = await call(process.execPath, ["--import", pretend, LAUNCHER, "--help"], {
      env: { TENUTO_RELAUNCHED: "1" },
    }).catch((error: { code: number; stderr: string }) => error as { code: number; stderr: string });
    expect(failed).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/needs Node 22.+this is 20\.11\.0.+\nhint: {2}Install Node 24/),
    });
  });

  it("takes the source where there is one, as a build beside it may be older", async () => {
    for (const [place, word] of [
      ["src/cli/main.ts", "source"],
      ["dist/cli/main.js", "build"],
    ] as const) {
      mkdirSync(join(line.folder, place, ".."), { recursive: true });
      writeFileSync(join(line.folder, place), `export const run = async () => (console.log("${word}"), 0);\n`);
      writeFileSync(join(line.folder, place.replace("main", "io")), "export const processIo = () => null;\n");
    }
    mkdirSync(join(line.folder, "bin"));
    writeFileSync(join(line.folder, "package.json"), '{ "type": "module" }');
    const launcher = join(line.folder, "bin", "tenuto.mjs");
    copyFileSync(LAUNCHER, launcher);
    const said = async (env: NodeJS.ProcessEnv) => (await exec(process.execPath, [launcher, "x"], { env })).stdout;
    const { TENUTO_SOURCE: _, ...env } = process.env;
    expect(await said(env)).toBe("source\n");
    expect(await said({ ...env, TENUTO_SOURCE: "0" })).toBe("build\n");
    rmSync(join(line.folder, "src"), { recursive: true });
    expect(await said(env)).toBe("build\n");
  });

  it("gives exit codes and signals of the command line on", async () => {
    await expect(call(process.execPath, [LAUNCHER, "rnu"])).rejects.toMatchObject({ code: 2 });
  });
});

describe("pipes", () => {
  it("get no escape byte, and data only on stdout", async () => {
    const { stdout, stderr } = await call(process.execPath, [LAUNCHER, "run", `${PIPELINES}#twice`, "-p", "n=1"], {
      cwd: line.folder,
    });
    expect(stdout).toMatch(/^twice-1 {2}completed {2}1 job in [\d.]+ s\n$/);
    expect(`${stdout}${stderr}`).not.toContain("\u001b");
  });

  it("that are closed early end a listing quietly", async () => {
    writeFileSync(
      join(line.folder, "wordy.yaml"),
      'name: wordy\njobs:\n  - id: talk\n    shell: "i=0; while [ $i -lt 20000 ]; do echo line $i of many words; i=$((i+1)); done"\n',
    );
    await call(process.execPath, [LAUNCHER, "run", "wordy.yaml", "-q"], { cwd: line.folder });
    const script = `"${process.execPath}" "${LAUNCHER}" logs latest talk --raw | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await call("bash", ["-c", script], { cwd: line.folder });
    expect({ stdout, stderr }).toEqual({ stdout: "line 0 of many words\n0\n", stderr: "" });
  });
});

describe.runIf(process.platform === "linux")("Ctrl-C in a real process (R-24)", () => {
  const stubborn = () =>
    writeFileSync(
      join(line.folder, "stubborn.yaml"),
      "name: stubborn\njobs:\n  - id: ignore\n    shell: 'trap \"\" TERM INT; while :; do sleep 0.5; done'\n",
    );

  it("once: gives running work its time, ends it, exits with 130, leaves nothing behind", async () => {
    writeFileSync(
      join(line.folder, "polite.yaml"),
      "name: polite\njobs:\n  - id: sleeps\n    command: [sleep, '600']\n",
    );
    const { child, ended, shows, err } = start("run", "polite.yaml", "--drain", "0.2s");
    await shows(/job sleeps started/);
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(err()).toContain("Go on with: tenuto resume polite-1");
    expect(survivors()).toEqual([]);
    const shown = await line.call("runs", "show", "polite-1", "--json");
    expect(shown.json.jobs).toMatchObject([{ state: "ready", failures: 0, crashes: 0 }]);
  });

  it("twice: ends at once, even what ignores TERM, and leaves nothing behind", async () => {
    stubborn();
    const { child, ended, shows, err } = start("run", "stubborn.yaml", "--drain", "1h");
    await shows(/job ignore started/);
    child.kill("SIGINT");
    await shows(/Stopping: /);
    const began = performance.now();
    const sending = setInterval(() => child.kill("SIGINT"), 350);
    expect(await ended).toBe(130);
    clearInterval(sending);
    expect(performance.now() - began).toBeLessThan(9_000);
    expect(survivors()).toEqual([]);
    expect(err()).toContain("Go on with: tenuto resume stubborn-1");
    const shown = await line.call("runs", "show", "stubborn-1", "--json");
    expect(shown.json.jobs).toMatchObject([{ state: "ready", failures: 0, crashes: 0 }]);
  });

  it("SIGTERM ends with 143", async () => {
    const { child, ended, shows } = start("run", `${PIPELINES}#hanging`, "--drain", "0s");
    await shows(/job wait started/);
    child.kill("SIGTERM");
    expect(await ended).toBe(143);
  });
});

describe("an error of a pipeline's code that nobody awaits", () => {
  it.each([
    ["timer", "TypeError: from a timer"],
    ["rejection", "RangeError: nobody awaits me"],
  ])("of a %s fails its job, ends the engine with 9 and leaves the run resumable", async (how, what) => {
    const { ended, err } = start("run", `${PIPELINES}#strays`, "-p", `how=${how}`);
    expect(await ended).toBe(9);
    expect(err()).toContain(`error: job strays of run strays-1 threw outside of what it awaits: ${what}`);
    expect(err()).toContain("code:  uncaught");
    expect(err()).toContain("Run strays-1 is kept. Go on with: tenuto resume strays-1");
    const { json } = await line.call("runs", "show", "strays-1", "--json");
    expect(json.jobs).toMatchObject([
      { id: "strays", state: "failed", crashes: 0, error: { message: expect.stringContaining(what.split(": ")[1]!) } },
      { id: "waits", state: "ready", crashes: 0, failures: 0 },
      { id: "never" },
    ]);
  });

  it("of a job that has ended leaves that job as it is", async () => {
    const { ended, err } = start("run", `${PIPELINES}#strays`, "-p", "how=late");
    expect(await ended).toBe(9);
    expect(err()).toContain("job strays of run strays-1 threw after it had ended: Error: too late");
    const { json } = await line.call("runs", "show", "strays-1", "--json");
    expect(json.jobs).toMatchObject([{ state: "completed" }, { state: "ready" }, { id: "never" }]);
  });

  it("ends a worker as well", async () => {
    await line.call("run", `${PIPELINES}#strays`, "-p", "how=timer", "--detach");
    const { ended, err } = start("worker");
    expect(await ended).toBe(9);
    expect(err()).toContain("threw outside of what it awaits");
  });
});
