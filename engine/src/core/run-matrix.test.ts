/** Runs, windows and attempts against every event, as tables; see job-matrix.test.ts. */
import { expect, it } from "vitest";
import { errorOf, fanoutRow, runRow, sliceIn, windowRow } from "../testing/builders.ts";
import { table } from "../testing/table.ts";
import * as changes from "./changes.ts";
import type { Effect, Verdict } from "./decision.ts";
import { RUN_MOVES } from "./lifecycle.ts";
import type { FanoutRow, ItemState, RunRow, RunState, WindowRow } from "./model.ts";
import { settleRun } from "./run.ts";

const AT = 5_000;
const LEASE = { epoch: 3, boot: 7 };
const POLICY = { maxRetries: 2, delayMs: 1_000, onExhausted: "fail" as const };
const RUN_STATES = Object.keys(RUN_MOVES) as RunState[];

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
      changes
        .reopenRun(1)
        .decide({ run, jobs: [], edges: [], state: () => undefined, stages: [], holder: null, rollback: null }, AT),
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
