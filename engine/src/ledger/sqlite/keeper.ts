/**
 * The heartbeat thread of one boot: writes the heartbeat while the main loop ticks, checkpoints the write-ahead log in the
 * background, and says when the boot has been declared dead. It has a connection of its own, so a main loop that computes
 * does not lose its leases.
 */
import { parentPort, workerData } from "node:worker_threads";
import { connect } from "./open.ts";
import { SQL } from "./sql.ts";

const { path, boot, ticks, everyMs, stallMs } = workerData as {
  path: string;
  boot: number;
  ticks: Int32Array;
  everyMs: number;
  stallMs: number;
};

const CHECKPOINT_EVERY_MS = 1_000;
/** A checkpoint makes the commits beside it wait for the disk: rather few and larger ones (4,000 pages are 16 MiB). */
const CHECKPOINT_PAGES = 4_000;

function run(): void {
  const db = connect(path);
  db.pragma("busy_timeout = 2000");
  db.pragma("wal_autocheckpoint = 0");
  const beat = db.prepare(SQL.heartbeat);
  let lastTick = Atomics.load(ticks, 0);
  let lastTickAt = performance.now();
  let nextBeatAt = performance.now() + everyMs;
  for (;;) {
    if (Atomics.wait(ticks, 1, 0, Math.min(CHECKPOINT_EVERY_MS, everyMs)) !== "timed-out") break;
    const now = performance.now();
    const tick = Atomics.load(ticks, 0);
    if (tick !== lastTick) {
      lastTick = tick;
      lastTickAt = now;
    }
    try {
      const [log] = db.pragma("wal_checkpoint(NOOP)") as { log: number; checkpointed: number }[];
      if (log !== undefined && log.log - log.checkpointed > CHECKPOINT_PAGES) db.pragma("wal_checkpoint(PASSIVE)");
      if (now >= nextBeatAt && now - lastTickAt <= stallMs) {
        nextBeatAt = now + everyMs;
        if (beat.run(Date.now(), boot).changes === 0) parentPort?.postMessage("dead");
      }
    } catch {
      // A locked or full ledger: the next round tries again, and the lease runs out if it lasts.
      nextBeatAt = now + Math.min(1_000, everyMs);
    }
  }
  db.close();
}

run();
