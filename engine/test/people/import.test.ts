/** Runs that were worked on elsewhere: taken in whole or not at all, once, and never worked on here. */
import { expect, it } from "vitest";
import type { RunToImport } from "../../src/index.ts";
import { place } from "./open.ts";

const run: RunToImport = {
  idempotencyKey: "old-7",
  pipeline: "old",
  params: { originalPrompt: "fix it" },
  state: "failed",
  createdAt: 1_000,
  startedAt: 2_000,
  endedAt: 9_000,
  stages: [{ name: "dev" }, { name: "test" }],
  jobs: [
    {
      id: "dev",
      stage: "dev",
      agent: "old/dev",
      state: "completed",
      attempts: 2,
      startedAt: 2_000,
      endedAt: 3_000,
      output: { ok: true },
    },
    {
      id: "test",
      stage: "test",
      agent: "old/tester",
      needs: [{ job: "dev", on: "success" }],
      state: "failed",
      attempts: 1,
      startedAt: 3_000,
      endedAt: 9_000,
      error: { code: "exit_code_1", message: "it failed" },
      artifacts: [{ name: "result.txt", type: "test_results", content: new TextEncoder().encode("1 failed") }],
      log: "hello from then\n",
    },
    {
      id: "test/fix",
      stage: "dev",
      agent: "old/dev",
      parent: "test",
      state: "skipped",
      reason: "left",
      attempts: 0,
      startedAt: null,
      endedAt: null,
    },
  ],
};

it("is there with its jobs, attempts, artifacts and logs; twice is once; a retry is refused", async () => {
  const tenuto = await place([]).open();
  const first = await tenuto.client.importRun(run);
  expect(first).toMatchObject({ id: "old-1", created: true });
  expect(await tenuto.client.importRun(run)).toEqual({ ...first, created: false });
  const record = await tenuto.client.run("old-1");
  expect(record).toMatchObject({ state: "failed", createdAt: 1_000, endedAt: 9_000, jobCount: 3, spawnedJobs: 1 });
  const jobs = await tenuto.client.jobs("old-1");
  expect(jobs.map((job) => `${job.id}:${job.state}:${job.attempt}`)).toEqual([
    "dev:completed:2",
    "test:failed:1",
    "test/fix:skipped:0",
  ]);
  const { ledger, store } = tenuto.engine.parts;
  expect((await ledger.attempts(jobs[0]!.seq)).map((attempt) => attempt.state)).toEqual(["failed", "completed"]);
  const [artifact] = await ledger.artifacts(record.seq);
  expect(artifact).toMatchObject({ name: "result.txt", type: "test_results" });
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.get(artifact!.sha256)) chunks.push(chunk);
  expect(Buffer.concat(chunks).toString()).toBe("1 failed");
  await expect(tenuto.client.retry("old-1")).rejects.toMatchObject({ code: "cannot_resume" });
  await expect(tenuto.client.importRun({ ...run, params: {} })).rejects.toMatchObject({ code: "idempotency_mismatch" });
});

it.each([
  [{ endedAt: 500 }, "not in order"],
  [{ jobs: [] }, "1 to 10000 jobs"],
  [{ jobs: [run.jobs[0]!, run.jobs[0]!] }, "is there twice"],
  [{ jobs: [{ ...run.jobs[0]!, stage: "none" }] }, "which is not there"],
  [{ jobs: [{ ...run.jobs[0]!, attempts: 0 }] }, "completed without an attempt"],
  [{ jobs: [run.jobs[0]!, { ...run.jobs[2]!, parent: "nobody" }], stages: [{ name: "dev" }] }, "which is not there"],
])("refused with nothing written: %j", async (patch, message) => {
  const tenuto = await place([]).open();
  await expect(tenuto.client.importRun({ ...run, ...patch } as RunToImport)).rejects.toThrow(message);
  expect(await tenuto.client.runs()).toEqual([]);
});
