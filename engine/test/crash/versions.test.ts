/** a run keeps the definition that it began with; a worker that lacks an agent's version leaves the job alone. */
import { afterEach, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { Bench, readLines, until } from "./process.ts";

let bench: Bench;
afterEach(() => bench.close());

test("R-53: a changed pipeline does not change a run that is under way", async () => {
  bench = new Bench("versions");
  const old = await bench.engine({}, { facts: { version: 1 } });
  const { id, seq } = await old.ask("start", "changing", {}, {});
  await until("the first job", () => readLines(bench.journal).length === 1);
  await old.kill();
  const fresh = await bench.engine({}, { facts: { version: 2 } });
  expect((await fresh.ask("wait", id, 20_000)).state).toBe("completed");
  const next = await fresh.ask("start", "changing", {}, {});
  expect((await fresh.ask("wait", next.id, 20_000)).state).toBe("completed");
  await fresh.stop();
  const jobs = (run: number) => query(bench.database, "SELECT id, state FROM job WHERE run = ? ORDER BY seq", run);
  expect(jobs(seq)).toEqual([
    { id: "first", state: "completed" },
    { id: "old", state: "completed" },
  ]);
  expect(jobs(next.seq).map((job) => job.id)).toEqual(["first", "new"]);
  expect(JSON.parse(query(bench.database, "SELECT output FROM job WHERE id = 'old'")[0].output).input).toBe("as of 1");
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});

test("R-12, R-53: a worker without the agent's version leaves the job ready, one that has it does it", async () => {
  bench = new Bench("versions");
  const starter = await bench.engine({ work: false }, { facts: { version: 1 } });
  const { id } = await starter.ask("start", "pinned", {}, {});
  const fresh = await bench.engine({}, { facts: { version: 2 } });
  const other = await fresh.ask("start", "pinned", {}, {});
  expect((await fresh.ask("wait", other.id, 10_000)).output).toEqual({ version: 2 });
  expect(query(bench.database, "SELECT state, attempt FROM job WHERE run = 1")).toEqual([
    { state: "ready", attempt: 0 },
  ]);
  const able = await bench.engine({}, { facts: { version: 1 } });
  expect((await able.ask("wait", id, 10_000)).output).toEqual({ version: 1 });
  for (const engine of [starter, fresh, able]) await engine.stop();
  expect(await audit(bench.database, { quiet: true })).toEqual([]);
});
