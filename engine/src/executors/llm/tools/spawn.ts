/**
 * Jobs that a model asks for. What may be asked for is an allow-list of the agent or the job; the engine checks it again
 * when the job is made. The model sees how the child ended, also when it failed.
 */
import type { ChildOutcome, Context, SpawnSpec } from "../../../core/agent.ts";
import type { SpawnRights } from "../../../core/document-agents.ts";
import { TenutoError } from "../../../core/errors.ts";
import { ceilingFor, type LlmSpec } from "../../../core/llm.ts";
import type { Json } from "../../../core/model.ts";
import { type Args, bounded, checkFields, type Fields, offerOf, type Tool, ToolProblem } from "../tool.ts";

const MAX_OUTPUT = 20_000;

export function spawnTool(context: Context, spec: LlmSpec, rights: SpawnRights): Tool | null {
  const { agents = [], jobs = [] } = rights;
  if (agents.length === 0 && jobs.length === 0) return null;
  const fields: Fields = {
    ...(agents.length === 0
      ? {}
      : {
          agent: {
            type: "string",
            description: `agent to run: ${agents.join(", ")}`,
            max: 202,
            ...(jobs.length === 0 ? {} : { optional: true as const }),
          },
        }),
    ...(jobs.length === 0
      ? {}
      : {
          job: {
            type: "string",
            description: `declared job to run again: ${jobs.join(", ")}`,
            max: 100,
            ...(agents.length === 0 ? {} : { optional: true as const }),
          },
        }),
    input: { type: "any", description: "input of the job: any JSON" },
    reason: { type: "string", description: "why it is needed; the job is told", max: 2_000 },
  };
  return {
    offer: offerOf("spawn_job", "Runs another job now, waits for it, and gives how it ended.", fields),
    check: (input) => {
      const args = checkFields(input, fields);
      const { agent, job } = args;
      if ((agent === undefined) === (job === undefined)) throw new ToolProblem('give either "agent" or "job"');
      if (agent !== undefined && !allowed(agents, String(agent)))
        throw new ToolProblem(`this job may not spawn ${agent}; it may spawn: ${agents.join(", ") || "nothing"}`);
      if (job !== undefined && !jobs.includes(String(job)))
        throw new ToolProblem(`this job may not run ${job} again; it may run: ${jobs.join(", ") || "nothing"}`);
      return args;
    },
    wait: async (args, place) => outcomeText(await spawn(context, spec, args, place.key)),
  };
}

function allowed(patterns: readonly string[], agent: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("/*") ? agent.startsWith(pattern.slice(0, -1)) : pattern === agent,
  );
}

async function spawn(
  context: Context,
  spec: LlmSpec,
  args: Args,
  key: readonly (string | number)[],
): Promise<ChildOutcome> {
  const asked: SpawnSpec = {
    input: (args["input"] ?? null) as Json,
    reason: String(args["reason"]),
    allowFailure: true,
    ceiling: ceilingFor(spec),
    ...(args["agent"] === undefined ? { like: String(args["job"]) } : { agent: String(args["agent"]) }),
  };
  try {
    return await context.spawn(["spawn", ...key.slice(1)], asked);
  } catch (error) {
    const code = error instanceof TenutoError ? error.code : "";
    if (
      error instanceof TenutoError &&
      ["spawn_limit", "unknown_agent", "invalid_input", "payload_too_large"].includes(code)
    )
      throw new ToolProblem(`${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`);
    throw error;
  }
}

function outcomeText(outcome: ChildOutcome): string {
  const { id, state, output, error } = outcome;
  return bounded(JSON.stringify({ id, state, output, error }, null, 1), MAX_OUTPUT);
}
