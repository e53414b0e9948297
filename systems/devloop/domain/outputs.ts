/**
 * What each role hands back, checked; and how it is found in what a coding agent said.
 *
 * Invariants:
 * 1. A planner's tasks have unique ids, known dependencies and no cycle; `execution_order` names each exactly once.
 * 2. What an agent says beyond what it was asked for is left out; what is missing or wrong makes the answer unusable.
 * 3. The wire words pass, fail and partial stay inside this system; outside it there are the verdicts of gates.
 */
import type { Json } from "tenuto";
import { z } from "zod";
import { issuesOf } from "./actions.ts";

export const ROLES = ["planner", "dev", "tester", "verifier"] as const;
export type Role = (typeof ROLES)[number];

const short = z.string().min(1).max(200);
const long = z.string().max(20_000);

const TASK = z.object({
  id: short,
  description: long.min(1),
  type: z.enum(["dev", "test", "verify"]),
  dependencies: z.array(short).default([]),
  files_involved: z.array(z.string().max(1_000)).default([]),
  acceptance_criteria: z.array(long).default([]),
});

export const PLAN = z
  .object({ tasks: z.array(TASK).min(1).max(1_000), execution_order: z.array(short).optional() })
  .superRefine((plan, ctx) => {
    const ids = new Set(plan.tasks.map((task) => task.id));
    if (ids.size !== plan.tasks.length)
      ctx.addIssue({ code: "custom", path: ["tasks"], message: "an id is used twice" });
    for (const [at, task] of plan.tasks.entries())
      for (const need of task.dependencies)
        if (!ids.has(need))
          ctx.addIssue({ code: "custom", path: ["tasks", at, "dependencies"], message: `there is no task ${need}` });
    const order = plan.execution_order;
    if (
      order !== undefined &&
      (order.length !== ids.size || order.some((id) => !ids.has(id)) || new Set(order).size !== ids.size)
    )
      ctx.addIssue({ code: "custom", path: ["execution_order"], message: "must name each task exactly once" });
    const sorted = orderOf(plan.tasks);
    if (sorted === null) ctx.addIssue({ code: "custom", path: ["tasks"], message: "the dependencies form a cycle" });
  });

export type PlanTask = z.infer<typeof TASK>;
export type Plan = z.infer<typeof PLAN>;

export const TESTER = z.object({
  test_scenarios: z
    .array(z.object({ name: short, description: long.default(""), file: z.string().max(1_000).optional() }))
    .default([]),
  gaps: z.array(z.object({ requirement: long.min(1), reason: long.default("") })).default([]),
});
export type TesterOutput = z.infer<typeof TESTER>;

export const FINDING = z.object({
  requirement: long.min(1),
  status: z.enum(["satisfied", "missing", "incorrect"]),
  evidence: long.default(""),
  location: z.string().max(1_000).default(""),
});

export const VERIFIER = z.object({
  verification_result: z.enum(["pass", "fail", "partial"]),
  findings: z.array(FINDING).max(1_000).default([]),
  recommendation: long.default(""),
});
export type VerifierOutput = z.infer<typeof VERIFIER>;

const DEV = z.looseObject({});

const SCHEMAS: Record<Role, z.ZodType> = { planner: PLAN, dev: DEV, tester: TESTER, verifier: VERIFIER };

/** What each role is asked for, in words. */
export const EXPECTED: Record<Role, string> = {
  planner:
    'End with one JSON document: {"tasks": [{"id", "description", "type": "dev" | "test" | "verify", "dependencies": [], ' +
    '"files_involved": [], "acceptance_criteria": []}], "execution_order": [ids]}.',
  dev: "Change the files so that the task is done. End with one sentence that says what you changed.",
  tester:
    "Write tests for the task into the repository where they are missing. The tests are run for you. End with one JSON document: " +
    '{"test_scenarios": [{"name", "description", "file"}], "gaps": [{"requirement", "reason"}]}, with a gap for each ' +
    "requirement that the code does not meet.",
  verifier:
    "Check each requirement of the task against the code; change nothing. End with one JSON document: " +
    '{"verification_result": "pass" | "fail" | "partial", "findings": [{"requirement", "status": "satisfied" | "missing" | ' +
    '"incorrect", "evidence", "location"}], "recommendation": "…"}.',
};

export type ParsedOutput<T> = { ok: true; value: T } | { ok: false; error: string };

/** Checks what a role handed back: an object, or text that ends with one. */
export function parseOutput<T = unknown>(role: Role, given: unknown): ParsedOutput<T> {
  const value = typeof given === "string" ? lastJson(given) : given;
  if (role === "dev") return { ok: true, value: (value ?? null) as T };
  if (value === undefined || value === null)
    return { ok: false, error: "there is no JSON document at the end of the answer" };
  const parsed = SCHEMAS[role].safeParse(value);
  return parsed.success ? { ok: true, value: parsed.data as T } : { ok: false, error: issuesOf(parsed.error) };
}

/** The last JSON object in a text: all of it, the last fenced block, or the last balanced braces. */
export function lastJson(text: string): Json | undefined {
  const fences = [...text.matchAll(/```(?:json)?\s*\n([\s\S]*?)```/g)].map(([, inner]) => inner ?? "");
  for (const candidate of [text, ...fences.reverse()]) {
    const value = parsed(candidate);
    if (value !== undefined) return value;
  }
  return lastBraces(text);
}

const SCAN_CHARS = 200_000;
const MAX_STARTS = 200;

/** Tries each `{` before the last `}`, outermost first, within bounds that no text can stretch. */
function lastBraces(text: string): Json | undefined {
  const tail = text.slice(-SCAN_CHARS);
  const end = tail.lastIndexOf("}");
  let tries = 0;
  for (let at = tail.indexOf("{"); at >= 0 && at < end && tries < MAX_STARTS; at = tail.indexOf("{", at + 1)) {
    tries += 1;
    const value = parsed(tail.slice(at, end + 1));
    if (value !== undefined) return value;
  }
  return undefined;
}

function parsed(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** The tasks in an order that keeps their dependencies; null where they form a cycle. */
export function orderOf(tasks: readonly Pick<PlanTask, "id" | "dependencies">[]): string[] | null {
  const open = new Map(tasks.map((task) => [task.id, new Set(task.dependencies)]));
  const order: string[] = [];
  while (open.size > 0) {
    const ready = [...open].filter(([, needs]) => [...needs].every((need) => !open.has(need))).map(([id]) => id);
    if (ready.length === 0) return null;
    for (const id of ready) open.delete(id);
    order.push(...ready);
  }
  return order;
}
