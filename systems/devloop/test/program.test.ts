/** Programs that misbehave: what runProgram makes of them, and that nothing of them is left. */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLineCutter, plainText, Tail } from "../harness/lines.ts";
import { programEnvironment, runProgram } from "../harness/program.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "devloop-program-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const run = (script: string, more: Partial<Parameters<typeof runProgram>[0]> = {}) =>
  runProgram({ argv: ["sh", "-c", script], cwd: folder, timeoutMs: 20_000, ...more });

const alive = (pid: number) => existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

test("output, exit code and standard input", async () => {
  const lines: string[] = [];
  const result = await run("cat; echo two >&2; exit 3", {
    stdin: "one\n",
    onLine: (stream, line) => {
      lines.push(`${stream} ${line}`);
      return undefined;
    },
  });
  expect(result).toMatchObject({ exitCode: 3, ended: null, stdoutBytes: 4 });
  expect(lines.sort()).toEqual(["stderr two", "stdout one"]);
});

test("a program that hangs is ended at its limit, even if it ignores the polite signal", async () => {
  const startedAt = performance.now();
  const result = await run("trap '' TERM; echo $$; while :; do sleep 1; done", { timeoutMs: 300, killMs: 200 });
  expect(result).toMatchObject({ ended: "timeout", exitCode: null, signal: "SIGKILL" });
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  expect(alive(Number(result.tail))).toBe(false);
});

test("one that stays on after its final line is given a grace and then ended", async () => {
  const result = await run("echo final; while :; do sleep 1; done", {
    finalGraceMs: 100,
    onLine: (_, line) => line === "final",
  });
  expect(result).toMatchObject({ sawFinal: true, ended: "after_final" });
});

test("a child that keeps the output open is not waited for, and is gone afterwards", async () => {
  const startedAt = performance.now();
  const result = await run("sleep 600 & echo $!; exit 0", { drainMs: 100 });
  expect(result).toMatchObject({ exitCode: 0, ended: null });
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  expect(alive(Number(result.tail))).toBe(false);
});

test("a stop ends it", async () => {
  const stop = new AbortController();
  const result = await run("echo on; while :; do sleep 1; done", {
    signal: stop.signal,
    onLine: () => {
      stop.abort();
      return undefined;
    },
  });
  expect(result.ended).toBe("stopped");
});

test("200 MB of output cost no memory: lines, and one line without an end", async () => {
  const before = process.memoryUsage().rss;
  let lines = 0;
  const many = await run("yes 0123456789012345678901234567890123456789 | head -c 100000000", {
    onLine: () => {
      lines += 1;
      return undefined;
    },
  });
  const one = await run("head -c 100000000 /dev/zero | tr '\\0' x", { maxLineBytes: 1_000_000 });
  expect(many.stdoutBytes + one.stdoutBytes).toBe(200_000_000);
  expect(lines).toBeGreaterThan(2_000_000);
  expect(one.tail).toBe("[a line of more than 1000000 bytes was left out]");
  expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
});

test("a program that is not there says so", async () => {
  const result = await runProgram({ argv: ["no-such-program-at-all"], cwd: folder, timeoutMs: 1_000 });
  expect(result.startError).toBe("no-such-program-at-all can't be started: no such program");
});

test("the environment is a short list; tokens of the job are not on it", () => {
  process.env["DEVLOOP_CANARY"] = "secret";
  process.env["TENUTO_TOKEN"] = "token";
  process.env["NODE_OPTIONS_CANARY"] = "x";
  try {
    const env = programEnvironment(["DEVLOOP_CANARY", "TENUTO_TOKEN"]);
    expect(env["DEVLOOP_CANARY"]).toBe("secret");
    expect(env["TENUTO_TOKEN"]).toBeUndefined();
    expect(Object.keys(programEnvironment()).filter((name) => /CANARY|TOKEN|NODE_OPTIONS|^LD_/.test(name))).toEqual([]);
  } finally {
    for (const name of ["DEVLOOP_CANARY", "TENUTO_TOKEN", "NODE_OPTIONS_CANARY"]) delete process.env[name];
  }
});

describe("lines", () => {
  const cut = (chunks: (string | Buffer)[], max?: number) => {
    const lines: string[] = [];
    const cutter = createLineCutter((line) => lines.push(line), max);
    for (const chunk of chunks) cutter.add(Buffer.from(chunk as string));
    cutter.end();
    return lines;
  };

  test("are put together over chunks, characters too", () => {
    const euro = Buffer.from("a€b\nc");
    expect(cut([euro.subarray(0, 2), euro.subarray(2, 3), euro.subarray(3)])).toEqual(["a€b", "c"]);
    expect(cut(["one\r\ntwo", "\n\n"])).toEqual(["one", "two", ""]);
  });

  test("that are too long become one marker, and the next is whole again", () => {
    expect(cut(["x".repeat(8), "x".repeat(8), "\nnext\n"], 10)).toEqual([
      "[a line of more than 10 bytes was left out]",
      "next",
    ]);
  });

  test("lose what a terminal would act on", () => {
    expect(plainText("\u001b]0;title\u0007\u001b[1;31mred\u001b[0m\u0007\u0000 end")).toBe("red end");
  });

  test("a tail holds the last ones within its size", () => {
    const tail = new Tail(20);
    for (let at = 0; at < 1_000; at++) tail.add(`line ${at}`);
    expect(tail.text()).toBe("line 998\nline 999");
  });
});
