/**
 * What must always hold in a whole ledger, checked from plain rows: counters against a recount, states against each other,
 * histories against the lifecycle, work against the possibility of being done.
 *
 * Owner: core; used by the auditor, the simulation and the ledger suite. It shares no code with the rules that it
 * checks, on purpose. Each problem is one text that names run and job.
 */

import type { EdgeRow } from "./decision.ts";
import { type Dump, ended, groupBy, type RunDump } from "./dump.ts";
import { fanoutProblems } from "./invariants-fanout.ts";
import { eventProblems } from "./invariants-history.ts";
import { isIdle, isLive } from "./job-end.ts";
import type { FanoutRow, JobRow, JobSeq, RunRow, RunSeq } from "./model.ts";

const count = <T>(rows: readonly T[], test: (row: T) => boolean): number => rows.filter(test).length;

/** Everything that is wrong, as texts; empty when the ledger is sound. */
export function checkInvariants(dump: Dump): string[] {
  const problems: string[] = [];
  const stages = groupBy(dump.stages, (row) => row.run);
  const jobs = groupBy(dump.jobs, (row) => row.run);
  const events = groupBy(dump.events, (row) => row.run);
  const bySeq = new Map(dump.jobs.map((job) => [job.seq, job]));
  const fanouts = new Map(dump.fanouts.map((row) => [row.job, row]));
  const pending = groupBy(dump.propagations, (row) => row.run);
  for (const run of dump.runs) {
    const part: RunDump = {
      run,
      calm: (pending.get(run.seq) ?? []).length === 0,
      stages: stages.get(run.seq) ?? [],
      jobs: jobs.get(run.seq) ?? [],
      events: events.get(run.seq) ?? [],
      say: (problem) => problems.push(`run ${run.id}: ${problem}`),
    };
    // A prune that was interrupted leaves an ended run marked; the next one finishes it.
    const marked = run.endedAt !== null && run.propagating > 0;
    if (!marked && run.propagating !== (pending.get(run.seq) ?? []).length)
      part.say(`propagating is ${run.propagating}, there are ${(pending.get(run.seq) ?? []).length} rows`);
    runProblems(part);
    stageProblems(part);
    for (const job of part.jobs) jobProblems(part, job, bySeq, fanouts.get(job.seq) ?? null);
    childProblems(part);
    eventProblems(part);
  }
  const calm = new Set(dump.runs.filter((run) => !pending.has(run.seq)).map((run) => run.seq));
  problems.push(
    ...keyProblems(dump),
    ...blockerProblems(dump, bySeq, calm),
    ...attemptProblems(dump, bySeq),
    ...leaseProblems(dump, bySeq),
    ...holdProblems(dump, bySeq),
    ...approvalProblems(dump),
    ...fanoutProblems(dump, bySeq, calm),
  );
  return problems;
}

function runProblems({ run, jobs, stages, calm, say }: RunDump): void {
  const recount = {
    jobCount: jobs.length,
    openJobs: count(jobs, (job) => !ended(job)),
    liveJobs: count(jobs, (job) => isLive(job.kind, job.state)),
    waitingJobs: count(jobs, (job) => isIdle(job.kind, job.state)),
    failedJobs: count(jobs, (job) => job.state === "failed" && job.allowFailure === 0),
    spawnedJobs: count(jobs, (job) => job.parent !== null),
    stageCount: stages.length,
  };
  for (const [name, is] of Object.entries(recount))
    if (run[name as keyof typeof recount] !== is)
      say(`${name} is ${run[name as keyof typeof recount]}, a recount gives ${is}`);
  const over = run.state === "completed" || run.state === "failed" || run.state === "cancelled";
  if (over !== (run.endedAt !== null)) say(`is ${run.state} with endedAt ${run.endedAt}`);
  if (run.endedAt !== null && run.endedAt < run.createdAt) say("ended before it was created");
  if (over) {
    if (recount.openJobs > 0) say(`is ${run.state} with ${recount.openJobs} open jobs`);
    const expected =
      run.cancelRequestedAt !== null
        ? "cancelled"
        : recount.failedJobs > 0 || run.haltedAt !== null
          ? "failed"
          : "completed";
    if (run.state !== expected) say(`is ${run.state}, its jobs make it ${expected}`);
    return;
  }
  if (recount.openJobs === 0) say(`is ${run.state} without any open job`);
  if (run.state === "pending") {
    const begun = jobs.find((job) => !ended(job) && job.state !== "pending");
    if (begun !== undefined) say(`is pending while job ${begun.id} is ${begun.state}`);
    return;
  }
  if (!calm) return;
  if (recount.liveJobs > 0 && run.state !== "running") say(`is ${run.state} while jobs are live`);
  if (recount.liveJobs === 0 && recount.waitingJobs > 0 && run.state !== "waiting")
    say(`is ${run.state} while all its open jobs wait`);
  if (recount.liveJobs === 0 && recount.waitingJobs === 0 && recount.openJobs > 0)
    say("stands still: no job is ready, running or waiting");
}

function stageProblems({ run, stages, jobs, say }: RunDump): void {
  const ofStage = groupBy(jobs, (job) => job.stage);
  for (const stage of stages) {
    const own = ofStage.get(stage.ordinal) ?? [];
    const recount = {
      total: own.length,
      settled: count(own, ended),
      completed: count(own, (job) => job.state === "completed"),
      failed: count(own, (job) => job.state === "failed" && job.allowFailure === 0),
      skipped: count(own, (job) => job.state === "skipped"),
      cancelled: count(own, (job) => job.state === "cancelled"),
    };
    for (const [name, is] of Object.entries(recount))
      if (stage[name as keyof typeof recount] !== is)
        say(`stage ${stage.name}: ${name} is ${stage[name as keyof typeof recount]}, a recount gives ${is}`);
    const before = stages.find((other) => other.ordinal === stage.ordinal - 1);
    if (
      stage.tainted === 1 &&
      run.endedAt !== null &&
      (before === undefined || (before.failed === 0 && before.tainted === 0))
    )
      say(`stage ${stage.name} is tainted although the stage before settled well`);
  }
}

function jobProblems(
  { run, calm, say }: RunDump,
  job: JobRow,
  jobs: ReadonlyMap<JobSeq, JobRow>,
  fanout: FanoutRow | null,
): void {
  const tell = (problem: string) => say(`job ${job.id} (${job.state}): ${problem}`);
  if ((job.state === "running") !== (job.boot !== null)) tell(`boot is ${job.boot}`);
  if (ended(job) !== (job.endedAt !== null)) tell(`endedAt is ${job.endedAt}`);
  if (job.epoch !== job.attempt) tell(`epoch ${job.epoch} and attempt ${job.attempt} differ`);
  // Items of a fan-out that was ended early may still hold limiters, until their window is given up.
  if (ended(job) && (job.claimable === 1 || job.dueAt !== null || (job.holding === 1 && job.kind === "single")))
    tell("still claimable, due or holding");
  const claimable = job.state === "ready" && job.dueAt === null && job.kind !== "map";
  if (claimable && job.claimable === 0) tell("nobody can claim it");
  if (job.claimable === 1 && !claimable && !(job.state === "waiting" && job.kind === "fanout"))
    tell("claimable although it must not run");
  if (job.dueAt !== null && job.state !== "ready" && job.state !== "waiting") tell("has a due time");
  if (job.startedAt !== null && job.endedAt !== null && job.endedAt < job.startedAt) tell("ended before it started");
  if (job.parent !== null) {
    const parent = jobs.get(job.parent);
    if (parent === undefined) tell("its parent is not there");
    else {
      if (parent.run !== job.run) tell("its parent belongs to another run");
      if (job.depth !== parent.depth + 1) tell(`depth ${job.depth} below a parent of depth ${parent.depth}`);
      if (calm && job.kind === "map" && !ended(job) && job.state !== "running" && ended(parent))
        tell("its parent has ended and nobody will run it");
    }
  }
  if (calm && job.state === "waiting") waitProblems(run, job, fanout, tell);
}

/** Whether somebody will wake a waiting job. */
function waitProblems(run: RunRow, job: JobRow, fanout: FanoutRow | null, tell: (problem: string) => void): void {
  if (job.kind !== "fanout" || fanout === null) {
    if (job.dueAt === null && job.openChildren === 0 && job.approvals === 0) tell("waits for nothing");
    return;
  }
  const settled = fanout.completed + fanout.failed + fanout.skipped >= fanout.total;
  const barred = run.cancelRequestedAt !== null || run.haltedAt !== null;
  if (fanout.leased > 0) return;
  if (settled || fanout.stopped === 1) tell("all its items have ended, yet it waits");
  else if (barred) tell("waits in a run that is being ended");
  else if (job.claimable === 0) tell("nobody works on its items and nobody can");
}

function childProblems({ calm, jobs, say }: RunDump): void {
  const children = groupBy(
    jobs.filter((job) => job.parent !== null),
    (job) => job.parent as number,
  );
  for (const job of jobs) {
    const own = children.get(job.seq) ?? [];
    if (job.children !== own.length) say(`job ${job.id}: children is ${job.children}, a recount gives ${own.length}`);
    const open = count(own, (child) => !ended(child));
    if (calm && job.openChildren !== open)
      say(`job ${job.id}: openChildren is ${job.openChildren}, a recount gives ${open}`);
  }
}

/** At most one run of a concurrency key has begun; one that waits for nobody would wait for ever. */
function keyProblems(dump: Dump): string[] {
  const problems: string[] = [];
  const open = dump.runs.filter((run) => run.concurrencyKey !== null && run.endedAt === null);
  for (const key of new Set(open.map((run) => run.concurrencyKey))) {
    const own = open.filter((run) => run.concurrencyKey === key);
    const active = own.filter((run) => run.state !== "pending");
    if (active.length > 1) problems.push(`key ${key}: runs ${active.map((run) => run.id).join(", ")} at the same time`);
    const freeing = dump.propagations.some((row) => row.kind === "keyFreed");
    if (active.length === 0 && !freeing && own.some((run) => run.cancelRequestedAt === null))
      problems.push(`key ${key}: run ${own[0]?.id} waits although nobody holds the key`);
  }
  return problems;
}

/** Blockers of pending jobs equal the dependencies and barriers that have not ended yet. */
function blockerProblems(dump: Dump, jobs: ReadonlyMap<JobSeq, JobRow>, calm: ReadonlySet<RunSeq>): string[] {
  const problems: string[] = [];
  const runs = new Map(dump.runs.map((run) => [run.seq, run]));
  const stages = groupBy(dump.stages, (row) => row.run);
  const into = groupBy(dump.edges, (edge) => edge.to);
  for (const job of dump.jobs) {
    const run = runs.get(job.run);
    if (run === undefined) problems.push(`job ${job.id}: its run ${job.run} is not there`);
    if (run === undefined || job.state !== "pending" || !calm.has(job.run)) continue;
    if (run.cancelRequestedAt !== null || run.haltedAt !== null)
      problems.push(`run ${run.id}: job ${job.id} is pending in a run that is being ended`);
    let open = 0;
    for (const edge of into.get(job.seq) ?? []) {
      const from = jobs.get(edge.from);
      if (from === undefined || !ended(from)) open += 1;
      else if (!satisfies(edge, from))
        problems.push(`run ${run.id}: job ${job.id} is pending although ${from.id} is ${from.state} (${edge.on})`);
    }
    if (job.barrier === 1) {
      const before = stages.get(job.run)?.find((stage) => stage.ordinal === job.stage - 1);
      if (before !== undefined && (before.settled < before.total || before.tainted === 1)) open += 1;
    }
    if (job.blockers !== open)
      problems.push(`run ${run.id}: job ${job.id}: blockers is ${job.blockers}, a recount gives ${open}`);
    if (run.state !== "pending" && open === 0) problems.push(`run ${run.id}: job ${job.id} is pending for no reason`);
  }
  return problems;
}

function satisfies(edge: EdgeRow, from: JobRow): boolean {
  return edge.on === "always" || from.state === (edge.on === "success" ? "completed" : "failed");
}

function attemptProblems(dump: Dump, jobs: ReadonlyMap<JobSeq, JobRow>): string[] {
  const problems: string[] = [];
  const attempts = groupBy(dump.attempts, (row) => row.job);
  for (const job of dump.jobs) {
    const own = attempts.get(job.seq) ?? [];
    const expected = job.attempt - (job.state === "running" ? 1 : 0);
    if (own.length !== expected)
      problems.push(`job ${job.id}: ${own.length} attempts have ended, expected ${expected}`);
    const last = own.find((row) => row.number === job.attempt);
    if (job.state === "completed" && last?.state !== "completed")
      problems.push(`job ${job.id} is completed, its last attempt is ${last?.state ?? "missing"}`);
    if (job.state === "failed" && job.attempt > 0 && last !== undefined && !["failed", "lost"].includes(last.state))
      problems.push(`job ${job.id} is failed, its last attempt is ${last.state}`);
    if (new Set(own.map((row) => row.number)).size !== own.length)
      problems.push(`job ${job.id}: an attempt ended twice`);
    if (own.some((row) => row.number < 1 || row.number > job.attempt || row.epoch !== row.number))
      problems.push(`job ${job.id}: attempt numbers do not match its epochs`);
    if (own.some((row) => row.endedAt === null || row.endedAt < row.startedAt))
      problems.push(`job ${job.id}: an attempt ended before it began`);
  }
  for (const seq of attempts.keys()) if (!jobs.has(seq)) problems.push(`attempts of job ${seq}, which is not there`);
  return problems;
}

/** No live lease without a boot that may hold it. A dead boot's leases wait for their takeover. */
function leaseProblems(dump: Dump, jobs: ReadonlyMap<JobSeq, JobRow>): string[] {
  const boots = new Map(dump.boots.map((boot) => [boot.seq, boot]));
  const held = [
    ...dump.jobs.filter((job) => job.boot !== null).map((job) => ({ what: `job ${job.id}`, boot: job.boot as number })),
    ...dump.windows
      .filter((window) => window.boot !== null)
      .map((window) => ({
        what: `window ${window.start} of job ${jobs.get(window.job)?.id}`,
        boot: window.boot as number,
      })),
  ];
  return held
    .filter(({ boot }) => (boots.get(boot)?.state ?? "stopped") === "stopped")
    .map(({ what, boot }) => `${what} is leased to boot ${boot}, which is ${boots.get(boot)?.state ?? "not there"}`);
}

/** Slots of limiters belong to attempts and windows that exist. */
function approvalProblems(dump: Dump): string[] {
  const open = groupBy(
    dump.approvals.filter((approval) => approval.state === "open"),
    (approval) => approval.job,
  );
  return dump.jobs
    .filter((job) => job.approvals !== (open.get(job.seq) ?? []).length)
    .map((job) => `job ${job.id}: approvals is ${job.approvals}, ${(open.get(job.seq) ?? []).length} are open`);
}

function holdProblems(dump: Dump, jobs: ReadonlyMap<JobSeq, JobRow>): string[] {
  const windows = groupBy(dump.windows, (row) => row.job);
  return dump.holds
    .filter((hold) => {
      const job = jobs.get(hold.job);
      if (job === undefined) return true;
      if (hold.item < 0) return job.state !== "running" || job.epoch !== hold.epoch || job.holding === 0;
      return !(windows.get(hold.job) ?? []).some(
        (window) =>
          window.boot !== null && window.epoch === hold.epoch && hold.item >= window.start && hold.item < window.stop,
      );
    })
    .map(
      (hold) =>
        `limiter ${hold.limiter}/${hold.key} is held by job ${jobs.get(hold.job)?.id ?? hold.job}, epoch ${hold.epoch}, item ${hold.item}, which has no lease`,
    );
}
