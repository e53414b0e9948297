/**
 * Reads an older database of the devloop, without changing it: the pipeline schema, and the still older `tasks` and `agent_state`.
 *
 * Invariants:
 * 1. The file is opened read-only; a file that is no such database is refused before anything else happens.
 * 2. Tables and columns that are missing are empty; those that nobody knows are counted, never passed over in silence.
 */
import Database from "better-sqlite3";
import type { LegacyDatabase, Row } from "../domain/legacy-rows.ts";

const COLUMNS: Record<string, string> = {
  pipelines: "pipeline_id template_id original_prompt status created_at updated_at completed_at metadata schedule_id",
  pipeline_templates: "template_id name description category default_vendor default_model created_at updated_at",
  stages: "stage_id pipeline_id name stage_order status created_at started_at completed_at",
  jobs:
    "job_id pipeline_id stage_id agent_type name prompt original_prompt command max_iterations timeout_seconds allowed_paths status " +
    "iteration started_at completed_at termination_reason retry_count max_retries retry_strategy job_output artifact_strategy " +
    "template_job_id parent_job_id regression_context chain_id model vendor created_at updated_at",
  job_dependencies: "job_id depends_on_job_id type dependency_type",
  actions: "action_id id job_id iteration timestamp llm_response results raw_stdout raw_stderr",
  artifacts:
    "artifact_id job_id type artifact_type name description file_path content content_hash size_bytes metadata created_at",
  artifact_consumption: "job_id artifact_id consumed_at",
  tasks:
    "task_id id description prompt task status agent_type result output error created_at updated_at started_at completed_at iteration",
  agent_state: "task_id agent_id id status state iteration heartbeat last_heartbeat pid updated_at created_at data",
};

const KNOWN = new Set(Object.keys(COLUMNS));

export class LegacyError extends Error {}

/** @throws LegacyError if the file is not there, no database, or holds none of the tables */
export function readLegacy(path: string): LegacyDatabase {
  let database: Database.Database;
  try {
    database = new Database(path, { readonly: true, fileMustExist: true });
  } catch (error) {
    throw new LegacyError(`${path} can't be opened: ${(error as Error).message}`);
  }
  try {
    return readAll(database, path);
  } finally {
    database.close();
  }
}

function readAll(database: Database.Database, path: string): LegacyDatabase {
  const tables = tablesOf(database, path);
  if (!["pipelines", "tasks"].some((name) => tables.includes(name)))
    throw new LegacyError(
      `${path} has neither a table pipelines nor a table tasks; its tables: ${tables.join(", ") || "none"}`,
    );
  const unknownColumns: string[] = [];
  const rows = (table: string): Row[] => {
    if (!tables.includes(table)) return [];
    const known = new Set(COLUMNS[table]!.split(" "));
    for (const { name } of database.pragma(`table_info("${table}")`) as { name: string }[])
      if (!known.has(name)) unknownColumns.push(`${table}.${name}`);
    return database.prepare(`SELECT * FROM "${table}" ORDER BY rowid`).all() as Row[];
  };
  const count = (table: string) =>
    (database.prepare(`SELECT count(*) AS n FROM "${table.replaceAll('"', '""')}"`).get() as { n: number }).n;
  return {
    pipelines: rows("pipelines"),
    templates: rows("pipeline_templates"),
    stages: rows("stages"),
    jobs: rows("jobs"),
    dependencies: rows("job_dependencies"),
    actions: rows("actions"),
    artifacts: rows("artifacts"),
    consumptions: rows("artifact_consumption").length,
    tasks: rows("tasks"),
    agentStates: rows("agent_state"),
    leftOut: tables
      .filter((table) => !KNOWN.has(table))
      .map((table) => ({ table, rows: count(table) }))
      .filter((entry) => entry.rows > 0),
    unknownColumns,
  };
}

function tablesOf(database: Database.Database, path: string): string[] {
  try {
    const found = database
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
      .all() as { name: string }[];
    return found.map(({ name }) => name);
  } catch (error) {
    throw new LegacyError(`${path} is no SQLite database: ${(error as Error).message}`);
  }
}
