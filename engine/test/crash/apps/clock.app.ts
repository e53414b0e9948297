/** The pipelines of `jobs` under a clock that jumps when told to: injected, or a faked Date of the whole process. */
import { statSync } from "node:fs";
import { type OpenOptions, systemClock, type Tenuto } from "tenuto";
import type { ChildOrders } from "../process.ts";

export { pipelines } from "./jobs.app.ts";

let offset = 0;
const realNow = Date.now;
const DAY_MS = 86_400_000;

export function prepare(orders: ChildOrders): Partial<OpenOptions> {
  if (orders.facts?.fakeDate === true) {
    Date.now = () => realNow() + offset;
    return {};
  }
  return {
    clock: {
      now: () => realNow() + offset,
      // The minute between two prunes passes in 20 ms when days are simulated.
      after: (ms, callback) => systemClock.after(orders.facts?.fast === true && ms === 60_000 ? 20 : ms, callback),
    },
  };
}

export function commands(tenuto: Tenuto): Record<string, (...args: any[]) => unknown> {
  return {
    jump: (ms: number) => {
      offset += ms;
    },
    /** Simulates days with so many runs each; size of the ledger's file at the end of each day, log included. */
    days: async (count: number, runsPerDay: number) => {
      const { ledger } = tenuto.engine.parts;
      const sizes: number[] = [];
      for (let day = 0; day < count; day++) {
        const runs = await Promise.all(Array.from({ length: runsPerDay }, () => tenuto.start("pair", {})));
        await Promise.all(runs.map((run) => run.wait()));
        offset += DAY_MS;
        const due = Date.now() + offset - 3 * DAY_MS;
        for (let left = 1; left > 0; ) {
          await new Promise((next) => setTimeout(next, 20));
          left = (await ledger.runs({ limit: 10_000 })).filter(
            (run) => run.endedAt !== null && run.endedAt < due,
          ).length;
        }
        const { path } = await ledger.info();
        sizes.push(statSync(path).size);
      }
      return sizes;
    },
  };
}
