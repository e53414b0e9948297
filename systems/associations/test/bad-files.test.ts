/** Files of records as a disk full, an editor or somebody else's program leaves them: what is a record is read, the rest is counted. */
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readJsonl, writeJsonl } from "../adapters/files.ts";
import { linesOfFile, MAX_LINE_BYTES } from "../adapters/lines.ts";
import { collect, fromFiles } from "../adapters/records.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function fileWith(content: string | Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "files-"));
  folders.push(folder);
  await writeFile(join(folder, "records.jsonl"), content);
  return join(folder, "records.jsonl");
}

const one = '{"company_name":"Zorbel"}\n';

test.each<[string, string | Uint8Array, number, number]>([
  ["a byte order mark", `\ufeff${one}${one}`, 2, 0],
  ["half a line at the end", `${one}{"company_name":"Quin`, 1, 1],
  ["lines of Windows, and empty ones", `${one.replace("\n", "\r\n")}\r\n\n${one}`, 2, 0],
  [
    "letters that are no UTF-8",
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from(`"}\n${one}`)]),
    2,
    0,
  ],
  ["UTF-16", Buffer.from(one + one, "utf16le"), 0, 3],
  ["a list instead of lines", '[{"a":1},{"a":2}]', 0, 1],
  ["zeros of a disk that was full", `\0\0\0\0${one}${one}`, 1, 1],
  ["nothing", "", 0, 0],
])("%s", async (_, content, good, bad) => {
  const source = fromFiles([await fileWith(content)]);
  expect([(await collect(source)).length, source.unreadable()]).toEqual([good, bad]);
});

test("line separators within a text end no line: what was written is read again", async () => {
  const records = [
    { company_name: "Zorbel\u2028Gears\u2029\u0085\v\f", nested: ["\r", "\n"] },
    { company_name: "Quindle" },
  ];
  const path = await fileWith("");
  await writeJsonl(path, records);
  expect(await collect(fromFiles([path]))).toEqual(records);
  expect((await readJsonl(path)).records).toEqual(records);
});

test("a line without end is one bad line, and no memory", async () => {
  const path = await fileWith(one);
  const file = await open(path, "a");
  // A hole, which takes no room on the disk, and reads as zeros.
  await file.truncate(one.length + 40 * MAX_LINE_BYTES);
  await file.close();
  const before = process.memoryUsage().rss;
  const source = fromFiles([path]);
  expect([(await collect(source)).length, source.unreadable()]).toEqual([1, 1]);
  expect(process.memoryUsage().rss - before).toBeLessThan(20 * MAX_LINE_BYTES);
});

test("lines are the same however the file is cut into chunks", async () => {
  const lines = ["é".repeat(300_000), "", "ß", "x".repeat(262_144), "🙂".repeat(70_000), "last"];
  expect(await collect(linesOfFile(await fileWith(lines.join("\n"))))).toEqual(lines);
  const short = linesOfFile(await fileWith("12345\n123456\n12"), { maxLineBytes: 5 });
  expect(await collect(short)).toEqual(["12345", null, "12"]);
});

test("a folder is no file, and says so", async () => {
  const path = await fileWith(one);
  await mkdir(`${path}.d`);
  await expect(collect(fromFiles([`${path}.d`]))).rejects.toMatchObject({
    message: expect.stringContaining("is a folder"),
    hint: expect.stringContaining("Run the mode before"),
  });
});
