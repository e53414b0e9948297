/**
 * What one transaction decides: a batch of changes in order on shared rows, their consequences, and the claims that travel
 * with them. The same for all ledgers, so that they can't drift apart; what it has decided is in the unit, to be saved.
 */

import type { Rejection, Slice, Verdict } from "../core/decision.ts";
import { REJECTION_HINTS, TenutoError } from "../core/errors.ts";
import { leaseWindow } from "../core/fanout.ts";
import { claimJob } from "../core/job.ts";
import { PROPAGATION_BATCH, SUSPECT_CRASHES } from "../core/limits.ts";
import { propagate } from "../core/propagate.ts";
import type { Numbers } from "../core/run.ts";
import type { Hints, Unit } from "../core/unit.ts";
import type { Change, Claimed, ClaimRequest } from "../ports/ledger.ts";
import { Loader } from "./load.ts";
import type { Candidate, RowSource } from "./source.ts";

export type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };

export interface Batch {
  changes: readonly Change[];
  claims: readonly ClaimRequest[];
  memory: ClaimMemory;
  /** Whether to take up what earlier transactions have put off: all of it, or one row by its number. */
  resume: boolean | number;
}

/** What earlier commits have shown about claims; forgotten when others may have written. */
export class ClaimMemory {
  /** Boots known to be alive. */
  readonly alive = new Set<number>();
  /** Boots for which the database shows nothing to claim, with what they asked for. */
  readonly nothingFor = new Map<number, string>();

  clear(): void {
    this.alive.clear();
    this.nothingFor.clear();
  }
}

export interface Decided {
  outcomes: Outcome[];
  /** For each request what it got, or why it got nothing. */
  claimed: (Claimed[] | TenutoError)[];
  /** Rows of put-off consequences that were taken up, to be deleted. */
  resumed: number[];
  /** Consequences were put off; another transaction should follow. */
  postponed: boolean;
}

/** What the caller of a commit learns. */
export interface Committed extends Decided {
  hints: Hints;
  /** There may be more to be worked off. */
  unfinished: boolean;
}

/** Decides the batch on rows of `source`; afterwards `unit` holds all that is to be written. */
export function decideBatch(source: RowSource, numbers: Numbers, unit: Unit, batch: Batch): Decided {
  const loader = new Loader(source, unit);
  let budget = PROPAGATION_BATCH + 4 * batch.changes.length;
  const outcomes: Outcome[] = [];
  for (const change of batch.changes) {
    outcomes.push(decide(unit, loader, change, numbers));
    if (unit.todo.length > 0) budget = drain(unit, loader, budget);
  }
  const resumed: number[] = [];
  if (batch.resume !== false) {
    const rows = source
      .propagations(PROPAGATION_BATCH)
      .filter((row) => batch.resume === true || batch.resume === row.seq);
    budget = resume(unit, loader, rows, resumed, Math.max(budget, PROPAGATION_BATCH));
  }
  follow(unit, loader, budget);
  const claimed = batch.claims.map((request) => claim(unit, loader, source, batch.memory, request));
  follow(unit, loader, PROPAGATION_BATCH);
  const postponed = unit.todo.length > 0;
  if (postponed) unit.postpone();
  for (const job of unit.claimable) if (job.claimable === 1) unit.hints.ready = true;
  return { outcomes, claimed, resumed, postponed };
}

/** Works off consequences within the budget; the states of runs are derived after the last of them in any case. */
function follow(unit: Unit, loader: Loader, budget: number): void {
  let left = budget;
  if (unit.todo.length > 0) left = drain(unit, loader, left);
  while (unit.settle() && left > 0) left = drain(unit, loader, left);
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
  rows: ReturnType<RowSource["propagations"]>,
  resumed: number[],
  budget: number,
): number {
  let left = budget;
  for (const row of rows) {
    if (left <= 0) break;
    const run = loader.run(row.run);
    resumed.push(row.seq);
    if (run === undefined) continue;
    unit.patchRun(run, { propagating: run.propagating - 1 });
    unit.todo.push({ kind: row.kind, run: row.run, subject: row.subject, cursor: row.cursor });
    left = drain(unit, loader, left);
  }
  return left;
}

function claim(
  unit: Unit,
  loader: Loader,
  source: RowSource,
  memory: ClaimMemory,
  request: ClaimRequest,
): Claimed[] | TenutoError {
  const claimed: Claimed[] = [];
  const asked = `${request.offersVersion}/${request.run}`;
  const known = memory.nothingFor.get(request.boot) === asked;
  if (known && unit.claimable.size === 0) return claimed;
  if (!memory.alive.has(request.boot)) {
    const state = source.bootState(request.boot);
    if (state !== "alive")
      return new TenutoError(
        "lease_lost",
        `worker boot ${request.boot} has been declared ${state ?? "unknown"}; it may not claim`,
      );
    memory.alive.add(request.boot);
  }
  let { slots } = request;
  let suspects = request.suspects;
  let left = false;
  const { found, all } = candidates(unit, source, known, request);
  for (const candidate of found) {
    if (slots <= 0) break;
    if (request.leaves?.(candidate.seq) === true) {
      left = true;
      continue;
    }
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
  if (left) memory.nothingFor.delete(request.boot);
  else if (slots > 0 && all) memory.nothingFor.set(request.boot, asked);
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
  source: RowSource,
  known: boolean,
  request: ClaimRequest,
): { found: Candidate[]; all: boolean } {
  const { found, all } = known ? { found: [], all: true } : stored(unit, source, request);
  for (const job of unit.claimable) {
    if (request.run !== null && job.run !== request.run) continue;
    if (job.claimable === 1 && (request.suspects || job.crashes < SUSPECT_CRASHES) && request.offers(job.agent))
      found.push(job);
  }
  if (found.length > 1) found.sort((a, b) => a.rank - b.rank || a.seq - b.seq);
  return { found, all };
}

/** What the database shows, as it is now in this transaction; `all` if nothing was left out. */
function stored(unit: Unit, source: RowSource, request: ClaimRequest): { found: Candidate[]; all: boolean } {
  const { found: rows, all } = source.candidates(request, request.slots + SPARE);
  const found: Candidate[] = [];
  for (const row of rows) {
    const present = unit.jobs.get(row.seq);
    if (present === undefined) found.push(row);
    else if (present.claimable === 1 && !unit.claimable.has(present)) found.push(present);
  }
  return { found, all };
}
