/**
 * The rules for single parts of a document that its form can't express: figures that contradict each other, commands
 * that invite injection, limiters that nobody declared.
 *
 * Owner: core, for pipeline.ts. Each rule looks at one part only; what needs the graph is in pipeline.ts.
 */

import { aftermathProblems } from "./aftermath-rules.ts";
import { OPERATORS } from "./condition.ts";
import type {
  CommandSpec,
  Condition,
  ErrorRule,
  JobSpec,
  LimiterSpec,
  PipelineDocument,
  WorkPolicy,
} from "./document.ts";
import { peopleProblems } from "./document-agent-rules.ts";
import { TenutoError } from "./errors.ts";
import { declaredParams, pipelineReferences } from "./job-references.ts";
import { MAX_ITEMS } from "./limits.ts";
import type { Json } from "./model.ts";
import { AGENT_NAME_RULE, isAgentName, isName, NAME_RULE, suggest } from "./names.ts";
import { checkPayload } from "./payload.ts";
import { hasPlaceholder } from "./placeholders.ts";
import { checkRunIdPattern } from "./run-id.ts";
import { type Problem, problem, type Segment } from "./shape.ts";

type Path = readonly Segment[];

const SHELL_HINT =
  'Text in a shell command would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input file.';

/** Rules for the head of the document: requirements, limiters, run ids, defaults. */
export function pipelineProblems(doc: PipelineDocument): Problem[] {
  const params = declaredParams(doc.params);
  const problems = [...policyProblems(doc.defaults ?? {}, ["defaults"])];
  if (doc.runId !== undefined) {
    const wrong = checkRunIdPattern(doc.runId);
    if (wrong !== null) problems.push(problem(["runId"], wrong.message, wrong.hint));
  }
  if (doc.params !== undefined && doc.params.type !== "object") {
    problems.push(
      problem(
        ["params"],
        "must be a JSON Schema of an object",
        "Begin with type: object, or use the short form name: {type: text}.",
      ),
    );
  }
  (doc.requires ?? []).forEach((requirement, i) => {
    const kinds = Object.keys(requirement).filter((key) => key !== "hint");
    if (kinds.length !== 1) {
      problems.push(
        problem(["requires", i], "must name exactly one of file, env, command, agent", "Write one entry for each."),
      );
    }
    if ("file" in requirement) problems.push(...pipelineReferences(requirement.file, ["requires", i, "file"], params));
  });
  if (doc.concurrency !== undefined) {
    problems.push(...pipelineReferences(doc.concurrency.key, ["concurrency", "key"], params));
  }
  for (const [name, limiter] of Object.entries(doc.limiters ?? {})) problems.push(...limiterProblems(name, limiter));
  for (const name of Object.keys(doc.agents ?? {})) {
    if (!isAgentName(name))
      problems.push(problem(["agents", name], `"${name}" is not the name of an agent`, `Use ${AGENT_NAME_RULE}.`));
  }
  return problems;
}

/** Rules for one job, its graph and placeholders apart. */
export function jobProblems(spec: JobSpec, path: Path, limiters: ReadonlySet<string>): Problem[] {
  const problems = policyProblems(spec, path);
  if (!isAgentName(spec.agent)) {
    problems.push(
      problem(
        [...path, "agent"],
        `"${spec.agent.slice(0, 120)}" is not the name of an agent`,
        `Use ${AGENT_NAME_RULE}.`,
      ),
    );
  }
  const inline = spec.agent === "command/inline";
  if (inline && spec.command === undefined) {
    problems.push(problem(path, "has the agent command/inline but no command", "Add command: [program, argument, …]."));
  }
  if (!inline && spec.command !== undefined) {
    problems.push(
      problem([...path, "command"], `is given beside the agent "${spec.agent}"`, "Keep the agent or the command."),
    );
  }
  if (spec.command !== undefined) problems.push(...commandProblems(spec.command, [...path, "command"]));
  if (Array.isArray(spec.forEach?.source) && spec.forEach.source.length > MAX_ITEMS) {
    problems.push(
      problem([...path, "forEach", "source"], `has ${spec.forEach.source.length} items`, `At most ${MAX_ITEMS}.`),
    );
  }
  if (spec.input !== undefined) problems.push(...payloadProblems(spec.input, [...path, "input"]));
  if (Array.isArray(spec.forEach?.source)) {
    problems.push(...payloadProblems(spec.forEach.source, [...path, "forEach", "source"]));
  }
  problems.push(...peopleProblems(spec, path), ...aftermathProblems(spec, path));
  spec.limits?.forEach((limit, i) => problems.push(...limitProblems(limit, [...path, "limits", i], limiters)));
  return problems;
}

/** Rules for conditions: one operator each, two operands where it compares two. The depth is bounded by the form. */
export function conditionProblems(condition: Condition | undefined, path: Path): Problem[] {
  if (condition === undefined) return [];
  const operators = Object.keys(condition) as (typeof OPERATORS)[number][];
  if (operators.length !== 1) {
    const found =
      operators.length === 0 ? "has no operator" : `has ${operators.length} operators: ${operators.join(", ")}`;
    return [problem(path, found, `Use one of ${OPERATORS.join(", ")}; join several with all: or any:.`)];
  }
  const operator = operators[0]!;
  const operand = (condition as Record<string, unknown>)[operator];
  const below = [...path, operator];
  if (operator === "exists") return [];
  if (operator === "not") return conditionProblems(operand as Condition, below);
  if (operator === "all" || operator === "any") {
    return (operand as Condition[]).flatMap((part, i) => conditionProblems(part, [...below, i]));
  }
  const count = (operand as Json[]).length;
  if (count !== 2) return [problem(below, `has ${count} operands`, `Write ${operator}: [left, right].`)];
  const right = (operand as Json[])[1];
  if (operator === "in" && !Array.isArray(right) && !(typeof right === "string" && hasPlaceholder(right))) {
    return [
      problem([...below, 1], "must be a list", "Write in: [value, [one, two]], or a placeholder that yields a list."),
    ];
  }
  return [];
}

function policyProblems(policy: WorkPolicy, path: Path): Problem[] {
  const problems: Problem[] = [];
  const { retry, timeoutSeconds, jobTimeoutSeconds } = policy;
  if (retry?.baseSeconds !== undefined && retry.capSeconds !== undefined && retry.baseSeconds > retry.capSeconds) {
    problems.push(
      problem(
        [...path, "retry", "baseSeconds"],
        `is above capSeconds (${retry.capSeconds})`,
        "Raise capSeconds or lower baseSeconds.",
      ),
    );
  }
  if (timeoutSeconds !== undefined && jobTimeoutSeconds !== undefined && jobTimeoutSeconds < timeoutSeconds) {
    problems.push(
      problem(
        [...path, "jobTimeoutSeconds"],
        `is below timeoutSeconds (${timeoutSeconds}) of a single attempt`,
        "The job's limit includes all its attempts.",
      ),
    );
  }
  policy.errors?.forEach((rule, i) => problems.push(...ruleProblems(rule, [...path, "errors", i])));
  return problems;
}

function ruleProblems(rule: ErrorRule, path: Path): Problem[] {
  const statuses = rule.status === undefined ? [] : Array.isArray(rule.status) ? rule.status : [rule.status];
  return statuses
    .filter((status) => !/^[1-5]([0-9]{2}|xx)$/i.test(String(status)))
    .map((status) =>
      problem(
        [...path, "status"],
        `can't be ${JSON.stringify(status)}`,
        "Use a status such as 429 or a class such as 5xx.",
      ),
    );
}

function commandProblems(command: CommandSpec, path: Path): Problem[] {
  const problems: Problem[] = [];
  const [program, option, script] = command.argv;
  if (program!.trim() === "") problems.push(problem([...path, "argv", 0], "is empty", "Name the program."));
  const shell = /(^|[/\\])((ba|da|z|k|a|fi)?sh|cmd|powershell|pwsh)(\.exe)?$/i.test(program!);
  if (
    shell &&
    option !== undefined &&
    /^(-[a-z]*c|\/c|-command)$/i.test(option) &&
    script !== undefined &&
    hasPlaceholder(script)
  ) {
    problems.push(problem([...path, "argv", 2], "has a placeholder inside shell text", SHELL_HINT));
  }
  const names = [
    ...Object.keys(command.env ?? {}).map((name) => [name, "env", name] as const),
    ...(command.passEnv ?? []).map((name, i) => [name, "passEnv", i] as const),
  ];
  for (const [name, key, at] of names) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      problems.push(
        problem(
          [...path, key, at],
          `"${name.slice(0, 60)}" is not the name of a variable`,
          "Use letters, digits and '_'.",
        ),
      );
    } else if (name.startsWith("TENUTO_")) {
      problems.push(problem([...path, key, at], `${name} is set by the engine`, "Choose a name without TENUTO_."));
    }
  }
  return problems;
}

function limiterProblems(name: string, limiter: LimiterSpec): Problem[] {
  const path: Path = ["limiters", name];
  const problems: Problem[] = [];
  if (!isName(name.endsWith(":*") ? name.slice(0, -2) : name)) {
    problems.push(
      problem(
        path,
        `"${name.slice(0, 120)}" can't be the name of a limiter`,
        `Use ${NAME_RULE}; end it with :* for one limiter per key.`,
      ),
    );
  }
  if (Object.keys(limiter).length === 0) {
    problems.push(problem(path, "limits nothing", "Give rate, concurrency, quota, budget or breaker."));
  }
  for (const part of ["quota", "budget"] as const) {
    if (limiter[part] !== undefined && Object.keys(limiter[part]).length === 0) {
      problems.push(
        problem([...path, part], "limits nothing", `Give day${part === "budget" ? ", month or total" : " or month"}.`),
      );
    }
  }
  return problems;
}

/** A use of a limiter: `name` or `name:key`. A name that is itself a placeholder is checked when it is known. */
function limitProblems(limit: string, path: Path, limiters: ReadonlySet<string>): Problem[] {
  const colon = limit.indexOf(":");
  const name = colon < 0 ? limit : limit.slice(0, colon);
  if (hasPlaceholder(name) || limiters.has(limit)) return [];
  const keyed = `${name}:*`;
  if (colon >= 0 && limiters.has(keyed)) return [];
  if (colon < 0 && limiters.has(keyed)) {
    return [problem(path, `limiter "${name}" needs a key`, `Write ${name}:key; it is declared as ${keyed}.`)];
  }
  if (colon >= 0 && limiters.has(name)) {
    return [problem(path, `limiter "${name}" has no keys`, `Declare it as "${keyed}", or write ${name}.`)];
  }
  return [
    problem(
      path,
      `there is no limiter "${colon < 0 ? name : keyed}"`,
      suggest(colon < 0 ? name : keyed, [...limiters], "limiter"),
    ),
  ];
}

function payloadProblems(value: Json, path: Path): Problem[] {
  try {
    checkPayload(value, "it");
    return [];
  } catch (error) {
    if (!(error instanceof TenutoError)) throw error;
    return [problem(path, error.message, error.hint ?? "")];
  }
}
