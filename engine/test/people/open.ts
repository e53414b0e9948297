/** An engine in a folder of its own for one test, and the events of its runs as promises. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import {
  type Agent,
  type ApprovalRow,
  type OpenOptions,
  openTenuto,
  type Pipeline,
  type Tenuto,
} from "../../src/index.ts";
import { auditFile } from "../../src/testing/auditor.ts";
import { seen } from "../seen.ts";

export interface Place {
  home: string;
  /** Opens the ledger of this place; closed, and audited, when the test has finished. */
  open(options?: Partial<OpenOptions>): Promise<Tenuto>;
}

export function place(pipelines: readonly Pipeline<any>[], agents: readonly Agent[] = []): Place {
  const home = mkdtempSync(join(tmpdir(), "tenuto-people-"));
  const opened: Tenuto[] = [];
  onTestFinished(async () => {
    for (const tenuto of opened) await tenuto.close({ drainMs: 0 });
    const { problems } = await auditFile({ database: join(home, "ledger.db") });
    rmSync(home, { recursive: true, force: true });
    if (problems.length > 0) throw new Error(problems.join("\n"));
  });
  return {
    home,
    async open(options = {}) {
      const tenuto = await openTenuto({ home, cwd: home, pipelines, agents, ...options });
      opened.push(tenuto);
      return tenuto;
    },
  };
}

/** The one open approval of a run, once its job is parked. */
export function asked(tenuto: Tenuto, run: string): Promise<ApprovalRow> {
  return seen(tenuto, async () => {
    const [open] = await tenuto.client.approvals({ run, state: "open" });
    return open !== undefined && (await tenuto.client.run(run)).state === "waiting" ? open : null;
  });
}
