/** MCP servers of an agent: what is offered, what they get to see, and that nothing of them is left. */
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { agentOn, type LlmWorld, openLlmWorld, turns } from "./fixtures/world.ts";

const SERVER = fileURLToPath(new URL("./fixtures/mcp-server.ts", import.meta.url));
let world: LlmWorld;
afterEach(() => world.close());

const program = (journal: string, more: Record<string, unknown> = {}, ...args: string[]) => ({
  small: {
    command: [process.execPath, "--no-warnings", SERVER, ...args],
    tools: ["add", "environment", "fail"],
    env: { MCP_JOURNAL: journal },
    ...more,
  },
});

const alive = (pid: number): boolean => {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
};
const started = (journal: string): number[] =>
  readFileSync(journal, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("start "))
    .map((line) => Number(line.slice(6)));

it("offers allowed tools only; results are data; its environment is an allow-list", async () => {
  process.env["MCP_TEST_SECRET"] = "canary-of-the-engine";
  process.env["MCP_TEST_PASSED"] = "passed-on-by-name";
  world = await openLlmWorld(
    turns(
      {
        calls: [
          { name: "small__add", args: { a: 2, b: 3 } },
          { name: "small__environment", args: {} },
          { name: "small__forbidden", args: {} },
          { name: "small__fail", args: {} },
        ],
      },
      { say: "done" },
    ),
  );
  const journal = join(world.home, "journal");
  const outcome = await world.run(agentOn(world.server, { mcp: program(journal, { passEnv: ["MCP_TEST_PASSED"] }) }));
  expect(outcome.error).toBeNull();
  expect(world.server.asked[0]?.tools).toEqual(["small__add", "small__environment", "small__fail"]);
  const [sum, environment, forbidden, failed] = world.server.asked[1]!.results;
  expect(sum).toMatch(/^<data-\w+>\n5\n<\/data-\w+>$/);
  expect(environment).not.toContain("canary-of-the-engine");
  // Handed to the server by name, but a secret to the model.
  expect(environment).toContain("MCP_TEST_PASSED=[MCP_TEST_PASSED]");
  expect(forbidden).toContain("there is no tool small__forbidden");
  expect(failed).toBe("it failed");
  expect(readFileSync(journal, "utf8")).not.toContain("forbidden");
  expect(started(journal).filter(alive)).toEqual([]);
});

it("a server that will not go, and its child, are dead when the attempt has ended", async () => {
  world = await openLlmWorld(turns({ calls: [{ name: "small__add", args: { a: 1, b: 1 } }] }, { say: "done" }));
  const journal = join(world.home, "journal");
  const outcome = await world.run(agentOn(world.server, { mcp: program(journal, {}, "--stubborn") }));
  expect(outcome).toMatchObject({ state: "completed" });
  expect(started(journal)).toHaveLength(2);
  expect(started(journal).filter(alive)).toEqual([]);
});

it("a server that dies is told to the model and started again for the next call", async () => {
  world = await openLlmWorld(
    turns(
      { calls: [{ name: "small__exit", args: {} }] },
      { calls: [{ name: "small__add", args: { a: 4, b: 4 } }] },
      (asked) => ({ say: asked.results[0] ?? "" }),
    ),
  );
  const journal = join(world.home, "journal");
  const outcome = await world.run(agentOn(world.server, { mcp: program(journal, { tools: ["add", "exit"] }) }));
  expect(outcome.error).toBeNull();
  expect(outcome.output).toContain("8");
  expect(world.server.asked[1]?.results[0]).toContain("small failed");
  expect(started(journal)).toHaveLength(2);
});

it("a tool that the server lacks, and a program that is not there, are said clearly", async () => {
  world = await openLlmWorld(turns({ say: "never" }));
  const journal = join(world.home, "journal");
  const lacking = await world.run(agentOn(world.server, { mcp: program(journal, { tools: ["nothing"] }) }));
  expect(lacking.error).toMatchObject({ code: "missing_prerequisites" });
  expect(lacking.error?.message).toContain("has no tool nothing");
  const missing = await world.run(
    agentOn(world.server, {
      mcp: { small: { command: ["tenuto-no-such-program"], tools: ["x"] } },
      retry: { maxRetries: 0 },
    }),
  );
  expect(missing.error?.message).toContain("the MCP server small can't be used");
  expect(world.server.asked).toHaveLength(0);
});

it("speaks to a server over HTTP, with a header from a variable", async () => {
  process.env["MCP_TEST_TOKEN"] = "Bearer token-for-the-server";
  const headers: (string | undefined)[] = [];
  const http: Server = createServer(async (request, response) => {
    headers.push(request.headers.authorization);
    let body = "";
    for await (const part of request) body += part;
    if (request.method !== "POST") return void response.writeHead(405).end();
    const { id, method, params } = JSON.parse(body);
    if (id === undefined) return void response.writeHead(202).end();
    const result =
      method === "initialize"
        ? {
            protocolVersion: params.protocolVersion,
            capabilities: { tools: {} },
            serverInfo: { name: "h", version: "1" },
          }
        : method === "tools/list"
          ? { tools: [{ name: "echo", inputSchema: { type: "object" } }] }
          : { content: [{ type: "text", text: JSON.stringify(params.arguments) }] };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  world = await openLlmWorld(
    turns({ calls: [{ name: "far__echo", args: { word: "hello" } }] }, (asked) => ({ say: asked.results[0] ?? "" })),
  );
  try {
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
    const far = { url, tools: ["echo"], headersEnv: { authorization: "MCP_TEST_TOKEN" } };
    const outcome = await world.run(agentOn(world.server, { mcp: { far } }));
    expect(outcome.error).toBeNull();
    expect(outcome.output).toContain('{"word":"hello"}');
    expect(new Set(headers)).toEqual(new Set(["Bearer token-for-the-server"]));
  } finally {
    http.closeAllConnections();
    http.close();
  }
});
