/** Older databases, made here by their schema, taken into a ledger. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { openTenuto } from "tenuto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LegacyError, readLegacy } from "../adapters/legacy-database.ts";
import { timeOf } from "../domain/legacy-rows.ts";
import { importDatabase } from "../programs/import.ts";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "devloop-import-"));
  file = join(folder, "old.db");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const SCHEMA = `
CREATE TABLE pipeline_templates (template_id INTEGER PRIMARY KEY, name TEXT UNIQUE, description TEXT);
CREATE TABLE pipelines (pipeline_id INTEGER PRIMARY KEY, template_id INTEGER, original_prompt TEXT, status TEXT, created_at TEXT, updated_at TEXT,
  completed_at TEXT, metadata TEXT);
CREATE TABLE stages (stage_id INTEGER PRIMARY KEY, pipeline_id INTEGER, name TEXT, stage_order INTEGER, status TEXT);
CREATE TABLE jobs (job_id INTEGER PRIMARY KEY, pipeline_id INTEGER, stage_id INTEGER, agent_type TEXT, name TEXT, prompt TEXT, original_prompt TEXT,
  command TEXT, max_iterations INTEGER, timeout_seconds INTEGER, allowed_paths TEXT, status TEXT, iteration INTEGER, started_at TEXT, completed_at TEXT,
  termination_reason TEXT, retry_count INTEGER DEFAULT 0, max_retries INTEGER DEFAULT 100, job_output TEXT, parent_job_id INTEGER,
  regression_context TEXT, created_at TEXT, updated_at TEXT, mood TEXT);
CREATE TABLE job_dependencies (job_id INTEGER, depends_on_job_id INTEGER, type TEXT);
CREATE TABLE actions (job_id INTEGER, iteration INTEGER, timestamp TEXT, llm_response TEXT, results TEXT, raw_stdout TEXT, raw_stderr TEXT);
CREATE TABLE artifacts (artifact_id INTEGER PRIMARY KEY, job_id INTEGER, type TEXT, name TEXT, file_path TEXT, content TEXT, content_hash TEXT);
CREATE TABLE artifact_consumption (job_id INTEGER, artifact_id INTEGER, consumed_at TEXT);
CREATE TABLE pipeline_schedules (schedule_id INTEGER PRIMARY KEY, cron TEXT);
`;

const ROWS = `
INSERT INTO pipeline_templates VALUES (1, 'template-full', 'all of it');
INSERT INTO pipelines VALUES (7, 1, 'Build a login', 'completed', '2026-02-01T10:00:00Z', NULL, '2026-02-01T11:00:00Z', '{"by": "ann"}');
INSERT INTO pipelines VALUES (8, NULL, 'Left alone', 'running', '2026-02-02 10:00:00', NULL, NULL, NULL);
INSERT INTO pipelines VALUES (9, NULL, 'Nothing in it', 'pending', '2026-02-03 10:00:00', NULL, NULL, NULL);
INSERT INTO stages VALUES (1, 7, 'dev', 0, 'completed'), (2, 7, 'test', 1, 'completed'), (3, 8, 'dev', 0, 'running');
INSERT INTO jobs (job_id, pipeline_id, stage_id, agent_type, name, prompt, status, started_at, completed_at, retry_count, job_output, parent_job_id, regression_context, allowed_paths)
VALUES (1, 7, 1, 'dev', 'Write it!', 'Do it', 'completed', '2026-02-01T10:00:01Z', '2026-02-01T10:10:00Z', 2, 'done', NULL, NULL, '["src"]'),
       (2, 7, 2, 'tester', 'tester', 'Test it', 'completed', '2026-02-01T10:10:01Z', '2026-02-01T10:50:00Z', 0, 'all well', NULL, NULL, NULL),
       (3, 7, 1, 'dev', 'fix', 'Mend it', 'completed', '2026-02-01T10:20:00Z', '2026-02-01T10:30:00Z', 0, 'mended', 2, '{"reason": "login fails"}', NULL),
       (4, 8, 3, 'dev', 'dev', 'Do it', 'running', '2026-02-02T10:00:05Z', NULL, 0, 'half', NULL, NULL, NULL),
       (5, 8, 3, 'dev', 'dev', 'Do more', 'pending', NULL, NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO job_dependencies VALUES (2, 1, 'success'), (2, 3, 'success'), (5, 4, 'completed'), (5, 99, 'success');
INSERT INTO actions VALUES (1, 1, '2026-02-01T10:00:02Z', '{"actions": []}', '[]', 'out', '');
INSERT INTO artifacts VALUES (1, 1, 'model_output', 'final_output.txt', NULL, 'done', NULL), (2, 1, 'file', 'login.ts', 'src/login.ts', NULL, NULL),
       (3, 1, 'file', 'passwd', '../../../../etc/passwd', NULL, NULL), (4, 1, 'picture', 'p', NULL, 'x', NULL), (5, 1, 'file', 'link', 'away', NULL, NULL);
INSERT INTO artifact_consumption VALUES (2, 1, '2026-02-01T10:10:01Z');
INSERT INTO pipeline_schedules VALUES (1, '0 0 * * *');
`;

function make(...sql: string[]): void {
  const database = new Database(file);
  for (const text of sql) database.exec(text);
  database.close();
}

test("pipelines become runs with jobs, parents, artifacts and logs; what is not taken is named", async () => {
  make(SCHEMA, ROWS);
  const files = join(folder, "files");
  await mkdir(join(files, "src"), { recursive: true });
  await writeFile(join(files, "src", "login.ts"), "export {};\n");
  await symlink("/etc/hostname", join(files, "away"));
  const home = join(folder, "home");
  const before = await readFile(file);
  const report = await importDatabase({ file, home, files });
  expect(await readFile(file)).toEqual(before);
  expect(report.failed).toBe(0);
  expect(report.taken).toEqual([
    { what: "pipeline 7", id: "template-full-1", jobs: 3, artifacts: 4, state: "completed", before: false },
    { what: "pipeline 8", id: "devloop-import-2", jobs: 2, artifacts: 0, state: "failed", before: false },
  ]);
  expect(report.notTaken.map(({ what, why }) => `${what}: ${why}`)).toEqual(
    [
      "table pipeline_schedules: 1 rows of a kind that is not taken",
      "column jobs.mood: it is not known",
      "table pipeline_templates: 1 templates: only their names are used; use the templates of this system",
      "table artifact_consumption: 1 rows: consumption is recorded by the engine when it happens",
      "artifact 3 of job Write-it: its file ../../../../etc/passwd is not below --files",
      "artifact 4 of job Write-it: its type picture is not known; it was taken as file",
      "artifact 5 of job Write-it: its file away is not below --files",
      "dependency of job 5: it names a job that is not there",
      "pipeline 9: it has no jobs",
    ].map((line) =>
      line.includes("etc/passwd")
        ? expect.stringMatching(
            /^artifact 3 of job Write-it: its file .* (is not below --files|can't be read \(ENOENT\))$/,
          )
        : line,
    ),
  );
  await using tenuto = await openTenuto({ home, work: false });
  const jobs = async (id: string) => (await tenuto.client.jobs(id)).map((job) => [job.id, job.state, job.attempt]);
  expect(await jobs("template-full-1")).toEqual([
    ["Write-it", "completed", 3],
    ["tester", "completed", 1],
    ["tester/fix", "completed", 1],
  ]);
  expect(await jobs("devloop-import-2")).toEqual([
    ["dev", "failed", 1],
    ["dev-2", "skipped", 0],
  ]);
  const run = await tenuto.client.run("template-full-1");
  expect(run.createdAt).toBe(Date.parse("2026-02-01T10:00:00Z"));
  expect(JSON.parse(run.params)).toEqual({
    originalPrompt: "Build a login",
    legacyPipelineId: "7",
    metadata: { by: "ann" },
  });
  expect(JSON.parse((await tenuto.client.job("devloop-import-2", "dev")).error!)).toMatchObject({
    code: "left_running",
  });
  await expect(tenuto.client.retry("devloop-import-2")).rejects.toMatchObject({ code: "cannot_resume" });
});

test("a second import changes nothing; a file that went on meanwhile is named", async () => {
  make(SCHEMA, ROWS);
  const home = join(folder, "home");
  await importDatabase({ file, home });
  const again = await importDatabase({ file, home });
  expect(again.taken.map((entry) => [entry.id, entry.before])).toEqual([
    ["template-full-1", true],
    ["devloop-import-2", true],
  ]);
  make("UPDATE jobs SET status = 'completed' WHERE pipeline_id = 8");
  const later = await importDatabase({ file, home });
  expect(later.failed).toBe(1);
  expect(later.notTaken.at(-1)).toMatchObject({ what: "pipeline 8", why: expect.stringContaining("other content") });
});

test("tasks and agent_state become runs of one job", async () => {
  make(
    "CREATE TABLE tasks (task_id TEXT, description TEXT, status TEXT, result TEXT, created_at TEXT, completed_at TEXT)",
    "CREATE TABLE agent_state (task_id TEXT, iteration INTEGER, status TEXT, heartbeat REAL)",
    "INSERT INTO tasks VALUES ('a', 'Sort a list', 'completed', 'sorted', '2026-01-05 08:00:00', '2026-01-05 08:05:00'), ('b', 'Left', 'running', NULL, '2026-01-05 09:00:00', NULL), ('c', 'Never begun', 'pending', NULL, '2026-01-05 10:00:00', NULL)",
    "INSERT INTO agent_state VALUES ('a', 4, 'done', 1767600300.5)",
  );
  const home = join(folder, "home");
  const report = await importDatabase({ file, home });
  expect(report.taken.map((entry) => [entry.what, entry.state, entry.artifacts])).toEqual([
    ["task a", "completed", 1],
    ["task b", "failed", 0],
    ["task c", "failed", 0],
  ]);
  await using tenuto = await openTenuto({ home, work: false });
  const [job] = await tenuto.client.jobs("devloop-import-tasks-1");
  expect(JSON.parse(job!.output!)).toMatchObject({ text: "sorted" });
  expect((await tenuto.client.jobs("devloop-import-tasks-3"))[0]).toMatchObject({
    state: "skipped",
    reason: "left_pending",
  });
});

test("the command says what it did; a file that is no such database is refused", async () => {
  make(SCHEMA, ROWS);
  const run = (...args: string[]) =>
    execFileSync(
      process.execPath,
      ["--conditions=source", fileURLToPath(new URL("../programs/import.ts", import.meta.url)), ...args],
      {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, INIT_CWD: folder },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
  expect(run("old.db", "--dry-run")).toContain("pipeline 7: would be taken (completed, 3 jobs)");
  expect(JSON.parse(run("old.db", "--json")).taken).toHaveLength(2);
  expect(run("old.db")).toContain("was there already as template-full-1");
  await writeFile(
    join(folder, "text.db"),
    "this is no database at all, but some text of a sufficient length to be read",
  );
  new Database(join(folder, "other.db")).exec("CREATE TABLE x (a)").close();
  for (const name of ["missing.db", "text.db", "other.db"])
    expect(() => readLegacy(join(folder, name))).toThrow(LegacyError);
  expect(() => run("other.db")).toThrow(/neither a table pipelines nor a table tasks/);
});

test("times of all forms are read as UTC", () => {
  const at = Date.parse("2026-02-01T10:00:00Z");
  for (const value of [
    "2026-02-01T10:00:00Z",
    "2026-02-01T10:00:00",
    "2026-02-01 10:00:00",
    "2026-02-01T11:00:00+01:00",
    at / 1_000,
    at,
  ])
    expect(timeOf(value)).toBe(at);
  expect([timeOf(null), timeOf(""), timeOf("soon")]).toEqual([null, null, null]);
});
