/**
 * The form in which people write pipelines, in YAML and in TypeScript, and its types.
 *
 * Owner: authoring. It is the document's form (core/document-shape.ts) with short ways to say the usual:
 * `needs: [a]`, `command: [python3, x.py]`, `shell: "…"`, `forEach: "{{ … }}"`, `jobs:` without stages.
 * normalise.ts turns it into a document.
 */
import type { Agent } from "../core/agent.ts";
import type {
  CommandSpec,
  Condition,
  Dependency,
  ErrorRule,
  ForEachSpec,
  JobSpec,
  LimiterSpec,
  PipelineDocument,
  Requirement,
  RetryPolicy,
  Template,
  WorkPolicy,
} from "../core/document.ts";
import {
  COMMAND_KEYS,
  DEPENDENCY_KEYS,
  FOR_EACH_KEYS,
  JOB_KEYS,
  PIPELINE_KEYS,
  POLICY_KEYS,
} from "../core/document-shape.ts";
import type { DependencyType, Priority } from "../core/model.ts";
import { either, json, list, map, object, type Shape, text, word } from "../core/shape.ts";

export type { Condition, Dependency, ErrorRule, ForEachSpec, LimiterSpec, Requirement, RetryPolicy, WorkPolicy };

/** A program: argv, or one text for `/bin/sh -c` in `shell` (without placeholders: use env). */
export type CommandForm = Omit<CommandSpec, "argv"> & { argv?: Template[]; shell?: string };

export type ForEachForm =
  | Template
  | readonly unknown[]
  | (Partial<Omit<ForEachSpec, "source">> & {
      source?: Template | readonly unknown[] | { file: Template };
      file?: Template;
    });

/** What undoes a job, said as a job says its work. */
export interface CompensateForm extends WorkPolicy {
  agent?: string | Agent;
  command?: readonly Template[] | CommandForm;
  shell?: string;
  env?: Record<string, Template>;
  /** Any JSON; placeholders also refer to `output`, the output of the job that is undone. */
  input?: unknown;
}

/** A job as written. Name an agent, or give a command or shell text. */
export interface JobForm extends WorkPolicy {
  id: string;
  /** `layer/name`, or the agent itself. */
  agent?: string | Agent;
  /** Program and arguments, or the whole specification. No shell is involved. */
  command?: readonly Template[] | CommandForm;
  /** Text for `/bin/sh -c`. Placeholders are refused in it; hand values over in `env`. */
  shell?: string;
  /** Variables for `command` or `shell`. */
  env?: Record<string, Template>;
  /** Any JSON, with placeholders in strings. A forEach job without input gets the item. */
  input?: unknown;
  /** Absent: waits for the stage before. Empty: starts at once. A plain id means success. */
  needs?: readonly (string | { job: string; on?: DependencyType })[];
  /** With `needs`: waits for the stage before as well. */
  afterStage?: boolean;
  when?: Condition;
  forEach?: ForEachForm;
  allowFailure?: boolean;
  priority?: Priority;
  limits?: Template[];
  cache?: JobSpec["cache"];
  summary?: Template;
  /** A person must agree before the work begins. */
  approval?: JobSpec["approval"];
  /** A verdict on the output. */
  gate?: JobSpec["gate"];
  /** What the job may add to its run. */
  spawns?: JobSpec["spawns"];
  /** What it leaves behind beside its output. */
  artifacts?: JobSpec["artifacts"];
  /** `outside`: it changes something outside; a dry run plans it instead of running it. */
  effects?: JobSpec["effects"];
  /** What undoes the job's effects when the run is rolled back. */
  compensate?: CompensateForm;
  /** One child per element of a list that another job made. */
  multiply?: JobSpec["multiply"];
}

export interface StageForm {
  name: string;
  jobs: readonly JobForm[];
}

/** The head of a pipeline as written, the same for graphs and durable code. */
export interface HeadForm {
  name: string;
  description?: string;
  /** Pattern of run ids: {pipeline} {timestamp} {date} {seq} {random}. Default `{pipeline}-{seq}`. */
  runId?: string;
  priority?: Priority;
  requires?: Requirement[];
  /** How progress is told where there is no terminal: how far each stage is (default), or the state of each job. */
  display?: PipelineDocument["display"];
  /** One run per key at a time; a plain key queues. */
  concurrency?: Template | { key: Template; onConflict?: "queue" | "refuse" | "replace" };
  limiters?: PipelineDocument["limiters"];
  /** Bounds for what all LLM agents of a run use together. */
  modelBudget?: PipelineDocument["modelBudget"];
  /** For every job that does not say otherwise. */
  defaults?: WorkPolicy;
}

const TEXT_COMMAND_HINT = 'Write a list such as ["python3", "x.py"], or use shell: for text with pipes and variables.';

const JOB: Shape = object(
  {
    ...JOB_KEYS,
    agent: text(),
    command: { ...either(list(text(), 1), object({ ...COMMAND_KEYS, shell: text() })), hint: TEXT_COMMAND_HINT },
    shell: text(),
    env: COMMAND_KEYS.env!,
    needs: { ...list(either(text(), object(DEPENDENCY_KEYS, ["job"]))), hint: "Write a list of job ids: [a, b]." },
    forEach: either(text(), list(json), object({ ...FOR_EACH_KEYS, file: text() })),
    compensate: object({
      ...POLICY_KEYS,
      agent: text(),
      command: { ...either(list(text(), 1), object({ ...COMMAND_KEYS, shell: text() })), hint: TEXT_COMMAND_HINT },
      shell: text(),
      env: COMMAND_KEYS.env!,
      input: json,
    }),
  },
  ["id"],
);

const HEAD_KEYS = {
  ...PIPELINE_KEYS,
  concurrency: either(text(), object({ key: text(), onConflict: word("queue", "refuse", "replace") }, ["key"])),
};

const STAGE = object({ name: text(), jobs: list(JOB, 1) }, ["name", "jobs"]);

/** A graph as written: `stages`, or `jobs` for a single stage. */
export const GRAPH: Shape = object({ ...HEAD_KEYS, params: map(json), stages: list(STAGE, 1), jobs: list(JOB, 1) }, [
  "name",
]);

/** The head of a code pipeline. */
export const CODE: Shape = object({ ...HEAD_KEYS, params: map(json) }, ["name"]);
