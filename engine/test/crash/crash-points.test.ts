/**
 * death at every point. One workload is run with its disk copied at each point of the generated list; each distinct
 * image is opened, finished and audited. Real kills at points of the same list are made beside it, and at points of a start.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { audit, query } from "./audit.ts";
import { Bench, survivors } from "./process.ts";
import { proveResults } from "./proof.ts";
import { between, figure, replay, SEED, seeded } from "./seeded.ts";

const REAL_KILLS = figure("POINT_KILLS", 6);
/** No heartbeat of the keeper's thread may fall into a copy. */
const OPEN = { leaseMs: 3_000_000, heartbeatMs: 1_000_000 };

const benches: Bench[] = [];
function bench(app: string): Bench {
  const made = new Bench(app);
  benches.push(made);
  return made;
}
afterAll(async () => {
  for (const entry of benches) await entry.close();
});

let points = 0;

test("R-02: the disk as it is at every point leads to a finished, sound ledger", { timeout: 180_000 }, async () => {
  const source = bench("points");
  const images = join(source.home, "images");
  mkdirSync(images);
  const engine = await source.engine(OPEN, { facts: { images, key: "points", fromStart: true } });
  points = (await engine.signal("done", 1, 120_000)).count;
  await engine.kill();
  const list = JSON.parse(readFileSync(join(images, "points.json"), "utf8")) as { images: string[] };
  const homes = list.images.map((_, index) => join(images, String(index).padStart(5, "0")));

  const recovery = bench("recover").launch({ work: false }, { facts: { homes, timeoutMs: 6_000 } });
  await recovery.signal("all", 1, 150_000);
  const told = recovery.seen.filter((entry) => entry.signal === "recovered").map((entry) => entry.data);
  await recovery.kill();
  const problems: Record<string, unknown> = {};
  for (const [index, home] of homes.entries()) {
    const database = join(home, "ledger.db");
    const found = [
      ...(await audit(database, { quiet: true })),
      ...proveResults(database, join(home, "journal")).problems,
    ];
    if (told[index].stuck) found.push("a run does not end");
    found.push(...told[index].faults);
    if (found.length > 0) problems[`${index} (${list.images[index]})`] = found;
  }
  expect(problems).toEqual({});
  expect(points).toBeGreaterThan(500);
  console.log(`R-02: ${points} points, ${homes.length} distinct states of the disk, all recovered`);
});

test(`R-02: ${REAL_KILLS} real kills at points of work and of start`, {
  timeout: 60_000 + REAL_KILLS * 4_000,
}, async () => {
  const random = seeded(SEED);
  const note = replay("crash-points.test.ts", { POINT_KILLS: REAL_KILLS });
  const home = bench("points");
  let died = 0;
  for (let index = 0; index < REAL_KILLS; index++) {
    // Every third one dies in its start, while it takes over from the one before.
    const fromStart = index % 3 === 2;
    const crashAt = REAL_KILLS >= points ? index + 1 : between(random, 1, fromStart ? 180 : points - 100);
    const engine = home.launch({}, { facts: { crashAt, key: `k${index}`, fromStart } });
    const ended = await Promise.race([engine.exited, engine.signal("done", 1, 30_000).catch(() => null)]);
    if (ended !== null && "signal" in ended) died += 1;
    await engine.kill();
    expect(await audit(home.database), `after point ${crashAt}; ${note}`).toEqual([]);
  }
  const last = await home.engine({}, { facts: {} });
  const open = query<{ id: string }>(
    home.database,
    "SELECT id FROM run WHERE ended_at IS NULL AND pipeline = 'cancelled' AND cancel_requested_at IS NULL",
  );
  for (const run of open) await last.ask("cancel", run.id);
  for (const run of query<{ id: string }>(home.database, "SELECT id FROM run")) await last.ask("wait", run.id, 20_000);
  await last.stop();
  expect(await audit(home.database, { quiet: true }), note).toEqual([]);
  expect(proveResults(home.database, home.journal).problems, note).toEqual([]);
  expect(survivors(home.home), note).toEqual([]);
  expect(died, note).toBeGreaterThan(REAL_KILLS / 2);
  console.log(`R-02: ${died} of ${REAL_KILLS} processes died at their point`);
});
