/** The heartbeat thread alone, with a short stall time: how long it beats while the main loop is blocked. */
import { hostname } from "node:os";
import Database from "better-sqlite3";
import type { Tenuto } from "tenuto";
import type { ChildOrders, Tell } from "../process.ts";

export const pipelines = () => [];

export async function main(tenuto: Tenuto, orders: ChildOrders, tell: Tell): Promise<void> {
  const { stallMs, everyMs, blockMs } = orders.facts;
  const { ledger } = tenuto.engine.parts;
  const boot = await ledger.registerBoot({
    id: "stall.1",
    host: hostname(),
    machine: "",
    pid: process.pid,
    pidStart: "",
    startedAt: Date.now(),
  });
  const keeper = ledger.keepAlive(boot, { everyMs, stallMs, onDead: () => {} });
  const db = new Database(`${orders.home}/ledger.db`);
  const lastBeat = () =>
    (db.prepare("SELECT heartbeat_at AS at FROM boot WHERE seq = ?").get(boot) as { at: number }).at;
  const seen = new Set<number>();
  // The thread begins when the machine lets it.
  for (const end = performance.now() + 30_000; seen.size < 4 && performance.now() < end; ) {
    keeper.tick();
    seen.add(lastBeat());
    await new Promise((next) => setTimeout(next, 20));
  }
  const blockedAt = Date.now();
  for (const end = performance.now() + blockMs; performance.now() < end; );
  tell("beats", { whileTicking: seen.size, lastBeatAfterBlockMs: lastBeat() - blockedAt });
  db.close();
  await keeper.stop();
}
