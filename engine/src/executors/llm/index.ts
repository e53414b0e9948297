/**
 * Runs LLM agents: opens the model and the tools, holds the conversation, keeps its transcript.
 *
 * Invariants: (1) what is missing (package, key) is said before anything is sent or started; (2) when `run` settles, no
 * MCP server of the attempt is left running; (3) the transcript is kept on success and on failure, but not when the attempt
 * was only interrupted.
 */
import { TenutoError } from "../../core/errors.ts";
import type { Json } from "../../core/model.ts";
import type { CommandExecutor } from "../../ports/executor.ts";
import type { LlmAttempt, LlmExecutor } from "../../ports/llm.ts";
import { Conversation } from "./conversation.ts";
import { openModel } from "./models.ts";
import { type Environment, type Mask, maskFor } from "./secrets.ts";
import { Toolbox } from "./toolbox.ts";
import { keepTranscript } from "./transcript.ts";

export interface LlmExecutorOptions {
  /** Runs MCP servers that are programs. */
  commands: CommandExecutor;
  /** Where keys are looked up. Default: this process's environment. */
  environment?: Environment;
}

export function createLlmExecutor(options: LlmExecutorOptions): LlmExecutor {
  const environment = options.environment ?? process.env;
  return {
    async run(attempt) {
      const { llm } = attempt.agent;
      if (llm.budget.cost !== undefined && llm.model.price === undefined)
        throw new TenutoError("invalid_config", `a budget of cost needs a price for ${llm.model.id}`, {
          hint: "Give model.price: { input, output } per million tokens.",
        });
      const model = await openModel(llm.model, environment);
      const mask = maskFor(llm, environment);
      const toolbox = new Toolbox(attempt, { commands: options.commands, environment }, mask);
      const conversation = new Conversation(attempt, model, toolbox, mask);
      try {
        const result = await conversation.run();
        await keep(attempt, conversation, mask, result, null);
        return result;
      } catch (error) {
        if (!attempt.context.signal.aborted) await keep(attempt, conversation, mask, undefined, error).catch(() => {});
        throw error;
      } finally {
        await toolbox.close();
      }
    },
  };
}

async function keep(
  attempt: LlmAttempt,
  conversation: Conversation,
  mask: Mask,
  result: Json | undefined,
  error: unknown,
): Promise<void> {
  const { agent, context, meter } = attempt;
  const { code = "error", message = String(error) } = (error ?? {}) as { code?: string; message?: string };
  await keepTranscript(
    context,
    {
      agent: agent.name,
      model: agent.llm.model.id,
      system: conversation.system,
      tools: conversation.offers.map(({ name }) => name),
      messages: conversation.messages,
      result,
      error: error === null ? null : { code, message },
      usage: await meter.totals(),
    },
    mask,
  );
}
