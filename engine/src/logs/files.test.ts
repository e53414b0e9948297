import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TenutoError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogLine } from "../ports/log-sink.ts";
import { type LogFiles, openLogFiles } from "./files.ts";
import { fileNameOf, outputNameOf } from "./names.ts";

// The disk is shared with other tests, so the usual limit says nothing.
vi.setConfig({ testTimeout: 30_000 });

const AT = Date.UTC(2026, 0, 29, 12, 0, 0);
const clock: Clock = { now: () => AT, after: () => ({ cancel() {} }) };

let root: string;
let logs: LogFiles;
let problems: TenutoError[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tenuto-logs-"));
  problems = [];
  logs = openLogFiles(join(root, "logs"), { clock, onProblem: (error) => problems.push(error) });
});
afterEach(async () => {
  await logs.close();
  rmSync(root, { recursive: true, force: true });
});

const line = (message: string, more: Partial<LogLine> = {}): LogLine => ({
  at: AT,
  run: "run-1",
  agent: "orchestrator",
  level: "INFO",
  message,
  ...more,
});
const textOf = (run = "run-1") => readFileSync(join(logs.folder(run), "run.log"), "utf8");
const linesOf = (text: string) => text.split("\n").slice(0, -1);

async function all(run = "run-1", options = {}) {
  const found = [];
  for await (const entry of logs.read(run, options)) found.push(entry);
  return found;
}

describe("lines", () => {
  it("have the form of the source documents, and JSON with everything beside it", async () => {
    expect(existsSync(join(root, "logs"))).toBe(false);
    logs.line(line("Starting extraction for PMA", { run: "job-123" }));
    const full = { job: "extract", attempt: 2, item: 7, agent: "extraction/html_parser", fields: { url: "https://x" } };
    logs.line(line("Failed to parse", { run: "job-123", level: "WARNING", at: AT + 1_234, ...full }));
    await logs.flush();
    expect(textOf("job-123")).toBe(
      "2026-01-29T12:00:00Z | job-123 | orchestrator | INFO | Starting extraction for PMA\n" +
        "2026-01-29T12:00:01Z | job-123 | extraction/html_parser | WARNING | Failed to parse\n",
    );
    const warning = {
      at: AT + 1_234,
      run: "job-123",
      level: "WARNING",
      message: "Failed to parse",
      ...full,
      number: 2,
    };
    expect((await all("job-123"))[1]).toEqual(warning);
  });

  it("stay one line each whatever the message holds, and the JSON gives the message back exactly", async () => {
    const messages: string[] = [];
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), async (message) => {
        messages.push(message);
        logs.line(line(message));
      }),
      { examples: [["a\nb\r\n\u0000\u001b[31m\u2028\u202e\u0085"]], numRuns: 300 },
    );
    await logs.flush();
    expect(linesOf(textOf())).toHaveLength(messages.length);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the test
    expect(textOf()).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/);
    expect(textOf()).toContain("a\\nb\\r\\n\\u0000\\u001b[31m\\u2028\\u202e\\u0085\n");
    expect((await all()).map(({ message }) => message)).toEqual(messages);
  });

  it("are read from any number on, filtered by job and least level, with numbers that stay", async () => {
    for (let number = 1; number <= 12_345; number++) {
      const level = number % 1_000 === 0 ? "ERROR" : number % 100 === 0 ? "WARNING" : "INFO";
      logs.line(line(`m${number}`, { job: number % 2 === 0 ? "a" : "b", level }));
    }
    for (const after of [0, 1, 4_999, 5_000, 5_001, 9_999, 12_344, 12_345, 99_999]) {
      const found = await all("run-1", { after });
      expect(found.length).toBe(Math.max(0, 12_345 - after));
      if (found.length > 0) expect(found[0]).toMatchObject({ number: after + 1, message: `m${after + 1}` });
    }
    const jobs = await all("run-1", { job: "a", after: 10_000 });
    expect(jobs.map(({ number }) => number)).toEqual(Array.from({ length: 1_172 }, (_, at) => 10_002 + 2 * at));
    expect(await all("run-1", { level: "WARNING" })).toHaveLength(123);
    expect(await all("run-1", { level: "ERROR" })).toHaveLength(12);
    expect(await all("none")).toEqual([]);
    logs.line(line("one more"));
    expect((await all("run-1", { after: 12_345 })).map(({ message }) => message)).toEqual(["one more"]);
  });

  it("torn by a crash are closed off, left out when read, and keep their number", async () => {
    logs.line(line("first"));
    await logs.close();
    for (const name of ["run.log", "run.jsonl"]) appendFileSync(join(logs.folder("run-1"), name), '{"half');
    logs = openLogFiles(join(root, "logs"), { clock });
    expect((await all()).map(({ number }) => number)).toEqual([1]);
    logs.line(line("second"));
    expect((await all()).map(({ number, message }) => [number, message])).toEqual([
      [1, "first"],
      [3, "second"],
    ]);
    expect(linesOf(textOf())).toHaveLength(3);
  });

  it("of several sinks on one run are all kept whole", async () => {
    const other = openLogFiles(join(root, "logs"), { clock });
    for (let round = 0; round < 50; round++) {
      for (let at = 0; at < 20; at++) (at % 2 === 0 ? logs : other).line(line(`${round} ${at} ${"x".repeat(200)}`));
      if (round % 7 === 0) await logs.flush();
    }
    await other.close();
    expect(await all()).toHaveLength(1_000);
    expect(linesOf(textOf()).every((text) => / \d+ \d+ x{200}$/.test(text))).toBe(true);
  });

  it("in a flood without a pause stay in order and in bounds, and can be written on the way out", async () => {
    for (let at = 0; at < 50_000; at++) logs.line(line(`flood ${at}`));
    const written = statSync(join(logs.folder("run-1"), "run.log")).size;
    expect(written).toBeGreaterThan(50_000 * 60 - 512 * 1024);
    logs.flushSync();
    expect(linesOf(textOf()).map((text) => text.slice(text.lastIndexOf(" ") + 1))).toEqual(
      Array.from({ length: 50_000 }, (_, at) => String(at)),
    );
  });

  it("of hundreds of runs need few open files", async () => {
    const few = openLogFiles(join(root, "few"), { clock, maxHandles: 8 });
    const before = process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
    for (let round = 0; round < 3; round++) {
      for (let run = 0; run < 400; run++) few.line(line(`round ${round}`, { run: `r${run}` }));
      await few.flush();
      if (process.platform === "linux") expect(readdirSync("/proc/self/fd").length).toBeLessThan(before + 24);
    }
    for (let run = 0; run < 400; run++) {
      expect(linesOf(readFileSync(join(few.folder(`r${run}`), "run.log"), "utf8"))).toHaveLength(3);
    }
    await few.close();
  });

  it("with fields that are no JSON, or with huge ones, still come out", async () => {
    const loop: Record<string, any> = {};
    loop.self = loop;
    logs.line(line("loop", { fields: loop }));
    logs.line(line("huge", { fields: { text: "y".repeat(300_000) } }));
    logs.line(line("z".repeat(1_000_000)));
    const [first, second, third] = await all();
    expect(first).toMatchObject({ message: "loop", fields: { omitted: expect.stringContaining("circular") } });
    expect(second).toMatchObject({ message: "huge", fields: { omitted: expect.stringContaining("262144") } });
    expect(third!.message).toMatch(/^z+ … \(934464 more characters/);
  });

  it("of a pruned run that begins again are not written into the void", async () => {
    logs.line(line("old"));
    await logs.flush();
    rmSync(logs.folder("run-1"), { recursive: true });
    logs.line(line("new"));
    expect((await all()).map(({ message }) => message)).toEqual(["new"]);
  });
});

describe("places", () => {
  const PADDING = "x".repeat(100);
  const write = async (from: number, to: number, sink = logs) => {
    for (let at = from; at < to; at++) {
      sink.line(line(`m${at} ${PADDING}`));
      if (at % 1_000 === 999) await sink.flush();
    }
    await sink.flush();
  };
  const numbers = async (sink: LogFiles, after: number) => {
    for await (const { number, message } of sink.read("run-1", { after })) return [number, message.split(" ")[0]];
    return null;
  };
  const right = async (sink: LogFiles, lines: number) => {
    expect(await sink.lines("run-1")).toBe(lines);
    for (const after of [0, 4_999, 5_000, 7_777, lines - 5_001, lines - 1])
      expect(await numbers(sink, after)).toEqual([after + 1, `m${after}`]);
    expect(await numbers(sink, lines)).toBeNull();
  };
  const index = () => join(logs.folder("run-1"), "run.places");

  it("are kept by who writes, and used by a sink that comes later; a wrong or missing index only costs time", async () => {
    await write(0, 23_456);
    const marks = linesOf(readFileSync(index(), "utf8")).length;
    expect(marks).toBeGreaterThanOrEqual(3);
    await right(logs, 23_456);
    const later = openLogFiles(join(root, "logs"), { clock });
    await right(later, 23_456);
    await write(23_456, 30_000, later);
    expect(linesOf(readFileSync(index(), "utf8")).length).toBeGreaterThan(marks);
    await right(openLogFiles(join(root, "logs"), { clock }), 30_000);
    await right(logs, 30_000);
    for (const wrong of ["", "nonsense\n1 2 3\n", readFileSync(index(), "utf8").replaceAll(/^\d+/gm, "1")]) {
      writeFileSync(index(), wrong);
      await right(openLogFiles(join(root, "logs"), { clock }), 30_000);
    }
    await later.close();
  });

  it("are not made while two write, and lines are counted then", async () => {
    const other = openLogFiles(join(root, "logs"), { clock });
    for (let round = 0; round < 15; round++) {
      for (let at = 0; at < 1_000; at++) (at % 2 === 0 ? logs : other).line(line(`both ${PADDING}`));
      await Promise.all([logs.flush(), other.flush()]);
    }
    expect(existsSync(index())).toBe(false);
    expect(await logs.lines("run-1")).toBe(15_000);
    const [last] = await all("run-1", { after: 14_999 });
    expect(last?.number).toBe(15_000);
    await other.close();
  });

  it("of a log that a crash has torn count the torn line", async () => {
    await write(0, 6_000);
    appendFileSync(join(logs.folder("run-1"), "run.jsonl"), '{"half');
    expect(await logs.lines("run-1")).toBe(6_001);
    expect(await logs.lines("none")).toBe(0);
  });
});

describe("trouble", () => {
  it("is told once and never thrown; lost lines are counted in the log once it works again", async () => {
    writeFileSync(join(root, "logs"), "a file where the folder should be");
    for (let at = 0; at < 5; at++) {
      logs.line(line(`lost ${at}`));
      await logs.flush();
    }
    const output = logs.output("run-1", "j", 1, null, 100);
    output.write("stdout", Buffer.from("lost too"));
    await output.close();
    expect(problems).toHaveLength(1);
    expect(logs.problem).toMatchObject({ details: { errno: "ENOTDIR" } });
    rmSync(join(root, "logs"));
    logs.line(line("back"));
    const found = await all();
    expect(found.map(({ message }) => message)).toEqual([
      "5 log lines before this one were lost, they could not be written",
      "back",
    ]);
    expect(found[0]).toMatchObject({ level: "WARNING", agent: "orchestrator" });
    expect(logs.problem).toBeNull();
  });

  const script = 'mount -t tmpfs -o size=1m tenuto "$1" && "$2" "$3" "$1"';
  const permitted =
    process.platform === "linux" &&
    spawnSync("unshare", ["-Urm", "sh", "-c", script, "sh", tmpdir(), "true", "-"]).status === 0;

  it.skipIf(!permitted)("of a full disk leaves the engine running and is told as disk_full", () => {
    const child = join(import.meta.dirname, "full-disk.child.ts");
    const argv = ["-Urm", "sh", "-c", script, "sh", root, process.execPath, child];
    const run = spawnSync("unshare", argv, { encoding: "utf8" });
    expect(run.stderr).toBe("");
    const { told, lastLines, outputBytes } = JSON.parse(run.stdout);
    expect(told).toEqual(["disk_full critical"]);
    expect(lastLines[0]).toMatch(/^\d+ log lines before this one were lost/);
    expect(lastLines[1]).toBe("space again");
    expect(outputBytes).toBeGreaterThan(0);
  });
});

describe("names", () => {
  it("are safe, and differ for ids that differ, even where case is ignored", () => {
    const ids = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[aA./%~1-]{0,6}$/));
    fc.assert(
      fc.property(ids, ids, (one, other) => {
        expect(fileNameOf(one)).toMatch(/^[A-Za-z0-9_%~-]{1,120}$/);
        if (one.toWellFormed() !== other.toWellFormed()) {
          expect(fileNameOf(one).toLowerCase()).not.toBe(fileNameOf(other).toLowerCase());
        }
      }),
      { numRuns: 2_000 },
    );
    expect(fileNameOf("crawl/example.com")).toBe("crawl%2Fexample%2Ecom");
    expect(fileNameOf("..")).toBe("%2E%2E");
    expect(fileNameOf("con")).toMatch(/^con~/);
    expect(fileNameOf("PMA-1")).toMatch(/^PMA-1~[0-9a-f]{12}$/);
    expect(fileNameOf("x".repeat(5_000)).length).toBeLessThan(120);
    expect(outputNameOf("a", 1, 2)).not.toBe(outputNameOf("a.1", 2, null));
  });
});
