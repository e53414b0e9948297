/** A worker that stops while a job sleeps: the job sleeps on in the ledger, and nothing is said of results that came too late. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { seen } from "../seen.ts";
import { defineAgent, definePipeline } from "./forms.ts";
import { place } from "./open.ts";

it("leaves a sleeping job as it is, without a warning", async () => {
  const sleeper = defineAgent({
    name: "test/sleeper",
    run: async (_input, ctx) => {
      ctx.log.info("good night");
      await ctx.sleep("nap", 3_600_000);
      return "awake";
    },
  });
  const here = place([definePipeline({ name: "nap", jobs: [{ id: "nap", agent: sleeper }] })]);
  const tenuto = await here.open();
  const run = await tenuto.start("nap");
  await seen(tenuto, async () => ((await tenuto.client.job(run.id, "nap")).state === "waiting" ? true : null));
  await tenuto.close({ drainMs: 0 });
  const again = await here.open({ work: false });
  expect(await again.client.job(run.id, "nap")).toMatchObject({
    state: "waiting",
    reason: "sleep",
    failures: 0,
    crashes: 0,
  });
  const text = readFileSync(join(here.home, "logs", run.id, "run.log"), "utf8");
  expect(text).toContain("good night");
  expect(text).not.toMatch(/too late|WARN/);
});
