/** The model command against a server on this machine that speaks both wire formats, and what reaches an agent of its environment. */
import { execFile, execFileSync } from "node:child_process";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { git } from "../harness/git.ts";
import { type Bench, openBench } from "./bench.ts";

const PROGRAM = fileURLToPath(new URL("../programs/model.ts", import.meta.url));
const ANSWER = '{"actions": [{"tool": "finish", "args": {"summary": "done"}}]}';

interface Seen {
  path: string;
  headers: IncomingMessage["headers"];
  body: any;
}

let server: Server;
let base: string;
let seen: Seen[];
let answer: { status: number; body: string };
let bench: Bench | null = null;

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      seen.push({ path: request.url!, headers: request.headers, body: JSON.parse(text) });
      response.writeHead(answer.status, { "content-type": "application/json", location: "https://example.org/" });
      response.end(answer.body);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await bench?.close();
  bench = null;
  await new Promise((done) => server.close(done));
});

const anthropic = (text: string) => ({
  status: 200,
  body: JSON.stringify({ content: [{ type: "text", text }], usage: {} }),
});
const openai = (text: string) => ({
  status: 200,
  body: JSON.stringify({ choices: [{ message: { role: "assistant", content: text } }] }),
});

function call(args: string[], env: Record<string, string>): Promise<{ code: number; out: string; err: string }> {
  return new Promise((done) => {
    const options = { env: { PATH: process.env["PATH"], ...env } as NodeJS.ProcessEnv };
    const child = execFile(process.execPath, [PROGRAM, ...args], options, (error, out, err) =>
      done({ code: (error?.code as number | undefined) ?? 0, out, err: err.trim() }),
    );
    child.stdin!.end(JSON.stringify({ instructions: "be good", format: "as JSON", task: "t", history: [] }));
  });
}

test("Anthropic's form", async () => {
  answer = anthropic(ANSWER);
  expect(await call(["anthropic", "m"], { ANTHROPIC_BASE_URL: base, ANTHROPIC_API_KEY: "key" })).toEqual({
    code: 0,
    out: ANSWER,
    err: "",
  });
  const [{ path, headers, body }] = seen as [Seen];
  expect([path, headers["x-api-key"]]).toEqual(["/v1/messages", "key"]);
  expect(body).toMatchObject({
    model: "m",
    system: "be good\n\nas JSON",
    messages: [{ role: "user", content: '{"task":"t","history":[]}' }],
  });
});

test("OpenAI's form, a fence around the answer removed, no key for a local endpoint", async () => {
  answer = openai(`\`\`\`json\n${ANSWER}\n\`\`\``);
  expect(await call(["openai", "m"], { OPENAI_BASE_URL: `${base}/v1` })).toMatchObject({ code: 0, out: ANSWER });
  expect([seen[0]!.path, seen[0]!.headers.authorization]).toEqual(["/v1/chat/completions", undefined]);
});

describe("what goes wrong has a reason and the right exit code", () => {
  test.each([
    [429, '{"error": {"message": "slow down"}}', 75, "the model answered 429: slow down"],
    [529, "overloaded", 75, "the model answered 529: overloaded"],
    [401, '{"error": {"message": "bad key"}}', 1, "the model answered 401: bad key"],
    [307, "", 75, "the model can't be reached"],
    [200, "<html>", 75, "the model's answer is no JSON"],
    [200, '{"content": []}', 75, "the model's answer is empty"],
  ])("status %i with %s", async (status, body, code, message) => {
    answer = { status, body };
    const result = await call(["anthropic", "m"], { ANTHROPIC_BASE_URL: base, ANTHROPIC_API_KEY: "key" });
    expect([result.code, result.err]).toEqual([code, expect.stringContaining(message)]);
  });

  test("a missing key names its variable; an address elsewhere must be https", async () => {
    expect(await call(["anthropic", "m"], {})).toMatchObject({
      code: 1,
      err: expect.stringContaining("ANTHROPIC_API_KEY"),
    });
    expect(await call(["openai", "m"], { OPENAI_BASE_URL: "http://example.org", OPENAI_API_KEY: "k" })).toMatchObject({
      code: 1,
      err: expect.stringContaining("https"),
    });
    expect(await call(["other", "m"], {})).toMatchObject({
      code: 1,
      err: expect.stringContaining("anthropic or openai"),
    });
  });
});

describe("in a whole run", () => {
  const before = { ...process.env };
  afterEach(() => {
    for (const name of ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "DEVLOOP_CANARY"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });

  test("Tenuto's own agent works with a model behind HTTP", async () => {
    process.env["ANTHROPIC_BASE_URL"] = base;
    process.env["ANTHROPIC_API_KEY"] = "key";
    answer = anthropic(
      JSON.stringify({
        actions: [
          { tool: "create_file", args: { path: "note.md", content: "from a model\n" } },
          { tool: "finish", args: { summary: "noted" } },
        ],
      }),
    );
    bench = await openBench();
    const ended = await bench.run("devloop-dev-only", {
      agent: "harness",
      agentCommand: [process.execPath, PROGRAM, "anthropic", "m"],
    });
    expect([ended.end.state, ended.output("dev").summary]).toEqual(["completed", "noted"]);
    expect(await git(bench.repository, ["show", `tenuto/${ended.id}:note.md`])).toBe("from a model");
    expect(seen[0]!.body.system).toContain("# Developer");
  });

  test("an agent sees no variable that it was not given, no token, and no file that was open", async () => {
    process.env["DEVLOOP_CANARY"] = "canary-value";
    process.env["ANTHROPIC_API_KEY"] = "key-value";
    bench = await openBench();
    const agentCommand = ["sh", "-c", "cat > /dev/null; env > env.txt; ls /proc/self/fd > fds.txt; echo done"];
    const show = async (params: object) => {
      const ended = await bench!.run("devloop-dev-only", { agentCommand, ...params });
      return [
        await git(bench!.repository, ["show", `tenuto/${ended.id}:env.txt`]),
        await git(bench!.repository, ["show", `tenuto/${ended.id}:fds.txt`]),
      ];
    };
    const [env, fds] = await show({});
    const names = env!.split("\n").map((line) => line.split("=")[0]!);
    expect(env).not.toMatch(/canary-value|key-value/);
    expect(names.filter((name) => name.startsWith("TENUTO_"))).toEqual(["TENUTO_MARKER"]);
    expect(names.filter((name) => /^(NODE_OPTIONS|NODE_COMPILE_CACHE|LD_.*|DYLD_.*)$/.test(name))).toEqual([]);
    // What a child of this very process has: its three streams, the folder that ls reads, and whatever was open before us.
    expect(fds).toBe(execFileSync("sh", ["-c", "ls /proc/self/fd"], { encoding: "utf8" }).trim());
    const [named] = await show({ agentLogins: ["ANTHROPIC_API_KEY", "DEVLOOP_CANARY", "TENUTO_TOKEN"] });
    expect(named).toContain("ANTHROPIC_API_KEY=key-value");
    expect(named).not.toContain("canary-value");
  });
});
