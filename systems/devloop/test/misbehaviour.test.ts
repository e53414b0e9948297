/**
 * Agents that misbehave, each in a whole run: it ends within its limit and two seconds, with the right verdict, and nothing
 * of the agent is left.
 */
import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { git } from "../harness/git.ts";
import { type Bench, type Ended, fakeAgent, openBench, processesWith } from "./bench.ts";

const LIMIT_SECONDS = 4;

async function within(options: Parameters<typeof openBench>[0], use: (bench: Bench, mark: string) => Promise<void>) {
  const mark = `mark-${randomUUID()}`;
  const bench = await openBench(options);
  try {
    await use(bench, mark);
    await bench.tenuto.close();
    expect(processesWith(mark)).toEqual([]);
  } finally {
    await bench.close();
  }
}

const errorOf = (ended: Ended, id: string) => JSON.parse(ended.job(id).error ?? "null");
const secondsOf = (ended: Ended, id: string) => (ended.job(id).endedAt! - ended.job(id).firstStartedAt!) / 1_000;

test.each([
  ["command", "plain"],
  ["claude-code", "claude"],
  ["codex", "codex"],
])("an agent that works, in the dialect of %s", async (agent, dialect) => {
  await within({}, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-test", { agent, agentCommand: fakeAgent("ok", dialect, mark) });
    expect([ended.end.state, ended.output("tester").gate.verdict]).toEqual(["completed", "PASSED"]);
    expect(ended.output("dev").files).toEqual([{ path: "src/slug.ts", change: "changed" }]);
  });
});

test("hang: ended at its limit, and the run fails", async () => {
  await within({ timeoutSeconds: LIMIT_SECONDS }, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-test", { agentCommand: fakeAgent("hang", "plain", mark) });
    expect(ended.end.state).toBe("failed");
    // On a busy machine the engine may be first; it says the same.
    const { code, details } = errorOf(ended, "dev");
    expect(code === "timeout" ? "timeout_exceeded (4 s)" : details.stderr).toBe("timeout_exceeded (4 s)");
    expect(secondsOf(ended, "dev")).toBeLessThan(LIMIT_SECONDS + 1 + 2);
    expect(ended.job("tester").state).toBe("skipped");
    expect(ended.job("cleanup").state).toBe("completed");
  });
});

test.each([
  ["claude-code", "claude"],
  ["codex", "codex"],
])("hang after the result of %s: its work counts, and it is ended after the grace", async (agent, dialect) => {
  await within({ timeoutSeconds: 30 }, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-only", {
      agent,
      agentCommand: fakeAgent("hang-after-result", dialect, mark),
    });
    expect(ended.end.state).toBe("completed");
    expect(ended.output("dev").files).toHaveLength(1);
    expect(secondsOf(ended, "dev")).toBeLessThan(25);
  });
});

test("hang after the last line of a program without a protocol: ended at its limit, since nobody can know", async () => {
  await within({ timeoutSeconds: LIMIT_SECONDS }, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-only", { agentCommand: fakeAgent("hang-after-result", "plain", mark) });
    expect(ended.end.state).toBe("failed");
    expect(secondsOf(ended, "dev")).toBeLessThan(LIMIT_SECONDS + 1 + 2);
  });
});

test("a grandchild that holds the output is not waited for, and does not outlive the job", async () => {
  await within({ timeoutSeconds: 30 }, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-only", { agentCommand: fakeAgent("grandchild", "plain", mark) });
    expect(ended.end.state).toBe("completed");
    expect(secondsOf(ended, "dev")).toBeLessThan(25);
  });
});

test("200 MB of output before the result", async () => {
  await within({ timeoutSeconds: 120 }, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-only", {
      agent: "claude-code",
      agentCommand: fakeAgent("flood", "claude", mark),
    });
    expect(ended.end.state).toBe("completed");
  });
});

test.each([
  ["claude-code", "claude", "Claude Code ended with error_during_execution"],
  ["codex", "codex", "Codex: at capacity"],
])("exit code 0 with error events of %s is a failure", async (agent, dialect, message) => {
  await within({}, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-only", {
      agent,
      agentCommand: fakeAgent("error-events", dialect, mark),
    });
    expect(ended.end.state).toBe("failed");
    expect(errorOf(ended, "dev").details.stderr).toContain(message);
  });
});

test("an agent that is killed is a failure worth another attempt", async () => {
  await within({ maxRetries: 1 }, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-only", { agentCommand: fakeAgent("crash", "plain", mark) });
    expect([ended.end.state, ended.job("dev").attempt]).toEqual(["failed", 2]);
    expect(errorOf(ended, "dev").category).toBe("retryable");
  });
});

test("exit code 0 with failing tests is FAILED; the same failure three times in a row ends the loop", async () => {
  await within({}, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-test", { agentCommand: fakeAgent("failing", "plain", mark) });
    expect(ended.end.state).toBe("failed");
    expect(errorOf(ended, "tester")).toMatchObject({
      code: "gate_failed",
      details: {
        verdict: "FAILED",
        findings: [{ message: expect.stringContaining("the same failure 3 times in a row") }, {}],
      },
    });
    expect(ended.jobs.map((job) => job.id).filter((id) => id.startsWith("tester/"))).toHaveLength(2);
  });
});

test("a developer that changes this and that, but never what is wrong", async () => {
  await within({}, async (bench, mark) => {
    const ended = await bench.run("devloop-dev-test", { agentCommand: fakeAgent("same", "plain", mark) });
    expect(ended.end.state).toBe("failed");
    const children = ended.jobs.filter((job) => job.id.startsWith("tester/"));
    expect(children.map((job) => job.state)).toEqual(["completed", "completed"]);
  });
});

test("a verdict of pass beside failing tests is FAILED", async () => {
  const failing = 'import { test } from "node:test";\ntest("never", () => { throw new Error("no"); });\n';
  const bench = await openBench({}, { "test/known.test.ts": failing });
  try {
    const ended = await bench.run("devloop-test-only", { agent: "none" });
    expect([ended.end.state, errorOf(ended, "tester").details.verdict]).toEqual(["failed", "FAILED"]);
  } finally {
    await bench.close();
  }
});

test("an agent that commits, makes branches and changes what it may not: its allowed changes are one commit, the rest is put back and named", async () => {
  await within({}, async (bench, mark) => {
    const script = `cat > /dev/null # ${mark}
git -c user.name=x -c user.email=x@y checkout -q -b elsewhere
echo 'export const mine = 1;' > src/mine.ts
echo owned > README.md
git add -A && git -c user.name=x -c user.email=x@y commit -q -m mine
echo done`;
    const params = { agentCommand: ["sh", "-c", script], allowedPaths: ["./src/"] };
    const ended = await bench.run("devloop-dev-only", params);
    expect(ended.output("dev")).toMatchObject({
      files: [{ path: "src/mine.ts", change: "added" }],
      outside: ["README.md"],
    });
    expect(ended.output("cleanup").branch).toBe(`tenuto/${ended.id}`);
  });
});

test("a planner that writes: nothing of it stays", async () => {
  await within({}, async (bench, mark) => {
    const plan = '{"tasks": [{"id": "a", "description": "a", "type": "dev"}]}';
    const script = `cat > /dev/null # ${mark}\necho owned > src/slug.ts; echo owned > new.txt; echo '${plan}'`;
    const ended = await bench.run("devloop-plan-only", { agentCommand: ["sh", "-c", script] });
    expect([ended.end.state, ended.output("planner").outside.sort()]).toEqual([
      "completed",
      ["new.txt", "src/slug.ts"],
    ]);
    expect(ended.output("cleanup")).toEqual({ branch: null });
  });
});

test("what a test run leaves in the worktree is nobody's change", async () => {
  const litter =
    'import { writeFileSync } from "node:fs";\nimport { test } from "node:test";\ntest("litters", () => writeFileSync("coverage.txt", "x"));\n';
  const bench = await openBench({}, { "test/litter.test.ts": litter });
  try {
    const ended = await bench.run("devloop-test-only", {
      agentCommand: fakeAgent("ok", "plain", "m"),
      allowedPaths: ["test"],
    });
    expect(JSON.parse(ended.job("tester").error!).code).toBe("gate_failed");
    expect(await git(bench.repository, ["show", "--stat", "--format=%s", `tenuto/${ended.id}`])).not.toContain(
      "coverage.txt",
    );
  } finally {
    await bench.close();
  }
});
