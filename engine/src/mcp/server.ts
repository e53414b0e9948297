/**
 * An MCP server from a list of tools, over standard input and output.
 *
 * Invariants: (1) arguments are checked by the tool's schema before it runs, unknown ones refused; (2) a tool's error is an
 * answer with `isError`, code, message and hint, never a broken connection; (3) what does not serve the protocol never goes
 * to standard output.
 */
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import type { Tool } from "./tool.ts";

type McpModule = typeof import("@modelcontextprotocol/server");
type StdioModule = typeof import("@modelcontextprotocol/server/stdio");

export interface ServeOptions {
  name: string;
  version: string;
  instructions: string;
  tools: readonly Tool[];
  onError(error: Error): void;
}

/** Serves until the returned function is called. */
export function serveTools(
  modules: { mcp: McpModule; stdio: StdioModule },
  options: ServeOptions,
): () => Promise<void> {
  const handle = modules.stdio.serveStdio(() => makeServer(modules.mcp, options), { onerror: options.onError });
  return () => handle.close();
}

function makeServer({ McpServer }: McpModule, options: ServeOptions) {
  const { name, version, instructions, tools, onError } = options;
  const server = new McpServer({ name, version }, { instructions, capabilities: { tools: {} } });
  for (const tool of tools) {
    server.registerTool(
      tool.name,
      {
        title: tool.title,
        description: tool.description,
        inputSchema: tool.input,
        annotations: {
          readOnlyHint: tool.reads,
          destructiveHint: tool.destructive,
          idempotentHint: tool.repeatable,
          openWorldHint: false,
        },
      },
      async (input, context) => {
        const { signal, notify, _meta } = context.mcpReq;
        const token = _meta?.progressToken;
        const progress = async (done: number, total: number | null, message: string) => {
          if (token === undefined) return;
          const params = { progressToken: token, progress: done, message, ...(total === null ? {} : { total }) };
          await notify({ method: "notifications/progress", params });
        };
        try {
          const client = server.server.getClientVersion()?.name ?? "client";
          return answer(await tool.run(input, { signal, progress, client }));
        } catch (error) {
          if (!(error instanceof TenutoError)) onError(error as Error);
          return refusal(error);
        }
      },
    );
  }
  return server;
}

function answer(content: { [key: string]: Json }) {
  return { content: [{ type: "text" as const, text: JSON.stringify(content, null, 2) }], structuredContent: content };
}

function refusal(error: unknown) {
  const known =
    error instanceof TenutoError
      ? { code: error.code, message: error.message, hint: error.hint ?? null }
      : { code: "internal", message: String((error as Error)?.message ?? error), hint: null };
  return { ...answer({ error: known }), isError: true };
}
