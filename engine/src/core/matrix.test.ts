/**
 * Every state of a job, run, window and attempt against every event, as tables: what it becomes, or the code of the refusal.
 * `=` is accepted without a change of state.
 */
import { expect, it } from "vitest";
import { errorOf, fanoutRow, jobRow, runRow, stageRow, windowRow } from "../testing/builders.ts";
import * as changes from "./changes.ts";
import type { Effect, Slice, Verdict } from "./decision.ts";
import { ATTEMPT_MOVES, ITEM_MOVES, JOB_MOVES, mayMoveItem, mayMoveJob, mayMoveRun, RUN_MOVES } from "./lifecycle.ts";
import type { FanoutRow, ItemState, JobRow, JobState, RunRow, RunState, WindowRow } from "./model.ts";
import { type PropagationSource, propagate } from "./propagate.ts";
import { settleRun } from "./run.ts";
import { Unit } from "./unit.ts";

const AT = 5_000;
const LEASE = { epoch: 3, boot: 7 };
const OLD = { epoch: 2, boot: 7 };
const POLICY = { maxRetries: 2, delayMs: 1_000, onExhausted: "fail" as const };
const SKIP_POLICY = { ...POLICY, maxRetries: 0, onExhausted: "skip" as const };
const JOB_STATES = Object.keys(JOB_MOVES) as JobState[];
const RUN_STATES = Object.keys(RUN_MOVES) as RunState[];

function sliceIn(state: JobState, patch: Partial<JobRow> = {}, run: Partial<RunRow> = {}): Slice {
  const over = JOB_MOVES[state].includes("pending") || state === "completed";
  const job = jobRow({
    state,
    blockers: state === "pending" ? 1 : 0,
    claimable: state === "ready" ? 1 : 0,
    boot: state === "running" ? 7 : null,
    attemptBoot: state === "running" ? 7 : null,
    dueAt: state === "waiting" ? AT : null,
    epoch: 3,
    attempt: 3,
    startedAt: 1,
    endedAt: over ? 2 : null,
    openChildren: 1,
    children: 1,
    ...patch,
  });
  const live = state === "ready" || state === "running" ? 1 : 0;
  const counters = { openJobs: over ? 0 : 1, liveJobs: live, waitingJobs: state === "waiting" ? 1 : 0 };
  const stage = stageRow({
    settled: over ? 1 : 0,
    failed: state === "failed" ? 1 : 0,
    completed: state === "completed" ? 1 : 0,
  });
  return {
    run: runRow({ ...counters, failedJobs: state === "failed" ? 1 : 0, ...run }),
    stage,
    job,
    fanout: null,
    window: null,
  };
}

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

function table(rows: readonly string[], columns: Record<string, (row: string) => string>): string {
  const width = (texts: string[]) => Math.max(...texts.map((text) => text.length));
  const names = Object.keys(columns);
  const cells = rows.map((row) => [row, ...names.map((name) => columns[name]?.(row) ?? "")]);
  const lines = [["", ...names], ...cells];
  const widths = (lines[0] as string[]).map((_, at) => width(lines.map((line) => line[at] as string)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] as number))
        .join(" | ")
        .trimEnd(),
    )
    .join("\n");
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

it("run × event", () => {
  const of = (state: RunState, patch: Partial<RunRow> = {}) => {
    const over = state === "completed" || state === "failed" || state === "cancelled";
    return runRow({
      state,
      endedAt: over ? 2 : null,
      openJobs: over ? 0 : 1,
      liveJobs: state === "running" ? 1 : 0,
      ...patch,
    });
  };
  const runWord = (verdict: Verdict) =>
    verdict.ok ? (verdict.run?.state ?? Object.keys(verdict.run ?? {}).join("+")) || "=" : verdict.code;
  const settled = (run: RunRow) => {
    const found = settleRun(run, AT);
    return found === null ? "=" : found.deadlock ? "deadlock" : (found.decision.run?.state ?? "=");
  };
  const reopened = (run: RunRow) =>
    runWord(
      changes.reopenRun(1).decide({ run, jobs: [], edges: [], state: () => undefined, stages: [], holder: null }, AT),
    );
  const columns: Record<string, (state: string) => string> = {
    cancel: (state) => runWord(changes.cancelRun(1, null).decide({ run: of(state as RunState) }, AT)),
    "cancel again": (state) =>
      runWord(changes.cancelRun(1, null).decide({ run: of(state as RunState, { cancelRequestedAt: 1 }) }, AT)),
    halt: (state) => runWord(changes.haltRun(1, errorOf("critical")).decide({ run: of(state as RunState) }, AT)),
    retry: (state) => reopened(of(state as RunState)),
    "retry too early": (state) => reopened(of(state as RunState, { propagating: 1 })),
    "all jobs ended": (state) => settled(of(state as RunState, { openJobs: 0, liveJobs: 0 })),
    "one had failed": (state) => settled(of(state as RunState, { openJobs: 0, liveJobs: 0, failedJobs: 1 })),
    "under cancel": (state) => settled(of(state as RunState, { openJobs: 0, liveJobs: 0, cancelRequestedAt: 1 })),
    "after halt": (state) => settled(of(state as RunState, { openJobs: 0, liveJobs: 0, haltedAt: 1 })),
    "all wait": (state) => settled(of(state as RunState, { openJobs: 2, liveJobs: 0, waitingJobs: 1 })),
    "one is live": (state) => settled(of(state as RunState, { openJobs: 2, liveJobs: 1 })),
    "none can go on": (state) => settled(of(state as RunState, { openJobs: 2, liveJobs: 0 })),
    "more to follow": (state) => settled(of(state as RunState, { openJobs: 2, liveJobs: 0, propagating: 1 })),
  };
  expect(`\n${table(RUN_STATES, columns)}\n`).toMatchInlineSnapshot(`
    "
              | cancel             | cancel again       | halt     | retry              | retry too early    | all jobs ended | one had failed | under cancel | after halt | all wait | one is live | none can go on | more to follow
    pending   | cancelRequestedAt  | =                  | haltedAt | illegal_transition | illegal_transition | completed      | failed         | cancelled    | failed     | =        | =           | =              | =
    running   | cancelRequestedAt  | =                  | haltedAt | illegal_transition | illegal_transition | completed      | failed         | cancelled    | failed     | waiting  | =           | deadlock       | =
    waiting   | cancelRequestedAt  | =                  | haltedAt | illegal_transition | illegal_transition | completed      | failed         | cancelled    | failed     | =        | running     | deadlock       | =
    completed | illegal_transition | illegal_transition | =        | cannot_resume      | cannot_resume      | =              | =              | =            | =          | =        | =           | =              | =
    failed    | illegal_transition | illegal_transition | =        | running            | conflict           | =              | =              | =            | =          | =        | =           | =              | =
    cancelled | illegal_transition | illegal_transition | =        | running            | conflict           | =              | =              | =            | =          | =        | =           | =              | =
    "
  `);
});

it("window × event", () => {
  const windows: Record<string, WindowRow | null> = {
    "held here": windowRow(),
    "held elsewhere": windowRow({ boot: 8 }),
    "next epoch": windowRow({ epoch: 2 }),
    released: windowRow({ boot: null, slots: 0 }),
    gone: null,
  };
  const lease = { epoch: 1, boot: 7 };
  const row = (ordinal: number, state: ItemState) => ({
    job: 1,
    ordinal,
    state,
    attempts: 1,
    result: null,
    error: null,
    dueAt: null,
    endedAt: AT,
  });
  const play = (
    change: { decide(slice: never, at: number): Verdict },
    name: string,
    fanout: Partial<FanoutRow> = {},
  ) => {
    const slice = sliceIn("waiting", { kind: "fanout" });
    const verdict = change.decide(
      {
        ...slice,
        fanout: fanoutRow({ cursor: 4, leased: 1, slotsUsed: 2, windowEpoch: 2, ...fanout }),
        window: windows[name],
      } as never,
      AT,
    );
    if (!verdict.ok) return verdict.code;
    const window =
      verdict.window === "drop"
        ? "dropped"
        : verdict.window === undefined
          ? "="
          : verdict.window.boot === null
            ? "released"
            : `open ${verdict.window.open}`;
    return verdict.job?.state === undefined ? window : `${window}, job ${verdict.job.state}`;
  };
  const columns: Record<string, (name: string) => string> = {
    "one completed": (name) => play(changes.settleItems(1, 0, lease, [row(0, "completed")], false), name),
    "one tried again": (name) => play(changes.settleItems(1, 0, lease, [row(0, "pending")], false), name),
    "all completed": (name) =>
      play(
        changes.settleItems(
          1,
          0,
          lease,
          [0, 1, 2, 3].map((n) => row(n, "completed")),
          false,
        ),
        name,
      ),
    "all, the last": (name) =>
      play(
        changes.settleItems(
          1,
          0,
          lease,
          [0, 1, 2, 3].map((n) => row(n, "completed")),
          false,
        ),
        name,
        { total: 4 },
      ),
    "all, slots kept": (name) =>
      play(
        changes.settleItems(
          1,
          0,
          lease,
          [0, 1, 2, 3].map((n) => row(n, "completed")),
          true,
        ),
        name,
      ),
    "too many failed": (name) =>
      play(
        changes.settleItems(
          1,
          0,
          lease,
          [0, 1, 2, 3].map((n) => row(n, "failed")),
          false,
        ),
        name,
        { errorRate: 0.1 },
      ),
    "beyond it": (name) => play(changes.settleItems(1, 0, lease, [row(4, "completed")], false), name),
    "more than open": (name) =>
      play(
        changes.settleItems(
          1,
          0,
          lease,
          [0, 1, 2, 3, 3].map((n) => row(n, "completed")),
          false,
        ),
        name,
      ),
    release: (name) => play(changes.releaseWindow(1, 0, lease), name),
    step: (name) => play(changes.whileWindowHeld(1, 0, lease, []), name),
  };
  expect(`\n${table(Object.keys(windows), columns)}\n`).toMatchInlineSnapshot(`
    "
                   | one completed | one tried again | all completed | all, the last      | all, slots kept | too many failed    | beyond it          | more than open     | release  | step
    held here      | open 3        | open 4          | dropped       | dropped, job ready | open 0          | dropped, job ready | illegal_transition | illegal_transition | released | =
    held elsewhere | lease_lost    | lease_lost      | lease_lost    | lease_lost         | lease_lost      | lease_lost         | lease_lost         | lease_lost         | =        | lease_lost
    next epoch     | lease_lost    | lease_lost      | lease_lost    | lease_lost         | lease_lost      | lease_lost         | lease_lost         | lease_lost         | =        | lease_lost
    released       | lease_lost    | lease_lost      | lease_lost    | lease_lost         | lease_lost      | lease_lost         | lease_lost         | lease_lost         | =        | lease_lost
    gone           | lease_lost    | lease_lost      | lease_lost    | lease_lost         | lease_lost      | lease_lost         | lease_lost         | lease_lost         | =        | lease_lost
    "
  `);
});

it("attempt × event: how the attempt under way ends", () => {
  const kinds = [
    "complete",
    "reuse",
    "skip",
    "fail permanent",
    "fail retryable",
    "fail skippable",
    "fail critical",
    "park",
    "giveBack",
    "cancelled",
    "lost",
    "lost thrice",
  ];
  const endOf = (event: string): string => {
    const seen: Effect[] = [];
    const slice = sliceIn("running");
    const spy = (change: { decide(slice: never, at: number): Verdict }) => {
      const verdict = change.decide(slice as never, AT);
      if (verdict.ok) seen.push(...(verdict.effects ?? []));
      const row = seen.find((effect) => effect.type === "attempt");
      const counters = verdict.ok ? `failures ${verdict.job?.failures ?? 0} crashes ${verdict.job?.crashes ?? 0}` : "";
      return `${row?.type === "attempt" ? row.row.state : "told by the job"} ${counters}`;
    };
    const change = {
      complete: changes.completeJob(1, LEASE, null),
      reuse: changes.reuseJob(1, LEASE, null, "x"),
      skip: changes.skipJob(1, LEASE, "when", null),
      "fail permanent": changes.failJob(1, LEASE, errorOf("permanent"), POLICY),
      "fail retryable": changes.failJob(1, LEASE, errorOf("retryable"), POLICY),
      "fail skippable": changes.failJob(1, LEASE, errorOf("skippable"), POLICY),
      "fail critical": changes.failJob(1, LEASE, errorOf("critical"), POLICY),
      park: changes.parkJob(1, LEASE, { dueAt: AT + 1, reason: "sleep" }),
      giveBack: changes.giveBack(1, LEASE, null, "stop"),
      cancelled: changes.cancelledJob(1, LEASE),
      lost: changes.loseLease(1, 7, 3),
      "lost thrice": changes.loseLease(1, 7, 1),
    }[event];
    return change === undefined ? "" : spy(change as never);
  };
  expect(`\n${table(kinds, { "attempt ends": endOf })}\n`).toMatchInlineSnapshot(`
    "
                   | attempt ends
    complete       | told by the job failures 0 crashes 0
    reuse          | told by the job failures 0 crashes 0
    skip           | told by the job failures 0 crashes 0
    fail permanent | failed failures 1 crashes 0
    fail retryable | failed failures 1 crashes 0
    fail skippable | failed failures 0 crashes 0
    fail critical  | failed failures 0 crashes 0
    park           | completed failures 0 crashes 0
    giveBack       | stopped failures 0 crashes 0
    cancelled      | stopped failures 0 crashes 0
    lost           | lost failures 0 crashes 1
    lost thrice    | lost failures 0 crashes 1
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
