import { afterAll, describe, expect, it } from "vitest";
import type { AttemptApi, ExecutionOutcome, ThreadAttempt, ThreadExecutor } from "../ports/executor.ts";
import { cleanUp, failure, manualTimers, recordingApi, type Trial } from "./fixtures/attempts.ts";
import { createThreadExecutor } from "./thread.ts";

const module = new URL("./fixtures/thread-agents.ts", import.meta.url).href;
const executor = createThreadExecutor({ size: 1, resourceLimits: { maxOldGenerationSizeMb: 40 } });
afterAll(async () => {
  await executor.close();
  cleanUp();
});

interface Run {
  outcome: Promise<ExecutionOutcome>;
  calls: Trial["calls"];
  /** Resolves with the first line that the agent logs. */
  logged: Promise<string>;
  abort(reason: string): void;
}

function start(agent: string, over: Partial<ThreadAttempt> = {}, on: ThreadExecutor = executor): Run {
  const controller = new AbortController();
  const calls: Trial["calls"] = [];
  const api = recordingApi(calls);
  const outcome = { promise: null as unknown as Promise<ExecutionOutcome> };
  const logged = new Promise<string>((resolve) => {
    const log: AttemptApi["log"] = (level, message, fields) => {
      api.log(level, message, fields);
      resolve(message);
    };
    outcome.promise = on.run({
      agent: `test/${agent}`,
      module,
      input: { n: 1 },
      context: {
        runId: "r",
        jobId: "j",
        params: { p: 1 },
        attempt: 1,
        epoch: 1,
        item: 3,
        idempotencyKey: "r/j/3",
        dryRun: false,
        workspace: "/tmp",
      },
      timeoutMs: 60_000,
      api: { ...api, log },
      signal: controller.signal,
      ...over,
    });
  });
  return { outcome: outcome.promise, calls, logged, abort: (reason) => controller.abort(reason) };
}

const outcomeOf = (agent: string, over: Partial<ThreadAttempt> = {}) => start(agent, over).outcome;

describe("an agent in a thread", () => {
  it("has its context, and its operations reach the attempt", async () => {
    const one = start("everything");
    expect(await one.outcome).toEqual({
      kind: "completed",
      output: {
        first: "r/j/3/a\\/b/1",
        artifact: { $artifact: "sha256:ab", name: "page", bytes: 2, mediaType: "text/plain" },
        child: { state: "completed" },
        params: { p: 1 },
        item: 3,
      },
    });
    const hash = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(one.calls).toEqual([
      ["log", "INFO", "begun", { input: { n: 1 } }],
      ["progress", 1, 2, undefined],
      ["step", "a\\/b/1", hash],
      ["saveStep", "a\\/b/1", hash, "r/j/3/a\\/b/1"],
      ["artifact", "page", new TextEncoder().encode("text"), "text/plain", undefined],
      ["limit", "api", "key:1"],
      ["spend", "money", 2],
      ["spawn", "child", { agent: "test/other", input: 1 }],
      ["sleep", "nap", 5],
    ]);
  });

  it("is found by name, with its version, or in a list", async () => {
    for (const name of ["versioned", "versioned@2"]) {
      expect(await outcomeOf(name)).toEqual({ kind: "completed", output: "2" });
    }
    expect(await outcomeOf("in_list")).toEqual({ kind: "completed", output: "found in a list" });
    expect(failure(await outcomeOf("missing")).code).toBe("unknown_agent");
  });

  it("does not run a recorded step again", async () => {
    const api = { ...recordingApi([]), step: () => Promise.resolve({ found: true as const, output: "recorded" }) };
    expect(await outcomeOf("found", { api })).toEqual({ kind: "completed", output: "recorded" });
  });

  it("may skip, may fail, and is told what it may not do", async () => {
    expect(await outcomeOf("skips")).toEqual({ kind: "skipped", reason: "nothing to do" });
    expect(failure(await outcomeOf("fails"))).toMatchObject({ category: "skippable", message: "no such page" });
    const rules = [[{ class: "RangeError", category: "critical" as const }]];
    expect(failure(await outcomeOf("fails", { rules })).category).toBe("critical");
    const twice = failure(await outcomeOf("twice"));
    expect(twice.code).toBe("duplicate_step_key");
    expect(JSON.stringify(twice.details)).toContain("thread-agents");
    expect(failure(await outcomeOf("unclonable")).code).toBe("agent_error");
  });

  it("gets the engine's refusals as errors with their code", async () => {
    const api = {
      ...recordingApi([]),
      step: () => Promise.reject(Object.assign(new Error("gone"), { code: "lease_lost" })),
    };
    expect(failure(await outcomeOf("found", { api })).code).toBe("lease_lost");
  });
});

describe("a thread that does not behave", () => {
  it.each([["exits"], ["hungry"], ["throws_later"]])("%s fails its attempt, and the next one runs", async (agent) => {
    const error = failure(await outcomeOf(agent));
    expect(error).toMatchObject({ code: "agent_error", category: "permanent" });
    expect(error.hint).not.toBe("");
    expect((await outcomeOf("versioned")).kind).toBe("completed");
  });

  it("is terminated when a busy loop outlives the grace", async () => {
    const timers = manualTimers();
    const own = createThreadExecutor({ timers, graceMs: 7 });
    const cancelled = start("busy", {}, own);
    await cancelled.logged;
    cancelled.abort("cancel");
    timers.fire(7);
    expect(await cancelled.outcome).toEqual({ kind: "stopped" });
    const late = start("busy", { timeoutMs: 9 }, own);
    await late.logged;
    timers.fire(9);
    timers.fire(7);
    expect(failure(await late.outcome)).toMatchObject({ code: "timeout", category: "retryable" });
    await own.close();
  });

  it("hears of its abort; what it returns after a stop counts, after a cancel it does not", async () => {
    for (const [reason, kind] of [
      ["stop", "completed"],
      ["cancel", "stopped"],
    ] as const) {
      const one = start("polite");
      await one.logged;
      one.abort(reason);
      expect((await one.outcome).kind).toBe(kind);
    }
  });

  it("keeps others waiting; who is aborted while waiting never starts", async () => {
    const first = start("polite");
    await first.logged;
    const second = start("everything");
    const third = start("versioned");
    second.abort("cancel");
    expect(await second.outcome).toEqual({ kind: "stopped" });
    expect(second.calls).toEqual([]);
    first.abort("cancel");
    expect((await third.outcome).kind).toBe("completed");
  });

  it("is ended by close()", async () => {
    const own = createThreadExecutor({ graceMs: 1 });
    const one = start("busy", {}, own);
    await one.logged;
    await own.close();
    expect(await one.outcome).toEqual({ kind: "stopped" });
  });
});
