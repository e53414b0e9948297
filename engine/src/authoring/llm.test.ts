/** LLM agents as they are written: defaults, what is refused, where they can be written. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as z from "zod";
import { TenutoError } from "../core/errors.ts";
import { defineAgent, definePipeline, defineTool } from "./define.ts";
import type { LlmDefinition } from "./llm.ts";
import { loadConfig, loadPipelines } from "./load.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenuto-authoring-llm-"));
  mkdirSync(join(folder, "skills/review"), { recursive: true });
  const front = '---\nname: reviewer\ndescription: "Reviews a change."\n---\n';
  writeFileSync(join(folder, "skills/review/SKILL.md"), `${front}# Review\n\nRead, then judge.\n`);
});
afterEach(() => rm());
const rm = () => rmSync(folder, { recursive: true, force: true });

const base = { kind: "llm", name: "review/reviewer", skill: "Judge.", model: "anthropic/some-model" } as const;
const define = (more: Record<string, unknown>) => defineAgent({ ...base, ...more } as LlmDefinition);
const problems = (more: Record<string, unknown>): string => {
  try {
    define(more);
  } catch (error) {
    if (error instanceof TenutoError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
};

it("fills in every default; nothing is allowed that is not named", () => {
  expect(define({}).llm).toEqual({
    instructions: "Judge.",
    model: { id: "anthropic/some-model", keyEnv: "ANTHROPIC_API_KEY", maxOutputTokens: 4_096, callTimeoutSeconds: 300 },
    tools: [],
    custom: [],
    mcp: {},
    approve: [],
    budget: {},
    maxTurns: 50,
    maxToolCalls: 500,
    corrections: 2,
    result: null,
  });
});

it("reads a skill relative to the file, without its front matter, which gives the description", () => {
  const agent = define({ skill: "skills/review/SKILL.md", file: join(folder, "agents.ts") });
  expect(agent.llm.instructions).toBe("# Review\n\nRead, then judge.\n");
  expect(agent.description).toBe("Reviews a change.");
  expect(problems({ skill: "skills/none/SKILL.md", file: join(folder, "agents.ts") })).toContain(
    "skill: can't be read",
  );
});

it("an endpoint on this machine needs no key, others do", () => {
  const model = (baseURL: string, more = {}) =>
    define({ model: { id: "openai-compatible/m", baseURL, ...more } }).llm.model;
  expect(model("http://localhost:11434/v1").keyEnv).toBeNull();
  expect(model("https://api.example.com/v1").keyEnv).toBe("OPENAI_API_KEY");
  expect(model("https://api.example.com/v1", { keyEnv: "MY_KEY" }).keyEnv).toBe("MY_KEY");
});

it("a result schema becomes a tool's schema; one that is no object is wrapped", () => {
  expect(define({ output: z.object({ ok: z.boolean() }) }).llm.result).toMatchObject({
    type: "object",
    properties: { ok: { type: "boolean" } },
  });
  expect(define({ output: z.array(z.string()) }).llm.result).toMatchObject({
    properties: { result: { type: "array", items: { type: "string" } } },
    required: ["result"],
  });
  const agent = define({ output: { type: "object", properties: { n: { type: "number" } }, required: ["n"] } });
  expect(agent.output?.["~standard"].validate({ n: "x" })).toMatchObject({ issues: [{ path: ["n"] }] });
});

describe("refuses, with what to do", () => {
  const tool = defineTool({ name: "mark", description: "Marks.", input: z.object({}), run: () => null });
  it.each<[string, Record<string, unknown>, string]>([
    ["no skill", { skill: "" }, "skill: is missing"],
    ["another provider", { model: "other/m" }, "names no model"],
    ["a local model without address", { model: "openai-compatible/m" }, "needs baseURL"],
    ["a key in the address", { model: { id: "anthropic/m", baseURL: "https://u:k@example.com" } }, "is not an address"],
    [
      "a key in the place of its variable",
      { model: { id: "anthropic/m", keyEnv: "sk-123-456" } },
      "is not the name of a variable",
    ],
    ["an unknown tool", { tools: ["read_fil"] }, 'Did you mean "read_file"?'],
    ["two tools of one name", { tools: [tool, tool] }, 'two tools are named "mark"'],
    ["requests without hosts", { tools: ["http_request"] }, "http: is missing"],
    ["approval of a tool that it lacks", { approve: ["send"] }, 'has no tool "send"'],
    ["a budget of money without prices", { budget: { cost: 1 } }, "needs a price"],
    ["a misspelt budget", { budget: { token: 5 } }, "budget"],
    ["an unknown key", { temperatur: 1 }, "temperatur"],
    ["a server with neither program nor address", { mcp: { s: { tools: ["a"] } } }, "needs either command or url"],
    ["a name that would clash", { mcp: { a__b: { command: ["x"], tools: ["a"] } } }, "is not the name of a server"],
    ["too deep spawning", { spawns: { agents: ["a/b"], depth: 9 } }, "spawns.depth"],
    [
      "files that could go anywhere",
      { tools: ["files", "http_request"], http: { hosts: ["*"] } },
      "send them to any host",
    ],
  ])("%s", (_, more, message) => {
    expect(problems(more)).toContain(message);
    expect(problems(more)).toMatch(/^invalid_definition/);
  });

  it("but files that could go anywhere are accepted when a person agrees to each request", () => {
    const more = { tools: ["files", "http_request"], http: { hosts: ["*"] } };
    expect(problems({ ...more, approve: ["http_request"] })).toBe("accepted");
  });
});

it("is taken from YAML files, from the configuration as plain data, and by pipelines", async () => {
  const yaml =
    "kind: llm\nname: review/yaml\nskill: skills/review/SKILL.md\nmodel: anthropic/m\ntools: [files]\nbudget: {calls: 9}\n";
  writeFileSync(join(folder, "reviewer.yaml"), yaml);
  const plain = '{ kind: "llm", name: "review/plain", skill: "skills/review/SKILL.md", model: "anthropic/m" }';
  writeFileSync(join(folder, "tenuto.config.mts"), `export default { agents: ["reviewer.yaml", ${plain}] };`);
  expect((await loadPipelines(join(folder, "reviewer.yaml"))).agents).toMatchObject([
    {
      kind: "llm",
      name: "review/yaml",
      llm: { instructions: "# Review\n\nRead, then judge.\n", budget: { calls: 9 } },
    },
  ]);
  const loaded = await loadConfig(folder);
  expect(loaded?.agents.map(({ name, kind }) => `${name} ${kind}`)).toEqual(["review/yaml llm", "review/plain llm"]);
  const pipeline = definePipeline({ name: "p", jobs: [{ id: "a", agent: define({ version: "2" }) }] });
  expect(pipeline.document.agents).toEqual({ "review/reviewer": "2" });
});
