/**
 * Machines with a home each, on one database: who takes what, a worker that is cut off from the database beyond its lease
 * two versions of a program side by side, cancels, artifacts and logs from elsewhere, and the move of all
 * of it into a file and back.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { query } from "../crash/audit.ts";
import { byKey, readJournal } from "../crash/journal.ts";
import { isAlive, readLines, survivors, until } from "../crash/process.ts";
import { Relay } from "../postgres/relay.ts";
import { createDatabase, sharedServer, type TestDatabase } from "../postgres/shared.ts";
import { Cluster } from "./cluster.ts";

const server = await sharedServer();
const SHORT = { leaseMs: 1_200, heartbeatMs: 300 };

describe.skipIf(server === null)("machines", () => {
  let database: TestDatabase;
  let cluster: Cluster;
  let relay: Relay | null = null;
  const use = async (app: string) => {
    database = await createDatabase(server as string);
    cluster = new Cluster(app, database.url);
  };
  afterEach(async () => {
    await cluster?.close();
    await relay?.close();
    relay = null;
    await database?.drop();
  });

  test("R-07: a worker cut off beyond its lease can write nothing, ends its processes and goes on", {
    timeout: 240_000,
  }, async () => {
    await use("../crash/apps/jobs");
    relay = new Relay(database.url);
    await relay.listen();
    const old = await cluster.machine("old", { ...SHORT, database: relay.url(database.url) });
    const { id } = await old.ask("start", "zombie", {}, {});
    await until(
      "all jobs to have begun",
      () => readLines(cluster.journal).filter((line) => line.startsWith("begin")).length === 5,
    );
    const shell = readJournal(cluster.journal).find((entry) => entry.key.endsWith("/tree"))?.pid as number;
    relay.frozen = true;

    const fresh = await cluster.machine("fresh", SHORT);
    expect((await fresh.ask("wait", id, 60_000)).state).toBe("completed");
    const before = await cluster.db.query("SELECT seq, state, output, epoch FROM job ORDER BY seq");

    relay.frozen = false;
    relay.cut();
    await until("the late writes", () => readLines(cluster.journal).some((line) => line.startsWith("late")));
    await until(
      "its processes to be dead",
      () => !isAlive(shell) && survivors(cluster.root).filter((entry) => entry.text.startsWith("sleep")).length === 0,
    );
    const line = readLines(cluster.journal).find((one) => one.startsWith("late")) as string;
    const late = JSON.parse(line.split("\t")[1] as string);
    for (const what of ["step", "artifact", "spawn"]) expect(late[what], what).not.toBe("accepted");
    // It goes on under a new boot: with the other one gone it does the next run.
    await fresh.stop();
    const next = await old.ask("start", "quick", {}, {});
    expect((await old.ask("wait", next.id, 60_000)).state).toBe("completed");
    await old.stop();

    const file = await cluster.toFile();
    expect(await cluster.audit(file)).toEqual([]);
    const last = (before.at(-1) as { seq: number }).seq;
    expect(query(file, "SELECT seq, state, output, epoch FROM job WHERE seq <= ? ORDER BY seq", last)).toEqual(before);
    expect(query(file, "SELECT count(*) AS n FROM step")).toEqual([{ n: 0 }]);
    expect(query(file, "SELECT id FROM job WHERE id LIKE '%late%'")).toEqual([]);
    const items = query<{ result: string }>(file, "SELECT result FROM item");
    expect(items.map((item) => JSON.parse(item.result).pid)).toEqual([fresh.pid, fresh.pid, fresh.pid]);
  });

  test("R-12, R-53: old and new workers side by side; what nobody takes stays ready, and everybody can tell", {
    timeout: 240_000,
  }, async () => {
    await use("../crash/apps/versions");
    const starter = await cluster.machine("starter", { work: false }, { facts: { version: 1 } });
    const fresh = await cluster.machine("fresh", {}, { facts: { version: 2 } });
    const { id } = await starter.ask("start", "pinned", {}, {});
    const other = await fresh.ask("start", "pinned", {}, {});
    expect((await fresh.ask("wait", other.id, 60_000)).output).toEqual({ version: 2 });
    const jobs = await cluster.db.query("SELECT state, attempt, crashes FROM job WHERE run = 1");
    expect(jobs).toEqual([{ state: "ready", attempt: 0, crashes: 0 }]);
    const shown = await cluster.cli("looking", "runs", "show", id);
    expect(shown.out, shown.err).toContain("waits: no worker offers versions/pinned@1");
    const able = await cluster.machine("able", {}, { facts: { version: 1 } });
    expect((await able.ask("wait", id, 60_000)).output).toEqual({ version: 1 });

    // A run goes on with the definition that it began with, on a machine that has seen only the new one.
    await able.stop();
    const changing = await starter.ask("start", "changing", {}, {});
    const old = await cluster.machine("old", SHORT, { facts: { version: 1 } });
    expect((await fresh.ask("wait", changing.id, 60_000)).state).toBe("completed");
    await old.kill();
    for (const engine of [starter, fresh]) await engine.stop();
    const file = await cluster.toFile();
    const ids = query<{ id: string }>(
      file,
      "SELECT job.id FROM job JOIN run ON run.seq = job.run WHERE run.id = ? ORDER BY job.seq",
      changing.id,
    );
    expect(ids.map((job) => job.id)).toEqual(["first", "old"]);
    expect(await cluster.audit(file)).toEqual([]);
  });

  test("a cancel reaches the machine that runs the job, and its processes end", { timeout: 240_000 }, async () => {
    await use("../crash/apps/jobs");
    const worker = await cluster.machine("worker");
    const starter = await cluster.machine("starter", { work: false });
    const { id } = await starter.ask("start", "tree", {}, {});
    await until("programs", () => readJournal(cluster.journal).length === 1);
    const shells = readJournal(cluster.journal).map((entry) => entry.pid);
    const cancelled = await cluster.cli("somewhere", "runs", "cancel", id, "--detach");
    expect(cancelled.code, cancelled.err).toBe(0);
    expect((await starter.ask("wait", id, 60_000)).state).toBe("cancelled");
    expect(shells.filter(isAlive)).toEqual([]);
    expect(survivors(cluster.root).filter((entry) => entry.text.startsWith("sleep"))).toEqual([]);
    await worker.stop();
    await starter.stop();
    expect(await cluster.audit(await cluster.toFile())).toEqual([]);
  });

  test("each worker takes only its agents; artifacts, datasets, logs and raw output go from machine to machine", {
    timeout: 240_000,
  }, async () => {
    await use("./apps/parts");
    const makes = await cluster.machine("makes", {}, { facts: { takes: "make" } });
    const uses = await cluster.machine("uses", {}, { facts: { takes: "use" } });
    const programs = await cluster.machine("programs", {}, { facts: { takes: "command" } });
    const { id } = await makes.ask("start", "parts", {}, {});
    const follow = cluster.cli("watcher", "logs", id, "--follow");
    const end = await uses.ask("wait", id, 60_000);
    expect(end, JSON.stringify(end)).toMatchObject({
      state: "completed",
      output: { total: 44_850, lines: "made here" },
    });
    const { out } = await follow;
    expect(out).toContain("made by make");
    expect(out).toContain("used by use");
    expect((await cluster.cli("watcher", "logs", id, "program", "--raw")).out).toContain("raw from a program");
    const boots = await cluster.db.query<{ id: string; pid: number }>(
      "SELECT job.id, boot.pid FROM job JOIN boot ON boot.seq = job.attempt_boot WHERE job.parent IS NULL ORDER BY job.seq",
    );
    const by = new Map(boots.map((row) => [row.id, row.pid]));
    expect([by.get("make"), by.get("program"), by.get("use")]).toEqual([makes.pid, programs.pid, uses.pid]);
    for (const engine of [makes, uses, programs]) await engine.stop();

    // Into a file and back into another database: nothing is lost on the way, there and back.
    const file = await cluster.toFile();
    expect(await cluster.audit(file)).toEqual([]);
    const home = join(file, "..");
    const logged = (text: string) =>
      text
        .split("\n")
        .filter((line) => line.includes("| parts/"))
        .sort();
    expect(logged(readFileSync(join(home, "logs", id, "run.log"), "utf8"))).toEqual(logged(out));
    const again = await createDatabase(server as string);
    try {
      const moved = await cluster.cli("file-1", "--json", "migrate", "--from", file, "--to", again.url);
      expect(moved.code, moved.err).toBe(0);
      const document = JSON.parse(moved.out);
      expect(document.artifacts).toMatchObject({ damaged: [] });
      expect(document.artifacts.objects).toBeGreaterThanOrEqual(3);
      const twice = await cluster.cli("file-1", "migrate", "--from", file, "--to", again.url);
      expect(twice.code).toBe(5);
      expect(twice.err).toContain("is not empty");
      const raw = await cluster.cli("far", "--database", again.url, "logs", id, "program", "--raw");
      expect(raw.out, raw.err).toContain("raw from a program");
      const verified = await cluster.cli("far", "--database", again.url, "artifacts", "verify");
      expect(verified.code, verified.err).toBe(0);
    } finally {
      await again.drop();
    }
    expect([...byKey(readJournal(cluster.journal)).values()].every((key) => key.begins.length === 1)).toBe(true);
  });
});
