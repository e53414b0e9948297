/**
 * The engine killed in the middle of conversations with a model: they go on from the last finished call, no finished call is
 * made again, the same messages are sent, the result is the same, and the books say what was sent.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Answer,
  type Asked,
  type ModelServer,
  startModelServer,
} from "../../src/executors/llm/fixtures/model-server.ts";
import { audit, query } from "./audit.ts";
import { Bench, type EngineProcess, PATIENCE_MS, survivors } from "./process.ts";
import { between, figure, type Random, replay, SEED, seeded } from "./seeded.ts";

const KILLS = figure("LLM_KILLS", 3);
const OPEN = { leaseMs: 3_000, heartbeatMs: 500, maxCrashes: 1_000 };

const call = (name: string, args: unknown) => ({ name, args });
const spawn = { agent: "llm/helper", reason: "to be helped", input: "" };
/** The worker's side of the conversation, by turn. */
const WORKER: Answer[] = [
  { say: "I plan.", calls: [call("todo", { items: [{ text: "write", state: "open" }] })] },
  { calls: [call("create_file", { path: "notes/a.txt", content: "one" })] },
  {
    calls: [call("edit_file", { path: "notes/a.txt", old: "one", new: "one two" }), call("remark", { text: "first" })],
  },
  { calls: [call("read_file", { path: "notes/a.txt" })] },
  { calls: [call("spawn_job", spawn), call("remark", { text: "second" })] },
  {
    calls: [
      call("small__add", { a: 1, b: 2 }),
      call("edit_file", { path: "notes/a.txt", old: "two", new: "two three" }),
    ],
  },
  { calls: [call("save_artifact", { name: "a.txt", content: "one two three" })] },
  { calls: [call("read_file", { path: "notes/a.txt" }), call("list_directory", {})] },
  { calls: [call("finish", { text: "wrong", helped: 7 })] },
];
const HELPER: Answer[] = [
  { calls: [call("todo", { items: [{ text: "help", state: "doing" }] })] },
  { calls: [call("todo", { items: [{ text: "help", state: "done" }] })] },
  { say: "helped" },
];

function script(asked: Asked): Answer {
  if (asked.task.startsWith("helper")) return HELPER[asked.turn - 1]!;
  spawn.input = `helper of ${asked.task}`;
  if (asked.turn <= WORKER.length) return WORKER[asked.turn - 1]!;
  // What the file holds has come back as a result, and is the result of the work.
  const history = JSON.stringify(asked.body.messages);
  const text = /one two three/.exec(history)?.[0] ?? "nothing";
  return { calls: [call("finish", { text, helped: history.includes("helped") ? "yes" : "no" })] };
}

const bench = new Bench("llm");
let server: ModelServer;
/** What is to be done with the next requests of this life. */
let onAsked: (asked: Asked) => void = () => {};
let onAnswered: (asked: Asked) => void = () => {};
let timer: NodeJS.Timeout | undefined;
beforeAll(async () => {
  const watched = async (asked: Asked) => {
    onAsked(asked);
    return script(asked);
  };
  server = await startModelServer(watched, (asked) => onAnswered(asked));
  process.env["LLM_SERVER"] = server.url;
});
afterAll(async () => {
  await server.close();
  await bench.close();
});

/** Turns of which the ledger holds the answer, as `task turn`. */
const finished = (): Set<string> =>
  new Set(
    query<{ job: string; key: string; run: number }>(
      bench.database,
      "SELECT job.id AS job, step.key, job.run FROM step JOIN job ON job.seq = step.job WHERE step.key LIKE 'model/%'",
    ).map(({ job, key, run }) => `${run} ${job.includes("spawn") ? "helper" : "worker"} ${key.slice(6)}`),
  );

/** Kills at the n-th request of this life: when it has come, or some milliseconds after its answer has gone. */
function plan(engine: EngineProcess, random: Random): void {
  const nth = between(random, 1, 3);
  const delayMs = [-1, 0, 0, 1, 2, 4, 8, 15][between(random, 0, 7)]!;
  let count = 0;
  onAsked = () => {
    count += 1;
    if (count === nth && delayMs < 0) engine.send("SIGKILL");
  };
  onAnswered = () => {
    if (count !== nth || delayMs < 0) return;
    if (delayMs === 0) engine.send("SIGKILL");
    else timer = setTimeout(() => engine.send("SIGKILL"), delayMs);
  };
}

/** A run that has ended before its kill came is left alone. */
function unplan(): void {
  onAsked = onAnswered = () => {};
  clearTimeout(timer);
}

/** One run from start to end, through as many kills as it meets while there are any left. */
async function talk(number: number, random: Random, kills: number): Promise<{ kills: number; repeated: number }> {
  let done = 0;
  let repeated = 0;
  let before = new Set<string>();
  const since = server.asked.length;
  for (let life = 0; ; life++) {
    const seen = server.asked.length;
    const engine = await bench.engine(OPEN);
    if (done < kills) plan(engine, random);
    const ended = (async () => {
      const { id } = await engine.ask("start", "talk", { number }, { idempotencyKey: `talk-${number}` });
      return await engine.ask("wait", id, PATIENCE_MS);
    })().catch(() => null);
    const end = await Promise.race([ended, engine.exited.then(() => null)]);
    unplan();
    if (end !== null) {
      expect(end).toMatchObject({ state: "completed" });
      await engine.stop();
    } else {
      await engine.exited;
      done += 1;
    }
    for (const asked of server.asked.slice(seen)) {
      const turn = `${number} ${asked.task.startsWith("helper") ? "helper" : "worker"} ${asked.turn}`;
      expect(before.has(turn), `turn ${turn} had been finished and was asked again in life ${life}`).toBe(false);
    }
    before = finished();
    if (end === null) continue;
    const turns = new Set(server.asked.slice(since).map((asked) => `${asked.task} ${asked.turn}`));
    repeated = server.asked.length - since - turns.size;
    return { kills: done, repeated };
  }
}

test(`${KILLS} kills in the middle of conversations`, { timeout: 60_000 + KILLS * 8_000 }, async () => {
  const note = replay("llm-kill.test.ts", { LLM_KILLS: KILLS });
  const random = seeded(SEED);
  let kills = 0;
  let repeated = 0;
  let runs = 0;
  while (kills < KILLS) {
    const result = await talk(++runs, random, KILLS - kills);
    kills += result.kills;
    repeated += result.repeated;
  }
  // The same call is the same request, in whichever life it was made.
  const bodies = new Map<string, string>();
  for (const { task, turn, body } of server.asked) {
    const hash = createHash("sha256").update(JSON.stringify(body)).digest("hex");
    expect(bodies.get(`${task} ${turn}`) ?? hash, `${task} ${turn}; ${note}`).toBe(hash);
    bodies.set(`${task} ${turn}`, hash);
  }
  const results = query<{ output: string; id: string }>(
    bench.database,
    "SELECT job.output, run.id FROM job JOIN run ON run.seq = job.run WHERE job.id = 'work'",
  );
  expect(results).toHaveLength(runs);
  for (const { output, id } of results) {
    expect(JSON.parse(output), note).toEqual({ text: "one two three", helped: "yes" });
    expect(readFileSync(join(bench.home, "workspaces", id, "work", "notes", "a.txt"), "utf8"), note).toBe(
      "one two three",
    );
  }
  // Everything that was sent is in the books: each finished call once, the others as lost.
  const [books] = query<{ calls: number; lost: number; open: number }>(
    bench.database,
    "SELECT sum(calls) AS calls, sum(lost_calls) AS lost, sum(open_calls) AS open FROM run_usage",
  );
  expect(books!.calls - books!.lost, note).toBe(runs * (WORKER.length + 1 + HELPER.length));
  expect(books!.open, note).toBe(0);
  expect(books!.calls, note).toBeGreaterThanOrEqual(server.asked.length);
  expect(await audit(bench.database, { quiet: true }), note).toEqual([]);
  expect(survivors(bench.home), note).toEqual([]);
  console.log(
    `llm: ${kills} kills in ${runs} conversations, ${server.asked.length} calls, ${repeated} that were cut off made again, 0 finished ones`,
  );
});
