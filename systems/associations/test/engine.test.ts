import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTenuto } from "tenuto";
import { expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "../fixtures/site.ts";
import { associationsPipeline } from "../pipeline.ts";

test("the engine runs it: every member once, faults skipped and explained, a second start finds the same run", async () => {
  const folder = await mkdtemp(join(tmpdir(), "associations-"));
  const site = await startSite({ members: 60, pageSize: 20, retryAfterSeconds: 0 });
  const [configDir, dataDir] = [join(folder, "config"), join(folder, "data")];
  await writeSiteConfig(configDir, site.url, { members: 60 });
  const tenuto = await openTenuto({
    home: join(folder, "home"),
    pipelines: [associationsPipeline({ ratePerSecond: 1000 })],
  });
  try {
    const params = { association: FIXTURE_CODE, configDir, dataDir };
    const run = await tenuto.start("associations", params, { idempotencyKey: "one" });
    expect(await run.wait()).toMatchObject({ state: "completed", output: { records: 58, errors: 2 } });
    const leftOut = async (job: string) => {
      const items = await tenuto.client.items(run.id, job, { states: ["failed", "skipped"] });
      return items.map((item) => [item.state, JSON.parse(item.error!).code]);
    };
    expect(await leftOut("fetch")).toEqual([["skipped", "not_found"]]);
    expect(await leftOut("extract")).toEqual([["skipped", "parse_error"]]);
    const { records: errors } = await readJsonl(join(dataDir, "raw", FIXTURE_CODE, "errors.jsonl"));
    const byPath = new Map(
      errors.map(({ task, agent_type, error }) => [new URL(task.url).pathname, [agent_type, error]]),
    );
    expect(byPath.get(site.faults.missing)).toEqual(["discovery/page_fetcher", expect.stringContaining("not_found")]);
    expect(byPath.get(site.faults.unparsable)).toEqual([
      "extraction/html_parser",
      expect.stringContaining("parse_error"),
    ]);
    expect(await tenuto.start("associations", params, { idempotencyKey: "one" })).toMatchObject({
      id: run.id,
      created: false,
    });
    const { records } = await readJsonl(join(dataDir, "raw", FIXTURE_CODE, "records.jsonl"));
    expect(new Set(records.map((record) => record.source_url)).size).toBe(58);
    expect([...site.requests].filter(([, count]) => count > 1)).toEqual([[site.faults.limited, 2]]);
  } finally {
    await tenuto.close();
    await site.close();
    await rm(folder, { recursive: true });
  }
});
