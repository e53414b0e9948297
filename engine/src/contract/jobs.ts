/** Jobs, attempts, items, steps, and log lines. */
import { z } from "zod";
import { Artifact, Usage } from "./things.ts";
import {
  Count,
  Cursor,
  Flag,
  ItemStates,
  JobId,
  JobStates,
  JsonValue,
  LogLevels,
  limitUpTo,
  listOf,
  MaybeTime,
  Priorities,
  page,
  StoredErrorShape,
  Time,
} from "./words.ts";

export const JobSummary = z
  .object({
    id: z.string(),
    seq: z.int(),
    stage: z.string(),
    kind: z.enum(["single", "fanout", "map"]),
    agent: z.string(),
    state: JobStates,
    reason: z.string().nullable(),
    parent: z.string().nullable(),
    priority: Priorities,
    allowFailure: z.boolean(),
    attempt: Count,
    failures: Count,
    crashes: Count,
    children: Count,
    openChildren: Count,
    approvals: Count.meta({ description: "That nobody has decided yet." }),
    readyAt: MaybeTime,
    startedAt: MaybeTime.meta({ description: "Start of its first attempt." }),
    attemptStartedAt: MaybeTime,
    endedAt: MaybeTime,
    dueAt: MaybeTime.meta({ description: "When it is tried again, or wakes." }),
    error: StoredErrorShape.nullable(),
  })
  .meta({ id: "JobSummary" });
export type JobSummary = z.infer<typeof JobSummary>;
export const JobPage = page(JobSummary).meta({ id: "JobPage" });
export const JobListQuery = z.strictObject({
  state: listOf(JobStates).optional(),
  after: Cursor.optional(),
  limit: limitUpTo(5_000, 200),
});

export const Attempt = z
  .object({
    number: Count,
    state: z.enum(["running", "completed", "failed", "lost", "stopped"]),
    startedAt: Time,
    endedAt: MaybeTime,
    worker: z.string().nullable().meta({ description: "Host and process that it ran on." }),
    error: StoredErrorShape.nullable(),
  })
  .meta({ id: "Attempt" });

export const ItemCounts = z
  .object({
    total: Count,
    completed: Count,
    failed: Count,
    skipped: Count.meta({ description: "Without duplicates." }),
    duplicates: Count,
    lastOrdinal: Count.nullable(),
  })
  .meta({ id: "ItemCounts" });

export const Job = JobSummary.extend({
  run: z.string(),
  why: z.string().meta({ description: "One sentence: why it is in this state." }),
  blocks: z.array(z.string()).meta({ description: "Jobs that depend on it, the first 100." }),
  needs: z.array(z.object({ job: z.string(), on: z.string(), state: JobStates })),
  summary: z.string().nullable(),
  spec: JsonValue.meta({ description: "As declared; values of variables are masked." }),
  input: JsonValue.meta({ description: "As declared, with placeholders." }),
  output: JsonValue,
  items: ItemCounts.nullable(),
  attempts: z.array(Attempt),
  steps: z.array(z.object({ item: z.int(), key: z.string(), startedAt: Time, endedAt: Time })),
  gates: z.array(
    z.object({
      attempt: Count,
      verdict: z.enum(["PASSED", "PASSED_WITH_WARNINGS", "FAILED"]),
      action: z.string(),
      findings: JsonValue,
      at: Time,
    }),
  ),
  usage: Usage.nullable(),
  used: z
    .array(z.object({ how: z.enum(["offered", "input", "read"]), at: Time, artifact: Artifact }))
    .meta({ description: "Artifacts that it has taken in, the first 200 that are still known." }),
}).meta({ id: "Job" });
export type Job = z.infer<typeof Job>;

export const Item = z
  .object({
    ordinal: Count,
    state: ItemStates,
    attempts: Count,
    result: JsonValue,
    error: StoredErrorShape.nullable(),
    dueAt: MaybeTime,
    endedAt: MaybeTime,
  })
  .meta({ id: "Item", description: "Items that nothing has happened to have no row." });
export const ItemPage = page(Item).meta({ id: "ItemPage" });
export const ItemListQuery = z.strictObject({
  state: listOf(ItemStates).optional(),
  after: Cursor.optional(),
  limit: limitUpTo(1_000, 100),
});

export const LogLine = z
  .object({
    number: Count.meta({ description: "Its place in the log of its run." }),
    at: Time,
    run: z.string(),
    job: z.string().nullable(),
    attempt: Count.nullable(),
    item: Count.nullable(),
    agent: z.string(),
    level: LogLevels,
    message: z.string(),
    fields: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: "LogLine" });
export type LogLine = z.infer<typeof LogLine>;
export const LogPage = z
  .object({
    items: z.array(LogLine),
    next: z.string().nullable(),
    last: Count.meta({ description: "Number of the last line that was looked at." }),
    first: Count.meta({ description: "Number of the first line that was looked at; up to 1, there is nothing above." }),
    live: z.boolean().meta({ description: "More may come: the run has not ended." }),
  })
  .meta({ id: "LogPage" });
const JOBS = 100;
export const LogQuery = z.strictObject({
  since: z.coerce.number().int().min(0).default(0).meta({ description: "Number of the last line that is known." }),
  tail: z.coerce
    .number()
    .int()
    .min(1)
    .max(5_000)
    .optional()
    .meta({ description: "The last lines instead, at most so many; `since` and `limit` count for nothing." }),
  before: z.coerce.number().int().min(1).optional().meta({ description: "With `tail`: those before this number." }),
  job: JobId.optional(),
  attempt: z.coerce.number().int().min(1).optional().meta({ description: "Only lines of this attempt." }),
  jobs: z
    .string()
    .max(8_000)
    .transform((given) => given.split(",").map((id) => id.replaceAll(/%2C/gi, ",").replaceAll(/%25/g, "%")))
    .pipe(z.array(JobId).min(1).max(JOBS))
    .optional()
    .meta({
      description: "Lines of these jobs, ids with commas between; a comma in an id is written %2C, a percent %25.",
    }),
  level: LogLevels.optional().meta({ description: "The least that is wanted." }),
  q: z.string().max(200).optional().meta({ description: "Only lines that hold this text, in any case." }),
  limit: limitUpTo(5_000, 1_000),
});
export const RawLogQuery = z.strictObject({
  attempt: z.coerce.number().int().min(1).optional().meta({ description: "Default: the last with output." }),
  item: z.coerce.number().int().min(0).optional(),
  tail: z.coerce.number().int().min(1).max(1_000_000).optional().meta({ description: "Only the last bytes." }),
  download: Flag.optional(),
});
