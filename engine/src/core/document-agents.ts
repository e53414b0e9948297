/**
 * Parts of a job's spec for work by people and agents: approvals, gates, spawning, multiplying. Plain data, as all of
 * document.ts; see docs/decisions/0010.
 *
 * Owner: core.
 */
import type { Condition, Template } from "./document.ts";
import type { Ceiling } from "./llm.ts";
import type { Json } from "./model.ts";

/** A person must agree before the job's work begins. */
export interface ApprovalSpec {
  /** One line that says what is to be decided; may hold placeholders. */
  title: Template;
  /** What the person sees. Default: the job's input. */
  show?: Json;
  /** The person may put another value in the place of the job's input. Only without `show`. */
  editable?: boolean;
  /** After this time the approval expires and the job fails with `approval_expired`. Default: never. */
  expiresSeconds?: number;
}

/** One condition that a good output must not meet. */
export interface GateCheck {
  /** When this holds there is a finding. Placeholders may also refer to `output` and `input`. */
  when: Condition;
  level: "warning" | "error";
  message: Template;
}

/**
 * A verdict on a job's output: PASSED, PASSED_WITH_WARNINGS or FAILED. Sources of findings are added up; the worst counts.
 */
export interface GateSpec {
  /** An agent that is given {input, output} and returns {verdict?, findings?}. */
  agent?: string;
  checks?: GateCheck[];
  /** Placeholder for a verdict, or for {verdict, findings}, inside the output. */
  verdict?: Template;
  /** More warnings than this make the verdict FAILED. Default: any number is only a warning. */
  maxWarnings?: number;
  /** What FAILED does. `fail` (default), `retry` as a retryable error, `halt` the run, `approve` asks a person, `continue`. */
  onFailed?: "fail" | "retry" | "halt" | "approve" | "continue";
  /** What PASSED_WITH_WARNINGS does. Default `continue`. */
  onWarnings?: "continue" | "fail" | "approve";
}

/** What a job may add to its run. Without it a command may spawn nothing, a function anything that is known. */
export interface SpawnRights {
  /** Agents by name; `layer/*` allows a layer. */
  agents?: string[];
  /** Declared jobs of this pipeline that may be run again as children. */
  jobs?: string[];
  /** Children of this job in all. Default 10. */
  children?: number;
  /** Levels of children below a declared job. Default 3. */
  depth?: number;
  /** Rounds that may end with children before the job fails with `loop_limit`. Default 5. */
  rounds?: number;
}

/** The job becomes one child per element of a list that another job made. */
export interface MultiplySpec {
  /** Placeholder that yields the list or a text to be parsed, or an artifact of another job. */
  source: Template | Json[] | { job: string; artifact: string };
  /** How a text becomes a list. Default `json`. Any other JSON value than a list is one element. */
  parse?: "json" | "lines" | "commas";
  /** Children at the same time. Default: all. */
  concurrency?: number;
}

/** What the engine knows about a spawned job beside its spec: values for its placeholders. */
export interface Bindings {
  /** Element and position, of a multiplied job. */
  item?: Json;
  index?: number;
  /** Why it was spawned. */
  context?: SpawnContext;
  /** Bounds taken over from the model that spawned it. */
  ceiling?: Ceiling;
}

/** Why a job was spawned. Placeholders refer to it as `context`; for declared jobs its parts are null. */
export interface SpawnContext {
  reason: string | null;
  /** Id of the job that asked. */
  requestedBy: string | null;
  /** What the asking job had made so far. */
  parentOutput: Json;
}

export const DEFAULT_SPAWN_CHILDREN = 10;
export const DEFAULT_SPAWN_DEPTH = 3;
export const DEFAULT_ROUNDS = 5;
