/**
 * A model behind HTTP as the model command of Tenuto's own agent: the context comes in on standard input, the answer goes out.
 *
 *   agent: harness, agentCommand: [node, --conditions=source, systems/devloop/programs/model.ts, anthropic, MODEL]
 *   the second word is `anthropic` or `openai` (any endpoint that speaks its chat completions, also a local one)
 *
 * Invariants:
 * 1. The key comes from ANTHROPIC_API_KEY or OPENAI_API_KEY, the place from ANTHROPIC_BASE_URL or OPENAI_BASE_URL. A missing key is
 *    an error that names its variable; a local endpoint needs none.
 * 2. Only https, or http on this machine. Redirects are refused: they would carry the key elsewhere.
 * 3. Exit code 75 where another try may help (429, 5xx, no connection), 1 where it will not.
 */
import { readFileSync } from "node:fs";

const MAX_TOKENS = 16_000;

interface Request {
  url: string;
  headers: Record<string, string>;
  body: object;
}

class ModelError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The call for one context. @throws ModelError */
function requestFor(provider: string, model: string, input: string, env: NodeJS.ProcessEnv): Request {
  const { instructions = "", format = "", ...rest } = JSON.parse(input) as Record<string, unknown>;
  const system = `${String(instructions)}\n\n${String(format)}`;
  const user = JSON.stringify(rest);
  if (provider === "anthropic") {
    const { base, key } = access(env, "ANTHROPIC", "https://api.anthropic.com");
    return {
      url: `${base}/v1/messages`,
      headers: { "anthropic-version": "2023-06-01", ...(key === "" ? {} : { "x-api-key": key }) },
      body: { model, max_tokens: MAX_TOKENS, system, messages: [{ role: "user", content: user }] },
    };
  }
  if (provider !== "openai") throw new ModelError(`${provider} is no provider: use anthropic or openai`, 1);
  const { base, key } = access(env, "OPENAI", "https://api.openai.com/v1");
  return {
    url: `${base}/chat/completions`,
    headers: key === "" ? {} : { authorization: `Bearer ${key}` },
    body: {
      model,
      messages: [
        { role: "system", content: system },
        { role: "user", content: user },
      ],
    },
  };
}

function access(env: NodeJS.ProcessEnv, prefix: string, usual: string): { base: string; key: string } {
  const given = env[`${prefix}_BASE_URL`];
  const base = (given ?? usual).replace(/\/+$/, "");
  const url = URL.canParse(base) ? new URL(base) : null;
  const local = url !== null && ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && local)))
    throw new ModelError(`${prefix}_BASE_URL must be an https address, or http on this machine`, 1);
  const key = env[`${prefix}_API_KEY`] ?? "";
  if (key === "" && !local)
    throw new ModelError(`there is no key: set ${prefix}_API_KEY in the environment of the engine`, 1);
  return { base, key };
}

async function ask({ url, headers, body }: Request): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      redirect: "error",
    });
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    throw new ModelError(`the model can't be reached: ${cause?.code ?? (error as Error).message}`, 75);
  }
  const text = await response.text();
  if (!response.ok) {
    const again = [408, 409, 425, 429].includes(response.status) || response.status >= 500;
    throw new ModelError(`the model answered ${response.status}: ${messageOf(text)}`, again ? 75 : 1);
  }
  return answerOf(text);
}

function messageOf(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } };
    return (error?.message ?? text).slice(0, 300);
  } catch {
    return text.slice(0, 300);
  }
}

/** The text of an answer, without a fence around it. */
function answerOf(text: string): string {
  let body: { content?: { type: string; text?: string }[]; choices?: { message?: { content?: string } }[] };
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    throw new ModelError("the model's answer is no JSON", 75);
  }
  const parts = body.content?.filter((block) => block.type === "text").map((block) => block.text ?? "");
  const answer = (parts?.join("") ?? body.choices?.[0]?.message?.content ?? "").trim();
  if (answer === "") throw new ModelError("the model's answer is empty", 75);
  return /^```(?:json)?\n([\s\S]*)\n```$/.exec(answer)?.[1] ?? answer;
}

try {
  const [provider = "", model = ""] = process.argv.slice(2);
  if (model === "") throw new ModelError("say which: model.ts anthropic|openai MODEL", 1);
  process.stdout.write(await ask(requestFor(provider, model, readFileSync(0, "utf8"), process.env)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof ModelError ? error.exitCode : 1;
}
