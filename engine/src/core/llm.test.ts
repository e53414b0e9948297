/** Rights of models: hosts, and what a spawned job may at most. */
import { describe, expect, it } from "vitest";
import { ceilingFor, type HttpRights, hostAllowed, type LlmSpec, narrowed } from "./llm.ts";

describe("hosts", () => {
  it.each<[string, string, string[], boolean]>([
    ["api.example.com", "", ["api.example.com"], true],
    ["api.example.com", "", ["API.example.com"], true],
    ["api.example.com", "8080", ["api.example.com"], false],
    ["api.example.com", "8080", ["api.example.com:8080"], true],
    ["api.example.com", "", ["api.example.com:8080"], false],
    ["a.b.example.com", "", ["*.example.com"], true],
    ["a.b.example.com", "81", ["*.example.com"], false],
    ["example.com", "", ["*.example.com"], false],
    ["badexample.com", "", ["*.example.com"], false],
    ["api.example.com.evil.net", "", ["api.example.com", "*.example.com"], false],
    ["anything", "1", ["*"], true],
    ["[::1]", "8080", ["[::1]:8080"], true],
    ["anything", "", [], false],
  ])("%s, port %s, in %j: %s", (hostname, port, patterns, expected) => {
    expect(hostAllowed(hostname, port, patterns)).toBe(expected);
  });
});

const http = (...hosts: string[]): HttpRights => ({
  hosts,
  methods: ["GET"],
  privateAddresses: false,
  maxBytes: 1,
  timeoutSeconds: 1,
});
const spec = (more: Partial<LlmSpec>): LlmSpec => ({
  instructions: "",
  model: { id: "anthropic/m", keyEnv: null, maxOutputTokens: 1, callTimeoutSeconds: 1 },
  tools: ["http_request", "todo"],
  custom: [],
  mcp: {},
  approve: [],
  budget: {},
  maxTurns: 1,
  maxToolCalls: 1,
  corrections: 1,
  result: null,
  ...more,
});

describe("a spawned job", () => {
  it("has the smaller of both budgets, limit by limit", () => {
    const parent = spec({ budget: { calls: 5, cost: 2 } });
    const child = narrowed(spec({ budget: { calls: 9, cost: 1, tokens: 7 } }), ceilingFor(parent));
    expect(child.budget).toEqual({ calls: 5, cost: 1, tokens: 7 });
  });

  it("reaches only hosts of both; without any it has no requests", () => {
    const hosts = (own: string[], bound: string[]) =>
      narrowed(spec({ http: http(...own) }), ceilingFor(spec({ http: http(...bound) })));
    expect(hosts(["a.com", "b.com"], ["b.com"]).http?.hosts).toEqual(["b.com"]);
    expect(hosts(["*"], ["b.com", "*.c.com"]).http?.hosts).toEqual(["b.com", "*.c.com"]);
    expect(hosts(["x.c.com"], ["*.c.com"]).http?.hosts).toEqual(["x.c.com"]);
    const none = hosts(["a.com"], ["b.com"]);
    expect(none.http?.hosts).toEqual([]);
    expect(none.tools).toEqual(["todo"]);
    expect(narrowed(spec({ http: http("a.com") }), ceilingFor(spec({}))).tools).toEqual(["todo"]);
  });

  it("by code has what it declares", () => {
    const own = spec({ http: http("a.com"), budget: { calls: 3 } });
    expect(narrowed(own, null)).toBe(own);
  });
});
