/** Every operation of the API, called through its OpenAPI description, with what it answers checked against the same. */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { OPERATIONS } from "../../src/contract/index.ts";
import { seen } from "../seen.ts";
import { type Api, CALLED, openPlace, type Place } from "./serving.ts";

let place: Place;
let api: Api;

beforeAll(async () => {
  place = await openPlace();
  api = await place.api();
});
afterAll(() => place.close());

async function ended(pipeline: string, params: object = {}): Promise<string> {
  const { body } = await api.call("startRun", { body: { pipeline, params } });
  await (await place.tenuto.client.attach(body.id)).wait({ timeoutMs: 30_000 });
  return body.id;
}

it("the server's own", async () => {
  expect((await api.call("health")).body).toEqual({ ok: true });
  const { body } = await api.call("readiness");
  expect(body).toMatchObject({ ok: true, ledger: { ok: true }, disk: { ok: true }, workers: 1 });
  const { text } = await api.call("metrics");
  expect(text).toContain('tenuto_runs{state="completed"}');
  expect(text).toMatch(/tenuto_http_seconds_count \d/);
});

it("a run: started once per key, listed, shown, drawn, told of", async () => {
  const key = { "idempotency-key": "one" };
  const start = { pipeline: "hello", params: { text: "ho" }, labels: { team: "blue" } };
  const first = await api.call("startRun", { body: start, headers: key });
  expect(first).toMatchObject({ status: 201, body: { created: true, queuedBehind: null } });
  const many = await Promise.all(Array.from({ length: 20 }, () => api.call("startRun", { body: start, headers: key })));
  expect(new Set(many.map(({ status, body }) => `${status} ${body.id} ${body.created}`))).toEqual(
    new Set([`200 ${first.body.id} false`]),
  );
  const other = await api.call("startRun", { body: { ...start, params: { text: "no" } }, headers: key });
  expect(other).toMatchObject({ status: 422, body: { code: "idempotency_mismatch" } });
  const run = first.body.id;
  await (await place.tenuto.client.attach(run)).wait({ timeoutMs: 30_000 });

  expect((await api.call("showRun", { params: { run } })).body).toMatchObject({
    id: run,
    state: "completed",
    params: { text: "ho" },
    output: "B",
    labels: { team: "blue" },
    why: "All of its jobs have ended well.",
    stages: [
      { name: "make", state: "completed" },
      { name: "show", completed: 2 },
    ],
  });
  const { body: graph } = await api.call("showGraph", { params: { run } });
  expect(graph.nodes.map((node: any) => node.id)).toEqual(["shout", "echo", "after"]);
  expect(graph.edges).toEqual([{ from: "echo", to: "after", on: "success" }]);
  expect(graph.barriers).toEqual(["echo"]);
  const searches: Record<string, string>[] = [
    { label: "team=blue" },
    { q: run.slice(0, 6) },
    { state: "completed,failed" },
    { pipeline: "hello" },
  ];
  for (const query of searches) {
    const { body } = await api.call("listRuns", { query });
    expect(
      body.items.map((one: any) => one.id),
      JSON.stringify(query),
    ).toContain(run);
  }
  expect((await api.call("listRuns", { query: { label: "team=red" } })).body).toEqual({ items: [], next: null });
  const { body: events } = await api.call("listEvents", { params: { run } });
  expect(events.items.map((event: any) => event.seq)).toEqual(events.items.map((_: unknown, i: number) => i + 1));
  for (const format of ["json", "md", "html"] as const) {
    const report = await place.fetch(`/api/runs/${run}/report?format=${format}`);
    expect(report.status).toBe(200);
    expect(await report.text()).toContain(run);
  }
  expect((await api.call("reportRun", { params: { run } })).body.run.id).toBe(run);
  const { body: checkpoint } = await api.call("showCheckpoint", { params: { run } });
  expect(checkpoint).toMatchObject({ job_id: run, can_resume: false, progress: { failed: 0 } });
});

it("lists go on without gap and repetition while runs are added", async () => {
  for (let n = 0; n < 5; n++) await ended("prompted", { originalPrompt: String(n) });
  const found: string[] = [];
  for (let after: string | null = ""; after !== null; ) {
    const { body } = await api.call("listRuns", { query: { limit: 2, ...(after === "" ? {} : { after }) } });
    found.push(...body.items.map((run: any) => run.id));
    after = body.next;
    if (found.length < 5) await ended("prompted", { originalPrompt: "between" });
  }
  expect(new Set(found).size).toBe(found.length);
  const { body } = await api.call("countRuns");
  expect(body.completed).toBeGreaterThanOrEqual(found.length);
});

it("jobs, items, logs and output", async () => {
  const run = await ended("hello", { text: "log me" });
  const { body: jobs } = await api.call("listJobs", { params: { run } });
  expect(jobs.items.map((job: any) => job.state)).toEqual(["completed", "completed", "completed"]);
  const { body: job } = await api.call("showJob", { params: { run, job: "echo" } });
  expect(job).toMatchObject({
    output: "said LOG ME\n",
    why: "It completed.",
    blocks: ["after"],
    attempts: [{ number: 1 }],
    used: [{ how: "offered", artifact: { name: "shout.txt", job: "shout" } }],
  });
  const { body: logs } = await api.call("readLogs", { params: { run } });
  expect(logs).toMatchObject({ live: false, next: null });
  expect(logs.items.map((line: any) => line.message)).toEqual(["shouting log me", "shouting b"]);
  const rest = await api.call("readLogs", { params: { run }, query: { since: logs.items[0].number } });
  expect(rest.body.items).toHaveLength(1);
  expect((await api.call("readLogs", { params: { run }, query: { q: "LOG" } })).body.items).toHaveLength(1);
  expect((await api.call("downloadLog", { params: { run } })).text).toContain("| INFO | shouting log me");
  expect((await api.call("readOutput", { params: { run, job: "echo" } })).text).toBe("said LOG ME\n");
  const part = await place.fetch(`/api/runs/${run}/jobs/echo/output`, { headers: { range: "bytes=5-7" } });
  expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([206, "LOG", "bytes 5-7/12"]);

  const fan = await ended("fan");
  const { body: failed } = await api.call("showRun", { params: { run: fan } });
  expect(failed).toMatchObject({ state: "failed", firstFailure: "each", error: { code: "error_rate_exceeded" } });
  const list = (await api.call("listRuns", { query: { q: fan, failures: "true" } })).body.items;
  expect(list[0].failure).toEqual({ job: "each", message: failed.error.message });
  const { body: items } = await api.call("listItems", {
    params: { run: fan, job: "each" },
    query: { state: "failed" },
  });
  expect(items.items).toMatchObject([{ ordinal: 1, state: "failed", error: { message: "2 is even" } }]);
  expect(items.items[0].error.stack).toBeUndefined();
  expect((await api.call("showItem", { params: { run: fan, job: "each", ordinal: 1 } })).body.attempts).toBe(1);
});

it("artifacts: listed, read in parts, verified, followed", async () => {
  const run = await ended("hello");
  const { body } = await api.call("listArtifacts", { params: { run } });
  const [shout] = body.items;
  expect(shout).toMatchObject({ name: "shout.txt", run, job: "shout", bytes: 2 });
  const { sha256 } = shout;
  const { body: all } = await api.call("listAllArtifacts", { query: { limit: 1 } });
  expect(all.items).toMatchObject([{ name: "shout.txt", agent: "text/shout" }]);
  const { body: rest } = await api.call("listAllArtifacts", { query: { after: all.next, agent: "text/shout" } });
  expect(rest.items.map((one: any) => one.id)).toEqual([...rest.items.map((one: any) => one.id)].sort((a, b) => b - a));
  expect(rest.items.some((one: any) => one.run === run)).toBe(true);
  expect((await api.call("listAllArtifacts", { query: { name: "none" } })).body).toEqual({ items: [], next: null });
  expect((await api.call("showArtifact", { params: { sha256 } })).body.items[0].sha256).toBe(sha256);
  expect((await api.call("readArtifact", { params: { sha256 } })).text).toBe("HI");
  const part = await place.fetch(`/api/artifacts/${sha256}/content`, { headers: { range: "bytes=1-" } });
  expect([part.status, await part.text()]).toEqual([206, "I"]);
  expect((await place.fetch(`/api/artifacts/${sha256}/content`, { headers: { range: "bytes=9-" } })).status).toBe(416);
  expect((await api.call("verifyArtifact", { params: { sha256 } })).body).toEqual({ sha256, ok: true, bytes: 2 });
  expect((await api.call("showLineage", { params: { sha256 } })).body.artifact.sha256).toBe(sha256);
});

it("cancel, retry, rerun, rollback, several at once with a preview", async () => {
  const { body } = await api.call("startRun", { body: { pipeline: "held" } });
  const run = body.id;
  await seen(place.tenuto, async () =>
    (await place.tenuto.client.job(run, "hold")).state === "running" ? true : null,
  );
  const preview = { action: "cancel", runs: [run, "no-such-run"], preview: true };
  expect((await api.call("actOnRuns", { body: preview })).body.results).toMatchObject([
    { ok: true, state: "running" },
    { ok: false, code: "not_found" },
  ]);
  expect((await api.call("showRun", { params: { run } })).body.state).toBe("running");
  expect((await api.call("cancelRun", { params: { run }, body: { reason: "enough" } })).status).toBe(202);
  await (await place.tenuto.client.attach(run)).wait({ timeoutMs: 30_000 });
  expect((await api.call("showRun", { params: { run } })).body.state).toBe("cancelled");
  expect((await api.call("cancelRun", { params: { run }, body: {} })).body.code).toBe("illegal_transition");
  place.latch.open();
  expect((await api.call("retryRun", { params: { run }, body: {} })).body).toEqual({ id: run, jobs: 1 });
  await (await place.tenuto.client.attach(run)).wait({ timeoutMs: 30_000 });

  const hello = await ended("hello", { text: "again" });
  const rerun = await api.call("rerunRun", {
    params: { run: hello },
    body: { from: "after", input: { text: "else" } },
  });
  await (await place.tenuto.client.attach(rerun.body.id)).wait({ timeoutMs: 30_000 });
  const { body: shown } = await api.call("showRun", { params: { run: rerun.body.id } });
  expect(shown).toMatchObject({ origin: hello, relation: "rerun", output: "ELSE", params: { text: "again" } });
  const { body: reused } = await api.call("showJob", { params: { run: rerun.body.id, job: "shout" } });
  expect(reused.why).toContain("answered from");

  const done = await ended("undoable");
  const undoable = async (run: string) => (await api.call("showRun", { params: { run } })).body.undoable;
  expect([await undoable(hello), await undoable(done)]).toEqual([false, true]);
  const undo = await api.call("rollbackRun", { params: { run: done }, body: {} });
  expect(undo.status).toBe(201);
  await (await place.tenuto.client.attach(undo.body.id)).wait({ timeoutMs: 30_000 });
  expect((await api.call("rollbackRun", { params: { run: done }, body: {} })).status).toBe(409);
  expect(await undoable(done)).toBe(false);
});

it("approvals: listed, bound to what was shown, decided by whoever holds the token", async () => {
  const { body } = await api.call("startRun", { body: { pipeline: "ask" } });
  const open = await seen(place.tenuto, async () => {
    const list = (await api.call("listApprovals", { query: { state: "open", run: body.id } })).body.items;
    return list[0];
  });
  expect((await api.call("countRuns")).body.openApprovals).toBe(1);
  const { body: shown } = await api.call("showApproval", { params: { approval: open.id } });
  expect(shown).toMatchObject({ title: "Really?", state: "open", run: body.id, job: "go" });
  const params = { approval: open.id };
  const stale = await api.call("decideApproval", { params, body: { decision: "approve", hash: "0".repeat(64) } });
  expect(stale).toMatchObject({ status: 409, body: { code: "approval_changed" } });
  const decide = { decision: "approve", hash: shown.hash, reason: "fine" };
  expect((await api.call("decideApproval", { params, body: decide })).body).toMatchObject({
    state: "approved",
    decidedBy: "admin",
    reason: "fine",
  });
  expect((await api.call("decideApproval", { params, body: decide })).body.code).toBe("approval_decided");
});

it("pipelines, agents, templates, schedules, workers, limiters", async () => {
  const { body: known } = await api.call("listPipelines");
  expect(known.items.find((one: any) => one.name === "hello").params.properties.text).toMatchObject({ type: "string" });
  expect((await api.call("listAgents")).body.items.map((one: any) => one.name)).toContain("text/shout");
  const document = {
    name: "stored",
    kind: "graph",
    stages: [{ name: "s", jobs: [{ id: "j", agent: "text/shout", input: { text: "t" } }] }],
  };
  const put = (body: object) => api.call("putTemplate", { params: { name: "stored" }, body });
  expect((await put({ document, note: "first" })).body).toMatchObject({ number: 1, note: "first", jobs: 1 });
  expect((await put({ document })).body.number).toBe(1);
  expect((await put({ document: { ...document, description: "two" } })).body.number).toBe(2);
  expect((await put({ document: { ...document, stages: [] } })).status).toBe(422);
  const command = { id: "j", agent: "command/inline", command: { argv: ["id"] } };
  const refused = await put({ document: { ...document, stages: [{ name: "s", jobs: [command] }] } });
  expect(refused).toMatchObject({ status: 403, body: { code: "commands_refused" } });
  expect((await api.call("listTemplates")).body.items).toMatchObject([{ name: "stored", number: 2 }]);
  const params = { name: "stored" };
  expect((await api.call("showTemplate", { params, query: { version: 1 } })).body.shownNumber).toBe(1);
  expect((await api.call("listTemplateVersions", { params })).body.items).toHaveLength(2);
  const started = await api.call("startRun", { body: { template: "stored", templateVersion: 1 } });
  expect(started.status).toBe(201);

  const schedule = { name: "nightly", pipeline: "stored", cron: "0 3 * * *", zone: "Europe/Berlin" };
  expect((await api.call("addSchedule", { body: schedule })).body.next).toHaveLength(5);
  expect((await api.call("addSchedule", { body: schedule })).status).toBe(409);
  expect((await api.call("addSchedule", { body: { ...schedule, name: "bad", cron: "often" } })).status).toBe(422);
  expect((await api.call("removeTemplate", { params })).status).toBe(409);
  const nightly = { params: { name: "nightly" } };
  expect((await api.call("disableSchedule", nightly)).body).toMatchObject({ enabled: false, nextAt: null });
  expect((await api.call("enableSchedule", nightly)).body.enabled).toBe(true);
  const shown = await api.call("showSchedule", { ...nightly, query: { count: 7 } });
  expect([shown.body.zone, shown.body.next.length]).toEqual(["Europe/Berlin", 7]);
  const triggered = await api.call("triggerSchedule", nightly);
  expect((await api.call("showRun", { params: { run: triggered.body.id } })).status).toBe(200);
  expect((await api.call("listSchedules")).body.items).toHaveLength(1);
  expect((await api.call("removeSchedule", nightly)).status).toBe(204);
  expect((await api.call("removeTemplate", { params })).status).toBe(204);
  expect((await api.call("showTemplate", { params })).status).toBe(404);

  const { body: workers } = await api.call("listWorkers", { query: { state: "alive" } });
  expect(workers.items).toMatchObject([{ pid: process.pid, state: "alive" }]);
  expect((await api.call("listLimiters")).body).toEqual({ items: [] });
});

it("sessions, tokens, audit", async () => {
  const login = await place.server.access.mint({ kind: "login", name: "eve", role: "operator" });
  const opened = await api.call("openSession", { body: { token: login.text } });
  expect(opened.body).toMatchObject({ name: "eve", role: "operator" });
  const cookie = (opened.headers.get("set-cookie") as string).split(";")[0] as string;
  const own = { role: null, headers: { cookie, "sec-fetch-site": "same-origin" } } as const;
  expect(await (await place.fetch("/api/session", own)).json()).toMatchObject({ name: "eve" });
  expect((await place.fetch("/api/session", { ...own, method: "DELETE" })).status).toBe(204);
  expect((await place.fetch("/api/session", own)).status).toBe(401);
  expect((await api.call("showSession")).body).toMatchObject({ name: "admin", role: "admin" });
  expect((await api.call("closeSession")).status).toBe(204);

  const minted = await api.call("mintToken", { body: { name: "bot", role: "viewer", expiresInSeconds: 60 } });
  const params = { token: minted.body.id };
  const rotated = await api.call("rotateToken", { params });
  expect(rotated.body).toMatchObject({ name: "bot", role: "viewer" });
  expect((await api.call("revokeToken", { params })).status).toBe(204);
  const list = (await api.call("listTokens")).body.items;
  expect(list.find((one: any) => one.id === params.token).live).toBe(false);
  expect(JSON.stringify(list)).not.toContain(minted.body.token);
  const { body: audit } = await api.call("listAudit", { query: { limit: 1000 } });
  expect(audit.items.filter((row: any) => row.operation === "revokeToken").map((row: any) => row.phase)).toContain(
    "asked",
  );
  expect((await api.call("verifyAudit")).body).toMatchObject({ ok: true, fault: null });
});

it("webhooks out and hooks in are kept, rotated and removed", async () => {
  const params = { webhook: "team" };
  const body = { url: "https://hooks.example.com/x", occasions: ["failed"] };
  const made = await api.call("putWebhook", { params, body });
  expect(made.body.secret).toMatch(/^whsec_/);
  expect((await api.call("putWebhook", { params, body })).body.secret).toBeUndefined();
  expect((await api.call("rotateWebhook", { params })).body.secret).not.toBe(made.body.secret);
  expect((await api.call("listWebhooks")).body.items).toHaveLength(1);
  expect((await api.call("listDeliveries", { params })).body.items).toEqual([]);
  const hook = { params: { hook: "push" } };
  const into = await api.call("putHook", {
    ...hook,
    body: { pipeline: "hello", params: { text: "{{ params.body.who }}" } },
  });
  const message = JSON.stringify({ who: "you" });
  const seconds = String(Math.floor(Date.now() / 1_000));
  const key = Buffer.from(into.body.secret.slice(6), "base64");
  const headers = {
    "webhook-id": "msg_1",
    "webhook-timestamp": seconds,
    "webhook-signature": `v1,${createHmac("sha256", key).update(`msg_1.${seconds}.${message}`).digest("base64")}`,
  };
  const sent = await api.call("receiveHook", { ...hook, body: JSON.parse(message), headers });
  expect(sent).toMatchObject({ status: 202, body: { created: true } });
  expect((await api.call("showRun", { params: { run: sent.body.id } })).body.params).toEqual({ text: "you" });
  expect((await api.call("listHooks")).body.items).toHaveLength(1);
  expect((await api.call("rotateHook", hook)).body.secret).not.toBe(into.body.secret);
  expect((await api.call("removeHook", hook)).status).toBe(204);
  expect((await api.call("removeWebhook", { params })).status).toBe(204);
  expect(readFileSync(`${place.home}/ledger.db`).includes(into.body.secret)).toBe(false);
});

it("the routes of the devloop source document", async () => {
  expect((await api.call("compatTemplates")).body.templates.map((one: any) => one.id)).toContain("prompted");
  const started = await api.call("compatStart", {
    params: { pipeline: "prompted" },
    body: { prompt: `fix ${"it ".repeat(40)}` },
  });
  expect(started).toMatchObject({ status: 201, body: { template: "prompted" } });
  expect(started.body.name).toHaveLength(50);
  const twice = { params: { pipeline: "prompted" }, body: { prompt: "x" }, headers: { "Idempotency-Key": "once" } };
  const [first, again] = [await api.call("compatStart", twice), await api.call("compatStart", twice)];
  expect([first.status, again.status, again.body.id]).toEqual([201, 200, first.body.id]);
  const params = { run: started.body.id };
  await (await place.tenuto.client.attach(params.run)).wait({ timeoutMs: 30_000 });
  expect((await api.call("compatStatus", { params })).body).toMatchObject({ id: params.run, status: "completed" });
  expect((await api.call("compatShow", { params })).body.stages[0].jobs).toMatchObject([{ id: "shout", retries: 0 }]);
  const { body: log } = await api.call("compatLog", { params });
  expect(log).toMatchObject({ live: false, total: 1 });
  expect(log.lines[0]).toMatch(/^\S+ \| prompted-\d+ \| text\/shout \| INFO \| shouting fix/);
  expect((await api.call("compatList", { query: { limit: 3 } })).body.pipelines).toHaveLength(3);
  expect((await api.call("compatRunning")).status).toBe(200);
  const { body: asks } = await api.call("startRun", { body: { pipeline: "ask" } });
  expect((await api.call("compatStop", { params: { run: asks.id } })).status).toBe(202);
});

it("live and resending are tested in files of their own; every other operation was called here", () => {
  const elsewhere = ["live", "resendDelivery"];
  const missing = OPERATIONS.map(({ id }) => id).filter((id) => !CALLED.has(id) && !elsewhere.includes(id));
  expect(missing).toEqual([]);
  expect([...api.operations.keys()].sort()).toEqual(OPERATIONS.map(({ id }) => id).sort());
  expect(place.faults).toEqual([]);
});
