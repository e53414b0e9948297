/**
 * 1,000 runs of 5 linear jobs started at once, against two bare loops: one that replays the engine's own writes on the same
 * schema, and one that writes comparable rows into the narrowest tables that could hold them.
 */
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import type { SqliteLedger } from "tenuto/sqlite";
import { bareDatabase, elapsed, inFolder } from "../place.ts";
import { type Figure, median, percentile } from "../report.ts";
import { recordWrites, replay } from "./replay.ts";

const RUNS = 1_000;
const ROUNDS = 5;

const agent = defineAgent({ name: "bench/noop", run: (input: { n: number } | null) => ({ n: (input?.n ?? 0) + 1 }) });
const names = ["a", "b", "c", "d", "e"];
const chain = definePipeline({
  name: "chain",
  agents: [agent],
  jobs: names.map((id, index) =>
    index === 0
      ? { id, agent: "bench/noop" }
      : {
          id,
          agent: "bench/noop",
          needs: [names[index - 1]!],
          input: { n: `{{ jobs.${names[index - 1]}.output.n }}` },
        },
  ),
});

export async function runs(): Promise<Figure[]> {
  const ours: number[] = [];
  const same: number[] = [];
  const narrow: number[] = [];
  const latest: number[] = [];
  const log = await recordedWrites();
  for (let round = 0; round < ROUNDS + 1; round++) {
    const { rate, p99Ms } = await measure();
    const bare = RUNS / (await replay(log, seed));
    const narrowest = await bareRows();
    if (round === 0) continue;
    ours.push(rate);
    same.push(bare);
    narrow.push(narrowest);
    latest.push(p99Ms);
  }
  const ratio = median(ours.map((value, index) => value / same[index]!));
  const rate = median(ours);
  return [
    {
      workload: "runs",
      what: "1,000 runs of 5 linear jobs at once",
      value: rate,
      unit: "runs/s",
      reference: { what: "bare loop of the same rows", value: median(same) },
      target: { text: `at least half of bare, is ${(ratio * 100).toFixed(0)} %`, met: ratio >= 0.5 },
    },
    {
      workload: "runs",
      what: "the same, in absolute terms",
      value: rate,
      unit: "runs/s",
      reference: { what: "narrow tables without checks", value: median(narrow) },
      target: { text: "at least 2,000/s", met: rate >= 2_000 },
    },
    { workload: "runs", what: "p99 start to finish", value: median(latest), unit: "ms" },
  ];
}

async function recordedWrites() {
  return await inFolder(async (folder) => {
    await using tenuto = await openTenuto({ home: folder, pipelines: [chain], concurrency: 100 });
    await (await tenuto.start("chain")).wait();
    const ledger = tenuto.engine.parts.ledger as SqliteLedger;
    const log = recordWrites(ledger);
    await Promise.all(Array.from({ length: RUNS }, async () => (await tenuto.start("chain")).wait()));
    return [...log];
  });
}

/** What the recorded writes refer to: the definition, the boot, and the first run's numbers. */
async function seed(ledger: SqliteLedger): Promise<void> {
  await ledger.putDefinition(chain.version, "chain", JSON.stringify(chain.document));
  await ledger.registerBoot({ id: "bench", host: "bench", machine: "", pid: 1, pidStart: "", startedAt: 0 });
}

async function measure(): Promise<{ rate: number; p99Ms: number }> {
  return await inFolder(async (folder) => {
    await using tenuto = await openTenuto({ home: folder, pipelines: [chain], concurrency: 100 });
    const took: number[] = [];
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: RUNS }, async () => {
        const begun = performance.now();
        const end = await (await tenuto.start("chain")).wait();
        if (end.state !== "completed") throw new Error(`run ended ${end.state}`);
        took.push(performance.now() - begun);
      }),
    );
    return { rate: RUNS / elapsed(startedAt), p99Ms: percentile(took, 0.99) };
  });
}

/** The rows that such a run leaves, written in batches of 100 runs with the same steps in between. */
async function bareRows(): Promise<number> {
  return await inFolder(async (folder) => {
    const db = bareDatabase(folder);
    db.exec(`CREATE TABLE run (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, state TEXT, params TEXT, a INTEGER, b INTEGER, c INTEGER, d INTEGER, e INTEGER, f INTEGER, g INTEGER, h INTEGER) STRICT;
      CREATE TABLE stage (run INTEGER, ordinal INTEGER, name TEXT, total INTEGER, settled INTEGER, PRIMARY KEY (run, ordinal)) STRICT, WITHOUT ROWID;
      CREATE TABLE job (seq INTEGER PRIMARY KEY, run INTEGER, id TEXT, state TEXT, agent TEXT, rank INTEGER, claimable INTEGER, boot INTEGER, epoch INTEGER, started_at INTEGER, ended_at INTEGER, output TEXT) STRICT;
      CREATE INDEX job_run ON job (run);
      CREATE INDEX job_claimable ON job (agent, rank, seq) WHERE claimable = 1;
      CREATE INDEX job_boot ON job (boot) WHERE boot IS NOT NULL;
      CREATE TABLE dependency (source INTEGER, target INTEGER, type TEXT, PRIMARY KEY (source, target)) STRICT, WITHOUT ROWID;
      CREATE TABLE attempt (job INTEGER, number INTEGER, state TEXT, started_at INTEGER, ended_at INTEGER, PRIMARY KEY (job, number)) STRICT, WITHOUT ROWID;
      CREATE TABLE event (id INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, at INTEGER, name TEXT, job TEXT, data TEXT) STRICT;
      CREATE UNIQUE INDEX event_run ON event (run, seq);`);
    const sql = {
      begin: db.prepare("BEGIN IMMEDIATE"),
      commit: db.prepare("COMMIT"),
      run: db.prepare("INSERT INTO run VALUES (?, ?, 'running', '{}', 0, 0, 0, 0, 0, 0, 0, 0)"),
      stage: db.prepare("INSERT INTO stage VALUES (?, 0, 'main', 5, 0)"),
      job: db.prepare("INSERT INTO job VALUES (?, ?, ?, ?, 'bench/noop', 1, ?, NULL, 0, NULL, NULL, NULL)"),
      edge: db.prepare("INSERT INTO dependency VALUES (?, ?, 'success')"),
      event: db.prepare("INSERT INTO event (run, seq, at, name, job, data) VALUES (?, ?, ?, ?, ?, ?)"),
      claim: db.prepare(
        "UPDATE job SET state = 'running', claimable = 0, boot = 1, epoch = 1, started_at = ? WHERE seq = ?",
      ),
      complete: db.prepare("UPDATE job SET state = 'completed', boot = NULL, ended_at = ?, output = ? WHERE seq = ?"),
      ready: db.prepare("UPDATE job SET state = 'ready', claimable = 1 WHERE seq = ?"),
      attempt: db.prepare("INSERT INTO attempt VALUES (?, 1, 'completed', ?, ?)"),
      counters: db.prepare("UPDATE run SET a = a + 1, b = b - 1, c = c + 1 WHERE seq = ?"),
      settled: db.prepare("UPDATE stage SET settled = settled + 1 WHERE run = ? AND ordinal = 0"),
    };
    const startedAt = performance.now();
    sql.begin.run();
    for (let run = 1; run <= RUNS; run++) bareStart(sql, run);
    sql.commit.run();
    for (let first = 1; first <= RUNS; first += 100) {
      for (let step = 0; step < 5; step++) {
        sql.begin.run();
        for (let run = first; run < first + 100; run++) bareClaim(sql, run, step);
        sql.commit.run();
        sql.begin.run();
        for (let run = first; run < first + 100; run++) bareComplete(sql, run, step);
        sql.commit.run();
      }
    }
    const rate = RUNS / elapsed(startedAt);
    db.close();
    return rate;
  });
}

type Statements = Record<string, { run(...values: unknown[]): unknown }>;

function bareStart(sql: Statements, run: number): void {
  sql["run"]!.run(run, `chain-${run}`);
  sql["stage"]!.run(run);
  for (let step = 0; step < 5; step++)
    sql["job"]!.run(run * 5 + step, run, names[step], step === 0 ? "ready" : "pending", step === 0 ? 1 : 0);
  for (let step = 1; step < 5; step++) sql["edge"]!.run(run * 5 + step - 1, run * 5 + step);
  sql["event"]!.run(run, 1, Date.now(), "run.created", null, null);
}

function bareClaim(sql: Statements, run: number, step: number): void {
  sql["claim"]!.run(Date.now(), run * 5 + step);
  sql["counters"]!.run(run);
  sql["event"]!.run(run, step * 2 + 2, Date.now(), "job.started", names[step], null);
}

function bareComplete(sql: Statements, run: number, step: number): void {
  sql["complete"]!.run(Date.now(), '{"n":1}', run * 5 + step);
  sql["attempt"]!.run(run * 5 + step, Date.now(), Date.now());
  sql["counters"]!.run(run);
  sql["settled"]!.run(run);
  sql["event"]!.run(run, step * 2 + 3, Date.now(), "job.completed", names[step], null);
  if (step < 4) sql["ready"]!.run(run * 5 + step + 1);
}
