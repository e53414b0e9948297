/**
 * `tenuto serve --no-work` and `tenuto worker --agents` as people start them: processes of `bin/tenuto` against PostgreSQL,
 * with a home each. What nobody takes is told as that, a cancel from elsewhere ends the programs of the worker that has them.
 */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { isAlive, readLines, survivors, until } from "../crash/process.ts";
import { createDatabase, sharedServer, type TestDatabase } from "../postgres/shared.ts";
import { Cluster } from "./cluster.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/tenuto.mjs", import.meta.url));
const PIPELINE = `name: tree
jobs:
  - id: tree
    command: { shell: 'echo "$$" >> "$PIDS"; sleep 600 & setsid sleep 600 & wait', env: { PIDS: "PLACE" } }
    timeoutSeconds: 600
`;
const CONFIG = "export default { pipelines: [] };\n";

const server = await sharedServer();

describe.skipIf(server === null)("command lines", () => {
  let database: TestDatabase;
  let cluster: Cluster;
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
    await cluster?.close();
    await database?.drop();
  });

  /** A process of `bin/tenuto` on a machine of that name. */
  function start(home: string, ...argv: string[]) {
    mkdirSync(cluster.home(home), { recursive: true });
    const child = spawn(process.execPath, [LAUNCHER, "--home", cluster.home(home), ...argv], {
      cwd: cluster.root,
      env: { ...process.env, TENUTO_SOURCE: "1", TENUTO_DATABASE: database.url },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
    const end = () => {
      child.kill("SIGTERM");
      return ended;
    };
    stops.push(() => {
      child.kill("SIGKILL");
      return ended;
    });
    const shows = async (text: string) => {
      await until(`"${text}" of ${home}`, () => said.includes(text) || child.exitCode !== null);
      expect(said).toContain(text);
    };
    return { shows, end, said: () => said };
  }

  test("each worker takes what its --agents say; a cancel and the API reach what runs on another one", {
    timeout: 240_000,
  }, async () => {
    database = await createDatabase(server as string);
    cluster = new Cluster("../crash/apps/jobs", database.url);
    const pids = join(cluster.root, "pids");
    writeFileSync(join(cluster.root, "tenuto.config.mts"), CONFIG);
    writeFileSync(join(cluster.root, "tree.yaml"), PIPELINE.replace("PLACE", pids));
    const migrated = await cluster.cli("op", "migrate");
    expect(migrated.code, migrated.err).toBe(0);

    const serving = start("server", "serve", "--no-work", "--port", "0");
    const other = start("other", "worker", "--agents", "extraction/*");
    await Promise.all([serving.shows("Serving postgres://"), other.shows("Working on postgres://")]);
    const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(serving.said()) ?? [];
    const { out: made } = await cluster.cli("op", "--json", "tokens", "create", "test", "--role", "operator");
    const { token } = JSON.parse(made) as { token: string };
    const get = async (path: string): Promise<any> => {
      const response = await fetch(`${address}/api${path}`, { headers: { authorization: `Bearer ${token}` } });
      expect(response.status, path).toBe(200);
      return await response.json();
    };

    const started = await cluster.cli("op", "--json", "run", "tree.yaml", "--detach");
    expect(started.code, started.err).toBe(0);
    const { out: shown } = await cluster.cli("op", "runs", "show", "latest");
    expect(shown).toContain("waits: no worker offers command/inline");
    const [run] = (await get("/runs")).items;
    expect((await get(`/runs/${run.id}/jobs/tree`)).why).toContain("command/inline");
    expect((await get(`/runs/${run.id}`)).why).toBe("Nothing runs: job tree waits, no worker offers command/inline.");
    expect(readLines(pids)).toEqual([]);

    const able = start("able", "worker", "--agents", "extraction/*,command/*", "--concurrency", "1");
    await until("the program", () => readLines(pids).length === 1);
    expect((await get(`/runs/${run.id}/jobs/tree`)).state).toBe("running");
    const shell = Number(readLines(pids)[0]);
    const cancelled = await cluster.cli("op", "runs", "cancel", run.id);
    expect(cancelled.code, cancelled.err).toBe(0);
    expect(isAlive(shell)).toBe(false);
    expect(survivors(cluster.root).filter((entry) => entry.text.startsWith("sleep"))).toEqual([]);
    expect((await get(`/runs/${run.id}`)).state).toBe("cancelled");
    // 143: ended by SIGTERM, in order.
    expect(await Promise.all([serving.end(), other.end(), able.end()])).toEqual([143, 143, 143]);
  });
});
