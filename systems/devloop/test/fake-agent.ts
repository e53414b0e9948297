/**
 * An agent that behaves badly on purpose: `fake-agent.ts MODE DIALECT MARK`.
 *
 * Modes: ok, hang, hang-after-result, grandchild, flood, failing, same, crash, error-events. Dialects: plain, claude, codex.
 * MARK is in the command line of every process it starts, so that a test can look for what is left.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync, writeSync } from "node:fs";

const [mode, dialect = "plain", mark = ""] = process.argv.slice(2);
const prompt = readFileSync(0, "utf8");
const role = /You are the (\w+) of a team/.exec(prompt)?.[1] ?? "dev";

const GOOD = `export function slugify(title: string): string {
  return title.normalize("NFD").replaceAll(/\\p{Mn}/gu, "").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
}
`;
const TESTS = `import assert from "node:assert/strict";
import { test } from "node:test";
import { slugify } from "../src/slug.ts";
test("accents", () => assert.equal(slugify("Crème Brûlée"), "creme-brulee"));
`;

function write(text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(1, bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

function work(): string {
  if (role === "tester") {
    writeFileSync("test/slug.test.ts", TESTS);
    return '{"test_scenarios": [{"name": "accents"}], "gaps": []}';
  }
  if (role === "verifier") return '{"verification_result": "pass", "findings": [], "recommendation": ""}';
  if (mode === "same") writeFileSync("src/note.ts", `export const at = ${Date.now()};\n`);
  else if (mode !== "failing") writeFileSync("src/slug.ts", GOOD);
  return "I did it.";
}

function result(text: string): void {
  const bad = mode === "error-events";
  if (dialect === "claude") {
    write(`${JSON.stringify({ type: "system", subtype: "init", session_id: "s" })}\n`);
    const subtype = bad ? "error_during_execution" : "success";
    write(
      `${JSON.stringify({ type: "result", subtype, is_error: bad, result: text, num_turns: 1, usage: { input_tokens: 1, output_tokens: 1 } })}\n`,
    );
  } else if (dialect === "codex") {
    write(
      `${JSON.stringify({ type: "thread.started", thread_id: "t" })}\n${JSON.stringify({ type: "turn.started" })}\n`,
    );
    write(`${JSON.stringify({ type: "item.completed", item: { id: "i", type: "agent_message", text } })}\n`);
    if (bad) write(`${JSON.stringify({ type: "turn.failed", error: { message: "at capacity" } })}\n`);
    else
      write(
        `${JSON.stringify({ type: "turn.completed", usage: { input_tokens: 1, cached_input_tokens: 0, output_tokens: 1 } })}\n`,
      );
  } else write(`${text}\n`);
}

function stayForEver(): void {
  process.on("SIGTERM", () => {});
  setInterval(() => {}, 1_000);
}

/** A child in a session of its own that holds our standard output. */
function leaveGrandchild(): void {
  const child = spawn("sh", ["-c", `trap '' TERM; while :; do sleep 1; done # ${mark}`], {
    detached: true,
    stdio: ["ignore", "inherit", "inherit"],
  });
  child.unref();
}

function flood(): void {
  const line = `${JSON.stringify({ type: "noise", text: "x".repeat(980) })}\n`.repeat(1_000);
  for (let bytes = 0; bytes < 200_000_000; bytes += line.length) write(line);
}

// Whoever writes tests and verdicts behaves: the mode is the developer's.
const asked = role === "dev" ? mode : "ok";
if (asked === "hang") stayForEver();
else if (asked === "crash") process.kill(process.pid, "SIGKILL");
else {
  if (asked === "flood") flood();
  const text = work();
  if (asked === "grandchild") leaveGrandchild();
  result(text);
  if (asked === "hang-after-result") stayForEver();
}
