/** Rules for approvals, gates, spawning and multiplying that their form can't express. Owner: core, for document-rules.ts. */
import type { JobSpec } from "./document.ts";
import { VERDICTS } from "./gate.ts";
import { MAX_CHILDREN_PER_JOB } from "./limits.ts";
import { AGENT_NAME_RULE, isAgentName } from "./names.ts";
import { hasPlaceholder } from "./placeholders.ts";
import { type Problem, problem, type Segment } from "./shape.ts";

export function peopleProblems(spec: JobSpec, path: readonly Segment[]): Problem[] {
  const problems: Problem[] = [];
  const say = (at: Segment[], message: string, hint: string) => problems.push(problem([...path, ...at], message, hint));
  const { approval, gate, multiply, forEach, bindings } = spec;
  if (bindings !== undefined) say(["bindings"], "is set by the engine", "Leave it out.");
  if (approval?.editable === true && approval.show !== undefined)
    say(["approval", "editable"], "edits what is shown, which is not the input here", "Leave out show, or editable.");
  if (forEach !== undefined)
    for (const key of ["approval", "gate", "multiply", "spawns"] as const)
      if (spec[key] !== undefined)
        say([key], "can't be used on a job with forEach", "Put it on a job before or after it.");
  if (multiply !== undefined && spec.cache !== undefined)
    say(["cache"], "can't be used on a job with multiply", "Each child does its own work.");
  if (multiply !== undefined && spec.approval !== undefined)
    say(["approval"], "can't be used on a job with multiply", "Put it on the job that makes the list.");
  if (approval !== undefined && approval.title.trim() === "")
    say(["approval", "title"], "is empty", "Say in one line what is to be decided.");
  if (Array.isArray(multiply?.source) && multiply.source.length > MAX_CHILDREN_PER_JOB)
    say(
      ["multiply", "source"],
      `has ${multiply.source.length} elements`,
      `A job becomes at most ${MAX_CHILDREN_PER_JOB}; forEach goes to a million items.`,
    );
  if (gate !== undefined) {
    if (gate.verdict !== undefined && !hasPlaceholder(gate.verdict) && !VERDICTS.includes(gate.verdict))
      say(
        ["gate", "verdict"],
        `is ${JSON.stringify(gate.verdict.slice(0, 80))}, which is no verdict`,
        `Use a placeholder, or ${VERDICTS.join(", ")}.`,
      );
    if (gate.agent === undefined && gate.checks === undefined && gate.verdict === undefined)
      say(["gate"], "judges nothing", "Give agent, checks or verdict.");
    if (gate.agent !== undefined && !isAgentName(gate.agent))
      say(["gate", "agent"], `"${gate.agent.slice(0, 120)}" is not the name of an agent`, `Use ${AGENT_NAME_RULE}.`);
  }
  for (const [i, name] of (spec.spawns?.agents ?? []).entries())
    if (!isAgentName(name) && !(name.endsWith("/*") && isAgentName(`${name.slice(0, -1)}x`)))
      say(
        ["spawns", "agents", i],
        `"${name.slice(0, 120)}" is not the name of an agent`,
        `Use ${AGENT_NAME_RULE}, or layer/*.`,
      );
  return problems;
}
