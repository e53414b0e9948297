/** What doctor says of LLM agents. */
import { expect, it } from "vitest";
import { defineAgent } from "../authoring/define.ts";
import { checkModels } from "./model-check.ts";

const agent = defineAgent({ kind: "llm", name: "a/b", skill: "Work.", model: "anthropic/m" });
const withServer = defineAgent({
  kind: "llm",
  name: "a/c",
  skill: "Work.",
  model: { id: "openai-compatible/m", baseURL: "http://localhost:1/v1" },
  mcp: { far: { url: "https://example.com/mcp", tools: ["x"], headersEnv: { authorization: "FAR_TOKEN" } } },
});

it("names packages and variables that are missing, once each", () => {
  expect(checkModels([agent, agent, withServer], {}, () => false)).toEqual({
    agents: 3,
    missing: [
      "the package ai",
      "the package @ai-sdk/anthropic",
      "the variable ANTHROPIC_API_KEY (a/b)",
      "the package @ai-sdk/openai-compatible",
      "the package @modelcontextprotocol/client",
      "the variable FAR_TOKEN (a/c)",
    ],
  });
  expect(checkModels([agent], { ANTHROPIC_API_KEY: "key" }, () => true).missing).toEqual([]);
  expect(checkModels([], {})).toEqual({ agents: 0, missing: [] });
});
