import { expect, it, vi } from "vitest";
import { MemoryIo } from "./fixtures/memory-io.ts";
import { Output } from "./output.ts";
import type { RunView } from "./run-view.ts";
import { StatusLines } from "./status-lines.ts";

const job = (id: string, stage: number, state: string) => ({ id, stage, state });

function view(state: string, jobs: object[], more: object = {}): RunView {
  return {
    run: { createdAt: 0, endedAt: null, jobCount: jobs.length, ...more },
    stages: [{ name: "dev" }, { name: "test" }],
    state,
    over: state === "completed",
    jobs,
  } as unknown as RunView;
}

it("tells each job's state when one changes, at most once a second, and always at the end", () => {
  vi.useFakeTimers({ toFake: ["Date", "performance"], now: 0 });
  try {
    const io = new MemoryIo("/");
    const lines = new StatusLines(new Output(io, {}));
    const show = (seen: RunView, text?: string) =>
      lines.tell([{ view: seen, news: text === undefined ? [] : [{ at: 0, weight: "error", text }] }]);
    show(view("running", [job("dev", 0, "running"), job("tester", 1, "ready")]));
    vi.advanceTimersByTime(500);
    show(view("running", [job("dev", 0, "completed"), job("tester", 1, "running")]));
    vi.advanceTimersByTime(1_600);
    show(view("running", [job("dev", 0, "completed"), job("tester", 1, "running")]));
    show(view("running", [job("dev", 0, "completed"), job("tester", 1, "running")]), "it broke");
    vi.advanceTimersByTime(100);
    const ended = [job("dev", 0, "completed"), job("tester", 1, "completed")];
    show(view("completed", ended, { endedAt: 4_000, jobCount: 5 }));
    lines.end();
    expect(io.stderr.text.split("\n")).toEqual([
      "[0s] Pipeline status: running",
      "  [dev] dev: running",
      "  [test] tester: pending",
      "",
      "[2s] Pipeline status: running",
      "  [dev] dev: completed",
      "  [test] tester: running",
      "it broke",
      "",
      "[4s] Pipeline status: completed",
      "  [dev] dev: completed",
      "  [test] tester: completed",
      "  and 3 more",
      "",
    ]);
  } finally {
    vi.useRealTimers();
  }
});
