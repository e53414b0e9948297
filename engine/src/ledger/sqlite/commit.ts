/**
 * One transaction: decides a batch of changes in order on shared rows, follows their consequences, saves, makes the claims
 * that travel with it, and commits. Synchronous from BEGIN to COMMIT, as SQLite is.
 */

import type { Rejection, Slice, Verdict } from "../../core/decision.ts";
import { REJECTION_HINTS, TenutoError } from "../../core/errors.ts";
import { leaseWindow } from "../../core/fanout.ts";
import { claimJob } from "../../core/job.ts";
import { PROPAGATION_BATCH, SUSPECT_CRASHES } from "../../core/limits.ts";
import { propagate } from "../../core/propagate.ts";
import type { RowCache } from "../../core/row-cache.ts";
import type { Numbers } from "../../core/run.ts";
import { type Hints, Unit } from "../../core/unit.ts";
import type { Change, Claimed, ClaimRequest } from "../../ports/ledger.ts";
import { Loader } from "./load.ts";
import { save } from "./save.ts";
import { SQL } from "./sql.ts";
import type { Statements } from "./statements.ts";

export type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };

export interface Batch {
  changes: readonly Change[];
  claims: readonly ClaimRequest[];
  at: number;
  cache: RowCache;
  memory: ClaimMemory;
  /** Whether to take up what earlier transactions have put off: all of it, or one row by its number. */
  resume: boolean | number;
}

/** What earlier commits of this process have shown; forgotten together with the row cache. */
export class ClaimMemory {
  /** Boots known to be alive. */
  readonly alive = new Set<number>();
  /** Boots for which the database shows nothing to claim, with what they asked for. */
  readonly nothingFor = new Map<number, string>();
  /** Numbers of jobs that this process has taken and not used yet. */
  block: { next: number; end: number } | null = null;
  /** The next run's number, past the last row; as long as nobody else writes. */
  nextRun: number | null = null;

  clear(): void {
    this.alive.clear();
    this.nothingFor.clear();
    this.nextRun = null;
  }
}

export interface Committed {
  outcomes: Outcome[];
  /** For each request what it got, or why it got nothing. */
  claimed: (Claimed[] | TenutoError)[];
  hints: Hints;
  /** Consequences were put off; another transaction should follow. */
  unfinished: boolean;
}

/** Runs the batch inside the transaction that the caller has begun. */
export function execute(statements: Statements, batch: Batch, failpoint: (point: string) => void): Committed {
  const unit = new Unit(batch.at, batch.cache);
  const loader = new Loader(statements, unit);
  const numbers = numberSource(statements, batch.memory);
  let budget = PROPAGATION_BATCH + 4 * batch.changes.length;
  const outcomes: Outcome[] = [];
  for (const change of batch.changes) {
    outcomes.push(decide(unit, loader, change, numbers));
    if (unit.todo.length > 0) budget = drain(unit, loader, budget);
  }
  if (batch.resume !== false) {
    const rows = loader
      .propagations(PROPAGATION_BATCH)
      .filter((row) => batch.resume === true || batch.resume === row.seq);
    budget = resume(unit, loader, statements, rows, Math.max(budget, PROPAGATION_BATCH));
  }
  follow(unit, loader, budget);
  const claimed = batch.claims.map((request) => claim(unit, loader, statements, batch.memory, request));
  follow(unit, loader, PROPAGATION_BATCH);
  const postponed = unit.todo.length > 0;
  if (postponed) unit.postpone();
  failpoint("save");
  save(statements, unit);
  for (const job of unit.claimable) if (job.claimable === 1) unit.hints.ready = true;
  if (unit.hints.ready) batch.memory.nothingFor.clear();
  const unfinished = postponed || (batch.resume !== false && loader.propagations(1).length > 0);
  return { outcomes, claimed, hints: unit.hints, unfinished };
}

/** Works off consequences within the budget; the states of runs are derived after the last of them in any case. */
function follow(unit: Unit, loader: Loader, budget: number): void {
  let left = budget;
  if (unit.todo.length > 0) left = drain(unit, loader, left);
  while (unit.settle() && left > 0) left = drain(unit, loader, left);
}

/** Jobs are numbered from blocks that a process takes at once; what it does not use up stays unused. */
const BLOCK = 1_000;

function numberSource(statements: Statements, memory: ClaimMemory): Numbers {
  const take = (name: string, count: number): number => {
    const row = statements.of(SQL.takeNumbers).get(count, name, count) as Record<string, number>;
    return Object.values(row)[0]!;
  };
  return {
    run: () => {
      const next = memory.nextRun ?? (statements.of(SQL.nextRun).get() as { next: number }).next;
      memory.nextRun = next + 1;
      return next;
    },
    jobs: (count) => {
      if (memory.block === null || memory.block.end - memory.block.next < count) {
        const size = Math.max(BLOCK, count);
        const next = take("job", size);
        memory.block = { next, end: next + size };
      }
      memory.block.next += count;
      return memory.block.next - count;
    },
  };
}

function decide(unit: Unit, loader: Loader, change: Change, numbers: Numbers): Outcome {
  let verdict: Verdict;
  let slice: Partial<Slice>;
  try {
    const selected = loader.select(change.select);
    if (selected === undefined)
      return {
        ok: false,
        error: new TenutoError("not_found", `the ledger has no ${change.select.kind} that matches`, {
          details: { ...change.select },
        }),
      };
    slice = selected as Partial<Slice>;
    verdict = change.decide(selected as never, unit.at, numbers);
  } catch (error) {
    return { ok: false, error };
  }
  if (!verdict.ok) return { ok: false, error: rejectionError(verdict) };
  unit.merge(slice, verdict);
  for (const next of verdict.then ?? []) {
    const following = next.decide();
    if (following.ok) unit.merge(next.slice, following);
  }
  return { ok: true, value: verdict.result };
}

export function rejectionError({ code, message, details }: Rejection): TenutoError {
  const hint = REJECTION_HINTS[code];
  return new TenutoError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  });
}

function drain(unit: Unit, loader: Loader, budget: number): number {
  let left = budget;
  while (left > 0) {
    const step = unit.todo.shift();
    if (step === undefined) return left;
    left -= Math.max(1, propagate(unit, loader, step, Math.min(PROPAGATION_BATCH, Math.max(left, 1))));
  }
  return left;
}

/** Takes up consequences that an earlier transaction put off. */
function resume(
  unit: Unit,
  loader: Loader,
  statements: Statements,
  rows: ReturnType<Loader["propagations"]>,
  budget: number,
): number {
  let left = budget;
  for (const row of rows) {
    if (left <= 0) break;
    const run = loader.run(row.run);
    statements.of(SQL.dropPropagation).run(row.seq);
    if (run === undefined) continue;
    unit.patchRun(run, { propagating: run.propagating - 1 });
    unit.todo.push({ kind: row.kind, run: row.run, subject: row.subject, cursor: row.cursor });
    left = drain(unit, loader, left);
  }
  return left;
}

interface Candidate {
  seq: number;
  rank: number;
  state: string;
  crashes: number;
}

function claim(
  unit: Unit,
  loader: Loader,
  statements: Statements,
  memory: ClaimMemory,
  request: ClaimRequest,
): Claimed[] | TenutoError {
  const claimed: Claimed[] = [];
  const asked = `${request.offersVersion}/${request.run}`;
  const known = memory.nothingFor.get(request.boot) === asked;
  if (known && unit.claimable.size === 0) return claimed;
  if (!memory.alive.has(request.boot)) {
    const boot = statements.of(SQL.bootState).get(request.boot) as { state: string } | undefined;
    if (boot?.state !== "alive")
      return new TenutoError(
        "lease_lost",
        `worker boot ${request.boot} has been declared ${boot?.state ?? "unknown"}; it may not claim`,
      );
    memory.alive.add(request.boot);
  }
  let { slots } = request;
  let suspects = request.suspects;
  let left = false;
  const { found, all } = candidates(unit, statements, known, request);
  for (const candidate of found) {
    if (slots <= 0) break;
    if (candidate.state === "ready") {
      if (candidate.crashes >= SUSPECT_CRASHES && !suspects) {
        left = true;
        continue;
      }
      const slice = loader.slice(candidate.seq);
      if (slice === undefined) continue;
      const verdict = claimJob(slice, request.boot, unit.at);
      if (!verdict.ok) continue;
      unit.merge(slice, verdict);
      if (verdict.result !== "claimed") continue;
      slots -= 1;
      if (candidate.crashes >= SUSPECT_CRASHES) suspects = false;
      claimed.push({ run: slice.run, job: slice.job, window: null });
    } else if (candidate.state === "waiting") {
      const slice = loader.nextWindow(candidate.seq, null);
      if (slice === undefined) continue;
      const verdict = leaseWindow(slice, slice.choice, request.boot, request.itemSlots, unit.at);
      if (!verdict.ok) continue;
      unit.merge(slice, verdict);
      if (verdict.result == null) continue;
      slots -= 1;
      const { start, stop, epoch, hasRows } = verdict.result;
      claimed.push({
        run: slice.run,
        job: slice.job,
        window: { start, stop, epoch, slots: verdict.result.slots, hasRows },
      });
    }
  }
  if (slots > 0 && all && !left) memory.nothingFor.set(request.boot, asked);
  return claimed;
}

/** Candidates beyond the free slots, for those that turn out to be barred. */
const SPARE = 8;

/**
 * Claimable jobs of the offered agents, best rank first: those that the database shows, as they are now in this
 * transaction, and those that became claimable in it.
 */
function candidates(
  unit: Unit,
  statements: Statements,
  known: boolean,
  request: ClaimRequest,
): { found: Candidate[]; all: boolean } {
  const { found, all } = known ? { found: [], all: true } : stored(unit, statements, request);
  for (const job of unit.claimable) {
    if (request.run !== null && job.run !== request.run) continue;
    if (job.claimable === 1 && (request.suspects || job.crashes < SUSPECT_CRASHES) && request.offers(job.agent))
      found.push(job);
  }
  if (found.length > 1) found.sort((a, b) => a.rank - b.rank || a.seq - b.seq);
  return { found, all };
}

/** What the database shows, as it is now in this transaction; `all` if nothing was left out. */
function stored(unit: Unit, statements: Statements, request: ClaimRequest): { found: Candidate[]; all: boolean } {
  const agents = (statements.of(SQL.agentsReady).all() as { agent: string }[])
    .map((row) => row.agent)
    .filter((agent) => request.offers(agent));
  const sql = request.suspects ? SQL.candidates(request.run !== null) : SQL.calmCandidates(request.run !== null);
  const run = request.run === null ? [] : [request.run];
  const limit = request.slots + SPARE;
  const found: Candidate[] = [];
  let all = request.suspects;
  for (const agent of agents) {
    const rows = statements.of(sql).all(agent, ...run, limit) as Candidate[];
    if (rows.length === limit) all = false;
    for (const row of rows) {
      const present = unit.jobs.get(row.seq);
      if (present === undefined) found.push(row);
      else if (present.claimable === 1 && !unit.claimable.has(present)) found.push(present);
    }
  }
  return { found, all };
}
