/** Artifacts, approvals, templates, schedules, pipelines, workers, limiters. */
import { z } from "zod";
import {
  Count,
  Cursor,
  Exclude,
  Flag,
  JobId,
  JsonValue,
  limitUpTo,
  MaybeTime,
  Name,
  Priorities,
  page,
  Time,
  text,
} from "./words.ts";

export const Usage = z
  .object({
    calls: Count,
    inputTokens: Count,
    outputTokens: Count,
    cost: z.number().meta({ description: "In millionths of the unit." }),
  })
  .meta({ id: "Usage", description: "Of calls of models." });
export const Artifact = z
  .object({
    id: z.int(),
    name: z.string(),
    type: z.string(),
    mediaType: z.string(),
    sha256: z.string(),
    bytes: Count,
    run: z.string(),
    job: z.string(),
    agent: z.string().meta({ description: "Of its job." }),
    attempt: Count,
    item: z.int().nullable(),
    offered: z.boolean().meta({ description: "Jobs that depend on its producer get it." }),
    superseded: z.boolean(),
    at: Time,
  })
  .meta({ id: "Artifact" });
export const ArtifactPage = page(Artifact).meta({ id: "ArtifactPage" });
export const ArtifactQuery = z.strictObject({
  all: Flag.optional().meta({ description: "Superseded ones as well." }),
  job: JobId.optional(),
  after: Cursor.optional(),
  limit: limitUpTo(1_000, 200),
});
export const AllArtifactsQuery = z.strictObject({
  name: text(1_000).optional(),
  type: text(100).optional(),
  agent: text(250).optional(),
  pipeline: Name.optional(),
  after: Cursor.optional(),
  limit: limitUpTo(1_000, 100),
});
export const ContentQuery = z.strictObject({ download: Flag.optional() });
export const ArtifactUse = z
  .object({
    artifact: z.int().meta({ description: "Id of the artifact that was used." }),
    run: z.string(),
    job: z.string(),
    how: z.enum(["offered", "input", "read"]),
    at: Time,
    made: z.array(z.int()).meta({ description: "Ids of what the job made." }),
  })
  .meta({ id: "ArtifactUse" });
export const Lineage = z
  .object({
    artifact: Artifact,
    artifacts: z.array(Artifact).meta({ description: "Everything that is named below." }),
    origins: z.array(ArtifactUse).meta({ description: "Uses that lead to it, the nearest first." }),
    uses: z.array(ArtifactUse).meta({ description: "Uses that begin with it, the nearest first." }),
    takenOver: z.array(z.object({ artifact: z.int(), source: z.int() })),
    complete: z.boolean().meta({ description: "False if there is more than is shown." }),
  })
  .meta({ id: "Lineage" });
export const Verified = z.object({ sha256: z.string(), ok: z.boolean(), bytes: Count }).meta({ id: "Verified" });

export const Approval = z
  .object({
    id: z.string(),
    run: z.string(),
    job: z.string(),
    key: z.string(),
    state: z.enum(["open", "approved", "rejected", "expired", "cancelled"]),
    title: z.string(),
    shown: JsonValue.meta({ description: "What is to be decided on." }),
    hash: z.string().meta({ description: "Of what is shown; a decision names it." }),
    editable: z.boolean(),
    edited: JsonValue,
    decidedBy: z.string().nullable(),
    reason: z.string().nullable(),
    createdAt: Time,
    expiresAt: MaybeTime,
    decidedAt: MaybeTime,
  })
  .meta({ id: "Approval" });
export const ApprovalPage = page(Approval).meta({ id: "ApprovalPage" });
export const ApprovalQuery = z.strictObject({
  run: Name.optional(),
  state: z.enum(["open", "approved", "rejected", "expired", "cancelled"]).optional(),
  limit: limitUpTo(1_000, 100),
});
export const Decide = z
  .strictObject({
    decision: z.enum(["approve", "reject"]),
    hash: z
      .string()
      .regex(/^[a-f0-9]{8,64}$/)
      .meta({ description: "Of what was shown. Something else is refused." }),
    reason: text(10_000).optional(),
    edited: JsonValue.optional().meta({ description: "In the place of what was shown, if it is editable." }),
  })
  .meta({ id: "Decide" });

export const PipelineQuery = z.strictObject({
  brief: Flag.optional().meta({ description: "Without stages and jobs: for lists to choose from." }),
});
export const PipelineInfo = z
  .object({
    name: z.string(),
    version: z.string(),
    description: z.string().nullable(),
    kind: z.enum(["graph", "code"]),
    params: JsonValue.meta({ description: "JSON Schema of the params, for forms." }),
    stages: z.array(
      z.object({
        name: z.string(),
        jobs: z.array(z.object({ id: z.string(), agent: z.string(), needs: z.array(z.string()), fanout: z.boolean() })),
      }),
    ),
  })
  .meta({ id: "PipelineInfo" });
export const PipelineInfoList = z.object({ items: z.array(PipelineInfo) }).meta({ id: "PipelineInfoList" });
export const AgentInfo = z
  .object({
    name: z.string(),
    version: z.string().nullable(),
    kind: z.enum(["function", "command", "llm"]),
    description: z.string().nullable(),
    model: z.string().nullable().meta({ description: "Of an llm agent." }),
    tools: z.array(z.string()).meta({ description: "That its model may use." }),
    budget: z
      .object({
        tokens: z.number().nullable(),
        cost: z.number().nullable(),
        calls: z.number().nullable(),
        wallSeconds: z.number().nullable(),
      })
      .nullable()
      .meta({ description: "Of each run, over all of its jobs; cost in units." }),
    usage: Usage.nullable().meta({ description: "Of its model calls in the newest 10,000 runs." }),
  })
  .meta({ id: "AgentInfo" });
export const AgentInfoList = z.object({ items: z.array(AgentInfo) }).meta({ id: "AgentInfoList" });

export const TemplateInfo = z
  .object({
    name: z.string(),
    number: z.int().meta({ description: "Of its newest version." }),
    version: z.string(),
    description: z.string().nullable(),
    stages: Count,
    jobs: Count,
    schedules: Count,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: "TemplateInfo" });
export const TemplateList = z.object({ items: z.array(TemplateInfo) }).meta({ id: "TemplateList" });
export const Template = TemplateInfo.extend({
  shownNumber: z.int(),
  note: z.string().nullable(),
  document: JsonValue,
}).meta({ id: "Template" });
export const TemplateVersions = z
  .object({
    items: z.array(z.object({ number: z.int(), version: z.string(), note: z.string().nullable(), at: Time })),
  })
  .meta({ id: "TemplateVersions" });
export const PutTemplate = z
  .strictObject({
    document: z.record(z.string(), JsonValue).meta({ description: "A pipeline as data; checked whole." }),
    note: text(1_000).optional(),
  })
  .meta({ id: "PutTemplate" });
export const TemplateQuery = z.strictObject({ version: z.coerce.number().int().min(1).optional() });

export const Schedule = z
  .object({
    name: z.string(),
    pipeline: z.string(),
    template: z.boolean(),
    cron: z.string(),
    zone: z.string(),
    params: JsonValue,
    priority: Priorities.nullable(),
    missed: z.enum(["skip", "last", "all"]),
    cap: z.int(),
    enabled: z.boolean(),
    nextAt: MaybeTime,
    next: z.array(Time).meta({ description: "The next five times." }),
    fired: Count,
    passed: Count,
    lastAt: MaybeTime,
    lastRun: z.string().nullable(),
    lastError: JsonValue,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: "Schedule" });
export const ScheduleQuery = z.strictObject({
  count: limitUpTo(100, 5).meta({ description: "How many of the next times." }),
});
export const Triggered = z.object({ id: z.string().meta({ description: "Of the run." }) }).meta({ id: "Triggered" });
export const ScheduleList = z.object({ items: z.array(Schedule) }).meta({ id: "ScheduleList" });
export const PutSchedule = z
  .strictObject({
    name: Name,
    pipeline: Name,
    cron: text(200),
    zone: text(100).optional(),
    params: z.record(z.string(), JsonValue).optional(),
    exclude: Exclude.optional(),
    priority: Priorities.optional(),
    missed: z.enum(["skip", "last", "all"]).optional(),
    cap: z.int().min(1).max(1_000).optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: "PutSchedule" });

export const Worker = z
  .object({
    id: z.string(),
    host: z.string(),
    pid: z.int(),
    state: z.enum(["alive", "stopped", "dead"]),
    startedAt: Time,
    heartbeatAt: Time,
    jobs: z.array(z.object({ run: z.string(), job: z.string(), startedAt: MaybeTime })),
    windows: Count,
  })
  .meta({ id: "Worker" });
export const WorkerList = z
  .object({
    items: z.array(Worker),
    missingAgents: z
      .array(z.string())
      .meta({ description: "Agents that ready jobs ask for and no worker that is alive offers." }),
  })
  .meta({ id: "WorkerList" });
export const WorkerQuery = z.strictObject({ state: z.enum(["alive", "stopped", "dead"]).optional() });
export const Limiter = z
  .object({ name: z.string(), key: z.string(), state: z.record(z.string(), z.unknown()) })
  .meta({ id: "Limiter" });
export const LimiterList = z.object({ items: z.array(Limiter) }).meta({ id: "LimiterList" });
