/** The public API of Tenuto, whole. */

export { bindAgents, defineAgent, definePipeline, defineTool, type Pipeline } from "./authoring/define.ts";
export { type Config, defineConfig, loadConfig, loadPipelines } from "./authoring/load.ts";
export { loadYamlPipeline } from "./authoring/yaml.ts";
export type {
  Agent,
  ApprovalOptions,
  ApprovalOutcome,
  ArtifactRef,
  ChildOutcome,
  CommandAgent,
  Context,
  Dataset,
  DatasetRef,
  FanoutResult,
  FunctionAgent,
  LlmAgent,
  MapOptions,
  MapResult,
  MapSource,
  OfferedArtifact,
  Schema,
  SpawnSpec,
  StepKey,
} from "./core/agent.ts";
export { ARTIFACT_TYPES, type ArtifactsSpec, type ArtifactType } from "./core/artifact.ts";
export type { UsageTotals } from "./core/budget.ts";
export type { ItemRow } from "./core/decision.ts";
export type * from "./core/document.ts";
export type * from "./core/document-agents.ts";
export { ERROR_CODES, type ErrorCategory, type ErrorCode, type StoredError, TenutoError } from "./core/errors.ts";
export type { Finding } from "./core/gate.ts";
export type { LlmBudget, LlmSpec, LlmTool, LlmToolContext, ModelPrice, ModelSpec } from "./core/llm.ts";
export type { AttemptState, ItemState, JobState, Json, Priority, RunState } from "./core/model.ts";
export type { ApprovalRow, ApprovalState, GateRow, Verdict } from "./core/records.ts";
export type { EventRow } from "./core/unit.ts";
export { type OpenOptions, openTenuto, systemClock, type Tenuto } from "./open.ts";
export type { JobRecord, RunFilter, RunRecord } from "./ports/ledger.ts";
export type { LogLevel, LogLine } from "./ports/log-sink.ts";
export type { Message, NotifierSpec, WebhookSpec } from "./ports/notifier.ts";
export type { Client, DecisionInput, RunEnd, RunHandle, StartOptions } from "./runtime/client.ts";
export type { WorkOptions } from "./runtime/engine.ts";
export type { JobToImport, RunToImport } from "./runtime/import.ts";
export type { RerunRequest } from "./runtime/rerun.ts";
export type { RollbackStatus } from "./runtime/rollback.ts";
export type { ScheduleInput } from "./runtime/schedules.ts";
export type { Template } from "./runtime/templates.ts";
