/** The server itself: sessions, tokens, audit log, webhooks, health, and the frames of live streams. */
import { z } from "zod";
import { LogLine } from "./jobs.ts";
import { Event, RunSummary } from "./runs.ts";
import {
  Count,
  Cursor,
  JobId,
  JsonValue,
  LogLevels,
  limitUpTo,
  MaybeTime,
  Name,
  Problem,
  page,
  Roles,
  Time,
  text,
} from "./words.ts";

export const Health = z.object({ ok: z.boolean() }).meta({ id: "Health" });
export const Readiness = z
  .object({
    ok: z.boolean(),
    ledger: z.object({ ok: z.boolean(), writeMs: z.number(), schema: z.int(), bytes: Count }),
    disk: z.object({ ok: z.boolean(), freeBytes: Count }),
    workers: Count,
    version: z.string(),
  })
  .meta({ id: "Readiness" });

export const OpenSession = z.strictObject({ token: text(500) }).meta({ id: "OpenSession" });
export const Session = z
  .object({
    name: z.string(),
    role: Roles,
    run: z.string().nullable().meta({ description: "The only run that may be seen." }),
    expiresAt: MaybeTime,
    version: z.string().meta({ description: "Of this Tenuto." }),
  })
  .meta({ id: "Session" });

export const Token = z
  .object({
    id: z.string(),
    kind: z.enum(["token", "login", "session"]),
    name: z.string(),
    role: Roles,
    run: z.string().nullable(),
    createdAt: Time,
    expiresAt: MaybeTime,
    revokedAt: MaybeTime,
    live: z.boolean(),
  })
  .meta({ id: "Token" });
export const TokenList = z.object({ items: z.array(Token) }).meta({ id: "TokenList" });
export const NewToken = z
  .strictObject({
    name: text(100).min(1),
    role: Roles,
    run: Name.optional().meta({ description: "Good for this run only." }),
    job: JobId.optional().meta({ description: "Of that run: good as long as the attempt that is at work now." }),
    expiresInSeconds: z.int().min(1).max(31_536_000).optional().meta({ description: "Default: 90 days." }),
  })
  .meta({ id: "NewToken" });
export const MintedToken = Token.extend({ token: z.string().meta({ description: "Shown once." }) }).meta({
  id: "MintedToken",
});

export const AuditEntry = z
  .object({
    number: Count,
    at: Time,
    phase: z.enum(["asked", "answered", "refused"]),
    token: z.string(),
    name: z.string(),
    role: z.string(),
    address: z.string(),
    operation: z.string(),
    target: z.string(),
    before: z
      .string()
      .nullable()
      .meta({ description: "Of an answer: SHA-256 of what it was about, as it was before; null if it was not there." }),
    after: z.string().nullable().meta({ description: "The same afterwards." }),
    request: z.string(),
    status: z.int().nullable(),
    hash: z.string(),
  })
  .meta({ id: "AuditEntry" });
export const AuditPage = page(AuditEntry).meta({ id: "AuditPage" });
export const AuditQuery = z.strictObject({ after: Cursor.optional(), limit: limitUpTo(1_000, 100) });
export const AuditVerified = z
  .object({ ok: z.boolean(), rows: Count, fault: z.string().nullable() })
  .meta({ id: "AuditVerified" });

const Occasions = z.enum(["completed", "failed", "cancelled", "approval", "progress"]);
export const PutWebhook = z
  .strictObject({
    url: z.url({ protocol: /^https?$/ }).max(2_000),
    occasions: z.array(Occasions).min(1).max(5),
    pipeline: Name.optional(),
    intervalSeconds: z.int().min(10).max(86_400).default(900).meta({ description: "Between messages on progress." }),
    enabled: z.boolean().default(true),
  })
  .meta({ id: "PutWebhook" });
export const Webhook = z
  .object({
    id: z.string(),
    url: z.string(),
    occasions: z.array(Occasions),
    pipeline: z.string().nullable(),
    intervalSeconds: z.number(),
    enabled: z.boolean(),
    createdAt: Time,
    updatedAt: Time,
    secret: z.string().optional().meta({ description: "whsec_…; shown when it is made or rotated." }),
  })
  .meta({ id: "Webhook" });
export const WebhookList = z.object({ items: z.array(Webhook) }).meta({ id: "WebhookList" });
export const Delivery = z
  .object({
    id: z.string(),
    webhook: z.string(),
    occasion: Occasions,
    state: z.enum(["pending", "sending", "delivered", "failed"]),
    attempts: Count,
    error: z.string().nullable(),
    message: JsonValue,
    createdAt: Time,
    dueAt: MaybeTime,
    endedAt: MaybeTime,
  })
  .meta({ id: "Delivery" });
export const DeliveryPage = page(Delivery).meta({ id: "DeliveryPage" });
export const DeliveryQuery = z.strictObject({
  state: z.enum(["pending", "sending", "delivered", "failed"]).optional(),
  limit: limitUpTo(1_000, 100),
});
export const Resent = z.object({ id: z.string() }).meta({ id: "Resent" });

export const PutHook = z
  .strictObject({
    pipeline: Name,
    params: z
      .record(z.string(), JsonValue)
      .default({})
      .meta({ description: "With placeholders such as {{ params.body.title }} for parts of the message." }),
    enabled: z.boolean().default(true),
  })
  .meta({ id: "PutHook" });
export const Hook = z
  .object({
    id: z.string(),
    path: z.string(),
    pipeline: z.string(),
    params: JsonValue,
    enabled: z.boolean(),
    createdAt: Time,
    updatedAt: Time,
    secret: z.string().optional(),
  })
  .meta({ id: "Hook" });
export const HookList = z.object({ items: z.array(Hook) }).meta({ id: "HookList" });

/** What a client asks of a live stream. */
const topics = {
  topic: z.enum(["all", "runs", "run", "job", "log"]).meta({
    description:
      "all: every event. runs: events of runs and approvals. run, job: events of one. log: lines of a run, or of a job of it.",
  }),
  run: Name.optional(),
  job: JobId.optional(),
  level: LogLevels.optional(),
  after: Cursor.optional().meta({
    description:
      "The cursor of the last frame that was seen. Without it: from now on; run, job and log from the beginning.",
  }),
};
export const LiveQuery = z.strictObject(topics);
export const Subscribe = z.strictObject({ type: z.literal("subscribe"), id: z.string().min(1).max(64), ...topics });
export const ClientFrame = z
  .discriminatedUnion("type", [
    Subscribe,
    z.strictObject({ type: z.literal("unsubscribe"), id: z.string().min(1).max(64) }),
    z.strictObject({ type: z.literal("ping") }),
  ])
  .meta({ id: "ClientFrame" });
const cursor = z.string();
export const ServerFrame = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("subscribed"), id: z.string(), cursor }),
    z.object({ type: z.literal("events"), id: z.string(), cursor, events: z.array(Event), runs: z.array(RunSummary) }),
    z.object({ type: z.literal("log"), id: z.string(), cursor, lines: z.array(LogLine) }),
    z.object({ type: z.literal("resync"), id: z.string(), cursor, reason: z.string() }),
    z.object({ type: z.literal("heartbeat"), at: Time }),
    z.object({ type: z.literal("error"), id: z.string().nullable(), problem: Problem }),
  ])
  .meta({ id: "ServerFrame" });
export type ClientFrame = z.infer<typeof ClientFrame>;
export type ServerFrame = z.infer<typeof ServerFrame>;
export type LiveQuery = z.infer<typeof LiveQuery>;
