import { existsSync, statSync } from "node:fs";
import { request } from "node:http";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TenutoError } from "../core/errors.ts";
import type { AttemptApi } from "../ports/executor.ts";
import { createCommandExecutor } from "./command.ts";
import { cleanUp, recordingApi, type Trial, trial } from "./fixtures/attempts.ts";
import { createJobSocket } from "./socket.ts";

const socket = createJobSocket();
const calls: Trial["calls"] = [];
let path = "";
beforeAll(async () => {
  path = await socket.open();
  socket.register("good", recordingApi(calls), "/srv");
});
afterAll(async () => {
  await socket.close();
  cleanUp();
});

interface Answer {
  status: number;
  body: any;
}

function post(route: string, body: unknown, token: string | null = "good", method = "POST"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const call = request({ socketPath: path, path: route, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      response.on("end", () => resolve({ status: response.statusCode!, body: JSON.parse(text) }));
    });
    call.on("error", reject);
    call.end(typeof body === "string" ? body : JSON.stringify(body));
  });
}

describe("the job socket", () => {
  it("is private and short", () => {
    expect(Buffer.byteLength(path)).toBeLessThan(100);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  });

  it.each([
    ["/log", { message: "m", level: "ERROR", fields: { a: 1 } }, {}, ["log", "ERROR", "m", { a: 1 }]],
    ["/log", { message: "" }, {}, ["log", "INFO", "", undefined]],
    ["/progress", { done: 1, total: 2 }, {}, ["progress", 1, 2, undefined]],
    ["/step", { key: "k" }, { found: false }, ["step", "k", null]],
    ["/step/save", { key: "k", inputHash: "h", output: null }, {}, ["saveStep", "k", "h", null]],
    [
      "/artifact",
      { name: "n", path: "a/b", mediaType: "t", type: "test_results" },
      { sha256: "ab", bytes: 2 },
      ["artifact", "n", { path: "/srv/a/b" }, "t", "test_results"],
    ],
    [
      "/artifact",
      { name: "n", base64: "AAE=" },
      { sha256: "ab", bytes: 2 },
      ["artifact", "n", Buffer.from([0, 1]), undefined, undefined],
    ],
    ["/limit", { name: "n", key: "k" }, {}, ["limit", "n", "k"]],
    ["/spend", { name: "n", amount: 1.5 }, {}, ["spend", "n", 1.5]],
    [
      "/spawn",
      { key: "k", agent: "a/b", input: [1] },
      { result: { state: "completed" } },
      ["spawn", "k", { agent: "a/b", input: [1] }],
    ],
    ["/sleep", { key: "k", ms: 5 }, {}, ["sleep", "k", 5]],
  ])("%s %j", async (route, body, answer, call) => {
    calls.length = 0;
    expect(await post(route, body)).toEqual({ status: 200, body: answer });
    expect(calls).toEqual([call]);
  });

  it.each([
    [401, "/log", { message: "m" }, null],
    [403, "/log", { message: "m" }, "other"],
    [403, "/nowhere", {}, "other"],
    [404, "/nowhere", {}, "good"],
    [400, "/log", "{", "good"],
    [400, "/log", "[]", "good"],
    [400, "/log", { message: 1 }, "good"],
    [400, "/log", { message: "m", level: "debug" }, "good"],
    [400, "/log", { message: "m", massage: "typing error" }, "good"],
    [400, "/progress", { done: "1" }, "good"],
    [400, "/step/save", { key: "k" }, "good"],
    [400, "/step", { key: "" }, "good"],
    [400, "/artifact", { name: "n" }, "good"],
    [400, "/artifact", { name: "n", base64: "?" }, "good"],
    [400, "/log", '{"__proto__":{"message":"m"}}', "good"],
    [413, "/log", { message: "x".repeat(1_048_577) }, "good"],
  ])("answers %i to %s (case %#)", async (status, route, body, token) => {
    calls.length = 0;
    const answer = await post(route, body, token);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ code: expect.any(String), message: expect.any(String) });
    expect(calls).toEqual([]);
  });

  it("answers 405 to other methods", async () => {
    expect((await post("/log", "", "good", "GET")).status).toBe(405);
  });

  it("passes errors on with their code", async () => {
    const spend = () => Promise.reject(new TenutoError("budget_exhausted", "no money", { details: { left: 0 } }));
    socket.register("poor", { ...recordingApi([]), spend }, "/");
    const answer = await post("/spend", { name: "n", amount: 1 }, "poor");
    expect(answer).toMatchObject({ status: 429, body: { code: "budget_exhausted", details: { left: 0 } } });
  });

  it("refuses a call that waits, and one whose body comes late, when the attempt ends", async () => {
    let begun = (): void => {};
    const waits = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const late: Trial["calls"] = [];
    const api: AttemptApi = {
      ...recordingApi(late),
      sleep() {
        begun();
        return new Promise(() => {});
      },
    };
    const revoke = socket.register("ending", api, "/");
    const waiting = post("/sleep", { key: "k", ms: 1 }, "ending");
    await waits;
    const headers = { authorization: "Bearer ending" };
    const slow = request({ socketPath: path, path: "/log", method: "POST", headers });
    const answered = new Promise<number>((resolve) => slow.on("response", (response) => resolve(response.statusCode!)));
    slow.write('{"message":');
    // The server has seen the beginning of the body when it has answered another call of the same client.
    await post("/log", { message: "in time" }, "ending");
    revoke();
    slow.end('"too late"}');
    expect((await waiting).status).toBe(403);
    expect(await answered).toBe(403);
    expect(late.map(([, , message]) => message)).toEqual(["in time"]);
  });

  it("removes its folder when closed", async () => {
    const own = createJobSocket();
    const where = await own.open();
    await own.close();
    expect(existsSync(dirname(where))).toBe(false);
  });
});

describe("a command and its socket", () => {
  const client = `
    const { request } = require("node:http");
    const { TENUTO_URL: socketPath, TENUTO_TOKEN: token } = process.env;
    const call = request({ socketPath, path: "/log", method: "POST", headers: { authorization: "Bearer " + token } },
      (response) => response.resume() && console.log(response.statusCode + " " + token));
    call.end(JSON.stringify({ message: "from the job" }));`;

  it("reaches its attempt while it runs, and not after", async () => {
    const executor = createCommandExecutor({ guard: false });
    const one = trial({ argv: [process.execPath, "-e", client] });
    const other = trial({ argv: ["sh", "-c", 'echo "$TENUTO_URL"; read x; exit 0'] });
    await executor.run(one.attempt);
    await executor.run(other.attempt);
    const [status, token] = one.bytes("stdout").toString().trim().split(" ");
    expect(status).toBe("200");
    expect(one.calls).toEqual([["log", "INFO", "from the job", undefined]]);
    const before = path;
    path = other.bytes("stdout").toString().trim();
    expect((await post("/log", { message: "late" }, token)).status).toBe(403);
    path = before;
    expect(one.calls).toHaveLength(1);
    await executor.close();
  });
});
