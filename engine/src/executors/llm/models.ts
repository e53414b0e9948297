/**
 * Models through the AI SDK: one call, one answer, no loop and no retry of the SDK's own.
 *
 * Invariants: (1) key and packages are checked before anything is sent; (2) the key never leaves this file but in the
 * header of the call; (3) what comes back is plain JSON, so that it can be a step.
 */

import type { CallUsage } from "../../core/budget.ts";
import { TenutoError } from "../../core/errors.ts";
import type { ModelSpec } from "../../core/llm.ts";
import type { Json } from "../../core/model.ts";
import { optional } from "./packages.ts";
import type { Environment } from "./secrets.ts";

/** A call of a tool as the model wrote it. */
export interface ToolCall {
  id: string;
  name: string;
  input: Json;
  /** Set when the arguments are no JSON. */
  fault?: string;
}

/** One answer of a model. */
export interface Reply {
  text: string;
  calls: ToolCall[];
  /** stop, length, tool-calls, content-filter, error, other. */
  finish: string;
  /** The answer as the SDK wants it back, with whatever the provider needs to see again. */
  message: Json;
}

/** Messages in the form of the SDK, as JSON. */
export type Message = { [key: string]: Json };

export interface ToolOffer {
  name: string;
  description: string;
  inputSchema: { [key: string]: Json };
}

export interface ModelRequest {
  system: string;
  messages: Message[];
  tools: ToolOffer[];
  /** Tokens of all that is sent, estimated. */
  estimate: number;
  maxOutputTokens: number;
  timeoutMs: number;
  signal: AbortSignal;
}

export interface Model {
  generate(request: ModelRequest): Promise<{ value: Reply; usage: CallUsage }>;
}

type Sdk = typeof import("ai");
type LanguageModel = Parameters<Sdk["generateText"]>[0]["model"];

/** @throws missing_prerequisites naming the package or the variable that is missing */
export async function openModel(spec: ModelSpec, environment: Environment): Promise<Model> {
  const key = keyOf(spec, environment);
  const sdk = await optional("ai", () => import("ai"));
  const model = await languageModel(spec, key);
  return { generate: (request) => generate(sdk, model, spec, request) };
}

function keyOf(spec: ModelSpec, environment: Environment): string | undefined {
  if (spec.keyEnv === null) return undefined;
  const key = environment[spec.keyEnv];
  if (key !== undefined && key.trim() !== "") return key;
  throw new TenutoError("missing_prerequisites", `the model ${spec.id} needs a key in the variable ${spec.keyEnv}`, {
    hint: `Set ${spec.keyEnv}, start the engine anew, then retry the run. For an endpoint without keys set keyEnv: null.`,
    category: "critical",
    details: { variable: spec.keyEnv },
  });
}

async function languageModel(spec: ModelSpec, key: string | undefined): Promise<LanguageModel> {
  const provider = spec.id.slice(0, spec.id.indexOf("/"));
  const name = spec.id.slice(provider.length + 1);
  const endpoint = spec.baseURL === undefined ? {} : { baseURL: spec.baseURL };
  if (provider === "anthropic") {
    const { createAnthropic } = await optional("@ai-sdk/anthropic", () => import("@ai-sdk/anthropic"));
    return createAnthropic({ ...endpoint, apiKey: key ?? "none" })(name);
  }
  const { createOpenAICompatible } = await optional(
    "@ai-sdk/openai-compatible",
    () => import("@ai-sdk/openai-compatible"),
  );
  return createOpenAICompatible({
    name: "openai-compatible",
    baseURL: spec.baseURL ?? "",
    ...(key === undefined ? {} : { apiKey: key }),
  })(name);
}

async function generate(sdk: Sdk, model: LanguageModel, spec: ModelSpec, request: ModelRequest) {
  const tools = Object.fromEntries(
    request.tools.map(({ name, description, inputSchema }) => [
      name,
      sdk.tool({ description, inputSchema: sdk.jsonSchema(inputSchema as object) }),
    ]),
  );
  const answer = await sdk.generateText({
    model,
    instructions: cached({ role: "system", content: request.system }),
    messages: withCachedEnd(request.messages),
    ...(request.tools.length === 0 ? {} : { tools }),
    maxOutputTokens: request.maxOutputTokens,
    ...(spec.temperature === undefined ? {} : { temperature: spec.temperature }),
    maxRetries: 0,
    telemetry: { isEnabled: false },
    abortSignal: AbortSignal.any([request.signal, AbortSignal.timeout(request.timeoutMs)]),
  } as Parameters<Sdk["generateText"]>[0]);
  const assistant = answer.response.messages.find((message) => message.role === "assistant");
  const calls = answer.content.flatMap((part): ToolCall[] => {
    if (part.type !== "tool-call") return [];
    const broken = (part as { invalid?: boolean }).invalid === true && typeof part.input === "string";
    const call = { id: part.toolCallId, name: part.toolName, input: plain(part.input ?? null) };
    return [broken ? { ...call, fault: "the arguments are not valid JSON" } : call];
  });
  const { inputTokens, inputTokenDetails: details, outputTokens } = answer.usage;
  return {
    value: {
      text: answer.text,
      calls,
      finish: answer.finishReason,
      message: plain(assistant ?? { role: "assistant", content: answer.text }),
    },
    usage: {
      inputTokens: whole(inputTokens, () => request.estimate),
      outputTokens: whole(outputTokens, () => tokensIn(`${answer.text}${JSON.stringify(calls)}`)),
      cacheReadTokens: whole(details?.cacheReadTokens, () => 0),
      cacheWriteTokens: whole(details?.cacheWriteTokens, () => 0),
    },
  };
}

/** Endpoints that do not count are counted by estimate, so that a budget of tokens holds for them too. */
function whole(value: number | undefined, otherwise: () => number): number {
  return value === undefined || !Number.isFinite(value) || value < 0 ? otherwise() : Math.ceil(value);
}

/** An estimate on the safe side for text: three bytes a token. */
export function tokensIn(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 3);
}

function plain(value: unknown): Json {
  return JSON.parse(JSON.stringify(value ?? null)) as Json;
}

/** Asks Anthropic to keep the conversation up to here; other providers do so by themselves. */
function cached<T extends object>(message: T): T {
  return { ...message, providerOptions: { anthropic: { cacheControl: { type: "ephemeral" } } } };
}

function withCachedEnd(messages: readonly Message[]): Message[] {
  return messages.map((message, index) => (index === messages.length - 1 ? cached(message) : message));
}
