/** Opens one image of a dead engine's disk after the other and carries its runs to their end. */
import { rmSync } from "node:fs";
import { openTenuto, type Tenuto } from "tenuto";
import type { ChildOrders, Tell } from "../process.ts";
import { pipelines as points } from "./points.app.ts";

export const pipelines = () => [];

export async function main(_tenuto: Tenuto, orders: ChildOrders, tell: Tell): Promise<void> {
  const { homes, timeoutMs } = orders.facts as { homes: string[]; timeoutMs: number };
  for (const home of homes) {
    process.env["CRASH_JOURNAL"] = `${home}/journal`;
    const faults: string[] = [];
    const tenuto = await openTenuto({
      home,
      cwd: home,
      pipelines: points(),
      leaseMs: 60_000,
      heartbeatMs: 200,
      onFault: (error) => faults.push(String(error)),
    });
    const open = await tenuto.client.runs({ states: ["pending", "running", "waiting"], limit: 100 });
    let stuck = false;
    for (const run of open) {
      const handle = await tenuto.client.attach(run.id);
      // Only the run that was to be cancelled holds for ever; an engine that died before the order lets us give it.
      if (run.pipeline === "cancelled" && run.cancelRequestedAt === null) await handle.cancel();
      await handle.wait({ timeoutMs }).catch(() => {
        stuck = true;
      });
    }
    await tenuto.close({ drainMs: 0 });
    rmSync(`${home}/logs`, { recursive: true, force: true });
    tell("recovered", { home, stuck, faults, open: open.length });
  }
  tell("all");
}
