/** Runs, stages, the graph of a run, and what may be done with a run. */
import { z } from "zod";
import { Usage } from "./things.ts";
import {
  Count,
  Cursor,
  Exclude,
  Flag,
  JobId,
  JobStates,
  JsonValue,
  limitUpTo,
  listOf,
  MaybeTime,
  Name,
  Priorities,
  page,
  RunStates,
  StageStates,
  StoredErrorShape,
  Time,
  text,
} from "./words.ts";

const Labels = z.record(z.string().min(1).max(100), text(1_000));

export const RunSummary = z
  .object({
    id: z.string(),
    seq: z.int().meta({ description: "Grows with each run; runs are listed by it." }),
    pipeline: z.string(),
    version: z.string(),
    state: RunStates,
    priority: Priorities,
    labels: z.record(z.string(), z.string()),
    jobs: z.object({
      total: Count,
      open: Count,
      live: Count.meta({ description: "Ready or running." }),
      waiting: Count,
      failed: Count.meta({ description: "Without those that were allowed to fail." }),
      spawned: Count,
    }),
    createdAt: Time,
    startedAt: MaybeTime,
    endedAt: MaybeTime,
    cancelRequestedAt: MaybeTime,
    haltedAt: MaybeTime.meta({ description: "A critical error stopped it." }),
    origin: z.string().nullable().meta({ description: "The run that it comes from." }),
    relation: z.string().nullable().meta({ description: "How: rollback or rerun." }),
    dryRun: z.boolean(),
    event: Count.meta({ description: "Number of its last event." }),
  })
  .meta({ id: "RunSummary" });
export type RunSummary = z.infer<typeof RunSummary>;

export const Stage = z
  .object({
    name: z.string(),
    state: StageStates,
    total: Count,
    settled: Count,
    completed: Count,
    failed: Count,
    skipped: Count,
    cancelled: Count,
    allowedFailures: Count,
  })
  .meta({ id: "Stage" });

export const Run = RunSummary.extend({
  params: JsonValue,
  idempotencyKey: z.string().nullable(),
  concurrencyKey: z.string().nullable(),
  stages: z.array(Stage),
  why: z.string().meta({ description: "One sentence: why it is in this state." }),
  output: JsonValue.meta({ description: "Of its last job, once it has completed." }),
  error: StoredErrorShape.nullable().meta({ description: "Of its first failed job." }),
  usage: Usage.nullable(),
  undoable: z
    .boolean()
    .meta({ description: "Some job of its pipeline declares how to undo it, and nobody has begun to." }),
  firstFailure: z.string().nullable().meta({ description: "Id of the job that failed first." }),
}).meta({ id: "Run" });
export type Run = z.infer<typeof Run>;

export const RunListed = RunSummary.extend({
  failure: z
    .object({ job: z.string(), message: z.string() })
    .nullable()
    .optional()
    .meta({ description: "With `failures`, of a failed run of at most 500 jobs: what failed first, in short." }),
}).meta({ id: "RunListed" });
export const RunPage = page(RunListed).meta({ id: "RunPage" });

export const RunListQuery = z.strictObject({
  state: listOf(RunStates).optional().meta({ description: "States with commas between." }),
  pipeline: Name.optional(),
  q: text(200).optional().meta({ description: "Part of the run's id or the pipeline's name." }),
  label: text(1_101).optional().meta({ description: "`name` or `name=value`." }),
  from: Time.optional().meta({ description: "Created at or after." }),
  to: Time.optional().meta({ description: "Created before." }),
  failures: Flag.optional().meta({ description: "Say of failed runs what failed first." }),
  after: Cursor.optional(),
  limit: limitUpTo(200, 50),
});

export const RunCounts = z
  .object({
    pending: Count,
    running: Count,
    waiting: Count,
    completed: Count,
    failed: Count,
    cancelled: Count,
    openApprovals: Count,
    cursor: z.string().meta({ description: "Where a live stream goes on from this answer without a gap." }),
  })
  .meta({ id: "RunCounts" });

export const StartRun = z
  .strictObject({
    pipeline: Name.optional().meta({ description: "A pipeline that this server knows, or a template." }),
    template: Name.optional().meta({ description: "A template, even where a pipeline has the same name." }),
    templateVersion: z.int().min(1).optional(),
    params: z.record(z.string(), JsonValue).default({}),
    priority: Priorities.optional(),
    labels: Labels.optional(),
    exclude: Exclude.optional(),
    dryRun: z.boolean().optional().meta({ description: "Jobs with effects outside are planned, not run." }),
  })
  .refine((given) => given.pipeline !== undefined || given.template !== undefined, {
    message: "say which pipeline or template",
    path: ["pipeline"],
  })
  .meta({ id: "StartRun" });

export const Started = z
  .object({
    id: z.string(),
    created: z.boolean().meta({ description: "False if an earlier start with this Idempotency-Key made it." }),
    queuedBehind: z.string().nullable().meta({ description: "The run that holds the concurrency key." }),
  })
  .meta({ id: "Started" });

export const CancelRun = z.strictObject({ reason: text(10_000).optional() }).meta({ id: "CancelRun" });
export const RetryRun = z
  .strictObject({
    jobs: z
      .array(JobId)
      .max(5_000)
      .optional()
      .meta({ description: "Only these, with their children and what was skipped because of them." }),
    items: z
      .array(z.strictObject({ job: JobId, ordinals: z.array(Count).min(1).max(10_000) }))
      .max(100)
      .optional()
      .meta({ description: "Only these items of fan-outs." }),
  })
  .meta({ id: "RetryRun", description: "Without a choice, everything that did not complete." });
export const Reopened = z
  .object({ id: z.string(), jobs: Count.meta({ description: "To be done again." }) })
  .meta({ id: "Reopened" });
export const RerunRun = z
  .strictObject({
    from: JobId.optional().meta({
      description: "Run again from this job on; what is not below it is answered from the origin.",
    }),
    input: JsonValue.optional().meta({ description: "In the place of the input of that job." }),
    params: z.record(z.string(), JsonValue).optional().meta({ description: "Instead of the origin's, one by one." }),
    exclude: Exclude.optional().meta({ description: "Beside what the origin has left out." }),
  })
  .meta({ id: "RerunRun" });
export const RollbackRun = z.strictObject({}).meta({ id: "RollbackRun" });
export const BulkRuns = z
  .strictObject({
    action: z.enum(["cancel", "retry"]),
    runs: z.array(Name).min(1).max(200),
    preview: z.boolean().default(false).meta({ description: "Only say what would happen." }),
    reason: text(10_000).optional(),
  })
  .meta({ id: "BulkRuns" });
export const BulkResult = z
  .object({
    results: z.array(
      z.object({
        run: z.string(),
        ok: z.boolean(),
        state: RunStates.nullable(),
        code: z.string().nullable(),
        message: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: "BulkResult" });

export const GraphNode = z
  .object({
    id: z.string(),
    seq: z.int(),
    stage: z.int(),
    kind: z.enum(["single", "fanout", "map", "approval", "multiply"]),
    agent: z.string(),
    summary: z.string().nullable().meta({ description: "As declared; spawned jobs have theirs in their own answer." }),
    state: JobStates,
    reason: z.string().nullable(),
    parent: z.string().nullable(),
    attempt: Count,
    allowFailure: z.boolean(),
    readyAt: MaybeTime,
    startedAt: MaybeTime,
    endedAt: MaybeTime,
    children: Count,
    items: z.object({ total: Count, completed: Count, failed: Count, skipped: Count }).nullable(),
  })
  .meta({ id: "GraphNode" });
export const RunGraph = z
  .object({
    run: RunSummary,
    stages: z.array(Stage),
    nodes: z.array(GraphNode),
    edges: z.array(z.object({ from: z.string(), to: z.string(), on: z.enum(["success", "failure", "always"]) })),
    barriers: z.array(z.string()).meta({ description: "Jobs that wait for the stage before." }),
    next: z.string().nullable().meta({ description: "Give it as `after`: there are more nodes." }),
  })
  .meta({ id: "RunGraph" });
export type RunGraph = z.infer<typeof RunGraph>;
export const GraphQuery = z.strictObject({ after: Cursor.optional(), limit: limitUpTo(20_000, 10_000) });

export const Report = z
  .object({ run: z.object({ id: z.string() }).loose() })
  .loose()
  .meta({ id: "Report", description: "The report as JSON." });
export const ReportQuery = z.strictObject({ format: z.enum(["json", "md", "html"]).default("json") });

export const Checkpoint = z
  .object({
    job_id: z.string(),
    mode: JsonValue,
    association: JsonValue,
    stage: z.string(),
    progress: z.object({ total: Count, completed: Count, failed: Count, skipped: Count }),
    last_processed: JsonValue,
    timestamp: Time,
    can_resume: z.boolean(),
  })
  .meta({ id: "Checkpoint", description: "Where a run stands, in the form of the associations source document." });

export const Event = z
  .object({
    run: z.string(),
    seq: Count.meta({ description: "Number within its run." }),
    at: Time,
    name: z.string().meta({ description: "For example job.completed." }),
    job: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).nullable(),
  })
  .meta({ id: "Event" });
export type Event = z.infer<typeof Event>;
export const EventPage = page(Event).meta({ id: "EventPage" });
export const EventQuery = z.strictObject({ after: Cursor.optional(), limit: limitUpTo(5_000, 1_000) });
