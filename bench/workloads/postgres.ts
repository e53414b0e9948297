/**
 * The engine on PostgreSQL, server and workers on one machine, beside what the same server does with bare rows in the same
 * run: commits of one row on one and on sixteen connections, rows in batches.
 *
 * `TENUTO_BENCH_HISTORY` is the number of finished runs that are put into the history before the last rates are taken again;
 * default 100,000. `TENUTO_BENCH_IDLE_S` is how long a transaction is held open; default 20.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { openTenuto, type Tenuto } from "tenuto";
import { type Server, startServer } from "../../engine/test/postgres/server.ts";
import { elapsed, inFolder } from "../place.ts";
import { type Figure, median, percentile } from "../report.ts";
import { chain, items, STEPS, single, steps } from "./postgres-pipelines.ts";

const RUNS = 1_000;
const ROUNDS = 3;
/** A burst is half a second, of which the first ones run uncompiled code. */
const WARM_BURSTS = 3;
const BURSTS = 7;
/** After a load of millions of rows: caches, vacuum and the disk are busy with it for some seconds. */
const SETTLING_BURSTS = 12;
const SLOTS = 200;
const CHILD = fileURLToPath(new URL("./postgres.child.ts", import.meta.url));
const HISTORY = Number(process.env["TENUTO_BENCH_HISTORY"] ?? 100_000);
const IDLE_MS = Number(process.env["TENUTO_BENCH_IDLE_S"] ?? 20) * 1_000;

const workload = "postgres";
const at = (value: number, unit: string, what: string, more: Partial<Figure> = {}): Figure => ({
  workload,
  what,
  value,
  unit,
  ...more,
});

export async function postgres(): Promise<Figure[]> {
  const server = await startServer({ durable: true, settings: { shared_buffers: "256MB" } });
  try {
    return await inFolder((folder) => measure(server, folder));
  } finally {
    await server.stop();
  }
}

async function measure(server: Server, folder: string): Promise<Figure[]> {
  const raw = await rawLimits(server.url);
  const figures: Figure[] = [
    at(raw.one, "commits/s", "bare commits of one row, 1 connection"),
    at(raw.sixteen, "commits/s", "bare commits of one row, 16 connections"),
    at(raw.rows, "rows/s", "bare rows in batches of 1,000"),
  ];
  const flat: number[] = [];
  for (const size of [10_000, 100_000]) {
    for (const workers of [1, 2]) {
      const rate = await fanout(server.url, folder, size, workers);
      if (workers === 1) flat.push(rate);
      figures.push(
        at(
          rate,
          "items/s",
          `${size.toLocaleString("en-US")} items, ${workers} worker process${workers > 1 ? "es" : ""}`,
          {
            reference: { what: "bare rows in batches", value: raw.rows },
            target: { text: "at least 12,000/s", met: rate >= 12_000 },
          },
        ),
      );
    }
  }
  const cost = flat[0]! / flat[1]!;
  figures.push(
    at(cost, "×", "cost of an item at 100,000 against 10,000", {
      target: { text: "flat: at most 1.25", met: cost <= 1.25 },
    }),
  );
  await using tenuto = await openTenuto({
    home: folder,
    database: server.url,
    concurrency: SLOTS,
    pipelines: [chain, single, steps],
  });
  figures.push(...(await rates(tenuto, raw.one)));
  figures.push(...(await underStrain(tenuto, server.url)));
  return figures;
}

interface Raw {
  one: number;
  sixteen: number;
  rows: number;
}

async function rawLimits(url: string): Promise<Raw> {
  const clients = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const client = new pg.Client(url);
      await client.connect();
      return client;
    }),
  );
  const [first] = clients as [pg.Client];
  await first.query("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text, data text)");
  const insert = (client: pg.Client) =>
    client.query({
      name: "bare",
      text: "INSERT INTO bare (key, data) VALUES ($1, $2)",
      values: ["k", "x".repeat(100)],
    });
  const commits = async (users: pg.Client[], each: number) => {
    const startedAt = performance.now();
    await Promise.all(
      users.map(async (client) => {
        for (let i = 0; i < each; i++) await insert(client);
      }),
    );
    return (users.length * each) / elapsed(startedAt);
  };
  await commits([first], 200);
  const one = await commits([first], 2_000);
  const sixteen = await commits(clients, 500);
  const keys = Array(1_000).fill("k");
  const data = Array(1_000).fill("x".repeat(100));
  const startedAt = performance.now();
  for (let i = 0; i < 100; i++)
    await first.query({
      name: "batch",
      text: "INSERT INTO bare (key, data) SELECT * FROM unnest($1::text[], $2::text[])",
      values: [keys, data],
    });
  const rows = 100_000 / elapsed(startedAt);
  await first.query("DROP TABLE bare");
  await Promise.all(clients.map((client) => client.end()));
  return { one, sixteen, rows };
}

/** The job alone: from its start to its end, workers ready before. */
async function fanout(database: string, folder: string, size: number, workers: number): Promise<number> {
  const pipeline = items(size);
  await using tenuto = await openTenuto({
    home: `${folder}/${size}-${workers}`,
    database,
    concurrency: 100,
    pipelines: [pipeline],
  });
  const others: ChildProcess[] = [];
  for (let n = 1; n < workers; n++) {
    const child = fork(CHILD, [`${folder}/${size}-${workers}-${n}`, database, String(size)], {
      execArgv: ["--conditions=source"],
    });
    await once(child, "message");
    others.push(child);
  }
  const measured: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    const end = await (await tenuto.start(pipeline)).wait();
    if (end.state !== "completed") throw new Error(`the run ended ${end.state}: ${JSON.stringify(end.error)}`);
    measured.push(size / elapsed(startedAt));
  }
  for (const child of others) {
    const gone = once(child, "exit");
    child.disconnect();
    await gone;
  }
  return median(measured);
}

async function rates(tenuto: Tenuto, bare: number): Promise<Figure[]> {
  const perSecond: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const seconds = Number((await (await tenuto.start("steps")).wait()).output);
    if (round > 0) perSecond.push(STEPS / seconds);
  }
  const share = median(perSecond) / bare;
  const runs: number[] = [];
  for (let round = -WARM_BURSTS; round < BURSTS; round++) {
    const rate = await burst(tenuto);
    if (round >= 0) runs.push(rate);
  }
  const idle = await idleRuns(tenuto);
  return [
    at(median(perSecond), "steps/s", "1,000 durable steps in sequence", {
      reference: { what: "bare commits on 1 connection", value: bare },
      target: { text: `at least 45 % of bare, is ${(share * 100).toFixed(0)} %`, met: share >= 0.45 },
    }),
    at(median(runs), "runs/s", `1,000 runs of 5 linear jobs at once, ${SLOTS} slots`, {
      target: { text: "at least 2,000/s", met: median(runs) >= 2_000 },
    }),
    at(percentile(idle, 0.5), "ms", "one idle run of one job, p50", {
      target: { text: "under 4 ms", met: percentile(idle, 0.5) < 4 },
    }),
    at(percentile(idle, 0.99), "ms", "one idle run of one job, p99"),
  ];
}

async function burst(tenuto: Tenuto): Promise<number> {
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: RUNS }, async () => {
      const end = await (await tenuto.start("chain")).wait();
      if (end.state !== "completed") throw new Error(`run ended ${end.state}`);
    }),
  );
  return RUNS / elapsed(startedAt);
}

async function idleRuns(tenuto: Tenuto): Promise<number[]> {
  const took: number[] = [];
  for (let sample = -20; sample < 200; sample++) {
    await new Promise((next) => setTimeout(next, 2));
    const startedAt = performance.now();
    await (await tenuto.start("single")).wait();
    if (sample >= 0) took.push(performance.now() - startedAt);
  }
  return took;
}

/** The same burst with a long history, and while a transaction of somebody else is held open. */
async function underStrain(tenuto: Tenuto, url: string): Promise<Figure[]> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query("SET search_path = tenuto");
  const bursts = async () => {
    const rates: number[] = [];
    for (let round = 0; round < BURSTS; round++) rates.push(await burst(tenuto));
    return median(rates);
  };
  const before = await bursts();
  await load(client, "run", HISTORY_SQL);
  await load(client, "job", HISTORY_JOBS_SQL);
  // What counts is the history, not that the server still puts gigabytes on disk that were loaded a moment ago.
  await client.query("CHECKPOINT");
  for (let round = 0; round < SETTLING_BURSTS; round++) await burst(tenuto);
  const after = await bursts();
  // A transaction that has seen the table keeps the server from clearing away what is out of date.
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  await client.query("SELECT count(*) FROM queue");
  const held: number[] = [];
  for (const startedAt = performance.now(); performance.now() - startedAt < IDLE_MS; ) held.push(await burst(tenuto));
  await client.query("ROLLBACK");
  await client.end();
  const last = median(held.slice(-BURSTS));
  return [
    at(after, "runs/s", `the same with ${HISTORY.toLocaleString("en-US")} finished runs in history`, {
      reference: { what: "without", value: before },
      target: { text: "within 10 %", met: after >= 0.9 * before },
    }),
    at(last, "runs/s", `the same with a transaction held open for ${IDLE_MS / 1_000} s`, {
      reference: { what: "without", value: after },
      target: { text: "above 60 %", met: last > 0.6 * after },
    }),
  ];
}

/**
 * The engine's own pages have no room for another row: they were filled up to their fill factor with rows that have grown since.
 * What is loaded in its final size would leave room for one new row in each page, and spread the next 100,000 over all of them.
 */
async function load(client: pg.Client, table: string, rows: string): Promise<void> {
  const { rows: options } = await client.query<{ factor: string }>(
    "SELECT substring(o, 'fillfactor=(.*)') AS factor FROM pg_class, unnest(reloptions) o WHERE oid = $1::regclass AND o LIKE 'fillfactor=%'",
    [table],
  );
  await client.query(`ALTER TABLE ${table} SET (fillfactor = 100)`);
  await client.query(rows, [HISTORY]);
  await client.query(`ALTER TABLE ${table} SET (fillfactor = ${options[0]?.factor ?? 100})`);
  await client.query(`VACUUM ANALYZE ${table}`);
}

/** Old runs with numbers below zero, so that they are in nobody's way, as copies of one that has just ended. */
const HISTORY_SQL = `INSERT INTO run (seq, id, pipeline, version, state, priority, stage_count, job_count, open_jobs, live_jobs, waiting_jobs, failed_jobs,
    spawned_jobs, first_job, propagating, event_seq, created_at, started_at, ended_at, params, row_version)
  SELECT -n, 'old-' || n, r.pipeline, r.version, r.state, r.priority, r.stage_count, 1, 0, 0, 0, 0, 0, -n, 0, r.event_seq, r.created_at, r.started_at, r.ended_at, '{}', 1
  FROM generate_series(1, $1::integer) n CROSS JOIN (SELECT * FROM run WHERE state = 'completed' ORDER BY seq DESC LIMIT 1) r`;
const HISTORY_JOBS_SQL = `INSERT INTO job (seq, run, id, stage, kind, agent, state, priority, allow_failure, blockers, barrier, has_dependents, claimable, rank, attempt, epoch,
    attempt_boot, ready_at, started_at, ended_at, output, row_version)
  SELECT -n, -n, 'a', 0, 'single', j.agent, 'completed', j.priority, 0, 0, 0, 0, 0, j.rank, 1, 1, j.attempt_boot, j.ready_at, j.started_at, j.ended_at, j.output, 2
  FROM generate_series(1, $1::integer) n CROSS JOIN (SELECT * FROM job WHERE state = 'completed' ORDER BY seq DESC LIMIT 1) j`;
