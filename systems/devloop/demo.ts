/**
 * The demonstration: a small repository with a requirement that its code does not meet, and a scripted program in the place
 * of a coding agent. Everything around it is real: the engine, Git, worktrees, the test runner, the regression.
 *
 *   npm run demo:devloop             plan, dev, test, back to dev, test again, verify
 *   npm run demo:devloop -- --agent claude-code     the same with an agent of your own
 *
 * The repository is made in a temporary folder and left there to be looked at; --clean removes it.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { EventRow, JobRecord, RunHandle, Tenuto } from "tenuto";
import { openTenuto } from "tenuto";
import { makeRepository, PROMPT } from "./fixtures/repository.ts";
import { diffOf, git } from "./harness/git.ts";
import { devloopPipelines } from "./pipeline.ts";

const { values: options } = parseArgs({
  options: {
    home: { type: "string", default: ".tenuto" },
    agent: { type: "string", default: "command" },
    clean: { type: "boolean", default: false },
  },
});

const LOOK_MS = 100;
const SCRIPTED = [process.execPath, fileURLToPath(new URL("./fixtures/scripted-agent.ts", import.meta.url))];

const WORDS: Record<string, string> = {
  "job.started": "starts",
  "job.completed": "completed",
  "job.failed": "FAILED",
  "job.skipped": "skipped",
  "job.waiting": "waits for",
  "job.retrying": "is tried again",
};

// A person watches this: what went wrong and how to mend it, without a stack.
process.once("uncaughtException", (error: Error & { hint?: string }) => {
  process.stderr.write(`error: ${error.message}\n${error.hint === undefined ? "" : `hint:  ${error.hint}\n`}`);
  process.exit(1);
});

const startedAt = performance.now();
const folder = await mkdtemp(join(tmpdir(), "devloop-demo-"));
const repository = await makeRepository(join(folder, "slugs"));
say(`A repository with one function that does nothing yet: ${repository}`);
say(`The task: ${PROMPT}\n`);
const home = resolve(options.home);
const tenuto = await openTenuto({ home, pipelines: devloopPipelines() });
try {
  const agentCommand = options.agent === "command" ? SCRIPTED : [];
  const run = await tenuto.start("devloop-full", {
    originalPrompt: PROMPT,
    workspacePath: repository,
    agent: options.agent,
    agentCommand,
  });
  const { state, error } = await watched(tenuto, run);
  say(`\nRun ${run.id} ${state} after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s.`);
  if (error !== null) say(error.message);
  process.exitCode = state === "completed" ? 0 : 1;
  await summarise(tenuto, run);
} finally {
  await tenuto.close();
  if (options.clean) await rm(folder, { recursive: true, force: true });
}

/** Tells what happens while it happens. */
async function watched(open: Tenuto, run: RunHandle) {
  let seen = 0;
  const look = async (): Promise<void> => {
    for (const event of await open.client.events(run.id, seen)) {
      seen = event.seq;
      await tell(open, run.id, event);
    }
  };
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, LOOK_MS);
  const end = await run.wait();
  clearInterval(timer);
  await looking;
  await look();
  return end;
}

async function tell(open: Tenuto, run: string, { name, job, data }: EventRow): Promise<void> {
  const at = `${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(5)} s`;
  if (name === "job.spawned" && job !== null) {
    const { feedback } = await contextOf(run, job);
    say(`${at}  ${job}: sent back to dev, because`);
    for (const line of feedback.split("\n").filter((text) => text.startsWith("FAILED"))) say(`         ${line}`);
    return;
  }
  const word = WORDS[name];
  if (word === undefined || job === null) return;
  const reason = name === "job.waiting" ? ` ${(data as { reason?: string } | null)?.reason ?? "something"}` : "";
  const record = name === "job.completed" ? await open.client.job(run, job) : null;
  say(`${at}  ${job} ${word}${reason}${record === null ? "" : gist(record)}`);
}

/** What the tester wrote into the child's context, read from its own record of prompts. */
async function contextOf(run: string, job: string): Promise<{ feedback: string }> {
  const parent = job.split("/")[0]!;
  const path = join(home, "workspaces", run, parent, "test_feedback.txt");
  return { feedback: await readFile(path, "utf8").catch(() => "") };
}

function gist({ output }: JobRecord): string {
  if (output === null) return "";
  const { gate, tests, files, rounds } = JSON.parse(output) as {
    gate?: { verdict: string };
    tests?: { counts: { passed: number; failed: number } } | null;
    files?: { path: string; change: string }[];
    rounds?: number;
  };
  const parts: string[] = [];
  if (gate !== undefined) parts.push(gate.verdict);
  if (tests != null) parts.push(`${tests.counts.passed} passed, ${tests.counts.failed} failed`);
  if (rounds !== undefined) parts.push(`${rounds} rounds`);
  if (files !== undefined)
    parts.push(files.map((file) => `${file.path} ${file.change}`).join(", ") || "nothing changed");
  return parts.length === 0 ? "" : `: ${parts.join(", ")}`;
}

async function summarise(open: Tenuto, run: RunHandle): Promise<void> {
  const branch = `tenuto/${run.id}`;
  say(`\nCommits on ${branch}, newest first:`);
  say(indented(await git(repository, ["log", "--format=%h %s", `main..${branch}`])));
  say("\nWhat changed in src/slug.ts:");
  const diff = await diffOf(repository, "main", branch);
  say(indented(/^diff --git a\/src\/slug\.ts[\s\S]*?(?=^diff --git|$(?![\s\S]))/m.exec(diff)?.[0].trimEnd() ?? diff));
  const clean = (await git(repository, ["status", "--porcelain"])) === "";
  say(`\nThe repository's own files are ${clean ? "as they were" : "CHANGED"}; the worktree is removed.`);
  const artifacts = (await open.client.jobs(run.id)).length;
  const flag = options.home === ".tenuto" ? "" : ` --home ${options.home}`;
  say(`${artifacts} jobs. Look at them with:`);
  say(`  npx tenuto runs show ${run.id}${flag}`);
  say(`  npx tenuto logs ${run.id} tester --raw${flag}`);
  say(`  npx tenuto artifacts list ${run.id}${flag}`);
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n");
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
