/**
 * LLM agents as people write them, with every default filled in.
 *
 * Owner: authoring. Invariants:
 * 1. What is not declared is not allowed: no tools, no hosts, no agents to spawn.
 * 2. An agent that reads what is private, sees what strangers wrote, and may send to any host, is refused unless a person
 *    agrees to each request (`approve`).
 * 3. The skill's text is read when the agent is defined: a run never depends on a file that changes under it.
 */
import { readFileSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Schema } from "../core/agent.ts";
import type { WorkPolicy } from "../core/document.ts";
import type { SpawnRights } from "../core/document-agents.ts";
import { MODEL_BUDGET } from "../core/document-shape.ts";
import {
  BUILT_IN_TOOLS,
  type BuiltInTool,
  FINISH,
  type HttpRights,
  LLM_DEFAULTS,
  type LlmBudget,
  type LlmSpec,
  type LlmTool,
  type McpServerSpec,
  type ModelPrice,
  type ModelSpec,
  TOOL_GROUPS,
  WRAPPED,
} from "../core/llm.ts";
import type { Json } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import {
  checkShape,
  flag,
  json,
  list,
  map,
  number,
  object,
  type Problem,
  positive,
  problem,
  type Shape,
  text,
  whole,
} from "../core/shape.ts";
import { plain } from "./normalise.ts";
import { anyJsonSchema, schemaFromJson } from "./params.ts";

/** A tool in TypeScript, for LLM agents. */
export interface ToolDefinition<I extends Schema<any>> {
  /** Letters, digits, `_` and `-`. */
  name: string;
  /** What it does, for the model. */
  description: string;
  input: I;
  run: (input: I extends Schema<infer O> ? O : never, ctx: Parameters<LlmTool["run"]>[1]) => unknown;
}

export interface LlmDefinition extends WorkPolicy {
  kind: "llm";
  name: string;
  description?: string;
  version?: string;
  input?: Schema<any>;
  /** What the result must match; zod, any Standard Schema that tells its JSON Schema, or a JSON Schema. Without it: text. */
  output?: Schema<any> | { [key: string]: Json };
  /** Path of a SKILL.md, relative to `file`, or the instructions themselves. */
  skill: string;
  /** `import.meta.url`; the path of the skill is relative to it. Default: the working directory. */
  file?: string;
  /** `anthropic/<model>` or `openai-compatible/<model>`, or with details. */
  model: string | (Partial<Omit<ModelSpec, "id">> & { id: string });
  /** Built-in tools by name, groups (`files`, `artifacts`), and tools from `defineTool`. */
  tools?: readonly (string | LlmTool)[];
  http?: Partial<HttpRights> & { hosts: string[] };
  mcp?: Record<string, Partial<McpServerSpec> & { tools: string[] }>;
  spawns?: SpawnRights;
  /** Tools of which each call needs a person's approval. */
  approve?: readonly string[];
  budget?: LlmBudget;
  maxTurns?: number;
  maxToolCalls?: number;
  corrections?: number;
}

const PRICE = object(
  { input: number(0, 1e6), output: number(0, 1e6), cacheRead: number(0, 1e6), cacheWrite: number(0, 1e6) },
  ["input", "output"],
);
const MODEL = object(
  {
    id: text(),
    baseURL: text(),
    keyEnv: json,
    price: PRICE,
    maxOutputTokens: whole(1, 1_000_000),
    temperature: number(0, 2),
    callTimeoutSeconds: positive(86_400),
  },
  ["id"],
);
const KEYS: Readonly<Record<string, Shape>> = {
  http: object(
    {
      hosts: list(text(), 1),
      methods: list(text(), 1),
      privateAddresses: flag,
      maxBytes: whole(1, 100_000_000),
      timeoutSeconds: positive(3_600),
    },
    ["hosts"],
  ),
  mcp: map(
    object(
      {
        command: list(text(), 1),
        env: map(text()),
        passEnv: list(text()),
        url: text(),
        headersEnv: map(text()),
        tools: list(text(), 1),
        timeoutSeconds: positive(3_600),
      },
      ["tools"],
    ),
  ),
  spawns: object({ agents: list(text()), jobs: list(text()), children: whole(1, 1_000), depth: whole(1, 3) }),
  approve: list(text()),
  budget: MODEL_BUDGET,
  maxTurns: whole(1, 10_000),
  maxToolCalls: whole(1, 100_000),
  corrections: whole(0, 20),
};
export const LLM_KEYS = ["skill", "file", "model", "tools", ...Object.keys(KEYS)];

/** The agent's data; problems are added to the list. */
export function llmSpec(form: Record<string, any>, problems: Problem[]): { llm: LlmSpec; description?: string } {
  for (const [key, shape] of Object.entries(KEYS))
    if (form[key] !== undefined) problems.push(...checkShape(plain(form[key]), shape, [key]));
  const skill = skillOf(form["skill"], form["file"], problems);
  const { tools, custom } = toolsOf(form["tools"] ?? [], problems);
  const model = modelOf(form["model"], problems);
  const llm: LlmSpec = {
    instructions: skill.text,
    model,
    tools,
    custom,
    mcp: mcpOf(form["mcp"] ?? {}, problems),
    approve: Array.isArray(form["approve"]) ? [...form["approve"]] : [],
    budget: form["budget"] ?? {},
    maxTurns: form["maxTurns"] ?? LLM_DEFAULTS.maxTurns,
    maxToolCalls: form["maxToolCalls"] ?? LLM_DEFAULTS.maxToolCalls,
    corrections: form["corrections"] ?? LLM_DEFAULTS.corrections,
    result: resultOf(form["output"], problems),
  };
  if (form["http"] !== undefined) llm.http = httpOf(form["http"]);
  if (form["spawns"] !== undefined) llm.spawns = form["spawns"];
  checkRights(llm, problems);
  return skill.description === undefined ? { llm } : { llm, description: skill.description };
}

/** A schema that was given as JSON Schema, as one that can check. */
export function outputSchema(output: unknown): Schema<any> | undefined {
  if (output === undefined || (typeof output === "object" && output !== null && "~standard" in output))
    return output as Schema<any> | undefined;
  return typeof output === "function"
    ? (output as unknown as Schema<any>)
    : schemaFromJson(output as { [key: string]: Json });
}

function skillOf(skill: unknown, file: unknown, problems: Problem[]): { text: string; description?: string } {
  if (typeof skill !== "string" || skill.trim() === "") {
    problems.push(
      problem(["skill"], "is missing", 'Write skill: "skills/<layer>/SKILL.md", or the instructions themselves.'),
    );
    return { text: "" };
  }
  if (skill.includes("\n") || !skill.endsWith(".md")) return { text: skill };
  const from =
    typeof file === "string" ? dirname(file.startsWith("file:") ? fileURLToPath(file) : file) : process.cwd();
  const path = isAbsolute(skill) ? skill : resolve(from, skill);
  try {
    return withoutFrontMatter(readFileSync(path, "utf8"));
  } catch (error) {
    const hint = "The path is relative to `file` (file: import.meta.url), or to the working directory.";
    problems.push(problem(["skill"], `can't be read: ${(error as Error).message}`, hint));
    return { text: "" };
  }
}

function withoutFrontMatter(source: string): { text: string; description?: string } {
  const match = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?/.exec(source);
  if (match === null) return { text: source };
  const description = /^description:\s*["']?(.*?)["']?\s*$/m.exec(match[1] ?? "")?.[1];
  const body = source.slice(match[0].length);
  return description === undefined || description === "" ? { text: body } : { text: body, description };
}

function modelOf(given: unknown, problems: Problem[]): ModelSpec {
  const form = (typeof given === "string" ? { id: given } : given) as Partial<ModelSpec> & { id: string };
  problems.push(...checkShape(plain(form), MODEL, ["model"]));
  const id = typeof form?.id === "string" ? form.id : "";
  const provider = id.split("/")[0] ?? "";
  if (!/^(anthropic|openai-compatible)\/.+/.test(id))
    problems.push(
      problem(
        ["model"],
        `"${id.slice(0, 100)}" names no model`,
        "Write anthropic/<model> or openai-compatible/<model>.",
      ),
    );
  if (provider === "openai-compatible" && form.baseURL === undefined)
    problems.push(
      problem(
        ["model"],
        "needs baseURL",
        'Write model: { id: "openai-compatible/…", baseURL: "http://localhost:11434/v1" }.',
      ),
    );
  if (form?.baseURL !== undefined && !/^https?:\/\/[^\s@]+$/.test(String(form.baseURL)))
    problems.push(
      problem(["model", "baseURL"], "is not an address", "Write http://… or https://…, without a key in it."),
    );
  if (form?.keyEnv !== undefined && form.keyEnv !== null && !/^[A-Za-z_]\w*$/.test(String(form.keyEnv)))
    problems.push(
      problem(
        ["model", "keyEnv"],
        "is not the name of a variable",
        "Name the variable; the key itself never goes here.",
      ),
    );
  return {
    ...form,
    id,
    keyEnv: form?.keyEnv === undefined ? keyVariable(provider, form?.baseURL) : form.keyEnv,
    maxOutputTokens: form?.maxOutputTokens ?? LLM_DEFAULTS.maxOutputTokens,
    callTimeoutSeconds: form?.callTimeoutSeconds ?? LLM_DEFAULTS.callTimeoutSeconds,
    ...(form?.price === undefined ? {} : { price: form.price as ModelPrice }),
  };
}

/** Endpoints on this machine mostly have no keys. */
function keyVariable(provider: string, baseURL: string | undefined): string | null {
  if (provider === "anthropic") return "ANTHROPIC_API_KEY";
  return /^https?:\/\/(localhost|127\.|\[::1\])/.test(baseURL ?? "") ? null : "OPENAI_API_KEY";
}

function toolsOf(given: unknown, problems: Problem[]): { tools: BuiltInTool[]; custom: LlmTool[] } {
  const tools = new Set<BuiltInTool>();
  const custom: LlmTool[] = [];
  const known = [...BUILT_IN_TOOLS, ...Object.keys(TOOL_GROUPS)];
  for (const [index, tool] of (Array.isArray(given) ? given : [given]).entries()) {
    if (typeof tool === "string") {
      const names = TOOL_GROUPS[tool] ?? (BUILT_IN_TOOLS.includes(tool as BuiltInTool) ? [tool as BuiltInTool] : []);
      for (const name of names) tools.add(name);
      if (names.length === 0)
        problems.push(
          problem(["tools", index], `there is no tool "${tool.slice(0, 60)}"`, suggest(tool, known, "tool")),
        );
    } else if (typeof tool?.run === "function" && tool.inputSchema !== undefined) custom.push(tool);
    else problems.push(problem(["tools", index], "is no tool", "Give a name, or what defineTool returns."));
  }
  const taken = new Set<string>([...BUILT_IN_TOOLS, FINISH]);
  for (const { name } of custom) {
    if (taken.has(name)) problems.push(problem(["tools"], `two tools are named "${name}"`, "Rename one of them."));
    taken.add(name);
  }
  return { tools: [...tools], custom };
}

function httpOf(form: Partial<HttpRights>): HttpRights {
  return {
    hosts: (form.hosts ?? []).map((host) => String(host).toLowerCase()),
    methods: (form.methods ?? ["GET", "HEAD"]).map((method) => String(method).toUpperCase()),
    privateAddresses: form.privateAddresses === true,
    maxBytes: form.maxBytes ?? LLM_DEFAULTS.httpMaxBytes,
    timeoutSeconds: form.timeoutSeconds ?? LLM_DEFAULTS.httpTimeoutSeconds,
  };
}

function mcpOf(form: Record<string, any>, problems: Problem[]): Record<string, McpServerSpec> {
  return Object.fromEntries(
    Object.entries(form).map(([name, server]): [string, McpServerSpec] => {
      if (!/^[A-Za-z0-9-]{1,40}$/.test(name))
        problems.push(problem(["mcp", name], "is not the name of a server", "Use letters, digits and '-'."));
      if ((server?.command === undefined) === (server?.url === undefined))
        problems.push(
          problem(["mcp", name], "needs either command or url", 'Write command: ["npx", …] or url: "https://…".'),
        );
      return [name, { ...server, timeoutSeconds: server?.timeoutSeconds ?? LLM_DEFAULTS.mcpTimeoutSeconds }];
    }),
  );
}

function resultOf(output: unknown, problems: Problem[]): { [key: string]: Json } | null {
  if (output === undefined) return null;
  const isSchema =
    (typeof output === "object" && output !== null && "~standard" in output) || typeof output === "function";
  const schema = isSchema ? anyJsonSchema(output as Schema<any>) : (output as { [key: string]: Json });
  if (schema === undefined || typeof schema !== "object") {
    problems.push(problem(["output"], "can't tell its JSON Schema", "Use zod, or give a JSON Schema."));
    return null;
  }
  if (schema["type"] === "object") return schema;
  const { $schema: _, $defs, ...rest } = schema;
  return {
    title: WRAPPED,
    type: "object",
    properties: { result: rest },
    required: ["result"],
    additionalProperties: false,
    ...($defs === undefined ? {} : { $defs }),
  };
}

function checkRights(llm: LlmSpec, problems: Problem[]): void {
  const names = new Set<string>([...llm.tools, ...llm.custom.map(({ name }) => name)]);
  for (const [server, { tools }] of Object.entries(llm.mcp)) for (const tool of tools) names.add(`${server}__${tool}`);
  for (const [index, name] of llm.approve.entries())
    if (!names.has(name))
      problems.push(problem(["approve", index], `the agent has no tool "${name}"`, suggest(name, [...names], "tool")));
  if (llm.tools.includes("http_request") && llm.http === undefined)
    problems.push(problem(["http"], "is missing", 'http_request needs http: { hosts: ["api.example.com"] }.'));
  if (llm.budget.cost !== undefined && llm.model.price === undefined)
    problems.push(
      problem(["budget", "cost"], "needs a price", "Give model.price: { input, output } per million tokens."),
    );
  const reads =
    ["read_file", "find_files", "read_artifact"].some((name) => names.has(name)) || Object.keys(llm.mcp).length > 0;
  const anywhere = llm.tools.includes("http_request") && llm.http?.hosts.includes("*") === true;
  if (reads && anywhere && !llm.approve.includes("http_request"))
    problems.push(
      problem(
        ["http", "hosts"],
        "lets an agent that reads files or artifacts send them to any host, on the word of any page it reads",
        'Name the hosts, or let a person agree to each request: approve: ["http_request"].',
      ),
    );
}
