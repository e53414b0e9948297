import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { ProcessIdentity } from "../ports/executor.ts";
import { createCommandExecutor } from "./command.ts";
import { cleanUp, failure, manualTimers, markedPids, trial, until } from "./fixtures/attempts.ts";

const executor = createCommandExecutor({
  guard: false,
  environment: {
    PATH: process.env.PATH,
    HOME: "/home/test",
    LC_ALL: "C",
    SECRET: "s3cret",
    PASSED: "on",
    TENUTO_DATABASE: "postgres://secret",
    TENUTO_TOKEN: "the engine's own",
  },
});
afterAll(async () => {
  await executor.close();
  cleanUp();
});

const sh = (script: string) => ["sh", "-c", script];
const run = (command: Parameters<typeof trial>[0]) => executor.run(trial(command).attempt);

describe("what a command gets", () => {
  it("gets its variables, the allow-list and what it asks for, and nothing else of the engine", async () => {
    const one = trial(
      {
        argv: ["env"],
        env: { OWN: "x y", TENUTO_RUN_ID: "forged", TENUTO_ITEM: "9" },
        passEnv: ["PASSED", "TENUTO_DATABASE"],
      },
      { item: null },
    );
    expect((await executor.run(one.attempt)).kind).toBe("completed");
    const entries = one.bytes("stdout").toString().trim().split("\n");
    const env = Object.fromEntries(entries.map((line) => [line.split("=")[0]!, line.slice(line.indexOf("=") + 1)]));
    expect(env).toMatchObject({ OWN: "x y", PASSED: "on", HOME: "/home/test", LC_ALL: "C", TENUTO_RUN_ID: "run-1" });
    expect(env).toMatchObject({ TENUTO_JOB_ID: "job-1", TENUTO_ATTEMPT: "1", TENUTO_WORKSPACE: one.attempt.workspace });
    expect(env.TENUTO_TOKEN).toMatch(/^[0-9a-f]{32}$/);
    expect(Buffer.byteLength(env.TENUTO_URL!)).toBeLessThan(100);
    for (const name of ["SECRET", "TENUTO_DATABASE", "TENUTO_ITEM"]) expect(env).not.toHaveProperty(name);
  });

  it("reads its input as JSON, its standard input from the spec, and starts in its workspace", async () => {
    const one = trial({ argv: sh('cat; cat "$TENUTO_INPUT"; pwd; echo $TENUTO_ITEM'), stdin: "given " }, { item: 7 });
    await executor.run(one.attempt);
    expect(one.bytes("stdout").toString()).toBe(`given {"greeting":"hello"}${one.attempt.workspace}\n7\n`);
  });

  it("is not interpreted by a shell", async () => {
    const one = trial({ argv: ["printf", "%s", "$HOME; `id` && *"] });
    await executor.run(one.attempt);
    expect(one.bytes("stdout").toString()).toBe("$HOME; `id` && *");
  });

  it("may leave its standard input unread", async () => {
    expect(await run({ argv: ["true"], stdin: "x".repeat(1_000_000) })).toEqual({ kind: "completed", output: null });
  });
});

describe("what a command gives", () => {
  it("gives the JSON of its output file, null without one", async () => {
    expect(await run({ argv: sh(`printf '\\357\\273\\277{"a":[1,"é"]}' > "$TENUTO_OUTPUT"`) })).toEqual({
      kind: "completed",
      output: { a: [1, "é"] },
    });
    expect(await run({ argv: ["true"] })).toEqual({ kind: "completed", output: null });
  });

  it("gives standard output as JSON or text", async () => {
    expect(await run({ argv: ["echo", "[1]"], output: "stdout-json" })).toEqual({ kind: "completed", output: [1] });
    const text = await run({ argv: ["echo", "ä b"], output: "stdout-text" });
    expect(text).toEqual({ kind: "completed", output: "ä b\n" });
  });

  it("is refused with the position when it is not JSON or not UTF-8", async () => {
    const wrong = failure(await run({ argv: ["printf", '{\n "a": nope}'], output: "stdout-json" }));
    expect(wrong).toMatchObject({ code: "output_invalid", category: "permanent", details: { line: 2, column: 7 } });
    const empty = failure(await run({ argv: ["true"], output: "stdout-json" }));
    expect(empty).toMatchObject({ code: "output_invalid", details: { offset: 0 } });
    const latin = failure(await run({ argv: ["printf", "abc\\351"], output: "stdout-text" }));
    expect(latin).toMatchObject({ code: "output_invalid", details: { offset: 3 } });
  });

  it("is refused above 1 MB with the advice to use an artifact", async () => {
    const big = "head -c 1048577 /dev/zero | tr '\\0' 1";
    const out = failure(await run({ argv: sh(big), output: "stdout-text" }));
    const file = failure(await run({ argv: sh(`${big} > "$TENUTO_OUTPUT"`) }));
    for (const error of [out, file]) {
      expect(error.code).toBe("payload_too_large");
      expect(error.hint).toContain("use an artifact");
    }
  });

  it("is refused when the output is a pipe or a link instead of a file", async () => {
    const pipe = failure(await run({ argv: sh('mkfifo "$TENUTO_OUTPUT"') }));
    expect(pipe.code).toBe("output_invalid");
    const link = trial({ argv: ["true"] });
    symlinkSync("/etc/passwd", join(link.attempt.scratch, "output.json"));
    expect(failure(await executor.run(link.attempt)).code).toBe("output_invalid");
  });

  it("R-27: arrives byte for byte, whatever the bytes", async () => {
    const bytes = Buffer.alloc(300_000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + (i >> 8)) & 0xff;
    const special = Buffer.concat([Buffer.from([0xed, 0xa0, 0x80, 0, 0xff, 0xfe]), Buffer.from("\x1b[31m50%\r51%\r…")]);
    const content = Buffer.concat([special, bytes, Buffer.alloc(10_000_000, "x"), special]);
    const one = trial({ argv: sh("cat content; cat content >&2") });
    writeFileSync(join(one.attempt.workspace, "content"), content);
    expect((await executor.run(one.attempt)).kind).toBe("completed");
    expect(one.bytes("stdout").equals(content)).toBe(true);
    expect(one.bytes("stderr").equals(content)).toBe(true);
  });
});

describe("R-28: how a command ends", () => {
  const codes = [1, 2, 3, 64, 74, 76, 77, 79, 126, 127, 128, 130, 137, 254, 255];

  it("maps exit codes", async () => {
    const errors = await Promise.all(codes.map(async (code) => failure(await run({ argv: sh(`exit ${code}`) }))));
    for (const [index, exitCode] of codes.entries()) {
      expect(errors[index]).toMatchObject({ code: "command_failed", category: "permanent", details: { exitCode } });
    }
    expect(failure(await run({ argv: sh("exit 75") }))).toMatchObject({ category: "retryable" });
    const critical = failure(await run({ argv: sh("echo key is invalid >&2; exit 78") }));
    expect(critical).toMatchObject({ category: "critical", details: { exitCode: 78, stderr: "key is invalid" } });
    expect(critical.message).toBe("sh exited with code 78: key is invalid");
    const talkative = failure(await run({ argv: sh("echo first >&2; echo last >&2; exit 3") }));
    expect(talkative.message).toBe("sh exited with code 3: last");
    expect(failure(await run({ argv: sh("exit 3") })).message).toBe("sh exited with code 3");
  });

  it("names every signal that ends it", async () => {
    const harmless = ["SIGCHLD", "SIGCLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"];
    const signals = Object.entries(constants.signals).filter(([name]) => !harmless.includes(name));
    expect(signals.length).toBeGreaterThan(20);
    const details = await Promise.all(
      signals.map(async ([, number]) => failure(await run({ argv: sh(`ulimit -c 0; kill -${number} $$`) })).details),
    );
    for (const [index, [name, number]] of signals.entries()) {
      expect(details[index], name).toMatchObject({ exitCode: null, signalNumber: number });
    }
  });

  it("ends who holds the pipes from another session as well, before the outcome", async () => {
    const prefix = `away-${process.pid}`;
    const own = createCommandExecutor({ guard: false, markerPrefix: prefix, drainMs: 1 });
    const script = "setsid sh -c 'echo > away; exec sleep 1000' & while [ ! -e away ]; do sleep 0.01; done";
    expect((await own.run(trial({ argv: sh(script) }).attempt)).kind).toBe("completed");
    expect(await markedPids(prefix)).toEqual([]);
    await own.close();
  });

  it("waits for pipes held by a grandchild no longer than the drain time, and ends it", async () => {
    const timers = manualTimers();
    const own = createCommandExecutor({ guard: false, markerPrefix: `held-${process.pid}`, timers });
    const one = trial({ argv: sh("sleep 1000 & setsid sleep 1000 & sleep 1000 >/dev/null 2>&1 & echo out; exit 3") });
    const outcome = own.run(one.attempt);
    await until("the shell has gone", async () => (await markedPids(`held-${process.pid}`)).length === 3);
    timers.fire(5_000);
    expect(failure(await outcome)).toMatchObject({ details: { exitCode: 3 } });
    expect(await markedPids(`held-${process.pid}`)).toEqual([]);
    expect(one.bytes("stdout").toString()).toBe("out\n");
    await own.close();
  });
});

describe("R-29: a command that can't be started", () => {
  it.each([
    ["ENOENT", { argv: ["/no/such/program"] }, "no such program"],
    ["ENOTDIR", { argv: ["/etc/passwd/x"] }, "ENOTDIR"],
    ["E2BIG", { argv: ["true", "x".repeat(3_000_000)] }, "too long"],
    ["ENOENT", { argv: ["true"], cwd: "missing" }, "does not exist"],
    ["ENOTDIR", { argv: ["true"], cwd: "/etc/passwd" }, "is not a folder"],
    ["ERR_INVALID_ARG_VALUE", { argv: ["true", "a\0b"] }, "null bytes"],
    ["ERR_INVALID_ARG_TYPE", { argv: [] }, "can't be started"],
  ])("%s is permanent: %o", async (reason, command, message) => {
    const error = failure(await run(command));
    expect(error).toMatchObject({ code: "command_not_startable", category: "permanent", details: { reason } });
    expect(error.message).toContain(message);
  });

  it("EACCES is permanent", async () => {
    const one = trial({ argv: ["./script"] });
    mkdirSync(join(one.attempt.workspace, "folder"));
    writeFileSync(join(one.attempt.workspace, "script"), "");
    chmodSync(join(one.attempt.workspace, "script"), 0o644);
    const error = failure(await executor.run(one.attempt));
    expect(error).toMatchObject({
      code: "command_not_startable",
      category: "permanent",
      details: { reason: "EACCES" },
    });
  });

  it("EMFILE is retryable, and passes", () => {
    const script = fileURLToPath(new URL("./fixtures/short-of-files.ts", import.meta.url));
    const child = spawnSync("sh", ["-c", `ulimit -n 64; exec "${process.execPath}" "${script}"`], { encoding: "utf8" });
    const [before, during, after] = JSON.parse(child.stdout);
    expect(before.kind).toBe("completed");
    expect(during.error).toMatchObject({ code: "command_not_startable", category: "retryable" });
    expect(after.kind).toBe("completed");
  });

  it("leaks no file descriptor over 300 starts", async () => {
    const count = () => readdirSync("/proc/self/fd").length;
    const kinds = [["true"], ["false"], ["/no/such/program"], sh("exit 75")];
    await Promise.all(kinds.map((argv) => run({ argv, stdin: "x" })));
    const before = count();
    for (let i = 0; i < 300; i += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, j) => run({ argv: kinds[(i + j) % 4]!, stdin: "x" })));
    }
    expect(count()).toBeLessThanOrEqual(before);
  }, 20_000);
});

describe("what is recorded", () => {
  it("tells of the start and, once the tree is dead, of the end", async () => {
    const told: (ProcessIdentity | null)[] = [];
    const own = createCommandExecutor({ guard: false, recordProcess: (_, identity) => void told.push(identity) });
    await own.run(trial({ argv: ["true"] }).attempt);
    expect(told[0]).toMatchObject({ pid: expect.any(Number), pidStart: expect.stringMatching(/^\d+$/) });
    await own.close();
    expect(told).toEqual([expect.anything(), null]);
  });

  it("ends a program that can't be recorded, and passes the failure on", async () => {
    const own = createCommandExecutor({
      guard: false,
      markerPrefix: `unrecorded-${process.pid}`,
      recordProcess: () => Promise.reject(new Error("the lease is lost")),
    });
    await expect(own.run(trial({ argv: ["sleep", "1000"] }).attempt)).rejects.toThrow("the lease is lost");
    expect(await markedPids(`unrecorded-${process.pid}`)).toEqual([]);
    await own.close();
  });

  it("fails, and does not fall over, when the receiver of output throws", async () => {
    const output = () => {
      throw Object.assign(new Error("disk is full"), { code: "ENOSPC" });
    };
    const one = trial({ argv: sh("echo x; sleep 1000") }, { output });
    expect(failure(await executor.run(one.attempt))).toMatchObject({ code: "disk_full", category: "critical" });
  });
});
