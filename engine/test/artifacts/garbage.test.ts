/** the collector of garbage against writers and readers; what keeps an object; pruning of a large run. */
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { openFileStore } from "../../src/artifacts/filesystem.ts";
import type { Tenuto } from "../../src/index.ts";
import { collectGarbage } from "../../src/runtime/garbage.ts";
import { seededEntropy } from "../../src/testing/entropy.ts";
import { defineAgent, definePipeline } from "../people/forms.ts";
import { place } from "../people/open.ts";

const OPERATIONS = Number(process.env["TENUTO_GARBAGE_OPERATIONS"] ?? 2_500);
/** How far the file system's clock may be behind. */
const COARSE_MS = 20;

it(
  `R-47: of ${OPERATIONS} puts, reads and collections at once, no object that is in use is removed`,
  async () => {
    const root = mkdtempSync(join(tmpdir(), "tenuto-garbage-"));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const { below } = seededEntropy(47);
    // Two stores on one folder, as two processes have; all that is stored again is touched.
    const stores = [await openFileStore(root, 0), await openFileStore(root, 0)] as const;
    const contents = Array.from({ length: 40 }, (_, n) => Buffer.from(`object ${n}`.repeat(1 + (n % 7) * 40)));
    const used = new Map<string, number>();
    const underWay = new Set<{ since: number }>();
    let removed = 0;
    let reads = 0;
    const operations: (() => Promise<void>)[] = [
      async () => {
        const pending = { since: Date.now() };
        underWay.add(pending);
        const { sha256 } = await stores[below(2)]!.put(contents[below(contents.length)]!);
        for (let turns = below(4); turns > 0; turns--) await new Promise((next) => setImmediate(next));
        used.set(sha256, (used.get(sha256) ?? 0) + 1);
        underWay.delete(pending);
      },
      async () => {
        const held = [...used.keys()];
        if (held.length === 0) return;
        const sha256 = held[below(held.length)]!;
        used.set(sha256, used.get(sha256)! + 1);
        let bytes = 0;
        for await (const chunk of stores[below(2)]!.get(sha256)) bytes += chunk.length;
        expect(bytes).toBeGreaterThan(0);
        reads += 1;
        used.set(sha256, used.get(sha256)! - 1);
        if (used.get(sha256) === 0) used.delete(sha256);
      },
      async () => {
        const held = [...used.keys()];
        if (held.length === 0) return;
        const sha256 = held[below(held.length)]!;
        if (used.get(sha256) === 1) used.delete(sha256);
        else used.set(sha256, used.get(sha256)! - 1);
      },
      async () => {
        const store = stores[below(2)]!;
        for await (const { sha256 } of store.list()) {
          // The grace: nobody who is about to register something began so long ago.
          const since = Math.min(Date.now(), ...[...underWay].map((entry) => entry.since));
          const age = Date.now() - since + COARSE_MS;
          if (below(3) === 0 && (await store.removeUnused(sha256, age, async () => used.has(sha256)))) removed += 1;
        }
      },
    ];
    const weights = [0, 0, 0, 1, 1, 2, 2, 3];
    let left = OPERATIONS;
    const worker = async () => {
      while (left-- > 0) await operations[weights[below(weights.length)]!]!();
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    for (const sha256 of used.keys()) expect(await stores[0].verify(sha256)).toMatchObject({ ok: true });
    expect([removed > 20, reads > 100]).toEqual([true, true]);
    expect(readdirSync(join(root, "trash"))).toEqual([]);
  },
  60_000 + OPERATIONS * 5,
);

it("what a collector that died left in the trash is put back", async () => {
  const root = mkdtempSync(join(tmpdir(), "tenuto-garbage-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const store = await openFileStore(root);
  const { sha256 } = await store.put(Buffer.from("precious"));
  let reached: () => void = () => {};
  const inTrash = new Promise<void>((resolve) => {
    reached = resolve;
  });
  let asked = 0;
  const dying = store.removeUnused(sha256, -60_000, () => {
    asked += 1;
    if (asked === 2) reached();
    return asked === 1 ? Promise.resolve(false) : new Promise(() => {});
  });
  void dying;
  await inTrash;
  expect(readdirSync(join(root, "trash"))).toEqual([sha256]);
  const again = await openFileStore(root);
  expect(await again.verify(sha256)).toMatchObject({ ok: true });
  expect(readdirSync(join(root, "trash"))).toEqual([]);
});

/** Makes all objects look as if they had been stored two days ago. */
async function age(tenuto: Tenuto): Promise<number> {
  let count = 0;
  const then = Date.now() / 1_000 - 2 * 86_400;
  for await (const { sha256 } of tenuto.store.list()) {
    utimesSync(await tenuto.store.localPath(sha256), then, then);
    count += 1;
  }
  return count;
}

it("an object stays as long as a row or any stored value names it, and goes with the last one", async () => {
  const make = defineAgent({
    name: "test/make",
    run: async (_input, ctx) => ({
      text: await ctx.artifact("text", "kept by its row"),
      list: await ctx.dataset("list", [1, 2, 3]),
    }),
  });
  const keep = defineAgent({ name: "test/keep", run: (input) => input });
  const make_ = definePipeline({ name: "make", jobs: [{ id: "make", agent: make }] });
  const keep_ = definePipeline<any>({
    name: "keep",
    params: { type: "object", properties: { given: {} } } as never,
    jobs: [{ id: "keep", agent: keep, input: "{{ params.given }}" }],
  });
  const tenuto = await place([make_, keep_]).open();
  const { ledger } = tenuto.engine.parts;
  const first = await (await tenuto.start("make")).wait({ timeoutMs: 60_000 });
  await tenuto.store.put(Buffer.from("nobody's"));
  const young = await collectGarbage(tenuto.engine.parts);
  expect(young).toMatchObject({ objects: 0, seen: 3 });
  expect(await age(tenuto)).toBe(3);
  expect(await collectGarbage(tenuto.engine.parts, { dryRun: true })).toMatchObject({ objects: 1, bytes: 8 });
  expect(await collectGarbage(tenuto.engine.parts)).toMatchObject({ objects: 1, bytes: 8, seen: 3 });
  // The list lives on in the params and the output of a second run; the text does not.
  const { list } = first.output as unknown as { list: { $dataset: string } };
  const second = await (await tenuto.start("keep", { given: list })).wait({ timeoutMs: 60_000 });
  const boundary = (await tenuto.client.run(second.id)).createdAt;
  expect((await ledger.prune(boundary, 10)).runs).toBe(1);
  await age(tenuto);
  expect(await collectGarbage(tenuto.engine.parts)).toMatchObject({ objects: 1, seen: 2 });
  expect(await ledger.dataset(list.$dataset.slice(7))).toMatchObject({ count: 3 });
  expect((await ledger.prune(Date.now() + 60_000, 10)).runs).toBe(1);
  await age(tenuto);
  expect(await collectGarbage(tenuto.engine.parts)).toMatchObject({ objects: 1, seen: 1 });
  expect(await ledger.dataset(list.$dataset.slice(7))).toBeNull();
});

it("a run with many rows goes in several transactions, so that others can write in between", async () => {
  const many = defineAgent({
    name: "test/many",
    run: async (_input, ctx) => {
      await Promise.all(Array.from({ length: 5_000 }, (_, n) => ctx.step(["s", n], () => n)));
      await Promise.all(Array.from({ length: 4_500 }, (_, n) => ctx.artifact(`a${n % 9}`, String(n))));
    },
  });
  const pipeline = definePipeline({ name: "many", jobs: [{ id: "many", agent: many }] });
  const tenuto = await place([pipeline]).open();
  const end = await (await tenuto.start("many")).wait({ timeoutMs: 60_000 });
  expect(end.state).toBe("completed");
  const { ledger } = tenuto.engine.parts;
  let turns = 0;
  let pruning = true;
  const count = () => {
    turns += 1;
    if (pruning) setImmediate(count);
  };
  setImmediate(count);
  const pruned = await ledger.prune(Date.now() + 60_000, 10);
  pruning = false;
  expect(pruned).toMatchObject({ runs: 1, jobs: 1 });
  // Three deletions of steps, three of artifacts, and the rest.
  expect(turns).toBeGreaterThanOrEqual(6);
  expect((await ledger.check()).problems).toEqual([]);
});
