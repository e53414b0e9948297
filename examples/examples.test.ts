/** Every example is run as it stands, against a home of its own: through the public API, and from the command line. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadYamlPipeline, openTenuto, type Pipeline } from "tenuto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { crashAndResume, durableCode } from "./durable-code.ts";
import { fanOut } from "./fan-out.ts";
import { llmReview } from "./llm-review.ts";
import { crawl } from "./rate-limited-crawl.ts";
import { typedGraph } from "./typed-graph.ts";

const FOLDER = import.meta.dirname;
const BIN = join(FOLDER, "..", "engine", "bin", "tenuto.mjs");
const execute = promisify(execFile);

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tenuto-examples-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function yaml(name: string): Promise<Pipeline> {
  const file = join(FOLDER, name);
  return loadYamlPipeline(await readFile(file, "utf8"), { file });
}

/** Runs a pipeline to its end; gives the end and what `look` reads from the open engine. */
async function finish<T>(
  pipeline: Pipeline,
  params: object,
  look: (tenuto: Awaited<ReturnType<typeof openTenuto>>, id: string) => Promise<T>,
) {
  await using tenuto = await openTenuto({ home, pipelines: [pipeline] });
  const run = await tenuto.start(pipeline, params);
  const end = await run.wait({ timeoutMs: 30_000 });
  return { end, seen: await look(tenuto, run.id) };
}

const states = async (tenuto: Awaited<ReturnType<typeof openTenuto>>, id: string) =>
  Object.fromEntries((await tenuto.client.jobs(id)).map((job) => [job.id, job.reason ?? job.state]));

/** Some shims named python3 start nothing; what counts is that it runs. */
function runs(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
const python = runs("python3");
const curl = runs("curl");

describe("examples through the API", () => {
  test.runIf(python)("shell-and-python.yaml hands numbers from the shell and from Python on", async () => {
    const { end, seen } = await finish(await yaml("shell-and-python.yaml"), { top: 2 }, (tenuto, id) =>
      tenuto.client.job(id, "words"),
    );
    expect(end.output).toBe("6 lines, 47 words, most often: the\n");
    expect(JSON.parse(seen.output!).top).toHaveLength(2);
  });

  test.runIf(python)("shell-and-python.yaml refuses to start without its text", async () => {
    const missing = finish(await yaml("shell-and-python.yaml"), { file: "data/none.txt" }, states);
    await expect(missing).rejects.toMatchObject({ code: "missing_prerequisites" });
  });

  test("typed-graph.ts: frost is announced in the cold, and a failure is allowed", async () => {
    const { end, seen } = await finish(typedGraph, { city: "Oslo" }, states);
    expect(end.output).toMatchObject({ text: "Oslo: -1.1 degrees, announcement failed" });
    expect(seen).toEqual({
      measure: "completed",
      summarize: "completed",
      warn: "completed",
      announce: "failed",
      file: "completed",
    });
  });

  test("typed-graph.ts: no frost, no warning", async () => {
    const { end, seen } = await finish(typedGraph, { city: "Montevideo" }, states);
    expect(end.state).toBe("completed");
    expect(seen).toMatchObject({ warn: "when" });
  });

  test("durable-code.ts: after SIGKILL every side effect has happened once", async () => {
    const { signal, resumed, end, effects } = await crashAndResume(home);
    expect({ signal, resumed, state: end.state }).toEqual({ signal: "SIGKILL", resumed: true, state: "completed" });
    expect(end.output).toEqual({ text: "Invoice A-1: 35.00 EUR", key: "durable-code-1/main/reserve" });
    expect(effects.toSorted()).toEqual(["pay", "price 0", "price 1", "price 2", "price 3", "price 4", "reserve"]);
  });

  test("durable-code.ts without a crash", async () => {
    const { end } = await finish(durableCode, { pauseMs: 1 }, states);
    expect(end.output).toMatchObject({ text: "Invoice A-1: 35.00 EUR" });
  });

  test("fan-out.ts: a retry, a duplicate and two that are left out", async () => {
    const { end, seen } = await finish(fanOut, {}, (tenuto, id) =>
      tenuto.client.items(id, "enrich", { states: ["skipped", "failed"] }),
    );
    expect(end.output).toEqual({ total: 25, completed: 22, skipped: 3, failed: 0, oldest: "Willow Mills" });
    expect(seen.map((item) => item.ordinal)).toEqual([8, 10, 17]);
  });

  test("llm-review.ts: the model reads the notes, and its verdict is the gate's", async () => {
    const look = async (tenuto: Awaited<ReturnType<typeof openTenuto>>, id: string) => ({
      review: JSON.parse((await tenuto.client.job(id, "review")).output ?? "null"),
      usage: await tenuto.client.usage(id),
    });
    const { end, seen } = await finish(llmReview, {}, look);
    expect(end.state).toBe("completed");
    expect(seen.review).toEqual({
      verdict: "FAILED",
      findings: [{ level: "error", message: '"teh" should be "the": Hold teh note.' }],
    });
    expect(seen.usage).toMatchObject({ calls: 3, lostCalls: 0 });
    expect(seen.usage.cost).toBeGreaterThan(0);
    expect((await finish(llmReview, { text: "Hold the note." }, look)).seen.review.verdict).toBe("PASSED");
  });

  test("rate-limited-crawl.ts: the server sees the declared rate and the wait that it asked for", async () => {
    const { end, requests, mostInOneSecond, retriedAfterMs } = await crawl(home, 60);
    expect(end.output).toMatchObject({ total: 60, completed: 59, skipped: 1 });
    expect(requests).toBe(61);
    // 40 in a second and one at its edge; requests that a busy machine sent late add a few.
    expect(mostInOneSecond).toBeLessThanOrEqual(48);
    expect(retriedAfterMs).toBeGreaterThanOrEqual(1_000);
  });

  test.runIf(python && curl)(
    "agents-over-socket.yaml: steps survive a retry; progress, artifacts and logs arrive",
    async () => {
      const { end, seen } = await finish(await yaml("agents-over-socket.yaml"), {}, async (tenuto, id) => {
        const events = await tenuto.client.events(id);
        const job = await tenuto.client.job(id, "python");
        return {
          progress: events.filter((event) => event.name === "job.progress").map((event) => event.job),
          attempt: job.attempt,
        };
      });
      expect(end.output).toMatch(/^sum 30 in attempt 2, note of \d+ bytes\n$/);
      expect(seen.attempt).toBe(2);
      expect(new Set(seen.progress)).toEqual(new Set(["python", "shell"]));
      const log = await logOf(home);
      expect(log).toContain("giving up for now");
    },
  );
});

async function logOf(folder: string): Promise<string> {
  const logs = join(folder, "logs");
  const [run] = await readdir(logs);
  return await readFile(join(logs, run!, "run.log"), "utf8");
}

describe.runIf(existsSync(BIN))("examples from the command line", () => {
  const cli = (...args: string[]) =>
    execute(process.execPath, ["--conditions=source", BIN, ...args, "--home", home], { cwd: FOLDER });

  test.runIf(python)("shell-and-python.yaml", async () => {
    const { stdout } = await cli("run", "shell-and-python.yaml", "-p", "top=1", "--json");
    expect(stdout).toContain("6 lines, 47 words, most often: the");
  });

  test("typed-graph.ts", async () => {
    const { stdout } = await cli("run", "typed-graph.ts", "-p", "city=Oslo", "--json");
    expect(stdout).toContain("announcement failed");
  });

  test("fan-out.ts", async () => {
    const { stdout } = await cli("run", "fan-out.ts", "--json");
    expect(stdout).toContain("Willow Mills");
  });

  test("llm-review.ts", async () => {
    const { stdout } = await cli("run", "llm-review.ts", "--json");
    expect(stdout).toContain("FAILED");
    const { stdout: shown } = await cli("runs", "show", "latest");
    expect(shown).toMatch(/^Models {4}3 calls, [\d,]+ tokens in, 60 out, cost 0\.\d+$/m);
    const { stdout: transcript } = await cli("artifacts", "get", "latest", "transcript.json");
    expect(JSON.parse(transcript)).toMatchObject({ agent: "review/notes", usage: { calls: 3 } });
  });

  test("release.yaml: ends for a decision, and goes on with what the person made of it", async () => {
    const stopped = await cli("run", "release.yaml", "--json").catch((error) => error);
    expect(stopped.code).toBe(8);
    expect(JSON.parse(stopped.stdout).awaiting[0].title).toBe("Publish 2 packages?");
    await cli("approve", "latest", "--by", "ann", "--edit", '{"platforms":["linux"]}');
    const { stdout } = await cli("resume", "latest", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ run: { state: "completed" } });
    const { stdout: shown } = await cli("runs", "show", "latest", "--json");
    expect(shown).toContain("test/0-fix");
  });

  test("durable-code.ts", async () => {
    const { stdout } = await cli("run", "durable-code.ts", "-p", "pauseMs=1", "--json");
    expect(stdout).toContain("Invoice A-1: 35.00 EUR");
  });
});
