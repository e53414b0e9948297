/** Reads of model calls and their totals. */
import type { RunUsageRow, UsageRow } from "../core/budget.ts";
import type { JobSeq, RunSeq } from "../core/model.ts";
import type { AgentUsage, UsageReads } from "../ports/usage.ts";
import { ArtifactReader } from "./reads-artifacts.ts";
import { RECORD_SQL } from "./records.ts";

export abstract class UsageReader extends ArtifactReader implements UsageReads {
  async runUsage(run: RunSeq): Promise<RunUsageRow | null> {
    return await this.one<RunUsageRow>(RECORD_SQL.run_usage.get, String(run));
  }

  async usage(run: RunSeq, job?: JobSeq): Promise<UsageRow[]> {
    return await this.many<UsageRow>(
      `${RECORD_SQL.usage.select} WHERE run = ? AND job = coalesce(?, job) ORDER BY started_at, id`,
      run,
      job ?? null,
    );
  }

  async usageByAgent(after: RunSeq): Promise<AgentUsage[]> {
    return await this.many<AgentUsage>(
      `SELECT j.agent, count(*) AS calls, CAST(sum(u.input_tokens) AS bigint) AS "inputTokens",
         CAST(sum(u.output_tokens) AS bigint) AS "outputTokens", CAST(sum(u.cost) AS bigint) AS cost
       FROM usage u JOIN job j ON j.seq = u.job WHERE u.run > ? GROUP BY j.agent ORDER BY j.agent`,
      after,
    );
  }
}
