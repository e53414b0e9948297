/**
 * Every state of a job against every event, as tables: what it becomes, or the code of the refusal. `=` is accepted
 * without a change of state.
 */
import { expect, it } from "vitest";
import { errorOf, jobRow, sliceIn } from "../testing/builders.ts";
import { table } from "../testing/table.ts";
import * as changes from "./changes.ts";
import type { Slice, Verdict } from "./decision.ts";
import { ATTEMPT_MOVES, ITEM_MOVES, JOB_MOVES, mayMoveItem, mayMoveJob, mayMoveRun, RUN_MOVES } from "./lifecycle.ts";
import type { ItemState, JobState, RunRow, RunState } from "./model.ts";
import { type PropagationSource, propagate } from "./propagate.ts";
import { Unit } from "./unit.ts";

const AT = 5_000;
const LEASE = { epoch: 3, boot: 7 };
const OLD = { epoch: 2, boot: 7 };
const POLICY = { maxRetries: 2, delayMs: 1_000, onExhausted: "fail" as const };
const SKIP_POLICY = { ...POLICY, maxRetries: 0, onExhausted: "skip" as const };
const JOB_STATES = Object.keys(JOB_MOVES) as JobState[];
const RUN_STATES = Object.keys(RUN_MOVES) as RunState[];

/** What a change makes of a job, in one word. */
function word(change: { decide: (slice: never, at: number, numbers: never) => Verdict }, slice: Slice): string {
  const numbers = { run: () => 1, jobs: () => 9 };
  const verdict = change.decide({ ...slice, twin: null, parent: null } as never, AT, numbers as never);
  if (!verdict.ok) return verdict.code;
  return verdict.job?.state ?? "=";
}

/** The word for a consequence, decided on a unit of its own. */
function consequence(
  kind: "cancel" | "halt" | "begin" | "child" | "dependents",
  slice: Slice,
  on: "success" | "failure" | "always" = "success",
  source: JobState = "completed",
): string {
  const unit = new Unit(AT);
  const { run, stage, job } = slice;
  const before = job.state;
  unit.runs.set(1, run);
  unit.stages.set("1:0", stage);
  unit.jobs.set(1, job);
  const other = jobRow({ seq: 2, id: "other", state: source, endedAt: 1 });
  const from: PropagationSource = {
    run: () => run,
    stage: () => stage,
    job: (seq) => (seq === 1 ? job : other),
    slice: () => slice,
    edges: () => [{ from: 2, to: 1, on }],
    jobs: (_, states) => (states.includes(job.state) ? [1] : []),
    nextOfKey: () => undefined,
    openOfKey: () => undefined,
    maps: () => [],
  };
  propagate(unit, from, { kind, run: 1, subject: kind === "dependents" ? 2 : 1, cursor: 0 }, 10);
  return job.state === before ? "=" : job.state;
}

const jobEvents: Record<string, (slice: Slice) => string> = {
  claim: (slice) => word(changes.claimChild(1, 7), slice),
  complete: (slice) => word(changes.completeJob(1, LEASE, null), slice),
  reuse: (slice) => word(changes.reuseJob(1, LEASE, null, "x"), slice),
  skip: (slice) => word(changes.skipJob(1, LEASE, "when", null), slice),
  "fail permanent": (slice) => word(changes.failJob(1, LEASE, errorOf("permanent"), POLICY), slice),
  "fail retryable": (slice) => word(changes.failJob(1, LEASE, errorOf("retryable"), POLICY), slice),
  "fail exhausted": (slice) => word(changes.failJob(1, LEASE, errorOf("retryable"), SKIP_POLICY), slice),
  "fail skippable": (slice) => word(changes.failJob(1, LEASE, errorOf("skippable"), POLICY), slice),
  "fail critical": (slice) => word(changes.failJob(1, LEASE, errorOf("critical"), POLICY), slice),
  park: (slice) => word(changes.parkJob(1, LEASE, { dueAt: AT + 1, reason: "sleep" }), slice),
  giveBack: (slice) => word(changes.giveBack(1, LEASE, null, "stop"), slice),
  cancelled: (slice) => word(changes.cancelledJob(1, LEASE), slice),
  "late complete": (slice) => word(changes.completeJob(1, OLD, null), slice),
  "late fail": (slice) => word(changes.failJob(1, OLD, errorOf("retryable"), POLICY), slice),
  lost: (slice) => word(changes.loseLease(1, 7, 3), slice),
  "lost thrice": (slice) => word(changes.loseLease(1, 7, 1), slice),
  "lost, other boot": (slice) => word(changes.loseLease(1, 8, 3), slice),
  timer: (slice) => word(changes.timerDue(1), slice),
  wake: (slice) => word(changes.wakeJob(1), slice),
  spawn: (slice) =>
    word(
      changes.spawnJob(
        1,
        LEASE,
        null,
        { key: "k", kind: "single", agent: "x/y", priority: null, allowFailure: false, spec: "{}" },
        "a/k",
      ),
      slice,
    ),
};

const sweeps: Record<string, (slice: Slice) => string> = {
  "sweep cancel": (slice) => consequence("cancel", slice),
  "sweep halt": (slice) => consequence("halt", slice),
  "need met": (slice) => consequence("dependents", slice),
  "need unmet": (slice) => consequence("dependents", slice, "success", "failed"),
  "on failure": (slice) => consequence("dependents", slice, "failure", "failed"),
  "on failure, went well": (slice) => consequence("dependents", slice, "failure", "completed"),
  always: (slice) => consequence("dependents", slice, "always", "skipped"),
  "child ended": (slice) => consequence("child", slice),
};

function jobTable(run: Partial<RunRow>): string {
  const events = { ...jobEvents, ...sweeps };
  const columns = Object.fromEntries(
    JOB_STATES.map((state) => [state, (event: string) => events[event]?.(sliceIn(state, {}, run)) ?? ""]),
  );
  return table(Object.keys(events), columns);
}

it("job × event, in a running run", () => {
  expect(`\n${jobTable({})}\n`).toMatchInlineSnapshot(`
    "
                          | pending            | ready      | running            | waiting            | completed          | failed             | skipped            | cancelled
    claim                 | illegal_transition | running    | illegal_transition | illegal_transition | illegal_transition | illegal_transition | illegal_transition | illegal_transition
    complete              | lease_lost         | lease_lost | completed          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    reuse                 | lease_lost         | lease_lost | completed          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    skip                  | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail permanent        | lease_lost         | lease_lost | failed             | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail retryable        | lease_lost         | lease_lost | ready              | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail exhausted        | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail skippable        | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail critical         | lease_lost         | lease_lost | failed             | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    park                  | lease_lost         | lease_lost | waiting            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    giveBack              | lease_lost         | lease_lost | ready              | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    cancelled             | lease_lost         | lease_lost | ready              | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    late complete         | lease_lost         | lease_lost | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    late fail             | lease_lost         | lease_lost | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    lost                  | =                  | =          | ready              | =                  | =                  | =                  | =                  | =
    lost thrice           | =                  | =          | failed             | =                  | =                  | =                  | =                  | =
    lost, other boot      | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    timer                 | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    wake                  | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    spawn                 | lease_lost         | lease_lost | =                  | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    sweep cancel          | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    sweep halt            | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    need met              | ready              | =          | =                  | =                  | =                  | =                  | =                  | =
    need unmet            | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    on failure            | ready              | =          | =                  | =                  | =                  | =                  | =                  | =
    on failure, went well | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    always                | ready              | =          | =                  | =                  | =                  | =                  | =                  | =
    child ended           | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    "
  `);
});

it("job × event, while the run is being cancelled", () => {
  expect(`\n${jobTable({ cancelRequestedAt: 1 })}\n`).toMatchInlineSnapshot(`
    "
                          | pending            | ready      | running            | waiting            | completed          | failed             | skipped            | cancelled
    claim                 | illegal_transition | cancelled  | illegal_transition | illegal_transition | illegal_transition | illegal_transition | illegal_transition | illegal_transition
    complete              | lease_lost         | lease_lost | completed          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    reuse                 | lease_lost         | lease_lost | completed          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    skip                  | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail permanent        | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail retryable        | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail exhausted        | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail skippable        | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail critical         | lease_lost         | lease_lost | failed             | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    park                  | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    giveBack              | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    cancelled             | lease_lost         | lease_lost | cancelled          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    late complete         | lease_lost         | lease_lost | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    late fail             | lease_lost         | lease_lost | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    lost                  | =                  | =          | cancelled          | =                  | =                  | =                  | =                  | =
    lost thrice           | =                  | =          | cancelled          | =                  | =                  | =                  | =                  | =
    lost, other boot      | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    timer                 | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    wake                  | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    spawn                 | lease_lost         | lease_lost | run_cancelled      | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    sweep cancel          | cancelled          | cancelled  | =                  | cancelled          | =                  | =                  | =                  | =
    sweep halt            | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    need met              | cancelled          | =          | =                  | =                  | =                  | =                  | =                  | =
    need unmet            | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    on failure            | cancelled          | =          | =                  | =                  | =                  | =                  | =                  | =
    on failure, went well | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    always                | cancelled          | =          | =                  | =                  | =                  | =                  | =                  | =
    child ended           | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    "
  `);
});

it("job × event, after a halt", () => {
  expect(`\n${jobTable({ haltedAt: 1 })}\n`).toMatchInlineSnapshot(`
    "
                          | pending            | ready      | running            | waiting            | completed          | failed             | skipped            | cancelled
    claim                 | illegal_transition | skipped    | illegal_transition | illegal_transition | illegal_transition | illegal_transition | illegal_transition | illegal_transition
    complete              | lease_lost         | lease_lost | completed          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    reuse                 | lease_lost         | lease_lost | completed          | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    skip                  | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail permanent        | lease_lost         | lease_lost | failed             | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail retryable        | lease_lost         | lease_lost | failed             | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail exhausted        | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail skippable        | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    fail critical         | lease_lost         | lease_lost | failed             | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    park                  | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    giveBack              | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    cancelled             | lease_lost         | lease_lost | skipped            | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    late complete         | lease_lost         | lease_lost | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    late fail             | lease_lost         | lease_lost | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    lost                  | =                  | =          | skipped            | =                  | =                  | =                  | =                  | =
    lost thrice           | =                  | =          | failed             | =                  | =                  | =                  | =                  | =
    lost, other boot      | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    timer                 | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    wake                  | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    spawn                 | lease_lost         | lease_lost | run_cancelled      | lease_lost         | lease_lost         | lease_lost         | lease_lost         | lease_lost
    sweep cancel          | =                  | =          | =                  | =                  | =                  | =                  | =                  | =
    sweep halt            | skipped            | skipped    | =                  | skipped            | =                  | =                  | =                  | =
    need met              | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    need unmet            | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    on failure            | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    on failure, went well | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    always                | skipped            | =          | =                  | =                  | =                  | =                  | =                  | =
    child ended           | =                  | =          | =                  | ready              | =                  | =                  | =                  | =
    "
  `);
});

it("what the rules do is what the lifecycle allows", () => {
  for (const run of [{}, { cancelRequestedAt: 1 }, { haltedAt: 1 }])
    for (const state of JOB_STATES)
      for (const [name, event] of Object.entries({ ...jobEvents, ...sweeps })) {
        const after = event(sliceIn(state, {}, run));
        if (JOB_STATES.includes(after as JobState))
          expect(mayMoveJob(state, after as JobState), `${name}: ${state} → ${after}`).toBe(true);
      }
  expect(RUN_STATES.filter((state) => mayMoveRun(state, "running"))).toEqual([
    "pending",
    "waiting",
    "failed",
    "cancelled",
  ]);
  expect((Object.keys(ITEM_MOVES) as ItemState[]).filter((state) => mayMoveItem("completed", state))).toEqual([]);
  expect(Object.values(ATTEMPT_MOVES).flat()).toEqual(["completed", "failed", "lost", "stopped"]);
});
