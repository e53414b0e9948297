/**
 * The form of a pipeline document, for shape.ts: keys, types and bounds of every figure in it.
 *
 * Owner: core. Follows document.ts key by key. The parts are exported because the friendlier form that people write
 * (authoring/form.ts) is made of the same ones.
 */
import { ARTIFACTS } from "./artifact.ts";
import { MAX_ITEMS } from "./limits.ts";
import {
  either,
  flag,
  json,
  lazy,
  list,
  map,
  number,
  object,
  positive,
  type Shape,
  text,
  whole,
  word,
} from "./shape.ts";

/** Timers of Node overflow above 2^31 ms. */
const MAX_SECONDS = 2_147_483;
const YEAR_SECONDS = 366 * 86_400;

export const PRIORITY = word("high", "normal", "low");
const CATEGORY = word("retryable", "skippable", "critical", "permanent");

const RETRY = object({
  maxRetries: whole(0, 1_000),
  baseSeconds: number(0, MAX_SECONDS),
  factor: number(1, 1_000),
  capSeconds: number(0, MAX_SECONDS),
  jitter: number(0, 1),
});

const RULE = object(
  {
    class: text(),
    code: text(),
    status: either(whole(100, 599), text(), list(either(whole(100, 599), text()), 1)),
    exitCode: either(whole(0, 255), list(whole(0, 255), 1)),
    message: text(),
    category: CATEGORY,
  },
  ["category"],
);

export const POLICY_KEYS: { readonly [key: string]: Shape } = {
  retry: RETRY,
  timeoutSeconds: positive(MAX_SECONDS),
  jobTimeoutSeconds: positive(MAX_SECONDS),
  errors: list(RULE),
  onExhausted: word("fail", "skip"),
  maxCrashes: whole(1, 1_000),
};

export const COMMAND_KEYS: { readonly [key: string]: Shape } = {
  argv: list(text(), 1),
  env: map(text("Put the value in quotes: variables are text.")),
  passEnv: list(text()),
  cwd: text(),
  stdin: text(),
  graceSeconds: number(0, 3_600),
  output: word("file", "stdout-json", "stdout-text"),
  logBytes: whole(1_024, 64 * 1024 ** 3),
};

export const FOR_EACH_KEYS: { readonly [key: string]: Shape } = {
  source: either(text(), list(json), object({ file: text() }, ["file"])),
  concurrency: whole(1, 10_000),
  batch: whole(1, 100_000),
  key: text(),
  errorRate: number(0, 1),
  window: whole(1, MAX_ITEMS),
};

const PAIR = list(json);

export const CONDITION: Shape = object({
  eq: PAIR,
  ne: PAIR,
  gt: PAIR,
  lt: PAIR,
  in: PAIR,
  exists: json,
  all: list(lazy(() => CONDITION)),
  any: list(lazy(() => CONDITION)),
  not: lazy(() => CONDITION),
});

export const DEPENDENCY_KEYS: { readonly [key: string]: Shape } = {
  job: text(),
  on: word("success", "failure", "always"),
};

const SECONDS = positive(YEAR_SECONDS);

const APPROVAL = object({ title: text(), show: json, editable: flag, expiresSeconds: SECONDS }, ["title"]);

const GATE = object({
  agent: text(),
  checks: list(
    object({ when: CONDITION, level: word("warning", "error"), message: text() }, ["when", "level", "message"]),
    1,
  ),
  verdict: text(),
  maxWarnings: whole(0, 1_000_000),
  onFailed: word("fail", "retry", "halt", "approve", "continue"),
  onWarnings: word("continue", "fail", "approve"),
});

const SPAWNS = object({
  agents: list(text()),
  jobs: list(text()),
  children: whole(0, 1_000),
  depth: whole(0, 32),
  rounds: whole(0, 1_000),
});

const MULTIPLY = object(
  {
    source: either(text(), list(json), object({ job: text(), artifact: text() }, ["job", "artifact"])),
    parse: word("json", "lines", "commas"),
    concurrency: whole(1, 1_000),
  },
  ["source"],
);

/** Keys of a job that are the same in the document and in what people write. */
export const JOB_KEYS: { readonly [key: string]: Shape } = {
  ...POLICY_KEYS,
  id: text(),
  input: json,
  when: CONDITION,
  allowFailure: flag,
  afterStage: flag,
  priority: PRIORITY,
  limits: list(text()),
  cache: object({ key: text(), maxAgeSeconds: positive(YEAR_SECONDS * 10) }, ["key", "maxAgeSeconds"]),
  summary: text(),
  approval: APPROVAL,
  gate: GATE,
  spawns: SPAWNS,
  multiply: MULTIPLY,
  artifacts: ARTIFACTS,
  effects: word("outside"),
};

const LIMITER = object({
  rate: object({ count: positive(1_000_000_000), perSeconds: positive(YEAR_SECONDS), burst: whole(1, 1_000_000_000) }, [
    "count",
    "perSeconds",
  ]),
  concurrency: whole(1, 1_000_000),
  quota: object({ day: whole(0, Number.MAX_SAFE_INTEGER), month: whole(0, Number.MAX_SAFE_INTEGER) }),
  budget: object({ day: number(0, 1e15), month: number(0, 1e15), total: number(0, 1e15) }),
  breaker: object({ failures: whole(1, 1_000_000), openSeconds: positive(MAX_SECONDS) }, ["failures", "openSeconds"]),
});

/** What calls of models may use. */
export const MODEL_BUDGET: Shape = object({
  tokens: whole(1, Number.MAX_SAFE_INTEGER),
  cost: positive(1e9),
  calls: whole(1, 1_000_000),
  wallSeconds: positive(YEAR_SECONDS),
});

/** Keys of a pipeline that are the same in the document and in what people write. */
export const PIPELINE_KEYS: { readonly [key: string]: Shape } = {
  name: text(),
  description: text(),
  runId: text(),
  priority: PRIORITY,
  display: word("phases", "status"),
  requires: list(object({ file: text(), env: text(), command: text(), agent: text(), hint: text() })),
  limiters: map(LIMITER),
  modelBudget: MODEL_BUDGET,
  defaults: object(POLICY_KEYS),
};

const JOB = object(
  {
    ...JOB_KEYS,
    agent: text(),
    command: object(COMMAND_KEYS, ["argv"]),
    needs: list(object(DEPENDENCY_KEYS, ["job", "on"])),
    forEach: object(FOR_EACH_KEYS, ["source", "concurrency", "errorRate"]),
    compensate: object({ ...POLICY_KEYS, agent: text(), command: object(COMMAND_KEYS, ["argv"]), input: json }),
    compensates: object({ job: text(), seq: whole(0, Number.MAX_SAFE_INTEGER) }, ["job", "seq"]),
  },
  ["id", "agent"],
);

export const DOCUMENT: Shape = object(
  {
    ...PIPELINE_KEYS,
    kind: word("graph", "code"),
    params: map(json),
    concurrency: object({ key: text(), onConflict: word("queue", "refuse", "replace") }, ["key", "onConflict"]),
    agents: map(text()),
    stages: list(object({ name: text(), jobs: list(JOB, 1) }, ["name", "jobs"]), 1),
  },
  ["name", "kind", "stages"],
);
