/** The feed of all commits costs nothing until somebody asks for it; from then on every process tells it, without a gap. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { putMark } from "../../core/audit.ts";
import { FakeClock } from "../../testing/clock.ts";
import { World } from "../../testing/world.ts";
import { openSqliteLedger } from "./index.ts";

it("begins with the mark, in other connections too, and survives a failed transaction", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tenuto-feed-"));
  const clock = new FakeClock();
  const open = () => openSqliteLedger({ path: join(folder, "ledger.db"), clock });
  const worker = open();
  const server = open();
  onTestFinished(async () => {
    await worker.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const world = new World(worker, clock);
  await world.start("a", { id: "before" });
  expect(await server.feed(0, 10)).toEqual([]);

  await server.apply(putMark("feed", 1));
  await world.start("a", { id: "after" });
  const [entry] = await server.feed(0, 10);
  const [range] = entry!.ranges;
  expect((await server.run(range!.run))?.id).toBe("after");

  await expect(world.cancel(999)).rejects.toMatchObject({ code: "not_found" });
  await world.start("a b", { id: "more" });
  expect(await server.feed(entry!.seq, 10)).toHaveLength(1);
});
