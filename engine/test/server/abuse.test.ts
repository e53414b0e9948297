/** What somebody with few rights, or none, might try: to learn secrets piece by piece, and to use up what others need (S-08, S-17). */
import { existsSync, readdirSync, readlinkSync, truncateSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { maskerOf } from "../../src/http/mask.ts";
import type { RunHandle } from "../../src/index.ts";
import { raw } from "./raw.ts";
import { openPlace, type Place } from "./serving.ts";

const SECRET = "dep-7f3a9c2b41d8e6f05a";
const HEADERS_MS = 200;
const IN_FLIGHT = 2;
let place: Place;
let run: RunHandle;
beforeAll(async () => {
  place = await openPlace({
    secrets: new Map([["DEPLOY_TOKEN", SECRET]]),
    limits: { headersTimeoutMs: HEADERS_MS, inFlight: IN_FLIGHT },
  });
  run = await place.tenuto.start("hello", { text: `token ${SECRET} end` });
  await run.wait();
});
afterAll(async () => {
  await place?.close();
});

const port = () => Number(new URL(place.server.url).port);
const bearer = () => ({ authorization: `Bearer ${place.tokens.viewer}` });
const text = async (path: string, range?: string) => {
  const headers = range === undefined ? bearer() : { ...bearer(), range };
  const answer = await raw("GET", path, headers, undefined, port());
  return { status: answer.status, text: answer.text };
};

it("S-17: parts of a file are parts of the masked file: a secret can't be put together from them", async () => {
  const path = `/api/runs/${run.id}/logs/raw`;
  const whole = (await text(path)).text;
  expect(whole).toContain("[DEPLOY_TOKEN]");
  for (const width of [1, 7, SECRET.length - 1]) {
    let joined = "";
    const from = whole.indexOf("[DEPLOY_TOKEN]") - 3;
    for (let at = from; at < from + 40; at += width) {
      const part = await text(path, `bytes=${at}-${at + width - 1}`);
      expect(part.status).toBe(206);
      joined += part.text;
    }
    expect(joined).toBe(whole.slice(from, from + joined.length));
  }
  const output = `/api/runs/${run.id}/jobs/echo/output`;
  const all = (await text(output)).text;
  for (let tail = 1; tail <= all.length; tail++)
    expect((await text(`${output}?tail=${tail}`)).text).toBe(all.slice(-tail));
});

it("S-17: a search does not tell whether a secret begins so", async () => {
  for (const more of ["", "&tail=100"]) {
    const found = async (q: string) =>
      JSON.parse((await text(`/api/runs/${run.id}/logs?q=${q}${more}`)).text).items.length as number;
    expect(await found("shouting%20token")).toBe(1);
    expect(await found("%5Bdeploy_token")).toBe(1);
    expect(await found(SECRET.slice(0, 6))).toBe(0);
  }
});

it("S-17: masked JSON is JSON, whatever the secrets look like", () => {
  const account = JSON.stringify({ id: "robot", key: "a very long key" });
  const { json } = maskerOf(
    new Map([
      ["PIN_SECRET", "12345678"],
      ["ACCOUNT_CREDENTIALS", account],
      ["ODD_PASSWORD", 'a","b":"c'],
    ]),
  );
  const given = {
    numbers: [12345678, -12345678.5, 912345678, 5],
    text: "pin 12345678.",
    account: JSON.parse(account),
    told: account,
    odd: 'a","b":"c',
    even: { x: "a", b: "c" },
  };
  expect(JSON.parse(json(JSON.stringify(given)))).toEqual({
    numbers: ["[PIN_SECRET]", "-[PIN_SECRET].5", "9[PIN_SECRET]", 5],
    text: "pin [PIN_SECRET].",
    account: "[ACCOUNT_CREDENTIALS]",
    told: "[ACCOUNT_CREDENTIALS]",
    odd: "[ODD_PASSWORD]",
    even: { x: "a", b: "c" },
  });
});

it("S-08: an id of many parts takes as long as it is, not twice as long for each part", async () => {
  for (const id of [Array(60).fill("a").join("/"), `shout/${Array(60).fill("a").join("/")}`])
    expect((await text(`/api/runs/${run.id}/jobs/${encodeURIComponent(id)}`)).status).toBe(404);
});

/** Descriptors of this process that are open on files below the home, but for those of the ledger. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "";
      }
    })
    .filter((path) => path.startsWith(place.home) && path.endsWith(".log"));
}

it.runIf(existsSync("/proc/self/fd"))("S-08: whoever asks for heads only leaves no file open", async () => {
  const before = openFiles().length;
  for (const path of ["logs/raw", "jobs/echo/output"])
    for (let n = 0; n < 10; n++)
      expect((await raw("HEAD", `/api/runs/${run.id}/${path}`, bearer(), undefined, port())).status).toBe(200);
  expect(openFiles().length).toBe(before);
});

it("S-08: whoever is refused a websocket and keeps the connection open is cut off", async () => {
  const socket = connect({ port: port(), host: "127.0.0.1", allowHalfOpen: true });
  let answer = "";
  socket.on("data", (piece) => {
    answer += String(piece);
  });
  const closed = new Promise<void>((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
  socket.write(
    `GET /api/live HTTP/1.1\r\nhost: 127.0.0.1:${port()}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${"A".repeat(22)}==\r\n\r\n`,
  );
  await new Promise((resolve) => socket.on("end", resolve));
  // Only who sends learns that the other side is gone.
  const sending = setInterval(() => socket.write("x"), 20);
  await closed;
  clearInterval(sending);
  expect(answer).toMatch(/^HTTP\/1\.1 401 /);
});

/** A download that nobody reads. */
async function stuck(of: Place, id: string) {
  const at = Number(new URL(of.server.url).port);
  const socket = connect({ port: at, host: "127.0.0.1" });
  socket.on("error", () => {});
  socket.write(
    `GET /api/runs/${id}/logs/raw HTTP/1.1\r\nhost: 127.0.0.1:${at}\r\nauthorization: Bearer ${of.tokens.viewer}\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once("readable", resolve));
  return socket;
}

const LARGE = 64 * 1024 * 1024;
/** Until the viewer of a place may ask again; gives what it was told at first. */
async function firstAnswer(of: Place): Promise<number> {
  const seen: number[] = [];
  while (seen.at(-1) !== 200) seen.push((await of.fetch("/api/session", { role: "viewer" })).status);
  return seen[0] as number;
}

it("S-08: a download counts until its end, against its token", async () => {
  truncateSync((await place.tenuto.engine.parts.logs.logFile(run.id)) as string, LARGE);
  const sockets = [await stuck(place, run.id), await stuck(place, run.id)];
  expect((await place.fetch("/api/session", { role: "viewer" })).status).toBe(429);
  expect((await place.fetch("/api/session", { role: "admin" })).status).toBe(200);
  for (const socket of sockets) socket.destroy();
  await firstAnswer(place);
});

it("S-08: a download that nobody reads is ended", async () => {
  const other = await openPlace({ limits: { inFlight: 1, stuckMs: 50 } });
  const chatty = await other.tenuto.start("chatty", { lines: 1 });
  await chatty.wait();
  truncateSync((await other.tenuto.engine.parts.logs.logFile(chatty.id)) as string, LARGE);
  const socket = await stuck(other, chatty.id);
  await firstAnswer(other);
  socket.destroy();
  await other.close();
});
