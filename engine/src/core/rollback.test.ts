/** Order, document and words of a rollback; what a rerun compares. */
import { expect, it } from "vitest";
import { runRow } from "../testing/builders.ts";
import type { JobSpec, PipelineDocument } from "./document.ts";
import type { RunState } from "./model.ts";
import { validateDocument } from "./pipeline.ts";
import { changedWork, declaredValues, unknownReferences } from "./rerun.ts";
import { isUndoable, notUndone, originRefusal, rollbackDocument, rollbackState, undoOrder } from "./rollback.ts";

const spec = (id: string, more: Partial<JobSpec> = {}): JobSpec => ({
  id,
  agent: "test/act",
  compensate: { agent: "test/undo", input: { of: "{{ output }}" } },
  ...more,
});
const undoable = (...ids: string[]) => new Map(ids.map((id, at) => [id, { seq: at + 1, id, spec: spec(id) }]));

it("undoes in the reverse order of completion; a job that completed twice counts by its last time", () => {
  const order = undoOrder(["a", "b", "a", "other", "c"], undoable("a", "b", "c"));
  expect(order.map((job) => job.id)).toEqual(["c", "a", "b"]);
  expect(undoOrder([], undoable("a"))).toEqual([]);
});

it("only what the run did itself can be undone", () => {
  expect(isUndoable(spec("a"), null)).toBe(true);
  expect(isUndoable(spec("a"), "reused:run-1/a")).toBe(false);
  expect(isUndoable(spec("a"), "planned")).toBe(false);
  expect(isUndoable(spec("a", { multiply: { source: [] } }), null)).toBe(false);
  expect(isUndoable({ id: "a", agent: "test/act" }, null)).toBe(false);
});

it("the document is a chain that stops at a failure, keeps templates and policy, and is a valid pipeline but for its marks", () => {
  const origin: PipelineDocument = {
    name: "work",
    kind: "graph",
    defaults: { onExhausted: "skip", timeoutSeconds: 5 },
    concurrency: { key: "k", onConflict: "queue" },
    runId: "x-{seq}",
    limiters: { slow: { concurrency: 1 } },
    agents: { "test/undo": "3" },
    stages: [{ name: "s", jobs: [spec("a")] }],
  };
  const document = rollbackDocument(origin, [
    {
      seq: 7,
      id: "tester/dev 1/{{x}}",
      spec: spec("x", { compensate: { command: { argv: ["undo", "{{ output }}"] }, retry: { maxRetries: 9 } } }),
    },
    { seq: 5, id: "a", spec: spec("a") },
  ]);
  expect(document).toEqual({
    name: "work",
    kind: "graph",
    defaults: { onExhausted: "skip", timeoutSeconds: 5 },
    limiters: { slow: { concurrency: 1 } },
    agents: { "test/undo": "3" },
    stages: [
      {
        name: "undo",
        jobs: [
          {
            id: "undo-01-tester.dev.1...x..",
            agent: "command/inline",
            command: { argv: ["undo", "{{ output }}"] },
            needs: [],
            onExhausted: "fail",
            retry: { maxRetries: 9 },
            summary: "undo tester/dev 1/{ {x}}",
            compensates: { job: "tester/dev 1/{{x}}", seq: 7 },
          },
          {
            id: "undo-02-a",
            agent: "test/undo",
            input: { of: "{{ output }}" },
            needs: [{ job: "undo-01-tester.dev.1...x..", on: "success" }],
            onExhausted: "fail",
            summary: "undo a",
            compensates: { job: "a", seq: 5 },
          },
        ],
      },
    ],
  });
  const problems = validateDocument(document).map((found) => found.path.replace(/^.*\]\./, ""));
  expect(new Set(problems)).toEqual(new Set(["compensates", "command.argv[1]", "input.of"]));
});

it.each<[RunState, number, string]>([
  ["pending", 0, "rolling back"],
  ["running", 2, "rolling back"],
  ["waiting", 3, "rolling back"],
  ["completed", 3, "rolled back"],
  ["completed", 2, "partially rolled back"],
  ["failed", 3, "partially rolled back"],
  ["cancelled", 0, "partially rolled back"],
])("a rollback that is %s with %i of 3 done is %s", (state, done, word) => {
  expect(rollbackState(state, done, 3)).toBe(word);
});

it("is refused by what the origin is", () => {
  const code = (patch: Parameters<typeof runRow>[0], rollback: RunState | null, relation: "rollback" | "rerun") =>
    originRefusal(
      { run: runRow(patch), rollback: rollback === null ? null : { seq: 2, id: "r", state: rollback } },
      relation,
    )?.code ?? null;
  const ended = { state: "failed", endedAt: 1 } as const;
  expect(code(ended, null, "rollback")).toBeNull();
  expect(code({ state: "completed", endedAt: 1 }, null, "rollback")).toBeNull();
  expect(code({ state: "running" }, null, "rollback")).toBe("illegal_transition");
  expect(code({ state: "running" }, null, "rerun")).toBe("illegal_transition");
  expect(code({ ...ended, propagating: 1 }, null, "rerun")).toBe("conflict");
  for (const state of ["running", "completed", "failed"] as const)
    expect(code(ended, state, "rollback")).toBe("conflict");
  expect(code(ended, "completed", "rerun")).toBeNull();
  expect(code({ ...ended, variant: '{"relation":"rollback"}' }, null, "rollback")).toBe("illegal_transition");
  expect(code({ ...ended, variant: '{"dryRun":true}' }, null, "rollback")).toBe("illegal_transition");
});

it("a compensation that skips has failed, and says how to mend it", () => {
  expect(notUndone("a", "not today", null)).toMatchObject({
    category: "permanent",
    code: "not_undone",
    message: "the compensation of job a was skipped: not today",
  });
  const error = { category: "skippable" as const, code: "404", message: "gone" };
  expect(notUndone("a", "", error)).toMatchObject({ category: "permanent", code: "404", message: "gone" });
});

it("a rerun compares what goes into a result, and nothing else", () => {
  const base = spec("a", { input: { x: "{{ jobs.b.output.x }}", y: 1 }, retry: { maxRetries: 1 } });
  expect(
    changedWork(base, { ...base, retry: { maxRetries: 5 }, priority: "high", summary: "x", needs: [] }),
  ).toBeNull();
  expect(changedWork(base, { ...base, input: { y: 1, x: "{{ jobs.b.output.x }}" } })).toBeNull();
  expect(changedWork(base, { ...base, input: { x: 2 } })).toBe("input");
  expect(changedWork(base, { ...base, gate: { maxWarnings: 1 } })).toBe("gate");
  expect(changedWork(base, { ...base, agent: "test/other" })).toBe("agent");
  const values = declaredValues({ ...base, when: { eq: ["{{ jobs.c.state }}", "completed"] } });
  expect(unknownReferences(values, new Set(["b"]))).toEqual(["jobs.b.output.x"]);
  expect(unknownReferences(values, new Set(["b", "c"]))).toEqual(["jobs.b.output.x", "jobs.c.state"]);
  expect(unknownReferences(values, new Set(["d"]))).toEqual([]);
});
