/** Reads of model calls and their totals. */
import type { RunUsageRow, UsageRow } from "../../core/budget.ts";
import type { JobSeq, RunSeq } from "../../core/model.ts";
import type { UsageReads } from "../../ports/usage.ts";
import { SqliteArtifactReader } from "./reads-artifacts.ts";
import { RECORD_SQL } from "./records.ts";

export class SqliteUsageReader extends SqliteArtifactReader implements UsageReads {
  async runUsage(run: RunSeq): Promise<RunUsageRow | null> {
    return (this.statements.of(RECORD_SQL.run_usage.get).get(String(run)) as RunUsageRow | undefined) ?? null;
  }

  async usage(run: RunSeq, job?: JobSeq): Promise<UsageRow[]> {
    return this.statements
      .of(`${RECORD_SQL.usage.select} WHERE run = ? AND job = ifnull(?, job) ORDER BY started_at, id`)
      .all(run, job ?? null) as UsageRow[];
  }
}
