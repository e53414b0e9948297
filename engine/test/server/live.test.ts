/** Live streams: nothing missing, nothing twice, whatever breaks; slow clients harm nobody. */
import { request } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { openTenuto } from "../../src/index.ts";
import { openPlace, type Place } from "./serving.ts";

let place: Place;
const HEARTBEAT_MS = 200;

beforeAll(async () => {
  place = await openPlace({
    limits: { heartbeatMs: HEARTBEAT_MS, stuckMs: 1_000, queueBytes: 65_536, streamsPerToken: 100 },
  });
});
afterAll(() => place.close());

/** One websocket, and its frames as promises. */
class Stream {
  readonly frames: any[] = [];
  readonly socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly waiting = new Set<() => void>();

  constructor(token: string, options: { autoPong?: boolean } = {}) {
    this.socket = new WebSocket(`${place.server.url.replace("http", "ws")}/api/live`, {
      headers: { authorization: `Bearer ${token}` },
      ...options,
    });
    this.socket.on("error", () => {});
    this.socket.on("message", (data) => {
      this.frames.push(JSON.parse(String(data)));
      this.look();
    });
    this.closed = new Promise((resolve) =>
      this.socket.on("close", (code, reason) => resolve({ code, reason: String(reason) })),
    );
  }

  static async open(subscription: object | null, token = place.tokens.viewer, options = {}): Promise<Stream> {
    const stream = new Stream(token, options);
    await new Promise((resolve, reject) => {
      stream.socket.on("open", resolve);
      // While the server restarts there is nobody to answer.
      stream.socket.on("error", reject);
      stream.socket.on("unexpected-response", (_, answer) => reject(new Error(`answered ${answer.statusCode}`)));
    });
    if (subscription !== null) stream.subscribe(subscription);
    return stream;
  }

  /** Whatever is waited for is looked at again. */
  look(): void {
    for (const look of this.waiting) look();
  }

  subscribe(subscription: object): void {
    this.socket.send(JSON.stringify({ type: "subscribe", id: "s", ...subscription }));
  }

  until<T>(look: (frames: any[]) => T | null | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const again = () => {
        const found = look(this.frames);
        if (found == null || found === false) return;
        this.waiting.delete(again);
        resolve(found);
      };
      this.waiting.add(again);
      void this.closed.then(({ code }) => reject(new Error(`closed with ${code}`)));
      again();
    });
  }

  get events(): any[] {
    return this.frames.filter((frame) => frame.type === "events").flatMap((frame) => frame.events);
  }

  get cursor(): string | undefined {
    return this.frames.findLast((frame) => frame.cursor !== undefined)?.cursor;
  }
}

const name = (event: { run: string; seq: number }) => `${event.run} ${event.seq}`;

async function allEvents(): Promise<string[]> {
  const { ledger } = place.tenuto.engine.parts;
  const found: string[] = [];
  for (const entry of await ledger.feed(0, 100_000))
    for (const range of entry.ranges)
      for (const event of await ledger.feedEvents(range)) found.push(name({ run: event.runId, seq: event.seq }));
  return found;
}

/** Numbers that are the same in each run of the test. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Runs that are worked on meanwhile; the long suite takes 1,000. The server is restarted after each twentieth. */
const RESUMED_RUNS = Number(process.env["TENUTO_RESUMED_RUNS"] ?? 60);

it(
  "R-37: over many breaks and restarts of the server, a websocket misses nothing and sees nothing twice",
  async () => {
    const random = seeded(7);
    const got: string[] = [];
    let cursor = "0";
    let cuts = 0;
    let end: string | null = null;
    let open: Stream | null = null;
    const { ledger } = place.tenuto.engine.parts;
    const work = async () => {
      for (let n = 0; n < RESUMED_RUNS; n++) {
        await (await place.tenuto.start("hello", { text: String(n) })).wait({ timeoutMs: 30_000 });
        if (n % 20 === 0 && n > 0) await place.restart();
      }
      end = String(await ledger.feedEnd());
      // A stream that has shown everything gets no further frame.
      open?.look();
    };
    const worked = work();
    while (cursor !== end) {
      const stream = await Stream.open({ topic: "all", after: cursor }).catch(() => null);
      if (stream === null) continue;
      open = stream;
      const enough = 1 + Math.floor(random() * 15);
      await stream.until(() => stream.cursor === end || stream.events.length >= enough).catch(() => {});
      stream.socket.terminate();
      got.push(...stream.events.map(name));
      cursor = stream.cursor ?? cursor;
      expect(stream.frames.filter((frame) => frame.type === "resync")).toEqual([]);
      cuts += 1;
    }
    await worked;
    expect(cuts).toBeGreaterThan(8);
    const wanted = await allEvents();
    expect(wanted.length).toBeGreaterThan(400);
    expect(got.length).toBe(wanted.length);
    expect(got).toEqual(wanted);
  },
  60_000 + RESUMED_RUNS * 1_000,
);

/** Server-sent events as a browser reads them. */
function eventStream(path: string, headers: Record<string, string> = {}) {
  const messages: { id: string; event: string; data: any }[] = [];
  let id = "";
  let tell = () => {};
  const asked = request(`${place.server.url}${path}`, {
    headers: { authorization: `Bearer ${place.tokens.viewer}`, ...headers },
  });
  asked.on("error", () => {});
  asked.on("response", (answer) => {
    let text = "";
    answer.on("error", () => {});
    answer.on("data", (piece) => {
      text += piece;
      const parts = text.split("\n\n");
      text = parts.pop() as string;
      for (const part of parts) {
        const fields = new Map(
          part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
        );
        id = fields.get("id") ?? id;
        if (fields.has("data"))
          messages.push({ id, event: fields.get("event") ?? "", data: JSON.parse(fields.get("data") as string) });
      }
      tell();
    });
  });
  asked.end();
  const until = (look: () => boolean) =>
    new Promise<void>((resolve) => {
      tell = () => {
        if (look()) resolve();
      };
      tell();
    });
  return { messages, until, close: () => asked.destroy() };
}

it("R-37: server-sent events resume at Last-Event-ID", async () => {
  const run = await place.tenuto.start("hello");
  await run.wait();
  const wanted = (await place.tenuto.client.events(run.id)).map((event) => event.seq);
  const first = eventStream(`/api/live?topic=run&run=${run.id}`);
  const events = (stream: typeof first) => stream.messages.filter((message) => message.event === "events");
  await first.until(() => events(first).length > 0);
  first.close();
  const seqs = (stream: typeof first) =>
    events(stream).flatMap((message) => message.data.events.map((event: any) => event.seq));
  expect(seqs(first)).toEqual(wanted);
  const { id } = first.messages.at(-1) as { id: string };
  const second = eventStream(`/api/live?topic=run&run=${run.id}`, { "last-event-id": String(Number(id) - 2) });
  await second.until(() => seqs(second).length >= 2);
  expect(seqs(second)).toEqual(wanted.slice(-2));
  expect(second.messages[0]).toMatchObject({ event: "subscribed" });
  await second.until(() => second.messages.some((message) => message.event === "heartbeat"));
  second.close();
  const bad = await place.fetch("/api/live?topic=run&run=no-such-run");
  expect([bad.status, ((await bad.json()) as { code: string }).code]).toEqual([404, "not_found"]);
});

it("what another process writes comes as well", async () => {
  const stream = await Stream.open({ topic: "runs" });
  await stream.until((frames) => frames.find((frame) => frame.type === "subscribed"));
  const other = await openTenuto({ home: place.home, cwd: place.home, pipelines: [], work: false });
  try {
    const known = place.tenuto.engine.definitions.pipeline("hello");
    const run = await other.client.startKnown(known, { text: "from outside" });
    await stream.until(() => stream.events.some((event) => event.run === run.id && event.name === "run.completed"));
    expect(stream.events.every((event) => /^(run|approval)\./.test(event.name))).toBe(true);
    expect(stream.frames.at(-1).runs?.[0] ?? { state: "completed" }).toMatchObject({ state: "completed" });
  } finally {
    stream.socket.terminate();
    await other.close();
  }
});

it("runs, jobs and logs can be followed alone; several at once over one socket", async () => {
  const run = await place.tenuto.start("chatty", { lines: 1_200 });
  await run.wait();
  const other = await place.tenuto.start("hello");
  await other.wait();
  const stream = await Stream.open(null);
  stream.subscribe({ id: "run", topic: "run", run: other.id });
  stream.subscribe({ id: "job", topic: "job", run: other.id, job: "echo" });
  stream.subscribe({ id: "log", topic: "log", run: run.id, after: "200" });
  const of = (id: string) => stream.frames.filter((frame) => frame.id === id);
  const lines = () => of("log").flatMap((frame) => frame.lines ?? []);
  await stream.until(() => lines().length >= 1_000 && of("job").length > 1 && of("run").length > 1);
  expect(lines().map((line) => line.message)).toEqual(Array.from({ length: 1_000 }, (_, i) => `line ${i + 201}`));
  expect(
    of("job")
      .flatMap((frame) => frame.events ?? [])
      .map((event) => [event.job, event.name]),
  ).toEqual([
    ["echo", "job.started"],
    ["echo", "job.completed"],
  ]);
  expect(of("run").flatMap((frame) => frame.events ?? [])).toHaveLength(
    (await place.tenuto.client.events(other.id)).length,
  );
  stream.subscribe({ id: "bad", topic: "run", run: "no-run" });
  stream.subscribe({ id: "worse", topic: "weather" });
  stream.socket.send("{");
  const errors = await stream.until((frames) => {
    const found = frames.filter((frame) => frame.type === "error");
    return found.length === 3 ? found : null;
  });
  expect(errors.map((frame) => frame.problem.code).sort()).toEqual(["invalid_input", "malformed_json", "not_found"]);
  stream.socket.terminate();
});

it("the log stream of the devloop source document: lines as texts, from a number on", async () => {
  const run = await place.tenuto.start("chatty", { lines: 30 });
  await run.wait();
  const lines = (path: string, token = place.tokens.viewer) =>
    new Promise<{ texts: string[]; code: number }>((resolve) => {
      const texts: string[] = [];
      const socket = new WebSocket(`${place.server.url.replace("http", "ws")}${path}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      socket.on("message", (text) => {
        texts.push(String(text));
        if (String(text).endsWith("line 30")) socket.close();
      });
      socket.on("unexpected-response", (_, answer) => resolve({ texts, code: answer.statusCode ?? 0 }));
      socket.on("error", () => {});
      socket.on("close", (code) => resolve({ texts, code }));
    });
  const { texts } = await lines(`/api/pipelines/${run.id}/log?line=27`);
  expect(texts.map((text) => text.replace(/^\S+Z/, "AT"))).toEqual(
    [28, 29, 30].map((n) => `AT | ${run.id} | test/chatty | INFO | line ${n}`),
  );
  expect((await lines(`/api/pipelines/${run.id}/log`)).texts).toHaveLength(30);
  expect((await lines("/api/pipelines/no-run/log")).code).toBe(1008);
  expect((await lines(`/api/pipelines/${run.id}/log?token=x`)).code).toBe(404);
  expect((await lines(`/api/pipelines/${run.id}/log`, "nonsense")).code).toBe(401);
  const { text: other } = await place.server.access.mint({ name: "other", role: "viewer", run: "hello-1" });
  expect((await lines(`/api/pipelines/${run.id}/log`, other)).code).toBe(1008);
});

it("R-37: what is no longer kept, and another ledger, are said with resync", async () => {
  const { ledger } = place.tenuto.engine.parts;
  const end = await ledger.feedEnd();
  const { db } = ledger as unknown as { db: { exec(sql: string): void } };
  db.exec(`DELETE FROM feed WHERE seq < ${end - 2}`);
  await place.restart();
  for (const after of ["3", "900000000"]) {
    const stream = await Stream.open({ topic: "all", after });
    const frame = await stream.until((frames) => frames.find((one) => one.type === "resync"));
    expect(frame).toMatchObject({ cursor: String(end), reason: expect.any(String) });
    const run = await place.tenuto.start("prompted", { originalPrompt: "after" });
    await stream.until(() => stream.events.some((event) => event.run === run.id && event.name === "run.completed"));
    expect(stream.events[0].run).toBe(run.id);
    stream.socket.terminate();
    await run.wait();
    db.exec(`DELETE FROM feed WHERE seq > ${end}`);
    await place.restart();
  }
});

it("R-36: of 50 clients 5 stop reading: they are let go with bounded memory, the others get everything", async () => {
  const run = await place.tenuto.start("hello");
  await run.wait();
  const { logs, ledger } = place.tenuto.engine.parts;
  const message = "x".repeat(500);
  for (let n = 0; n < 60_000; n++) {
    logs.line({ at: n, run: run.id, agent: "test/long", level: "INFO", message });
    if (n % 5_000 === 0) await logs.flush();
  }
  await logs.flush();
  const readers = await Promise.all(Array.from({ length: 45 }, () => Stream.open({ topic: "all" })));
  const stuck = await Promise.all(Array.from({ length: 5 }, () => Stream.open(null)));
  for (const stream of stuck) {
    stream.subscribe({ topic: "log", run: run.id });
    stream.socket.pause();
  }
  const before = process.memoryUsage().rss;
  const started = await Promise.all(
    Array.from({ length: 40 }, () => place.tenuto.start("prompted", { originalPrompt: "go" })),
  );
  await Promise.all(started.map((one) => one.wait({ timeoutMs: 30_000 })));
  const end = String(await ledger.feedEnd());
  await Promise.all(readers.map((stream) => stream.until(() => stream.cursor === end)));
  const wanted = readers[0]!.events.map(name);
  expect(new Set(wanted).size).toBe(wanted.length);
  for (const stream of readers) expect(stream.events.map(name)).toEqual(wanted);
  // They are let go because they do not read, or do not answer; what was sent before still arrives once they read again.
  const { metrics } = place.server.services;
  while (metrics.live.clients > 45) await readers[0]!.until(() => true).then(() => heartbeat(readers[0] as Stream));
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1_048_576);
  expect(metrics.live.clients).toBe(45);
  for (const stream of stuck) {
    stream.socket.resume();
    expect((await stream.closed).code).toBeGreaterThanOrEqual(1_006);
    const { cursor } = stream;
    const again = await Stream.open({ topic: "log", run: run.id, after: cursor });
    const frame = await again.until((frames) => frames.find((one) => one.type === "log"));
    expect(frame.lines[0].number).toBe(Number(cursor) + 1);
    again.socket.terminate();
  }
  for (const stream of readers) stream.socket.terminate();
});

async function heartbeat(stream: Stream): Promise<void> {
  const seen = stream.frames.length;
  await stream.until((frames) => frames.slice(seen).some((frame) => frame.type === "heartbeat"));
}

it("a token that is taken back ends its streams; who does not answer is let go; streams are counted", async () => {
  const { row, text } = await place.server.access.mint({ name: "leaving", role: "viewer" });
  const leaving = await Stream.open({ topic: "all" }, text);
  await heartbeat(leaving);
  await place.server.access.revoke(row.id);
  expect((await leaving.closed).code).toBe(4401);
  const mute = await Stream.open({ topic: "runs" }, place.tokens.viewer, { autoPong: false });
  expect([4408, 1006]).toContain((await mute.closed).code);
  const scoped = await place.server.access.mint({ name: "one", role: "viewer", run: "hello-1" });
  const one = await Stream.open({ topic: "all" }, scoped.text);
  const refused = await one.until((frames) => frames.find((frame) => frame.type === "error"));
  expect(refused.problem).toMatchObject({ code: "forbidden" });
  one.subscribe({ id: "own", topic: "run", run: "hello-1" });
  await one.until((frames) => frames.find((frame) => frame.id === "own" && frame.type === "events"));
  one.socket.terminate();
  const many = await place.server.access.mint({ name: "many", role: "viewer" });
  const open = await Promise.all(Array.from({ length: 101 }, () => Stream.open(null, many.text)));
  expect((await Promise.race(open.map((stream) => stream.closed))).code).toBe(4429);
  for (const stream of open) stream.socket.terminate();
});
