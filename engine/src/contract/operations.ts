/**
 * Every operation of the API: its path, who may call it, what it takes and gives. The server registers nothing that is not
 * here, the OpenAPI description is made from it, and clients may use it to build requests.
 *
 * Owner: contract. Invariants: (1) an operation names the role that it needs; `open` ones are listed in the security guide;
 * (2) what changes something is not GET; (3) each id and each pair of method and path is there once.
 */
import { z } from "zod";
import * as compat from "./compat.ts";
import * as jobs from "./jobs.ts";
import type { Operation } from "./operation.ts";
import * as runs from "./runs.ts";
import * as server from "./server.ts";
import * as things from "./things.ts";
import { JsonValue } from "./words.ts";

type Given = Omit<Operation, "id" | "method" | "path" | "tag" | "status" | "role"> & { status?: number };
const list: Operation[] = [];

function add(tag: string, role: Operation["role"], id: string, route: string, given: Given): void {
  const [method, path] = route.split(" ") as [Operation["method"], string];
  list.push({ id, method, path, tag, role, status: 200, ...given });
}

const R = "/api/runs/{run}";
const J = `${R}/jobs/{job}`;

add("runs", "viewer", "listRuns", "GET /api/runs", {
  summary: "Runs, the newest first",
  query: runs.RunListQuery,
  answer: runs.RunPage,
});
add("runs", "viewer", "countRuns", "GET /api/run-counts", {
  summary: "How many runs are in each state",
  answer: runs.RunCounts,
});
add("runs", "operator", "startRun", "POST /api/runs", {
  summary: "Start a run",
  body: runs.StartRun,
  makesRun: true,
  idempotent: true,
  also: [200],
  status: 201,
  answer: runs.Started,
});
add("runs", "operator", "actOnRuns", "POST /api/run-actions", {
  summary: "Cancel or retry several runs, or preview it",
  body: runs.BulkRuns,
  answer: runs.BulkResult,
});
add("runs", "viewer", "showRun", `GET ${R}`, { summary: "One run with its stages", answer: runs.Run });
add("runs", "viewer", "showGraph", `GET ${R}/graph`, {
  summary: "Jobs and dependencies of a run, compact",
  query: runs.GraphQuery,
  answer: runs.RunGraph,
});
add("runs", "operator", "cancelRun", `POST ${R}/cancel`, {
  summary: "Ask for the end of a run",
  body: runs.CancelRun,
  status: 202,
  answer: runs.RunSummary,
});
add("runs", "operator", "retryRun", `POST ${R}/retry`, {
  summary: "Reopen a failed or cancelled run: what did not complete runs again",
  body: runs.RetryRun,
  status: 202,
  answer: runs.Reopened,
});
add("runs", "operator", "rerunRun", `POST ${R}/rerun`, {
  summary: "A new run of the same pipeline, whole or from a job on",
  body: runs.RerunRun,
  makesRun: true,
  idempotent: true,
  also: [200],
  status: 201,
  answer: runs.Started,
});
add("runs", "operator", "rollbackRun", `POST ${R}/rollback`, {
  summary: "A run that undoes what this one did",
  body: runs.RollbackRun,
  makesRun: true,
  also: [200],
  status: 201,
  answer: runs.Started,
});
add("runs", "viewer", "reportRun", `GET ${R}/report`, {
  summary: "A report: JSON, Markdown or HTML",
  query: runs.ReportQuery,
  answer: runs.Report,
});
add("runs", "viewer", "showCheckpoint", `GET ${R}/checkpoint`, {
  summary: "Where it stands, as the checkpoint document",
  answer: runs.Checkpoint,
});
add("runs", "viewer", "listEvents", `GET ${R}/events`, {
  summary: "Events of a run in order",
  query: runs.EventQuery,
  answer: runs.EventPage,
});

add("jobs", "viewer", "listJobs", `GET ${R}/jobs`, {
  summary: "Jobs of a run",
  query: jobs.JobListQuery,
  answer: jobs.JobPage,
});
add("jobs", "viewer", "showJob", `GET ${J}`, {
  summary: "One job: input, output, attempts, why it is as it is",
  answer: jobs.Job,
});
add("jobs", "viewer", "listItems", `GET ${J}/items`, {
  summary: "Items of a fan-out",
  query: jobs.ItemListQuery,
  answer: jobs.ItemPage,
});
add("jobs", "viewer", "showItem", `GET ${J}/items/{ordinal}`, { summary: "One item", answer: jobs.Item });

add("logs", "viewer", "readLogs", `GET ${R}/logs`, {
  summary: "Log lines of a run after a number",
  query: jobs.LogQuery,
  answer: jobs.LogPage,
});
add("logs", "viewer", "downloadLog", `GET ${R}/logs/raw`, {
  summary: "The whole log as text; takes Range",
  media: "text/plain",
});
add("logs", "viewer", "readOutput", `GET ${J}/output`, {
  summary: "Raw output of a command; takes Range",
  query: jobs.RawLogQuery,
  media: "application/octet-stream",
});

add("artifacts", "viewer", "listArtifacts", `GET ${R}/artifacts`, {
  summary: "Artifacts of a run",
  query: things.ArtifactQuery,
  answer: things.ArtifactPage,
});
add("artifacts", "viewer", "listAllArtifacts", "GET /api/artifacts", {
  summary: "Artifacts of all runs, the newest first",
  query: things.AllArtifactsQuery,
  answer: things.ArtifactPage,
});
add("artifacts", "viewer", "showArtifact", "GET /api/artifacts/{sha256}", {
  summary: "Where these bytes came from",
  answer: things.ArtifactPage,
});
add("artifacts", "viewer", "readArtifact", "GET /api/artifacts/{sha256}/content", {
  summary: "The bytes; takes Range",
  query: things.ContentQuery,
  media: "application/octet-stream",
});
add("artifacts", "viewer", "showLineage", "GET /api/artifacts/{sha256}/lineage", {
  summary: "What it was made from and what was made from it",
  answer: things.Lineage,
});
add("artifacts", "viewer", "verifyArtifact", "POST /api/artifacts/{sha256}/verify", {
  summary: "Read the bytes and compare them with their hash",
  answer: things.Verified,
});

add("approvals", "viewer", "listApprovals", "GET /api/approvals", {
  summary: "Approvals, the oldest first",
  query: things.ApprovalQuery,
  answer: things.ApprovalPage,
});
add("approvals", "viewer", "showApproval", "GET /api/approvals/{approval}", {
  summary: "What is to be decided",
  answer: things.Approval,
});
add("approvals", "operator", "decideApproval", "POST /api/approvals/{approval}/decision", {
  summary: "Approve or reject",
  body: things.Decide,
  answer: things.Approval,
});

add("pipelines", "viewer", "listPipelines", "GET /api/known-pipelines", {
  summary: "Pipelines that this server knows",
  query: things.PipelineQuery,
  answer: things.PipelineInfoList,
});
add("pipelines", "viewer", "listAgents", "GET /api/agents", {
  summary: "Agents that this server knows",
  answer: things.AgentInfoList,
});
add("templates", "viewer", "listTemplates", "GET /api/templates", {
  summary: "Templates",
  answer: things.TemplateList,
});
add("templates", "viewer", "showTemplate", "GET /api/templates/{name}", {
  summary: "One template, in its newest or another version",
  query: things.TemplateQuery,
  answer: things.Template,
});
add("templates", "viewer", "listTemplateVersions", "GET /api/templates/{name}/versions", {
  summary: "Versions, the newest first",
  answer: things.TemplateVersions,
});
add("templates", "operator", "putTemplate", "PUT /api/templates/{name}", {
  summary: "A new version, if it differs from the newest",
  body: things.PutTemplate,
  answer: things.Template,
});
add("templates", "operator", "removeTemplate", "DELETE /api/templates/{name}", {
  summary: "Remove it; refused while schedules refer to it",
  status: 204,
  media: "",
});
add("schedules", "viewer", "listSchedules", "GET /api/schedules", {
  summary: "Schedules with their next times",
  answer: things.ScheduleList,
});
add("schedules", "viewer", "showSchedule", "GET /api/schedules/{name}", {
  summary: "One schedule",
  query: things.ScheduleQuery,
  answer: things.Schedule,
});
add("schedules", "operator", "addSchedule", "POST /api/schedules", {
  summary: "Add a schedule",
  body: things.PutSchedule,
  status: 201,
  answer: things.Schedule,
});
add("schedules", "operator", "triggerSchedule", "POST /api/schedules/{name}/trigger", {
  summary: "Start its pipeline now, beside its times",
  status: 201,
  answer: things.Triggered,
});
add("schedules", "operator", "enableSchedule", "POST /api/schedules/{name}/enable", {
  summary: "Start runs again from now on",
  answer: things.Schedule,
});
add("schedules", "operator", "disableSchedule", "POST /api/schedules/{name}/disable", {
  summary: "Start no runs until it is enabled",
  answer: things.Schedule,
});
add("schedules", "operator", "removeSchedule", "DELETE /api/schedules/{name}", {
  summary: "Remove it",
  status: 204,
  media: "",
});

add("workers", "viewer", "listWorkers", "GET /api/workers", {
  summary: "Workers and what they are at",
  query: things.WorkerQuery,
  answer: things.WorkerList,
});
add("workers", "viewer", "listLimiters", "GET /api/limiters", {
  summary: "Limiters and what they have left",
  answer: things.LimiterList,
});

add("live", "viewer", "live", "GET /api/live", {
  summary: "Live stream: a websocket when upgraded, else server-sent events",
  query: server.LiveQuery,
  media: "text/event-stream",
});

add("access", "open", "openSession", "POST /api/session", {
  summary: "Exchange a token for a cookie",
  body: server.OpenSession,
  status: 201,
  answer: server.Session,
});
add("access", "viewer", "showSession", "GET /api/session", { summary: "Who am I", answer: server.Session });
add("access", "viewer", "closeSession", "DELETE /api/session", { summary: "Log out", status: 204, media: "" });
add("access", "admin", "listTokens", "GET /api/tokens", { summary: "Tokens", answer: server.TokenList });
add("access", "admin", "mintToken", "POST /api/tokens", {
  summary: "Make a token; its text is shown once",
  body: server.NewToken,
  status: 201,
  answer: server.MintedToken,
});
add("access", "admin", "rotateToken", "POST /api/tokens/{token}/rotate", {
  summary: "A new token in its place; the former one lasts an hour more",
  status: 201,
  answer: server.MintedToken,
});
add("access", "admin", "revokeToken", "DELETE /api/tokens/{token}", {
  summary: "Revoke it at once, and its sessions",
  status: 204,
  media: "",
});
add("access", "admin", "listAudit", "GET /api/audit", {
  summary: "What was asked of this server, the newest first",
  query: server.AuditQuery,
  answer: server.AuditPage,
});
add("access", "admin", "verifyAudit", "GET /api/audit/verify", {
  summary: "Check the chain of the audit log",
  answer: server.AuditVerified,
});

add("webhooks", "viewer", "listWebhooks", "GET /api/webhooks", {
  summary: "Where messages go out to",
  answer: server.WebhookList,
});
add("webhooks", "admin", "putWebhook", "PUT /api/webhooks/{webhook}", {
  summary: "Make or change it; the secret is shown when it is made",
  body: server.PutWebhook,
  answer: server.Webhook,
});
add("webhooks", "admin", "rotateWebhook", "POST /api/webhooks/{webhook}/rotate", {
  summary: "A new secret; the former one signs as well for a day",
  answer: server.Webhook,
});
add("webhooks", "admin", "removeWebhook", "DELETE /api/webhooks/{webhook}", {
  summary: "Remove it",
  status: 204,
  media: "",
});
add("webhooks", "viewer", "listDeliveries", "GET /api/webhooks/{webhook}/deliveries", {
  summary: "What was sent, the newest first",
  query: server.DeliveryQuery,
  answer: server.DeliveryPage,
});
add("webhooks", "admin", "resendDelivery", "POST /api/webhooks/{webhook}/deliveries/{delivery}/resend", {
  summary: "Send it again",
  status: 202,
  answer: server.Resent,
});
add("webhooks", "viewer", "listHooks", "GET /api/hooks", {
  summary: "Where messages come in",
  answer: server.HookList,
});
add("webhooks", "admin", "putHook", "PUT /api/hooks/{hook}", {
  summary: "Make or change it; the secret is shown when it is made",
  body: server.PutHook,
  answer: server.Hook,
});
add("webhooks", "admin", "rotateHook", "POST /api/hooks/{hook}/rotate", {
  summary: "A new secret; the former one counts as well for a day",
  answer: server.Hook,
});
add("webhooks", "admin", "removeHook", "DELETE /api/hooks/{hook}", { summary: "Remove it", status: 204, media: "" });
add("webhooks", "open", "receiveHook", "POST /hooks/{hook}", {
  summary: "A signed message starts a run",
  body: JsonValue,
  status: 202,
  also: [200],
  answer: runs.Started,
});

const C = "/api/pipelines";
add("compatibility", "viewer", "compatList", `GET ${C}`, {
  summary: "Recent pipelines",
  query: compat.ListQuery,
  answer: compat.PipelineList,
});
add("compatibility", "viewer", "compatTemplates", `GET ${C}/templates`, {
  summary: "What can be started",
  answer: compat.TemplateList,
});
add("compatibility", "viewer", "compatRunning", `GET ${C}/running`, {
  summary: "Pipelines that have not ended",
  answer: compat.PipelineList,
});
add("compatibility", "operator", "compatStart", `POST ${C}/{pipeline}/start`, {
  summary: "Start a pipeline with a prompt",
  body: compat.Start,
  makesRun: true,
  idempotent: true,
  also: [200],
  status: 201,
  answer: compat.Pipeline,
});
add("compatibility", "viewer", "compatShow", `GET ${C}/{run}`, {
  summary: "One pipeline with its stages and jobs",
  answer: compat.Pipeline,
});
add("compatibility", "viewer", "compatStatus", `GET ${C}/{run}/status`, {
  summary: "Its status",
  answer: compat.Status,
});
add("compatibility", "operator", "compatStop", `POST ${C}/{run}/stop`, {
  summary: "Stop it",
  status: 202,
  answer: compat.Status,
});
add("compatibility", "viewer", "compatLog", `GET ${C}/{run}/log/since`, {
  summary: "Log lines after a number",
  query: compat.LogQuery,
  answer: compat.LogLines,
});

add("server", "open", "health", "GET /healthz", { summary: "The process is there", answer: server.Health });
add("server", "viewer", "readiness", "GET /readyz", {
  summary: "The ledger can be written, the disk has room",
  also: [503],
  answer: server.Readiness,
});
add("server", "viewer", "metrics", "GET /metrics", { summary: "Figures for Prometheus", media: "text/plain" });
add("server", "viewer", "openapi", "GET /api/openapi.json", {
  summary: "This description",
  answer: z.object({ openapi: z.string() }).loose(),
});

export const OPERATIONS: readonly Operation[] = list;
