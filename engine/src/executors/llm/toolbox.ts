/**
 * The tools of one conversation: those that the agent's allow-list names, and no others.
 *
 * Invariants: (1) a call of a tool that is not in the box is refused, whatever the model says; (2) each call is a step (or a
 * wait that is durable by itself), so that it is carried out once per recorded result; (3) a tool on the list `approve` runs
 * only after a person has seen its very arguments and agreed.
 */

import { TenutoError } from "../../core/errors.ts";
import type { BuiltInTool, LlmTool } from "../../core/llm.ts";
import type { Json } from "../../core/model.ts";
import type { LlmAttempt } from "../../ports/llm.ts";
import type { ToolCall } from "./models.ts";
import { asData } from "./prompt.ts";
import type { Mask } from "./secrets.ts";
import { type Args, bounded, type CallPlace, type Tool, ToolProblem } from "./tool.ts";
import { artifactTools } from "./tools/artifacts.ts";
import { fileTools } from "./tools/files.ts";
import { httpTool } from "./tools/http.ts";
import { type McpHost, McpServers } from "./tools/mcp.ts";
import { spawnTool } from "./tools/spawn.ts";
import { todoTool } from "./tools/todo.ts";

/** Longest result of a custom tool that is shown. */
const MAX_RESULT = 60_000;
const MAX_PROBLEM = 2_000;

/** What the model is told of a call. */
export interface ToolOutcome {
  text: string;
  failed: boolean;
}

export class Toolbox {
  readonly tools = new Map<string, Tool>();
  private readonly attempt: LlmAttempt;
  private readonly servers: McpServers;
  private readonly mask: Mask;

  constructor(attempt: LlmAttempt, host: McpHost, mask: Mask) {
    this.attempt = attempt;
    this.mask = mask;
    this.servers = new McpServers(attempt, host);
  }

  /** Fills the box. What MCP servers offer is a step under `key`, so that the same tools are offered after a crash. */
  async open(key: readonly (string | number)[]): Promise<void> {
    const { agent, context, offered, spawns } = this.attempt;
    const { llm } = agent;
    const available: Record<string, Tool | null> = {
      ...fileTools(context.workspace),
      ...artifactTools(context, offered),
      spawn_job: spawnTool(context, llm, spawns),
      todo: todoTool,
      http_request: llm.http === undefined ? null : httpTool(llm.http),
    };
    for (const name of llm.tools) {
      const tool = available[name];
      if (tool != null) this.tools.set(name, tool);
    }
    for (const tool of llm.custom) this.tools.set(tool.name, this.custom(tool));
    if (Object.keys(llm.mcp).length === 0) return;
    const offers = await context.step([...key, "mcp"], () => this.servers.offers());
    for (const offer of offers) this.tools.set(offer.name, this.servers.toolFor(offer));
  }

  async close(): Promise<void> {
    await this.servers.close();
  }

  /** Carries a call out and gives what the model is told. */
  async call(call: ToolCall, key: readonly (string | number)[]): Promise<ToolOutcome> {
    const tool = this.tools.get(call.name);
    const { context } = this.attempt;
    const place: CallPlace = {
      key,
      signal: context.signal,
      idempotencyKey: `${context.idempotencyKey}/${key.join("/")}`,
    };
    try {
      if (tool === undefined)
        throw new ToolProblem(
          `there is no tool ${call.name.slice(0, 100)}; there are: ${[...this.tools.keys()].join(", ")}`,
        );
      if (call.fault !== undefined) throw new ToolProblem(call.fault);
      const args = await tool.check(call.input);
      if (context.dryRun && this.changesOutside(call.name, args))
        throw new ToolProblem("this is a dry run: nothing outside is changed; suppose that it worked");
      if (this.attempt.agent.llm.approve.includes(call.name)) await this.approve(call, args, key);
      if (tool.wait !== undefined) {
        await this.servers.close();
        const text = await this.heedingAbort(tool.wait(args, place));
        return this.told(text, false, tool, key);
      }
      return await this.step(tool, args, place);
    } catch (error) {
      if (error instanceof ToolProblem) return this.told(bounded(error.message, MAX_PROBLEM), true, tool, key);
      throw error;
    }
  }

  /** In a dry run only what stays in the workspace and the ledger is done, and what only reads. */
  private changesOutside(name: string, args: Args): boolean {
    const { llm } = this.attempt.agent;
    if (name === "http_request") return !["GET", "HEAD"].includes(String(args["method"] ?? "GET"));
    return !llm.tools.includes(name as BuiltInTool);
  }

  private async step(tool: Tool, args: Args, place: CallPlace): Promise<ToolOutcome> {
    const { context } = this.attempt;
    const { plan } = tool;
    const planned =
      plan === undefined
        ? { plan: null }
        : await context.step([...place.key, "plan"], () => this.settled(async () => ({ plan: await plan(args) })));
    if ("problem" in planned) throw new ToolProblem(planned.problem);
    const done = await context.step([...place.key], () =>
      this.settled(async () => ({ text: this.mask((await tool.work?.(args, planned.plan, place)) ?? "") })),
    );
    if ("problem" in done) throw new ToolProblem(done.problem);
    return this.told(done.text, false, tool, place.key);
  }

  /** A problem is a result as well: it is recorded, so that the model is told the same after a crash. */
  private async settled<T>(work: () => Promise<T>): Promise<T | { problem: string }> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ToolProblem) return { problem: this.mask(error.message) };
      throw error;
    }
  }

  private told(text: string, failed: boolean, tool: Tool | undefined, key: readonly (string | number)[]): ToolOutcome {
    const masked = this.mask(text);
    if (failed || tool?.trusted === true) return { text: masked, failed };
    const { context, hash } = this.attempt;
    return { text: asData(masked, hash(`${context.idempotencyKey}/${key.join("/")}`).slice(0, 12)), failed };
  }

  private custom(tool: LlmTool): Tool {
    const { context } = this.attempt;
    return {
      offer: { name: tool.name, description: tool.description, inputSchema: tool.inputSchema },
      check: async (input) => {
        const result = await tool.input["~standard"].validate(input);
        if (result.issues === undefined) return result.value as Args;
        throw new ToolProblem(issuesText(result.issues));
      },
      work: async (args, _plan, { idempotencyKey, signal }) => {
        const { runId, jobId, params, workspace, log } = context;
        const made = await this.heedingAbort(
          Promise.resolve(tool.run(args, { runId, jobId, params, workspace, log, signal, idempotencyKey })),
        );
        return bounded(typeof made === "string" ? made : (JSON.stringify(made, null, 1) ?? "done"), MAX_RESULT);
      },
    };
  }

  private async approve(call: ToolCall, args: Args, key: readonly (string | number)[]): Promise<void> {
    const { context, agent } = this.attempt;
    await this.servers.close();
    try {
      await this.heedingAbort(
        context.approval(["approve", ...key.slice(1)], {
          title: `${agent.name} wants to call ${call.name}`,
          show: { tool: call.name, arguments: this.mask(args) as Json },
        }),
      );
    } catch (error) {
      const refused = error instanceof TenutoError && ["approval_rejected", "approval_expired"].includes(error.code);
      if (refused) throw new ToolProblem(`a person has not agreed to this call: ${error.message}`);
      throw error;
    }
  }

  /** A wait must not keep an attempt that has been ended. */
  private heedingAbort<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.attempt.context;
    work.catch(() => {});
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(new TenutoError("stopped", "the attempt was ended", { category: "retryable" }));
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    });
  }
}

type Issues = readonly {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}[];

/** What does not match, with its place. */
export function issuesText(issues: Issues): string {
  return issues
    .slice(0, 20)
    .map(({ message, path = [] }) => {
      const place = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
      return place === "" ? message : `${place}: ${message}`;
    })
    .join("; ");
}
