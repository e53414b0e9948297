/**
 * The conversation of one attempt: ask the model, carry out what it calls, until it gives a result that matches the schema.
 *
 * Invariants:
 * 1. Every answer and every call of a tool is a step under a key made of its number. After a crash the loop runs from its
 *    top, finished steps answer at once, and the next call is the one that had not been finished.
 * 2. What a conversation depends on beside its steps is fixed by the job: two attempts send the same messages.
 * 3. A conversation that ended (with a result; or badly: stuck, no valid result, too many turns) is closed by a step; an
 *    attempt that is to do new work begins the next one. One that was cut off (budget, provider, crash) goes on.
 */
import { TenutoError } from "../../core/errors.ts";
import { CALLS_PER_ANSWER, FINISH, WRAPPED } from "../../core/llm.ts";
import type { Json } from "../../core/model.ts";
import type { LlmAttempt } from "../../ports/llm.ts";
import { faultOf, modelFailure } from "./failure.ts";
import { type Message, type Model, type Reply, type ToolCall, type ToolOffer, tokensIn } from "./models.ts";
import { systemText, taskText } from "./prompt.ts";
import type { Mask } from "./secrets.ts";
import { Circles } from "./stuck.ts";
import { issuesText, type Toolbox, type ToolOutcome } from "./toolbox.ts";

type Key = readonly (string | number)[];

/** How a conversation ended, as its step keeps it. */
interface Closed {
  ended: string;
  life: string;
  result?: Json;
  error?: string;
}

export class Conversation {
  readonly messages: Message[] = [];
  readonly system: string;
  offers: ToolOffer[] = [];
  private readonly attempt: LlmAttempt;
  private readonly model: Model;
  private readonly toolbox: Toolbox;
  private readonly mask: Mask;
  private readonly circles = new Circles();
  private corrections = 0;
  private toolCalls = 0;
  /** Begins every key of this conversation; empty for the first one. */
  private prefix: Key = [];

  constructor(attempt: LlmAttempt, model: Model, toolbox: Toolbox, mask: Mask) {
    this.attempt = attempt;
    this.model = model;
    this.toolbox = toolbox;
    this.mask = mask;
    this.system = systemText(attempt.agent.llm);
  }

  async run(): Promise<Json> {
    const { attempt } = this;
    const { llm } = attempt.agent;
    const begun = await this.begin();
    if ("result" in begun) return begun.result;
    const close = (end: Closed) => attempt.context.step(["conversation", begun.number], () => end as unknown as Json);
    this.offers = [...this.toolbox.tools.values()].map(({ offer }) => offer);
    if (llm.result !== null)
      this.offers.push({ name: FINISH, description: "Ends the work with its result.", inputSchema: llm.result });
    const mark = attempt.hash(`${attempt.context.idempotencyKey}/task`).slice(0, 12);
    const task = taskText(attempt.input, { regression: attempt.regression, before: begun.before }, mark);
    this.messages.push({ role: "user", content: this.mask(task) });
    try {
      for (let turn = 1; turn <= llm.maxTurns; turn++) {
        const result = await this.turn(turn);
        if (result === undefined) continue;
        await close({ ended: "result", life: attempt.life, result: result.value });
        return result.value;
      }
      throw new TenutoError("loop_limit", `the model has not finished within ${llm.maxTurns} turns`, {
        hint: "Raise maxTurns of the agent, or make the task smaller. A retry begins the conversation anew.",
      });
    } catch (error) {
      const ended = error instanceof TenutoError && ["stuck", "loop_limit", "contract_violation"].includes(error.code);
      if (ended) await close({ ended: error.code, life: attempt.life, error: error.message });
      throw error;
    }
  }

  /**
   * Finds the conversation that has not been closed. A result of this very life is the result; one of an earlier life was
   * not good enough (a gate refused it, or a person), so that the next conversation begins, and is told why.
   */
  private async begin(): Promise<{ result: Json } | { number: number; before: Json }> {
    const { context, meter, life, previousError } = this.attempt;
    let number = 0;
    let last: Closed | undefined;
    for (;;) {
      const closed = (await meter.recall(["conversation", number])) as unknown as Closed | undefined;
      if (closed === undefined) break;
      if (closed.ended === "result" && closed.life === life) return { result: closed.result ?? null };
      last = closed;
      number++;
    }
    this.prefix = number === 0 ? [] : ["again", number];
    await this.toolbox.open([...this.prefix, "tools"]);
    if (last === undefined) return { number, before: null };
    const { result = null, ended, error } = last;
    const before = await context.step([...this.prefix, "before"], async () => ({
      result,
      error: error === undefined ? await previousError() : { code: ended, message: error },
    }));
    return { number, before: this.mask(before as Json) };
  }

  /** One answer of the model, and what follows from it; undefined to go on. */
  private async turn(turn: number): Promise<{ value: Json } | undefined> {
    const reply = await this.ask(turn);
    // Providers refuse to be shown an empty answer.
    if (reply.calls.length > 0 || reply.text.trim() !== "") this.messages.push(reply.message as Message);
    this.circles.look(reply);
    if (reply.calls.length === 0) return await this.finishByText(reply);
    this.countCalls(reply.calls.length);
    const outcomes: { call: ToolCall; outcome: ToolOutcome }[] = [];
    let result: { value: Json } | undefined;
    for (let index = 0; index < reply.calls.length; ) {
      const together = this.together(reply.calls, index);
      const keyOf = (offset: number): Key => [...this.prefix, "tool", turn, index + offset];
      const made = await Promise.all(
        together.map(async (call, offset) => {
          if (index + offset >= CALLS_PER_ANSWER)
            return { text: `only ${CALLS_PER_ANSWER} calls of one answer are carried out`, failed: true };
          if (call.name !== FINISH || this.attempt.agent.llm.result === null)
            return await this.toolbox.call(call, keyOf(offset));
          const checked = await this.check(call.fault === undefined ? unwrapped(call.input, this.attempt) : undefined);
          if ("problem" in checked) return this.rejected(checked.problem);
          result ??= checked;
          return { text: "accepted", failed: false };
        }),
      );
      together.forEach((call, offset) => outcomes.push({ call, outcome: made[offset]! }));
      index += together.length;
    }
    this.messages.push({
      role: "tool",
      content: outcomes.map(({ call, outcome }) => ({
        type: "tool-result",
        toolCallId: call.id,
        toolName: call.name,
        output: { type: outcome.failed ? "error-text" : "text", value: outcome.text },
      })),
    });
    return result;
  }

  private countCalls(more: number): void {
    const { maxToolCalls } = this.attempt.agent.llm;
    this.toolCalls += Math.min(more, CALLS_PER_ANSWER);
    if (this.toolCalls <= maxToolCalls) return;
    throw new TenutoError("loop_limit", `the model has asked for more than ${maxToolCalls} calls of tools`, {
      hint: "Raise maxToolCalls of the agent, or make the task smaller. A retry begins the conversation anew.",
    });
  }

  /** Jobs that are spawned one after the other run at the same time; everything else in the order of the calls. */
  private together(calls: readonly ToolCall[], from: number): ToolCall[] {
    const waits = (call: ToolCall | undefined) => call?.name === "spawn_job";
    let end = from + 1;
    if (waits(calls[from])) while (waits(calls[end])) end++;
    return calls.slice(from, end);
  }

  private async ask(turn: number): Promise<Reply> {
    const { attempt, messages, offers, system } = this;
    const { context, meter } = attempt;
    const spec = attempt.agent.llm;
    const estimate = tokensIn(system) + tokensIn(JSON.stringify(messages)) + tokensIn(JSON.stringify(offers));
    const request = { model: spec.model.id, inputTokens: estimate, maxOutputTokens: spec.model.maxOutputTokens };
    return await meter.call(
      [...this.prefix, "model", turn],
      request,
      spec,
      async ({ maxOutputTokens, leftMs }) => {
        const limitMs = spec.model.callTimeoutSeconds * 1_000;
        const timeoutMs = Math.ceil(leftMs === null ? limitMs : Math.min(limitMs, leftMs));
        try {
          const asked = {
            system,
            messages,
            tools: offers,
            estimate,
            maxOutputTokens,
            timeoutMs,
            signal: context.signal,
          };
          const { value, usage } = await this.model.generate(asked);
          context.log.info(
            `model call ${turn}: ${usage.inputTokens} tokens in, ${usage.outputTokens} out, ${value.finish}`,
          );
          return { value: this.mask(value), usage };
        } catch (error) {
          if (context.signal.aborted) throw error;
          throw modelFailure(error, spec.model, this.mask);
        }
      },
      faultOf,
    );
  }

  private async finishByText(reply: Reply): Promise<{ value: Json } | undefined> {
    const { llm } = this.attempt.agent;
    if (reply.finish === "length") return this.goOn("The answer was cut off: it was too long. Go on in smaller parts.");
    if (llm.result === null) {
      if (reply.text.trim() !== "") return { value: reply.text };
      return this.goOn("The answer was empty. Give the result as text.");
    }
    const checked = await this.check(jsonIn(reply.text));
    return "value" in checked ? checked : this.goOn(`${checked.problem} Call ${FINISH} with the result.`);
  }

  private goOn(message: string): undefined {
    this.countCorrection(message);
    this.messages.push({ role: "user", content: message });
    return undefined;
  }

  private rejected(problem: string): ToolOutcome {
    this.countCorrection(problem);
    return { text: problem, failed: true };
  }

  private countCorrection(problem: string): void {
    const { corrections } = this.attempt.agent.llm;
    this.corrections += 1;
    if (this.corrections <= corrections) return;
    throw new TenutoError(
      "contract_violation",
      `the model gave no valid result, although it was told ${corrections} time${corrections === 1 ? "" : "s"}: ${problem}`,
      {
        hint: "Look at the transcript; mend the instructions or the output schema. A retry begins the conversation anew.",
      },
    );
  }

  private async check(value: Json | undefined): Promise<{ value: Json } | { problem: string }> {
    if (value === undefined) return { problem: "The result is not valid JSON." };
    const { output } = this.attempt.agent;
    if (output === undefined) return { value };
    const result = await output["~standard"].validate(value);
    if (result.issues === undefined) return { value: result.value as Json };
    return { problem: `The result does not match its schema: ${issuesText(result.issues)}.` };
  }
}

/** A result that is no object travels under `result`, since arguments of a tool are an object. */
function unwrapped(input: Json, { agent }: LlmAttempt): Json | undefined {
  if (agent.llm.result?.["title"] !== WRAPPED) return input;
  return typeof input === "object" && input !== null && !Array.isArray(input) ? input["result"] : undefined;
}

/** JSON that a text is, or holds in its one fenced block. */
function jsonIn(text: string): Json | undefined {
  const fenced = /```(?:json)?\s*\n([\s\S]*?)\n\s*```/.exec(text);
  for (const candidate of [text, fenced?.[1]]) {
    if (candidate === undefined) continue;
    try {
      return JSON.parse(candidate) as Json;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
