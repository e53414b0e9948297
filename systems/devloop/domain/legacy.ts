/**
 * From rows of an older database to runs that ended, and a list of what could not be taken and why. Pure.
 *
 * Invariants:
 * 1. Every pipeline and every task becomes one run, or is named with the reason why it did not.
 * 2. Work that was still open when the database was left is over: what was running failed with `left_running`, what was
 *    waiting is skipped. Nothing of it is worked on here.
 * 3. Names become valid ids and stay recognisable; the old ids are in the inputs.
 * 4. The same rows give the same run, so that a second import is recognised.
 */
import type { JobToImport, Json, RunToImport } from "tenuto";
import type { LegacyDatabase, Row } from "./legacy-rows.ts";
import { cutText, jsonOf, nameOf, plainRow, textOf, timeOf } from "./legacy-rows.ts";

export interface Note {
  /** `pipeline 7`, `artifact 3`. */
  what: string;
  why: string;
}

export interface Translated {
  runs: { what: string; run: RunToImport }[];
  notes: Note[];
}

const TYPES = ["file", "model_output", "error_context", "test_results", "verification_report", "dataset"];

/** Everything that can be taken. `readFile` gives the bytes of an artifact's file, or why there are none. */
export function translate(
  database: LegacyDatabase,
  readFile: (path: string) => Uint8Array | string = () => "files are only read with --files",
): Translated {
  const notes: Note[] = [
    ...database.leftOut.map(({ table, rows }) => ({
      what: `table ${table}`,
      why: `${rows} rows of a kind that is not taken`,
    })),
    ...database.unknownColumns.map((column) => ({ what: `column ${column}`, why: "it is not known" })),
  ];
  if (database.templates.length > 0)
    notes.push({
      what: "table pipeline_templates",
      why: `${database.templates.length} templates: only their names are used; use the templates of this system`,
    });
  if (database.consumptions > 0)
    notes.push({
      what: "table artifact_consumption",
      why: `${database.consumptions} rows: consumption is recorded by the engine when it happens`,
    });
  const runs: Translated["runs"] = [];
  for (const pipeline of database.pipelines) {
    const what = `pipeline ${textOf(pipeline["pipeline_id"])}`;
    const run = pipelineRun(database, pipeline, what, notes, readFile);
    if (run !== null) runs.push({ what, run });
  }
  for (const task of database.tasks) runs.push(taskRun(database, task, notes));
  return { runs, notes };
}

function pipelineRun(
  database: LegacyDatabase,
  pipeline: Row,
  what: string,
  notes: Note[],
  readFile: (path: string) => Uint8Array | string,
): RunToImport | null {
  const id = pipeline["pipeline_id"];
  const own = database.jobs.filter((job) => job["pipeline_id"] === id);
  if (own.length === 0) {
    notes.push({ what, why: "it has no jobs" });
    return null;
  }
  const ids = idsOf(own);
  const stages = stagesOf(database, id, own, ids);
  const createdAt = timeOf(pipeline["created_at"]) ?? Math.min(...own.map((job) => timeOf(job["created_at"]) ?? 0));
  const jobs = own.map((job) => {
    const made = jobOf(job, { ids, stages, createdAt, notes });
    made.artifacts = artifactsOf(database, job, made.id, notes, readFile);
    return made;
  });
  for (const job of jobs) {
    const needs = needsOf(database, own, ids, job.id, notes);
    if (needs.length > 0 && job.parent === undefined) job.needs = needs;
  }
  const template = database.templates.find(
    (row) => row["template_id"] === pipeline["template_id"] && row["template_id"] != null,
  );
  const times = jobs.flatMap((job) => [job.startedAt, job.endedAt]).filter((time) => time !== null);
  return {
    idempotencyKey: `devloop-import/pipeline/${textOf(id)}/${textOf(pipeline["created_at"])}`.slice(0, 255),
    pipeline: nameOf(textOf(template?.["name"] ?? "devloop-import")),
    params: {
      originalPrompt: textOf(pipeline["original_prompt"]),
      legacyPipelineId: textOf(id),
      ...(pipeline["metadata"] == null ? {} : { metadata: jsonOf(pipeline["metadata"]) }),
    },
    labels: { imported: "devloop" },
    state: runStateOf(textOf(pipeline["status"]), jobs),
    createdAt,
    startedAt: earliest(jobs, createdAt),
    endedAt: Math.max(createdAt, timeOf(pipeline["completed_at"]) ?? 0, ...times),
    stages: [...new Set(stages.values())].map((name) => ({ name })).sort(byOrder(database, id)),
    jobs,
  };
}

/** A valid, unique id for each old job; those of spawned jobs lie below their parents'. */
function idsOf(jobs: readonly Row[]): Map<unknown, string> {
  const own = new Map<unknown, string>();
  const used = new Set<string>();
  for (const job of jobs) {
    const base = nameOf(textOf(job["name"] ?? job["agent_type"] ?? "job"));
    let name = base;
    for (let at = 2; used.has(name); at++) name = `${base}-${at}`;
    used.add(name);
    own.set(job["job_id"], name);
  }
  const parents = new Map(jobs.map((job) => [job["job_id"], job["parent_job_id"] ?? null]));
  const full = (id: unknown, depth: number): string => {
    const parent = parents.get(id);
    const lead = parent !== null && own.has(parent) && depth < 30 ? `${full(parent, depth + 1)}/` : "";
    return lead + own.get(id)!;
  };
  return new Map(jobs.map((job) => [job["job_id"], full(job["job_id"], 0)]));
}

/** The stage of each job by its id. A stage that has only spawned jobs is not one: they go to the stage of their parent. */
function stagesOf(
  database: LegacyDatabase,
  pipeline: unknown,
  jobs: readonly Row[],
  ids: Map<unknown, string>,
): Map<string, string> {
  const names = new Map(
    database.stages
      .filter((stage) => stage["pipeline_id"] === pipeline)
      .map((stage) => [stage["stage_id"], nameOf(textOf(stage["name"]))]),
  );
  const declared = (job: Row) => !ids.get(job["job_id"])!.includes("/");
  const written = (job: Row) => names.get(job["stage_id"]) ?? "main";
  const real = new Set(jobs.filter(declared).map(written));
  const stages = new Map<string, string>();
  const find = (job: Row): string => {
    const stage = written(job);
    if (real.has(stage)) return stage;
    const parent = jobs.find((other) => other["job_id"] === job["parent_job_id"]);
    return parent === undefined ? [...real][0]! : find(parent);
  };
  for (const job of jobs) stages.set(ids.get(job["job_id"])!, find(job));
  return stages;
}

function byOrder(database: LegacyDatabase, pipeline: unknown) {
  const orders = new Map(
    database.stages
      .filter((stage) => stage["pipeline_id"] === pipeline)
      .map((stage) => [nameOf(textOf(stage["name"])), Number(stage["stage_order"] ?? 0)]),
  );
  return (a: { name: string }, b: { name: string }) => (orders.get(a.name) ?? 0) - (orders.get(b.name) ?? 0);
}

type OneJob = { -readonly [K in keyof JobToImport]: JobToImport[K] };

interface JobPlace {
  ids: Map<unknown, string>;
  stages: Map<string, string>;
  createdAt: number;
  notes: Note[];
}

function jobOf(row: Row, { ids, stages, createdAt, notes }: JobPlace): OneJob {
  const id = ids.get(row["job_id"])!;
  const parent = ids.get(row["parent_job_id"] ?? null);
  const status = textOf(row["status"] ?? "pending");
  const begun = timeOf(row["started_at"]);
  const startedAt = begun === null ? null : Math.max(begun, createdAt);
  const end = timeOf(row["completed_at"]) ?? timeOf(row["updated_at"]);
  const { state, reason, error } = endOf(status, textOf(row["termination_reason"] ?? ""));
  const worked = startedAt !== null || state === "completed" || state === "failed";
  const attempts = worked ? Math.min(1_000, Math.max(0, Number(row["retry_count"] ?? 0) || 0) + 1) : 0;
  const start = worked ? (startedAt ?? Math.max(createdAt, end ?? createdAt)) : null;
  if (begun !== null && begun < createdAt)
    notes.push({ what: `job ${textOf(row["job_id"])}`, why: "it began before its pipeline; the start was moved" });
  return {
    id,
    stage: stages.get(id)!,
    agent: `devloop/${nameOf(textOf(row["agent_type"] ?? "agent"))}`,
    ...(parent === undefined ? {} : { parent }),
    state,
    ...(reason === undefined ? {} : { reason }),
    attempts,
    startedAt: start,
    endedAt: end === null ? start : Math.max(end, start ?? createdAt),
    input: inputOf(row),
    ...outputOf(row, state),
    ...(error === undefined ? {} : { error }),
    ...(row["job_output"] == null ? {} : { log: textOf(row["job_output"]) }),
  };
}

const KEPT = [
  "prompt",
  "original_prompt",
  "command",
  "allowed_paths",
  "regression_context",
  "iteration",
  "chain_id",
  "model",
  "vendor",
];

function inputOf(row: Row): Json {
  const kept = KEPT.filter((key) => row[key] != null).map((key) => [key, cutText(jsonOf(row[key]))]);
  return { legacyJobId: textOf(row["job_id"]), ...Object.fromEntries(kept) } as Json;
}

function outputOf(row: Row, state: JobToImport["state"]): { output?: Json } {
  if (state !== "completed" || row["job_output"] == null) return {};
  return {
    output: {
      text: cutText(textOf(row["job_output"])),
      termination_reason: jsonOf(row["termination_reason"] ?? null),
    } as Json,
  };
}

function endOf(status: string, why: string): Pick<OneJob, "state" | "reason" | "error"> {
  switch (status) {
    case "completed":
      return { state: "completed" };
    case "failed":
      return {
        state: "failed",
        error: { code: "failed", message: why === "" ? "it failed; no reason was kept" : why },
      };
    case "cancelled":
      return { state: "cancelled", reason: why === "" ? "cancelled" : why };
    case "skipped":
      return { state: "skipped", reason: why === "" ? "skipped" : why };
    case "running":
    case "waiting":
      return {
        state: "failed",
        error: { code: "left_running", message: `it was ${status} when the database was left` },
      };
    default:
      return { state: "skipped", reason: `left_${nameOf(status)}` };
  }
}

function runStateOf(status: string, jobs: readonly OneJob[]): RunToImport["state"] {
  if (status === "cancelled") return "cancelled";
  if (status === "completed" && jobs.every((job) => job.state !== "failed")) return "completed";
  return "failed";
}

function earliest(jobs: readonly OneJob[], createdAt: number): number | null {
  const starts = jobs.map((job) => job.startedAt).filter((time) => time !== null);
  return starts.length === 0 ? null : Math.max(createdAt, Math.min(...starts));
}

function needsOf(
  database: LegacyDatabase,
  jobs: readonly Row[],
  ids: Map<unknown, string>,
  id: string,
  notes: Note[],
): NonNullable<OneJob["needs"]> {
  const row = jobs.find((job) => ids.get(job["job_id"]) === id)!;
  const needs = new Map<string, "success" | "failure" | "always">();
  for (const edge of database.dependencies) {
    if (edge["job_id"] !== row["job_id"]) continue;
    const from = ids.get(edge["depends_on_job_id"]);
    if (from === undefined)
      notes.push({ what: `dependency of job ${textOf(row["job_id"])}`, why: "it names a job that is not there" });
    // A dependency on a spawned job is what its parent says already.
    else if (!from.includes("/"))
      needs.set(from, dependencyOf(textOf(edge["type"] ?? edge["dependency_type"] ?? "success")));
  }
  return [...needs].map(([job, on]) => ({ job, on }));
}

function dependencyOf(type: string): "success" | "failure" | "always" {
  if (type === "failure") return "failure";
  return type === "always" || type === "completed" ? "always" : "success";
}

function artifactsOf(
  database: LegacyDatabase,
  job: Row,
  id: string,
  notes: Note[],
  readFile: (path: string) => Uint8Array | string,
): NonNullable<OneJob["artifacts"]> {
  const artifacts: { name: string; type: string; content: Uint8Array; mediaType: string }[] = [];
  for (const row of database.artifacts.filter((entry) => entry["job_id"] === job["job_id"])) {
    const what = `artifact ${textOf(row["artifact_id"])} of job ${id}`;
    const content = contentOf(row, readFile);
    if (typeof content === "string") {
      notes.push({ what, why: content });
      continue;
    }
    const type = textOf(row["type"] ?? row["artifact_type"] ?? "file");
    if (!TYPES.includes(type)) notes.push({ what, why: `its type ${type} is not known; it was taken as file` });
    const name = textOf(row["name"] ?? row["file_path"] ?? "artifact").slice(0, 200);
    artifacts.push({
      name,
      type: TYPES.includes(type) ? type : "file",
      content,
      mediaType: "application/octet-stream",
    });
  }
  const actions = database.actions.filter((entry) => entry["job_id"] === job["job_id"]);
  if (actions.length > 0) {
    const lines = actions.map((entry) =>
      JSON.stringify(Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, jsonOf(value)]))),
    );
    artifacts.push({
      name: "actions.jsonl",
      type: "file",
      content: Buffer.from(`${lines.join("\n")}\n`),
      mediaType: "application/jsonl",
    });
  }
  return artifacts;
}

function contentOf(row: Row, readFile: (path: string) => Uint8Array | string): Uint8Array | string {
  const { content } = row;
  if (content instanceof Uint8Array) return content;
  if (typeof content === "string") return Buffer.from(content);
  return row["file_path"] == null ? "it has neither content nor a file" : readFile(textOf(row["file_path"]));
}

/** A task of the still older form: a run of one job. */
function taskRun(database: LegacyDatabase, task: Row, notes: Note[]): Translated["runs"][number] {
  const id = task["task_id"] ?? task["id"];
  const what = `task ${textOf(id)}`;
  const states = database.agentStates.filter((row) => (row["task_id"] ?? row["id"]) === id);
  const created = timeOf(task["created_at"]) ?? timeOf(task["started_at"]) ?? timeOf(task["updated_at"]);
  if (created === null) notes.push({ what, why: "it has no time of creation; 1970 was taken" });
  const createdAt = created ?? 0;
  const prompt = textOf(task["prompt"] ?? task["description"] ?? task["task"] ?? "");
  const row: Row = {
    ...task,
    job_id: id,
    prompt,
    started_at: task["started_at"] ?? (textOf(task["status"]) === "pending" ? null : task["created_at"]),
    job_output: task["job_output"] ?? task["result"] ?? task["output"],
    termination_reason: task["termination_reason"] ?? task["error"],
  };
  const name = nameOf(textOf(task["agent_type"] ?? "task"));
  const job = jobOf(row, { ids: new Map([[id, name]]), stages: new Map([[name, "task"]]), createdAt, notes });
  if (states.length > 0)
    job.artifacts = [
      {
        name: "agent_state.json",
        type: "file",
        content: Buffer.from(JSON.stringify(states.map(plainRow), null, 2)),
        mediaType: "application/json",
      },
    ];
  const run: RunToImport = {
    idempotencyKey: `devloop-import/task/${textOf(id)}/${textOf(task["created_at"])}`.slice(0, 255),
    pipeline: "devloop-import-tasks",
    params: { originalPrompt: prompt, legacyTaskId: textOf(id) },
    labels: { imported: "devloop" },
    state: runStateOf(textOf(task["status"]), [job]),
    createdAt,
    startedAt: job.startedAt,
    endedAt: Math.max(createdAt, job.endedAt ?? createdAt),
    stages: [{ name: "task" }],
    jobs: [job],
  };
  return { what, run };
}
