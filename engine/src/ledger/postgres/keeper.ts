/**
 * The heartbeat thread of one boot: writes the heartbeat, by the database's clock, while the main loop ticks, and says when the
 * boot has been declared dead. It has a connection of its own, so a main loop that computes does not lose its leases.
 *
 * Invariant: a heartbeat that gets no answer is given up in time for the next one; the lease runs out if none gets through.
 */
import { parentPort, workerData } from "node:worker_threads";
import { openDatabase } from "./connection.ts";
import { HEARTBEAT } from "./upkeep-sql.ts";

const { url, boot, ticks, everyMs, stallMs } = workerData as {
  url: string;
  boot: number;
  ticks: Int32Array;
  everyMs: number;
  stallMs: number;
};

/** After so many heartbeats that did not get through somebody should know. */
const AWAY_BEATS = 2;
const database = openDatabase({ url, writers: 1, readers: 0, waitMs: everyMs, answerMs: Math.max(everyMs, 1_000) });
let lastTick = Atomics.load(ticks, 0);
let lastTickAt = performance.now();
/** Since when no heartbeat has got through; null while they do. */
let awaySince: number | null = null;
let told = false;

/** Resolves after a while, or at once when the thread is to stop: then true. */
async function pause(ms: number): Promise<boolean> {
  const { async, value } = Atomics.waitAsync(ticks, 1, 0, ms);
  return (async ? await value : value) !== "timed-out";
}

async function beat(): Promise<void> {
  const tick = Atomics.load(ticks, 0);
  const now = performance.now();
  if (tick !== lastTick) {
    lastTick = tick;
    lastTickAt = now;
  }
  if (now - lastTickAt > stallMs) return;
  awaySince ??= now;
  const timer = setTimeout(() => tellAway("no answer"), AWAY_BEATS * everyMs);
  try {
    const beaten = await database.execute(HEARTBEAT, [boot]);
    if (told && awaySince !== null) parentPort?.postMessage(`answers again, after ${seconds(awaySince)}`);
    awaySince = null;
    told = false;
    if (beaten === 0) parentPort?.postMessage("dead");
  } catch (error) {
    // A server that is away: the next round tries again, and the lease runs out if it lasts.
    if (awaySince !== null && performance.now() - awaySince >= AWAY_BEATS * everyMs)
      tellAway(error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timer);
  }
}

function tellAway(why: string): void {
  if (told || awaySince === null) return;
  told = true;
  parentPort?.postMessage(
    `has not been reached for ${seconds(awaySince)} (${why}); what runs goes on, its reports wait`,
  );
}

const seconds = (since: number) => `${Math.round((performance.now() - since) / 1_000)} s`;

// Waiting by Atomics.waitAsync keeps no thread alive.
const alive = setInterval(() => {}, 2 ** 30);
while (!(await pause(everyMs))) await beat();
clearInterval(alive);
await database.close();
