/** People in the simulation: jobs ask them, with and without a time to decide, and they decide at any moment, twice or never. */
import * as changes from "../../src/core/changes.ts";
import type { ItemState, RunSeq } from "../../src/core/model.ts";
import type { ApprovalRow } from "../../src/core/records.ts";
import type { Held, World } from "../../src/testing/world.ts";

const ENDED: readonly ItemState[] = ["failed", "skipped", "cancelled"];

type Attempt = (what: string, work: Promise<unknown>) => Promise<unknown>;

/** The job opens an approval and waits for it; gives true if it has given its lease back. */
export async function ask(world: World, attempt: Attempt, held: Held, y: number): Promise<boolean> {
  const { ledger, clock } = world;
  const job = await ledger.job(held.job);
  if (job === null) return false;
  const key = `k${y % 2}`;
  const number = (await ledger.approvals({ job: held.job })).length;
  const expiresAt = y % 3 === 0 ? clock.now() + 5_000 : null;
  const opened = (await attempt(
    `ask ${held.id} ${key}`,
    ledger.apply(
      changes.openApproval(held.job, held.lease, {
        id: `${job.run}:${held.id}:${key}#${y % 5 === 0 ? 0 : number}`,
        run: job.run,
        job: held.job,
        key,
        title: "May it?",
        shown: String(y),
        hash: "a".repeat(64),
        editable: y % 2 === 0 ? 1 : 0,
        createdAt: clock.now(),
        expiresAt,
      }),
    ),
  )) as ApprovalRow | undefined;
  // Code waits only for what is open.
  if (opened?.state !== "open") return false;
  // A worker that has not looked since knows of more, or fewer, than there are.
  const known = y % 7 === 0 ? job.approvals : ((await ledger.job(held.job))?.approvals ?? 0);
  const parked = await attempt(
    `park for people ${held.id}`,
    ledger.apply(
      changes.parkJob(held.job, held.lease, {
        dueAt: expiresAt,
        reason: "approval",
        knownApprovals: known,
        knownOpenChildren: job.openChildren,
      }),
    ),
  );
  return parked === "parked";
}

/** Somebody decides, perhaps twice at once, perhaps on something that is over. */
export async function decide(world: World, attempt: Attempt, x: number, y: number): Promise<void> {
  const rows = await world.ledger.approvals();
  const row = rows[x % Math.max(1, rows.length)];
  if (row === undefined) return;
  const decisions = Array.from({ length: 1 + (y % 2) }, () =>
    attempt(`decide ${row.id}`, world.ledger.apply(changes.decideApproval(row, decisionOf(row, y)))),
  );
  await Promise.all(decisions);
  if (y % 4 === 0) await attempt(`expire ${row.id}`, world.ledger.apply(changes.expireApproval(row.job, row.id)));
}

function decisionOf(row: ApprovalRow, y: number) {
  return {
    approve: y % 3 !== 0,
    hash: y % 11 === 0 ? "b".repeat(64) : row.hash,
    by: "ann",
    reason: null,
    edited: y % 5 === 0 ? "1" : null,
  };
}

/** People who answer everything, so that the world can come to its end. True if there was something to decide. */
export async function answerAll(world: World): Promise<boolean> {
  const open = await world.ledger.approvals({ state: "open" });
  for (const row of open) {
    const late = row.expiresAt !== null && row.expiresAt <= world.clock.now();
    if (late) await world.ledger.apply(changes.expireApproval(row.job, row.id));
    else await world.ledger.apply(changes.decideApproval(row, { ...decisionOf(row, 1), hash: null, edited: null }));
  }
  return open.length > 0;
}

/** A retry of all that did not complete, or of some jobs and some items of fan-outs, as `y` says. */
export async function retry(world: World, run: RunSeq, y: number): Promise<unknown> {
  if (y % 3 === 0) return await world.retry(run);
  const rows = (await world.ledger.jobs(run)).filter((job) => job.state !== "completed");
  const jobs: string[] = [];
  const items: { job: string; ordinals: number[] }[] = [];
  for (const [at, job] of rows.entries()) {
    if (((y >> (at % 8)) & 1) === 0) continue;
    const ended = job.kind === "single" ? [] : await world.ledger.items(job.seq, { states: ENDED, limit: 100 });
    const ordinals = ended.filter((row, n) => row.attempts > 0 && (y + n) % 2 === 0).map((row) => row.ordinal);
    if (ordinals.length > 0 && y % 3 === 1) items.push({ job: job.id, ordinals });
    else jobs.push(job.id);
  }
  return await world.retry(run, { jobs, items });
}
