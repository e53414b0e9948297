/**
 * What a model may answer: one JSON document `{reasoning?, actions: [{tool, args}]}`, and nothing else.
 *
 * Invariants:
 * 1. Unknown fields, unknown tools and wrong arguments are refused with their path; nothing of such an answer is carried out.
 * 2. A role may use only the tools on its list; naming another one is refused in the same way.
 * 3. Pure: no files are touched here.
 */
import { z } from "zod";

export const TOOLS = [
  "read_file",
  "write_file",
  "create_file",
  "list_directory",
  "find_files",
  "transform_text",
  "spawn_job",
  "finish",
] as const;
export type ToolName = (typeof TOOLS)[number];

export const TRANSFORMS = ["uppercase", "lowercase", "title", "strip"] as const;

/** Longest answer that is read, in characters. */
export const RESPONSE_MAX_CHARS = 1_000_000;
const MAX_ACTIONS = 50;

const path = z.string().min(1).max(1_000);
const content = z.string().max(RESPONSE_MAX_CHARS);
const shortText = z.string().min(1).max(10_000);

const ACTION = z.discriminatedUnion("tool", [
  z.strictObject({ tool: z.literal("read_file"), args: z.strictObject({ path }) }),
  z.strictObject({ tool: z.literal("write_file"), args: z.strictObject({ path, content }) }),
  z.strictObject({ tool: z.literal("create_file"), args: z.strictObject({ path, content }) }),
  z.strictObject({ tool: z.literal("list_directory"), args: z.strictObject({ path: path.default(".") }) }),
  z.strictObject({
    tool: z.literal("find_files"),
    args: z.strictObject({ pattern: z.string().min(1).max(200), path: path.default(".") }),
  }),
  z.strictObject({
    tool: z.literal("transform_text"),
    args: z.strictObject({ text: content, operation: z.enum(TRANSFORMS) }),
  }),
  z.strictObject({
    tool: z.literal("spawn_job"),
    args: z.strictObject({ agent_type: z.string().min(1).max(100), prompt: shortText, reason: shortText }),
  }),
  z.strictObject({
    tool: z.literal("finish"),
    args: z.strictObject({ summary: z.string().max(100_000).default(""), output: z.json().optional() }),
  }),
]);

const RESPONSE = z.strictObject({
  reasoning: z.string().max(RESPONSE_MAX_CHARS).optional(),
  actions: z.array(ACTION).min(1).max(MAX_ACTIONS),
});

export type Action = z.infer<typeof ACTION>;
export type Response = z.infer<typeof RESPONSE>;
export type ParsedResponse = { ok: true; response: Response } | { ok: false; error: string };

/** Reads an answer. What is wrong with it is told in one line, so that the model can mend it. */
export function parseResponse(text: string, allowed: readonly ToolName[] = TOOLS): ParsedResponse {
  if (text.length > RESPONSE_MAX_CHARS) return { ok: false, error: `longer than ${RESPONSE_MAX_CHARS} characters` };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, error: `not a JSON document: ${(error as Error).message}` };
  }
  const parsed = RESPONSE.safeParse(value);
  if (!parsed.success) return { ok: false, error: issuesOf(parsed.error) };
  const refused = parsed.data.actions.find((action) => !allowed.includes(action.tool));
  if (refused !== undefined)
    return { ok: false, error: `tool ${refused.tool} is not allowed here; allowed: ${allowed.join(", ")}` };
  return { ok: true, response: parsed.data };
}

/** The first three problems of a document, each with its path. */
export function issuesOf(error: z.ZodError): string {
  const shown = error.issues.slice(0, 3).map((issue) => `${pathText(issue.path)}${issue.message}`);
  const more = error.issues.length - shown.length;
  return shown.join("; ") + (more > 0 ? `; and ${more} more` : "");
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text === "" ? "" : `${text.replace(/^\./, "")}: `;
}
