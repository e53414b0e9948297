/** Webhooks out and in over real sockets: signed, sent again, resent; forged, old and repeated messages (S-20, S-22). */
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from "vitest";
import { Notifiers } from "../../src/runtime/notifier.ts";
import { seen } from "../seen.ts";
import { type Api, openPlace, type Place } from "./serving.ts";

let place: Place;
let api: Api;

beforeAll(async () => {
  // Receivers of these tests are on loopback.
  place = await openPlace({ privateWebhooks: true });
  api = await place.api();
});
afterAll(() => place.close());

it("S-20: addresses of private networks are refused, however they are written", async () => {
  const inside = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://app.localhost/",
    "http://10.0.0.1/",
    "http://172.16.3.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://user:pass@example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
  ];
  const strict = await openPlace();
  onTestFinished(() => strict.close());
  const careful = await strict.api();
  for (const url of inside) {
    const { status } = await careful.call("putWebhook", {
      params: { webhook: "w" },
      body: { url, occasions: ["failed"] },
    });
    expect(status, url).toBe(422);
  }
  expect((await careful.call("listWebhooks")).body.items).toEqual([]);
});

interface Got {
  headers: IncomingHttpHeaders;
  body: string;
}

/** A receiver that answers with these statuses, one after the other, then 200. */
async function receiver(statuses: number[]) {
  const got: Got[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => {
      body += piece;
    });
    request.on("end", () => {
      got.push({ headers: request.headers, body });
      response.writeHead(statuses.shift() ?? 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { got, url, close: () => new Promise((resolve) => server.close(resolve)) };
}

it("S-22: messages are signed, recorded, sent once, and sent again when asked for", async () => {
  const { got, url, close } = await receiver([410]);
  const { ledger } = place.tenuto.engine.parts;
  const { body: made } = await api.call("putWebhook", {
    params: { webhook: "team" },
    body: { url, occasions: ["completed"], pipeline: "prompted" },
  });
  try {
    const run = await place.tenuto.start("prompted", { originalPrompt: "tell them" });
    await (await place.tenuto.start("hello")).wait();
    const failed = await seen(place.tenuto, async () => {
      const { items } = (await api.call("listDeliveries", { params: { webhook: "team" } })).body;
      return items.find((one: any) => one.state === "failed");
    });
    expect(failed).toMatchObject({ occasion: "completed", attempts: 1, error: expect.stringContaining("410") });
    expect(failed.message.run.id).toBe(run.id);
    const [first] = got as [Got];
    const { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signature } = first.headers;
    const key = Buffer.from(made.secret.slice(6), "base64");
    expect(signature).toBe(`v1,${createHmac("sha256", key).update(`${id}.${seconds}.${first.body}`).digest("base64")}`);
    expect(JSON.stringify(first.headers)).not.toContain("authorization");
    const params = { webhook: "team", delivery: failed.id };
    expect((await api.call("resendDelivery", { params })).status).toBe(202);
    await seen(place.tenuto, async () => {
      const row = await ledger.delivery(failed.id);
      return row?.state === "delivered" ? row : null;
    });
    expect(got).toHaveLength(2);
    expect(got[1]?.headers["webhook-id"]).toBe(id);
    expect((await api.call("resendDelivery", { params: { ...params, delivery: "none" } })).status).toBe(404);
    const other = { params: { webhook: "other" }, body: { url, occasions: ["failed"], enabled: false } };
    expect((await api.call("putWebhook", other)).status).toBe(200);
    expect((await api.call("resendDelivery", { params: { ...params, webhook: "other" } })).status).toBe(404);
    await api.call("rotateWebhook", { params: { webhook: "team" } });
    await (await place.tenuto.start("prompted", { originalPrompt: "again" })).wait();
    await seen(place.tenuto, async () => (got.length >= 3 ? true : null));
    expect(String(got[2]?.headers["webhook-signature"]).split(" ")).toHaveLength(2);
  } finally {
    await close();
  }
});

it("changing webhooks does not wait for what is on its way to slow receivers", async () => {
  const { stop } = Notifiers.prototype;
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow = vi.spyOn(Notifiers.prototype, "stop").mockImplementation(async function (this: Notifiers) {
    await gate;
    await stop.call(this);
  });
  const body = { url: "http://127.0.0.1:9/", occasions: ["completed"] };
  for (const webhook of ["one", "two", "one"])
    expect((await api.call("putWebhook", { params: { webhook }, body })).status).toBe(200);
  for (const webhook of ["one", "two"])
    expect((await api.call("removeWebhook", { params: { webhook } })).status).toBe(204);
  expect(slow.mock.calls.length).toBeGreaterThan(2);
  slow.mockRestore();
  release();
});

it("S-22: forged, old and repeated messages start nothing", async () => {
  const hook = { params: { hook: "push" } };
  const made = await api.call("putHook", {
    ...hook,
    body: { pipeline: "hello", params: { text: "{{ params.body.who }}" } },
  });
  const key = Buffer.from(made.body.secret.slice(6), "base64");
  const now = Math.floor(Date.now() / 1_000);
  const send = async (
    change: { id?: string; at?: number; key?: Buffer; body?: string; signature?: string; hook?: string } = {},
  ) => {
    const { id = "msg", at = now, body = '{"who":"me"}' } = change;
    const signature = `v1,${createHmac("sha256", change.key ?? key)
      .update(`${id}.${at}.{"who":"me"}`)
      .digest("base64")}`;
    const answer = await place.fetch(`/hooks/${change.hook ?? "push"}`, {
      method: "POST",
      role: null,
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(at),
        "webhook-signature": change.signature ?? `v1,AAAA ${signature}`,
      },
      body,
    });
    return { status: answer.status, body: (await answer.json()) as { id: string; created: boolean } };
  };
  const counted = async () => (await place.tenuto.client.runs({ pipeline: "hello", limit: 1_000 })).length;
  const before = await counted();
  const refused = [
    { key: Buffer.alloc(32) },
    { at: now - 400 },
    { at: now + 400 },
    { body: '{"who":"you"}' },
    { signature: "" },
    { signature: "v1," },
    { signature: "v1a,x" },
    { hook: "other" },
    { id: "x".repeat(300) },
    { at: 1e15 },
  ];
  for (const change of refused) expect((await send(change)).status, JSON.stringify(change)).toBe(401);
  expect(await counted()).toBe(before);
  const first = await send();
  expect(first).toMatchObject({ status: 202, body: { created: true } });
  const again = await Promise.all(Array.from({ length: 20 }, () => send()));
  expect(new Set(again.map(({ status, body }) => `${status} ${body.id} ${body.created}`))).toEqual(
    new Set([`200 ${first.body.id} false`]),
  );
  expect(await counted()).toBe(before + 1);
  const rotated = await api.call("rotateHook", hook);
  expect((await send({ id: "former" })).status).toBe(202);
  expect((await send({ id: "new", key: Buffer.from(rotated.body.secret.slice(6), "base64") })).status).toBe(202);
  await api.call("putHook", { ...hook, body: { pipeline: "hello", enabled: false } });
  expect((await send({ id: "off" })).status).toBe(401);
});
