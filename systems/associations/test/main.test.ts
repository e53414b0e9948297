/** The command: plans without asking anybody, runs, refuses wrong use. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readJsonl, writeJsonl } from "../adapters/files.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "../fixtures/site.ts";
import { companies, serve } from "./provider-server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const MAIN = join(import.meta.dirname, "..", "main.ts");

type Ended = { code: number; out: string; err: string };

function command(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env } };
    execFile(process.execPath, ["--conditions=source", MAIN, ...args], options, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

test("--dry-run says what would be asked and written, and asks nobody", async () => {
  const { code, out, err } = await command(["--mode", "full", "-a", "PMA", "-a", "NEMA", "--dry-run"]);
  expect(code).toBe(0);
  const plan = JSON.parse(out);
  expect(plan).toMatchObject({
    associations: ["PMA", "NEMA"],
    extraction: [
      {
        association: "PMA",
        asks: ["https://pma.org/robots.txt", "https://pma.org/directory/results.asp?n=2000"],
        seconds_between_requests: 2,
        schema: "pma",
      },
      { association: "NEMA" },
    ],
  });
  expect(plan.extraction[0].expected_minutes).toBeGreaterThan(30);
  expect(plan.writes).toContain(join("data", "processed", "PMA", "enriched.jsonl"));
  expect(err).toContain("would ask for https://pma.org/robots.txt");
});

test("a run from the command line, found again by its job id", async () => {
  const folder = await mkdtemp(join(tmpdir(), "main-"));
  const site = await startSite({ members: 30, pageSize: 10, retryAfterSeconds: 0 });
  cleanups.push(
    () => rm(folder, { recursive: true }),
    () => site.close(),
  );
  await writeSiteConfig(join(folder, "config"), site.url, { members: 30 });
  const places = ["--config", join(folder, "config"), "--data", join(folder, "data"), "--home", join(folder, "home")];
  const args = ["-a", FIXTURE_CODE, "--rate", "1000", "--job-id", "one", ...places];
  const first = await command(args);
  expect([first.code, JSON.parse(first.out)]).toMatchObject([0, { state: "completed", output: { records: 28 } }]);
  expect((await readJsonl(join(folder, "data/raw", FIXTURE_CODE, "records.jsonl"))).records).toHaveLength(28);
  const asked = site.requests.size;
  const { run } = JSON.parse(first.out);
  expect(JSON.parse((await command(args)).out).run).toBe(run);
  expect(JSON.parse((await command(["--resume", run, ...places])).out)).toMatchObject({ run, state: "completed" });
  expect(site.requests.size).toBe(asked);
});

test("an interrupted run says how to go on with it, and goes on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "main-"));
  // Robots.txt, directory and members, one after the other: more than a second, of which the signal leaves nothing.
  const site = await startSite({ members: 12, pageSize: 12, retryAfterSeconds: 0, delayMs: 400 });
  cleanups.push(
    () => rm(folder, { recursive: true }),
    () => site.close(),
  );
  await writeSiteConfig(join(folder, "config"), site.url, { members: 12 });
  const places = ["--config", join(folder, "config"), "--data", join(folder, "data"), "--home", join(folder, "home")];
  const args = ["--conditions=source", MAIN, "-a", FIXTURE_CODE, "--rate", "1000", ...places];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (!said.includes("Started") && (said + text).includes("Started")) child.kill("SIGINT");
    said += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  expect([code, said]).toEqual([130, expect.stringContaining("Interrupted; go on with --resume associations-1")]);
  const again = await command(["--resume", "associations-1", "--rate", "1000", ...places]);
  expect(again.err).toContain("Going on with run associations-1");
  expect([again.code, JSON.parse(again.out)]).toMatchObject([0, { state: "completed" }]);
}, 180_000);

test("a refused key ends the run with the reason and what to do", async () => {
  const folder = await mkdtemp(join(tmpdir(), "main-"));
  const server = await serve(() => ({ status: 401 }));
  cleanups.push(() => rm(folder, { recursive: true }));
  await writeJsonl(join(folder, "data/raw/PMA/records.jsonl"), companies(1));
  const places = ["--data", join(folder, "data"), "--home", join(folder, "home")];
  const args = ["--mode", "enrich", "-a", "PMA", "--enrichment", "firmographic", ...places];
  const { code, err } = await command(args, { CLEARBIT_API_KEY: "k", CLEARBIT_BASE_URL: server.url });
  expect([code, err]).toEqual([1, expect.stringContaining("firmographic, item 0: clearbit answered 401")]);
  expect(err).toContain("Check the key of clearbit");
});

test.each([
  [["--mode", "everything"], 2, "no mode everything"],
  [["--rate", "fast"], 2, "--rate"],
  [["--colour"], 2, "--colour"],
  [["-a", "NOPE", "--dry-run"], 1, "there is no association NOPE"],
  [["--dry-run"], 1, "none has priority high"],
])("%j ends with %i", async (args, code, text) => {
  const result = await command(args);
  expect([result.code, result.err]).toEqual([code, expect.stringContaining(text)]);
});
