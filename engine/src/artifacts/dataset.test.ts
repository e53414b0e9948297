import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { ArtifactStore, DatasetInfo } from "../ports/artifact-store.ts";
import { datasetRef, iterateRecords, openDataset, readRecords, writeDataset } from "./dataset.ts";
import { openFileStore } from "./filesystem.ts";
import { importJsonl } from "./import-jsonl.ts";
import { jsonFault } from "./json-fault.ts";
import { decodeOffsets, encodeOffsets } from "./offsets.ts";

// The disk is shared with other tests, so the usual limit says nothing.
vi.setConfig({ testTimeout: 30_000 });

let root: string;
let store: ArtifactStore;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "tenuto-dataset-"));
  store = await openFileStore(join(root, "store"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const entry of source) found.push(entry);
  return found;
}

async function* later<T>(records: T[]): AsyncIterable<T> {
  for (const record of records) yield record;
}

function* numbered(count: number, width = 0) {
  for (let id = 0; id < count; id++) yield { id, name: `Ünit ${id}`, pad: "x".repeat(width) };
}

describe("writeDataset", () => {
  it("gives back any JSON records in order, by iteration and by range, however they are given", async () => {
    const values = fc.array(fc.jsonValue(), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(values, fc.nat(60), fc.nat(60), async (records, start, length) => {
        const texts = records.map((record) => JSON.stringify(record));
        const info = await writeDataset(store, records);
        expect(info.count).toBe(records.length);
        expect(await writeDataset(store, later(records))).toEqual(info);
        expect(await writeDataset(store, later(texts), { raw: true })).toEqual(info);
        const batches = [texts.slice(0, start), [], texts.slice(start)];
        expect(await writeDataset(store, later(batches), { raw: true, batched: true })).toEqual(info);
        expect(await writeDataset(store, batches, { raw: true, batched: true })).toEqual(info);
        expect(await all(iterateRecords(store, info))).toEqual(texts);
        expect(await all(iterateRecords(store, info, { from: start }))).toEqual(texts.slice(start));
        expect(await readRecords(store, info, start, start + length)).toEqual(texts.slice(start, start + length));
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    [20_000, 0, 1_000],
    [9_000, 900, 100],
    [3_000, 40_000, 1],
  ])("finds any of %d records with %d bytes of padding through an index of stride %d", async (count, width, stride) => {
    let told = 0;
    const info = await writeDataset(store, numbered(count, width), { onBytes: (bytes) => (told = bytes) });
    expect(info).toMatchObject({ count, stride });
    expect(info.offsets).toHaveLength(Math.ceil(count / stride));
    expect(told).toBe(info.bytes);
    for (const start of [0, 1, 999, 1_000, 1_001, 2_345, count - 1, count]) {
      const ids = (await readRecords(store, info, start, start + 7)).map((text) => JSON.parse(text).id);
      expect(ids).toEqual(Array.from({ length: Math.min(7, count - start) }, (_, at) => start + at));
    }
    const window = await readRecords(store, info, 1_500, 2_700);
    expect(window.map((text) => JSON.parse(text).id)).toEqual(Array.from({ length: 1_200 }, (_, at) => 1_500 + at));
  });

  it("keeps the index at 10,000 entries for twelve million records", async () => {
    function* many() {
      for (let record = 0; record < 12_000_000; record++) yield "7";
    }
    const info = await writeDataset(store, many(), { raw: true });
    expect(info).toMatchObject({ count: 12_000_000, bytes: 24_000_000, stride: 10_000 });
    expect(info.offsets).toHaveLength(1_200);
    expect(await readRecords(store, info, 11_999_998, 12_000_005)).toEqual(["7", "7"]);
  }, 20_000);

  it("keeps raw records of several lines one line each, and refuses what is no JSON record", async () => {
    const info = await writeDataset(store, ['{\n "big": 12345678901234567890\n}', "[\r\n1]"], { raw: true });
    const texts = await readRecords(store, info, 0, 2);
    expect(texts).toEqual(['{  "big": 12345678901234567890 }', "[\r 1]"]);
    const refused = (records: unknown[], raw = false) => writeDataset(store, records, { raw });
    await expect(refused([1, undefined])).rejects.toMatchObject({ code: "unsupported_value", details: { ordinal: 1 } });
    await expect(refused([1n])).rejects.toMatchObject({ code: "unsupported_value", details: { ordinal: 0 } });
    await expect(refused([{}], true)).rejects.toMatchObject({ code: "unsupported_value" });
    await expect(refused(['"\ud800"'], true)).rejects.toMatchObject({ code: "unsupported_value" });
    await expect(refused([0, "é".repeat(600_000)])).rejects.toMatchObject({
      code: "payload_too_large",
      details: { ordinal: 1 },
    });
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    await expect(refused([loop])).rejects.toMatchObject({ code: "unsupported_value" });
  });

  it("stores no records as an empty dataset", async () => {
    const info = await writeDataset(store, []);
    expect(info).toMatchObject({ count: 0, bytes: 0, offsets: [] });
    expect(await all(iterateRecords(store, info))).toEqual([]);
    expect(await readRecords(store, info, 0, 10)).toEqual([]);
  });

  it("says that data and index do not fit instead of giving fewer records", async () => {
    const info = await writeDataset(store, numbered(10));
    const wrong: DatasetInfo = { ...info, count: 11 };
    await expect(all(iterateRecords(store, wrong))).rejects.toMatchObject({ code: "artifact_corrupt" });
    await expect(readRecords(store, wrong, 5, 11)).rejects.toMatchObject({ code: "artifact_corrupt" });
    const cut = { ...info, bytes: info.bytes - 3 };
    await expect(all(iterateRecords(store, cut))).rejects.toMatchObject({ code: "artifact_corrupt" });
  });
});

describe("openDataset", () => {
  it("iterates, slices and gives an array up to 1 MiB", async () => {
    const info = await writeDataset(store, numbered(2_500));
    let loads = 0;
    const load = () => {
      loads += 1;
      return info;
    };
    const opened = openDataset<{ id: number }>(store, load, datasetRef(info));
    expect(opened.count).toBe(2_500);
    expect((await opened.array()).map(({ id }) => id)).toEqual(Array.from({ length: 2_500 }, (_, id) => id));
    expect((await opened.slice(2_498, 9_999)).map(({ id }) => id)).toEqual([2_498, 2_499]);
    let seen = 0;
    for await (const record of opened) expect(record.id).toBe(seen++);
    expect(loads).toBe(1);
  });

  it("refuses an array above 1 MiB and references that are none", async () => {
    const info = await writeDataset(store, numbered(3, PAYLOAD_MAX_BYTES / 2));
    const opened = openDataset(store, () => info, datasetRef(info));
    await expect(opened.array()).rejects.toMatchObject({
      code: "payload_too_large",
      hint: expect.stringContaining("Iterate"),
    });
    const wrong = { $dataset: "sha256:xyz", count: 1, bytes: 1 };
    expect(() => openDataset(store, () => info, wrong)).toThrow(/not a dataset reference/);
  });
});

describe("importJsonl", () => {
  const file = (content: string | Buffer) => {
    const path = join(root, "in.jsonl");
    writeFileSync(path, content);
    return path;
  };

  it("accepts a byte order mark, CRLF, blank lines and a last line without an end", async () => {
    const path = file('\ufeff{"a":1}\r\n\r\n  \t\r\n[2]\n\n"drei"\r\n 4.50');
    const info = await importJsonl(store, path);
    expect(await all(iterateRecords(store, info))).toEqual(['{"a":1}', "[2]", '"drei"', " 4.50"]);
    expect((await importJsonl(store, file(""))).count).toBe(0);
    expect((await importJsonl(store, file("\ufeff"))).count).toBe(0);
    expect((await importJsonl(store, file("1"))).count).toBe(1);
  });

  it("reads any lines whose bytes fall anyhow into pieces", async () => {
    const texts = Array.from({ length: 30_000 }, (_, id) => JSON.stringify({ id, text: "é漢😀".repeat(id % 7) }));
    const info = await importJsonl(store, file(texts.join("\r\n")));
    expect(await all(iterateRecords(store, info))).toEqual(texts);
  });

  it.each([
    ['{"a":1}\n{"a":}\n', 2, 6, "a value is due"],
    ['1\n\n{"a" 1}', 3, 6, "`:` is due"],
    ["[1,2", 1, 5, "the line ends where `,` or `]` is due"],
    ['\ufeff{"a":1,}', 1, 8, "a name in double quotes is due"],
    ['{"a":"b\tc"}', 1, 8, "must be escaped"],
    ['"\\x"', 1, 2, "is no escape"],
    ["{} {}", 1, 4, "the end of the line is due"],
    ["1\n2\n'x'", 3, 1, "a value is due"],
    ["tru", 1, 1, "a value is due"],
    ['"abc', 1, 5, "ends inside a string"],
  ])("names file, line and column of %j", async (content, line, column, why) => {
    const path = file(content);
    await expect(importJsonl(store, path)).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringMatching(new RegExp(`^${path}:${line}:${column}: .*${why.replaceAll(/[`[\]]/g, "\\$&")}`)),
      details: { path, line, column },
    });
  });

  it("finds a place in every text that is not JSON", () => {
    const broken = fc
      .json()
      .chain((text) =>
        fc
          .tuple(fc.nat(text.length), fc.nat(3), fc.constantFrom("", ",", '"', "}", "[", "x", "\\", "\u0001"))
          .map(([at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut)),
      );
    fc.assert(
      fc.property(broken, (text) => {
        try {
          JSON.parse(text);
        } catch {
          const { at, message } = jsonFault(text);
          expect(message).not.toBe("not JSON");
          expect(at).toBeGreaterThanOrEqual(0);
          expect(at).toBeLessThanOrEqual(text.length);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("refuses bytes that are not UTF-8, by place", async () => {
    const path = file(Buffer.concat([Buffer.from('"ä"\n"ok"\n"é'), Buffer.from([0xff]), Buffer.from('"\n')]));
    await expect(importJsonl(store, path)).rejects.toMatchObject({ details: { line: 3, column: 3 } });
    const last = file(Buffer.concat([Buffer.from('1\n"'), Buffer.from([0xc3])]));
    await expect(importJsonl(store, last)).rejects.toMatchObject({ details: { line: 2, column: 2 } });
  });

  it("refuses a line over 1 MiB by number, even one that never ends, and stores nothing", async () => {
    const long = `"${"x".repeat(PAYLOAD_MAX_BYTES - 1)}"`;
    for (const content of [`1\n${long}\n2`, `1\n${long}`, `1\n"${"y".repeat(5_000_000)}`]) {
      await expect(importJsonl(store, file(content))).rejects.toMatchObject({
        code: "payload_too_large",
        details: { line: 2 },
      });
    }
    expect(await all(store.list())).toEqual([]);
    const fits = `"${"x".repeat(PAYLOAD_MAX_BYTES - 2)}"`;
    expect((await importJsonl(store, file(`${fits}\r\n${fits}`))).count).toBe(2);
    await expect(importJsonl(store, join(root, "none"))).rejects.toMatchObject({ code: "not_found" });
    await expect(importJsonl(store, root)).rejects.toMatchObject({ code: "invalid_input" });
  });
});

describe("offsets", () => {
  it("come back from their compact form, and damage is refused", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 2 ** 44 }), { maxLength: 200 }), fc.constantFrom(1, 1_000), (gaps, stride) => {
        let sum = 0;
        const offsets = gaps.map((gap) => (sum += gap));
        const bytes = encodeOffsets({ offsets, stride });
        expect(decodeOffsets(bytes)).toEqual({ offsets, stride });
        expect(() => decodeOffsets(bytes.subarray(0, -1))).toThrow(/damaged/);
        expect(() => decodeOffsets(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(/damaged/);
      }),
    );
    expect(
      encodeOffsets({ offsets: Array.from({ length: 1_000 }, (_, at) => at * 90_000), stride: 1_000 }).length,
    ).toBeLessThan(3_100);
  });
});
