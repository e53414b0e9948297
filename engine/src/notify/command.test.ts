/** Programs that are told about runs. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { runProgram } from "./command.ts";
import { MESSAGE } from "./fixtures/message.ts";

const ENV = { PATH: process.env["PATH"], HOME: "/nowhere", SECRET_KEY: "hidden" };
const never = () => new AbortController().signal;
const node = (code: string) => [process.execPath, "-e", code];

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "tenuto-notify-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

it("gets the message on standard input, and little of the environment", async () => {
  const file = join(folder(), "out.json");
  const code = `const fs=require("fs"); fs.writeFileSync(${JSON.stringify(file)}, JSON.stringify({ env: process.env, text: fs.readFileSync(0, "utf8") }))`;
  await runProgram(node(code), MESSAGE, never(), { env: ENV, cwd: tmpdir() });
  const { env, text } = JSON.parse(readFileSync(file, "utf8"));
  expect(JSON.parse(text)).toEqual(MESSAGE);
  expect(env).toMatchObject({ HOME: "/nowhere", TENUTO_NOTIFICATION: MESSAGE.id });
  expect(env.SECRET_KEY).toBeUndefined();
});

it("a program that reads nothing is none the worse", async () => {
  await runProgram(node("process.exit(0)"), MESSAGE, never(), { env: ENV, cwd: tmpdir() });
});

it("an exit code other than 0 is tried again, with what it said last", async () => {
  const failing = runProgram(node('console.error("mailbox is full"); process.exit(3)'), MESSAGE, never(), {
    env: ENV,
    cwd: tmpdir(),
  });
  await expect(failing).rejects.toMatchObject({
    category: "retryable",
    message: expect.stringMatching(/ended with 3: mailbox is full$/),
  });
});

it("a program that is not there", async () => {
  await expect(
    runProgram(["no-such-program-at-all"], MESSAGE, never(), { env: ENV, cwd: tmpdir() }),
  ).rejects.toMatchObject({
    category: "retryable",
    message: expect.stringContaining("can't be started (ENOENT)"),
  });
});

it.skipIf(process.platform === "win32")("one that takes too long is ended with all that it started", async () => {
  const file = join(folder(), "pids");
  const inner = `require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" }).pid`;
  const code = `const pid = ${inner}; require("fs").writeFileSync(${JSON.stringify(file)}, process.pid + " " + pid); process.stdout.write("ready"); setInterval(() => {}, 1000)`;
  const stop = new AbortController();
  const running = runProgram(node(code), MESSAGE, stop.signal, { env: ENV, cwd: tmpdir() });
  for (let text = ""; !/ \d/.test(text); ) {
    await new Promise((next) => setImmediate(next));
    try {
      text = readFileSync(file, "utf8");
    } catch {
      // Not written yet.
    }
  }
  stop.abort();
  await expect(running).rejects.toMatchObject({ message: expect.stringContaining("took too long") });
  const alive = (pid: number) => {
    try {
      return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    } catch {
      return false;
    }
  };
  const pids = readFileSync(file, "utf8").split(" ").map(Number);
  while (pids.some(alive)) await new Promise((next) => setImmediate(next));
  expect(pids.map(alive)).toEqual([false, false]);
});
