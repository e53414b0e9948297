/** Rules for artifacts, effects and compensations that their form can't express. Owner: core, for document-rules.ts. */
import { artifactParts } from "./artifact.ts";
import type { JobSpec } from "./document.ts";
import { AGENT_NAME_RULE, isAgentName } from "./names.ts";
import { hasPlaceholder } from "./placeholders.ts";
import { type Problem, problem, type Segment } from "./shape.ts";

export function aftermathProblems(spec: JobSpec, path: readonly Segment[]): Problem[] {
  const problems: Problem[] = [];
  const say = (at: Segment[], message: string, hint: string) => problems.push(problem([...path, ...at], message, hint));
  const { artifacts, compensate, compensates } = spec;
  if (compensates !== undefined) say(["compensates"], "is set by the engine", "Leave it out.");
  if (artifacts !== undefined) {
    if (spec.forEach !== undefined)
      say(["artifacts"], "can't be used on a job with forEach", "Store them in the agent, with ctx.artifact.");
    const { strategy } = artifacts;
    if ((strategy === "composite") !== "parts" in artifacts)
      say(
        ["artifacts", "parts"],
        strategy === "composite" ? "is missing" : `goes with composite, not with ${strategy}`,
        "Write {strategy: composite, parts: [{strategy: files}, …]}.",
      );
    else
      for (const part of artifactParts(artifacts))
        for (const rule of part.ignore ?? [])
          if (rule.trim() === "" || hasPlaceholder(rule))
            say(
              ["artifacts", "ignore"],
              `${JSON.stringify(rule)} is no pattern`,
              'Write "*.log", "build/" or "data/**".',
            );
  }
  if (compensate === undefined) return problems;
  const both = compensate.agent !== undefined && compensate.command !== undefined;
  if (both || (compensate.agent === undefined && compensate.command === undefined))
    say(["compensate"], "needs one thing to do", "Give agent: layer/name, or a command.");
  if (compensate.agent !== undefined && !isAgentName(compensate.agent))
    say(
      ["compensate", "agent"],
      `"${compensate.agent.slice(0, 120)}" is not the name of an agent`,
      `Use ${AGENT_NAME_RULE}.`,
    );
  if (compensate.onExhausted === "skip")
    say(["compensate", "onExhausted"], "can't be skip", "What is not undone must be seen: leave it out.");
  return problems;
}
