/**
 * one byte flipped, a file cut, a page zeroed. Damaged artifacts are never served as good, damaged ledgers are found at
 * the start and not written to.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { definePipeline, openTenuto } from "../../src/index.ts";
import { seeded } from "../crash/seeded.ts";

const TRIALS = 60;
const make = definePipeline({
  name: "make",
  run: async (ctx) => await ctx.artifact("text", Array.from({ length: 2_000 }, (_, n) => `line ${n}`).join("\n")),
});
const use = definePipeline({
  name: "use",
  params: z.object({ ref: z.any() }),
  run: async (ctx, params) => {
    let bytes = 0;
    for await (const chunk of ctx.readArtifact(params.ref)) bytes += chunk.length;
    return bytes;
  },
});

function folder(): string {
  const home = mkdtempSync(join(tmpdir(), "tenuto-corruption-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

type Damage = (file: string, random: () => number) => void;
const DAMAGES: Record<string, Damage> = {
  "a flipped bit": (file, random) => {
    const bytes = readFileSync(file);
    const at = Math.floor(random() * bytes.length);
    bytes[at] = bytes[at]! ^ (1 << Math.floor(random() * 8));
    writeFileSync(file, bytes);
  },
  "a cut end": (file, random) => truncateSync(file, Math.floor(random() * readFileSync(file).length)),
  zeroes: (file, random) => {
    const bytes = readFileSync(file);
    const at = Math.floor((random() * bytes.length) / 2);
    writeFileSync(file, bytes.fill(0, at, at + 512));
  },
};

it.each(Object.entries(DAMAGES))("an artifact with %s is never served as good", async (_what, damage) => {
  const home = folder();
  await using tenuto = await openTenuto({ home, cwd: home, pipelines: [make, use] });
  const { output } = await (await tenuto.start("make")).wait();
  const ref = output as unknown as { $artifact: string };
  const file = await tenuto.store.localPath(ref.$artifact.replace("sha256:", ""));
  const sound = readFileSync(file);
  const random = seeded(44);
  for (let trial = 0; trial < TRIALS; trial++) {
    damage(file, random);
    if (readFileSync(file).equals(sound)) continue;
    const read = async () => {
      for await (const chunk of tenuto.store.get(ref.$artifact.replace("sha256:", ""))) void chunk;
    };
    await expect(read(), `trial ${trial}`).rejects.toMatchObject({ code: "artifact_corrupt" });
    writeFileSync(file, sound);
  }
  damage(file, random);
  const end = await (await tenuto.start("use", { ref })).wait();
  expect(end).toMatchObject({ state: "failed", error: { code: "artifact_corrupt" } });
});

it("a ledger with a damaged page is found at the start, and not one byte of it is written", async () => {
  const home = folder();
  const tenuto = await openTenuto({ home, cwd: home, pipelines: [make] });
  for (let n = 0; n < 5; n++) await (await tenuto.start("make")).wait();
  await tenuto.close();
  const path = join(home, "ledger.db");
  const sound = readFileSync(path);
  const random = seeded(45);
  let found = 0;
  for (let trial = 0; trial < TRIALS; trial++) {
    const bytes = Buffer.from(sound);
    const page = 1 + Math.floor(random() * (bytes.length / 4_096 - 1));
    // The head of a page: what a torn write or a lost sector destroys. A changed value inside a row is still a sound page.
    bytes.fill(0xa5, page * 4_096, page * 4_096 + 512);
    writeFileSync(path, bytes);
    const opened = await openTenuto({ home, cwd: home, work: false }).catch((error) => error);
    if (opened.code === undefined) {
      await opened.close();
      continue;
    }
    expect(opened).toMatchObject({ code: "ledger_corrupt" });
    expect(opened.hint).toContain(`cp BACKUP ${path}`);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    found += 1;
  }
  // Free pages, and pages that hold nothing yet, are nobody's loss.
  expect(found).toBeGreaterThan(TRIALS * 0.8);
});
