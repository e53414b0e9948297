/**
 * Tools of MCP servers: connected when they are first needed, ended with the attempt and before every wait.
 *
 * Invariants: (1) only tools that the agent's allow-list names are offered and can be called; (2) a server that is a program
 * runs as every program does: own session, environment by allow-list, its whole tree verified dead at the end, and ended by
 * the guard if the engine dies; (3) descriptions and results of a server are data, never instructions of the engine.
 */
import type { Client, Transport } from "@modelcontextprotocol/client";
import { TenutoError } from "../../../core/errors.ts";
import type { McpServerSpec } from "../../../core/llm.ts";
import type { Json } from "../../../core/model.ts";
import type { CommandExecutor } from "../../../ports/executor.ts";
import type { LlmAttempt } from "../../../ports/llm.ts";
import type { ToolOffer } from "../models.ts";
import { optional } from "../packages.ts";
import type { Environment } from "../secrets.ts";
import { bounded, type Tool, ToolProblem } from "../tool.ts";
import { programTransport } from "./mcp-program.ts";

const MAX_RESULT = 60_000;
const MAX_DESCRIPTION = 2_000;
const NAME = /^[A-Za-z0-9_-]{1,128}$/;

interface Connection {
  client: Client;
  close(): Promise<void>;
}

export interface McpHost {
  commands: CommandExecutor;
  environment: Environment;
}

export class McpServers {
  private readonly attempt: LlmAttempt;
  private readonly host: McpHost;
  private readonly open = new Map<string, Promise<Connection>>();

  constructor(attempt: LlmAttempt, host: McpHost) {
    this.attempt = attempt;
    this.host = host;
  }

  /** Names and schemas of what the agent may use. The list is a step of the conversation, so that it stays the same. */
  async offers(): Promise<ToolOffer[]> {
    const offers: ToolOffer[] = [];
    for (const [server, spec] of Object.entries(this.attempt.agent.llm.mcp)) {
      const { client } = await this.connection(server, spec);
      const { tools } = await this.guarded(server, () => client.listTools());
      for (const wanted of spec.tools) {
        const found = tools.find(({ name }) => name === wanted);
        if (found === undefined)
          throw new TenutoError("missing_prerequisites", `the MCP server ${server} has no tool ${wanted}`, {
            hint: `It has: ${tools.map(({ name }) => name).join(", ") || "none"}.`,
          });
        offers.push({
          name: `${server}__${wanted}`,
          description: bounded(found.description ?? "", MAX_DESCRIPTION),
          inputSchema: JSON.parse(JSON.stringify(found.inputSchema)),
        });
      }
    }
    return offers;
  }

  toolFor(offer: ToolOffer): Tool {
    const cut = offer.name.indexOf("__");
    const server = offer.name.slice(0, cut);
    const name = offer.name.slice(cut + 2);
    return {
      offer,
      check: (input) => {
        if (typeof input !== "object" || input === null || Array.isArray(input))
          throw new ToolProblem("the arguments must be an object");
        return input;
      },
      work: async (args, _plan, { signal }) => {
        const spec = this.attempt.agent.llm.mcp[server];
        if (spec?.tools.includes(name) !== true) throw new ToolProblem(`${offer.name} is not allowed`);
        const { client } = await this.connection(server, spec);
        const result = await this.guarded(server, () =>
          client.callTool({ name, arguments: args }, { timeout: spec.timeoutSeconds * 1_000, signal }),
        );
        const text = textOf(result as { content?: unknown; structuredContent?: unknown });
        if (result.isError === true) throw new ToolProblem(bounded(text, MAX_RESULT));
        return bounded(text, MAX_RESULT);
      },
    };
  }

  /** Ends all of them; they are connected again when they are needed. */
  async close(): Promise<void> {
    const open = [...this.open.values()];
    this.open.clear();
    await Promise.allSettled(open.map(async (connection) => (await connection).close()));
  }

  private connection(server: string, spec: McpServerSpec): Promise<Connection> {
    let known = this.open.get(server);
    if (known === undefined) {
      known = this.connect(server, spec);
      this.open.set(server, known);
      known.catch(() => this.open.delete(server));
    }
    return known;
  }

  private async connect(server: string, spec: McpServerSpec): Promise<Connection> {
    const mcp = await optional("@modelcontextprotocol/client", () => import("@modelcontextprotocol/client"));
    const client = new mcp.Client({ name: "tenuto", version: "1" });
    const transport =
      spec.command === undefined
        ? new mcp.StreamableHTTPClientTransport(new URL(spec.url ?? ""), {
            requestInit: { headers: this.headers(server, spec) },
          })
        : await programTransport(this.attempt, this.host.commands, spec, server);
    try {
      await client.connect(transport as Transport, {
        timeout: spec.timeoutSeconds * 1_000,
        signal: this.attempt.context.signal,
      });
    } catch (error) {
      await transport.close();
      if (this.attempt.context.signal.aborted) throw error;
      throw new TenutoError("model_failed", `the MCP server ${server} can't be used: ${(error as Error).message}`, {
        category: "retryable",
        hint: spec.command === undefined ? "Check its address." : `Run it by hand: ${spec.command.join(" ")}`,
        details: { server },
      });
    }
    return { client, close: () => client.close() };
  }

  private headers(server: string, spec: McpServerSpec): Record<string, string> {
    return Object.fromEntries(
      Object.entries(spec.headersEnv ?? {}).map(([header, variable]) => {
        const value = this.host.environment[variable];
        if (value === undefined || value === "")
          throw new TenutoError("missing_prerequisites", `the MCP server ${server} needs the variable ${variable}`, {
            hint: `Set ${variable}, then retry the run.`,
            category: "critical",
            details: { variable },
          });
        return [header, value];
      }),
    );
  }

  /** What the server answers with is the model's to deal with; a server that is gone is connected anew the next time. */
  private async guarded<T>(server: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (this.attempt.context.signal.aborted || error instanceof TenutoError) throw error;
      const connection = this.open.get(server);
      this.open.delete(server);
      await connection?.then((each) => each.close()).catch(() => {});
      throw new ToolProblem(`${server} failed: ${(error as Error).message}`);
    }
  }
}

/** Whether a server may be named so: its name is part of the names of its tools. */
export const isServerName = (name: string): boolean => NAME.test(name) && !name.includes("__");

function textOf(result: { content?: unknown; structuredContent?: unknown }): string {
  const parts = Array.isArray(result.content) ? (result.content as { [key: string]: Json }[]) : [];
  const texts = parts.map((part) =>
    part["type"] === "text"
      ? String(part["text"])
      : part["type"] === "resource"
        ? JSON.stringify(part["resource"])
        : `(${part["type"]})`,
  );
  if (texts.length === 0 && result.structuredContent !== undefined) return JSON.stringify(result.structuredContent);
  return texts.join("\n");
}
