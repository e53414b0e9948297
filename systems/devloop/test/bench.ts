/** What the tests of whole runs share: a folder, a repository, an engine, and a look at which processes are left. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { JobRecord, RunEnd, Tenuto } from "tenuto";
import { openTenuto } from "tenuto";
import { vi } from "vitest";
import { makeRepository, PROMPT } from "../fixtures/repository.ts";
import type { DevloopOptions } from "../pipeline.ts";
import { devloopPipelines } from "../pipeline.ts";

/** Whole runs start dozens of programs; a busy machine may take its time, and no limit of a run depends on it. */
const WAIT_MS = 150_000;
vi.setConfig({ testTimeout: 180_000 });

const program = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export const SCRIPTED = [process.execPath, program("../fixtures/scripted-agent.ts")];
export const fakeAgent = (mode: string, dialect: string, mark: string) => [
  process.execPath,
  program("fake-agent.ts"),
  mode,
  dialect,
  mark,
];
export const fakeModel = (...args: string[]) => [process.execPath, program("fake-model.ts"), ...args];

export interface Bench {
  folder: string;
  repository: string;
  tenuto: Tenuto;
  run(template: string, params?: object): Promise<Ended>;
  close(): Promise<void>;
}

export interface Ended {
  id: string;
  end: RunEnd;
  jobs: JobRecord[];
  job(id: string): JobRecord;
  output(id: string): any;
}

export async function openBench(options: DevloopOptions = {}, files: Record<string, string> = {}): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "devloop-"));
  const repository = await makeRepository(join(folder, "repository"), files);
  const tenuto = await openTenuto({
    home: join(folder, "home"),
    pipelines: devloopPipelines({ maxRetries: 0, retrySeconds: 0.1, finalGraceSeconds: 0.5, ...options }),
  });
  return {
    folder,
    repository,
    tenuto,
    async run(template, params = {}) {
      const given = {
        originalPrompt: PROMPT,
        workspacePath: repository,
        agent: "command",
        agentCommand: SCRIPTED,
        ...params,
      };
      const run = await tenuto.start(template, given);
      return await endedRun(tenuto, run.id, await run.wait({ timeoutMs: WAIT_MS }));
    },
    async close() {
      await tenuto.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function endedRun(tenuto: Tenuto, id: string, end: RunEnd): Promise<Ended> {
  const jobs = await tenuto.client.jobs(id);
  const job = (name: string) => {
    const found = jobs.find((entry) => entry.id === name);
    if (found === undefined) throw new Error(`no job ${name} among ${jobs.map((entry) => entry.id).join(", ")}`);
    return found;
  };
  return { id, end, jobs, job, output: (name) => JSON.parse(job(name).output ?? "null") };
}

/** Command lines of living processes that hold this text. */
export function processesWith(mark: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return "";
      }
    })
    .filter((line) => line.includes(mark));
}

/** The command line, as people call it; both streams go to `out` where that is a file. */
export function tenuto(args: readonly string[], cwd: string, out: number | "pipe" = "pipe"): string {
  const cli = program("../../../engine/bin/tenuto.mjs");
  const env = { ...process.env, TENUTO_SOURCE: "1", NO_COLOR: "1" };
  const stdio = ["ignore", out, out] as const;
  return execFileSync(process.execPath, ["--conditions=source", cli, ...args], {
    cwd,
    env,
    encoding: "utf8",
    stdio: [...stdio],
  });
}
