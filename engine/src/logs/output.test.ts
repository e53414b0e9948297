import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type LogFiles, openLogFiles } from "./files.ts";
import { readOutputInfo } from "./output.ts";

// The disk is shared with other tests, so the usual limit says nothing.
vi.setConfig({ testTimeout: 30_000 });

let root: string;
let logs: LogFiles;
let job = 0;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tenuto-output-"));
  logs = openLogFiles(root, { clock: { now: () => 0, after: () => ({ cancel() {} }) }, maxHandles: 4 });
});
afterEach(async () => {
  await logs.close();
  rmSync(root, { recursive: true, force: true });
});

type Chunk = { stream: "stdout" | "stderr"; bytes: Uint8Array };

async function written(chunks: Chunk[], cap: number, pauses: boolean): Promise<{ path: string; whole: Buffer }> {
  job += 1;
  const output = logs.output("run", `j${job}`, 1, null, cap);
  for (const { stream, bytes } of chunks) {
    output.write(stream, bytes);
    if (pauses) await new Promise(setImmediate);
  }
  await output.close();
  return { path: logs.outputPath("run", `j${job}`, 1, null), whole: Buffer.concat(chunks.map(({ bytes }) => bytes)) };
}

const chunks = (maxLength: number) =>
  fc.array(
    fc.record({ stream: fc.constantFrom("stdout" as const, "stderr" as const), bytes: fc.uint8Array({ maxLength }) }),
    {
      maxLength: 30,
    },
  );

describe("raw output", () => {
  it("is byte-identical up to the cap, and says which bytes are stderr", async () => {
    await fc.assert(
      fc.asyncProperty(chunks(40), fc.boolean(), async (parts, pauses) => {
        const { path, whole } = await written(parts, 30 * 40, pauses);
        expect(existsSync(path)).toBe(whole.length > 0);
        if (whole.length === 0) return;
        expect(readFileSync(path).equals(whole)).toBe(true);
        const expected = Buffer.concat(parts.filter(({ stream }) => stream === "stderr").map(({ bytes }) => bytes));
        const info = await readOutputInfo(path);
        expect(info === null).toBe(expected.length === 0);
        if (expected.length === 0) return;
        const marked = Buffer.concat(info!.stderr.map(([start, end]) => whole.subarray(start, end)));
        expect(marked.equals(expected)).toBe(true);
        expect(info).toMatchObject({
          bytes: whole.length,
          stderrBytes: expected.length,
          stdoutBytes: whole.length - expected.length,
          cut: null,
          lostFrom: null,
        });
      }),
      { numRuns: 60 },
    );
  });

  it("keeps head and tail above the cap, with a marking line between that is no part of either", async () => {
    await fc.assert(
      fc.asyncProperty(chunks(120), fc.integer({ min: 0, max: 300 }), fc.boolean(), async (parts, cap, pauses) => {
        const { path, whole } = await written(parts, cap, pauses);
        if (whole.length <= cap) return;
        const { cut, bytes } = (await readOutputInfo(path))!;
        const file = readFileSync(path);
        expect(bytes).toBe(whole.length);
        expect(cut!.omitted).toBe(whole.length - cap);
        expect(file.subarray(0, cut!.at).equals(whole.subarray(0, cut!.at))).toBe(true);
        const marker = file.subarray(cut!.at, cut!.at + cut!.markerBytes).toString();
        expect(marker).toBe(`\n[tenuto: ${cut!.omitted} bytes are missing here, the log is capped]\n`);
        const tail = file.subarray(cut!.at + cut!.markerBytes);
        expect(tail.equals(whole.subarray(cut!.at + cut!.omitted))).toBe(true);
        expect(readdirSync(dirname(path)).filter((name) => name.endsWith(".part"))).toEqual([]);
      }),
      { numRuns: 120 },
    );
  });

  it("takes 200 MB without a line feed into its cap without holding it", async () => {
    const chunk = Buffer.alloc(64 * 1024, "no feed ");
    const output = logs.output("run", "flood", 1, 3, 4 << 20);
    const before = process.memoryUsage().arrayBuffers;
    for (let at = 0; at < 3_200; at++) output.write("stdout", chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 << 20);
    await output.close();
    const path = logs.outputPath("run", "flood", 1, 3);
    const info = await readOutputInfo(path);
    expect(statSync(path).size).toBe((4 << 20) + info!.cut!.markerBytes);
    expect(info!.bytes).toBe(3_200 * chunk.length);
  });

  it("of many attempts at once needs few open files and mixes nothing up", async () => {
    const open = Array.from({ length: 40 }, (_, item) => logs.output("run", "many/jobs", 2, item, 1_000_000));
    for (let round = 0; round < 20; round++) {
      for (const [item, output] of open.entries()) output.write("stdout", Buffer.from(`${item}:${round} `));
      await logs.flush();
    }
    await Promise.all(open.map((output) => output.close()));
    for (const item of open.keys()) {
      const text = readFileSync(logs.outputPath("run", "many/jobs", 2, item), "utf8");
      expect(text).toBe(Array.from({ length: 20 }, (_, round) => `${item}:${round} `).join(""));
    }
  });

  it("tells already while it is being cut that it is, for readers after a crash", async () => {
    const output = logs.output("run", "crashes", 1, null, 10);
    output.write("stdout", Buffer.from("0123456789ab"));
    await logs.flush();
    const path = logs.outputPath("run", "crashes", 1, null);
    expect((await readOutputInfo(path))!.cut).toMatchObject({ at: 5, markerBytes: 0 });
    expect(readFileSync(path, "utf8")).toBe("01234ab789");
    await output.close();
    await output.close();
    output.write("stdout", Buffer.from("after the end"));
    expect((await readOutputInfo(path))!.cut).toMatchObject({ at: 5, omitted: 2 });
  });
});
