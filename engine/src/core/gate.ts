/**
 * The verdict on a job's output: findings are added up, the worst counts, a policy says what follows.
 *
 * Owner: core. Invariants: (1) a finding of level error is FAILED, whatever verdict was claimed beside it; (2) a claimed
 * FAILED stays FAILED without any finding; (3) what is no verdict is an error, never a pass.
 */
import type { GateSpec } from "./document-agents.ts";
import { TenutoError } from "./errors.ts";
import type { Json } from "./model.ts";
import type { Verdict } from "./records.ts";

export interface Finding {
  level: "info" | "warning" | "error";
  message: string;
  /** Where, if it can be said: a path, a file and line. */
  place?: string;
}

export interface Judgement {
  verdict: Verdict;
  findings: Finding[];
  warnings: number;
  errors: number;
}

export const VERDICTS: readonly string[] = ["PASSED", "PASSED_WITH_WARNINGS", "FAILED"] satisfies Verdict[];
const LEVELS: readonly string[] = ["info", "warning", "error"] satisfies Finding["level"][];

/** What an agent or an output said: a verdict, or `{verdict?, findings?}`. @throws contract_violation */
export function readClaim(value: Json, what: string): { verdict: Verdict | null; findings: Finding[] } {
  const wrong = (found: string) =>
    new TenutoError("contract_violation", `${what} ${found}`, {
      hint: "Give PASSED, PASSED_WITH_WARNINGS or FAILED, or {verdict, findings: [{level, message}]}.",
    });
  if (typeof value === "string") {
    if (!VERDICTS.includes(value)) throw wrong(`is ${JSON.stringify(value.slice(0, 100))}, which is no verdict`);
    return { verdict: value as Verdict, findings: [] };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("is no verdict");
  const { verdict, findings } = value;
  if (verdict === undefined && findings === undefined) throw wrong("has neither verdict nor findings");
  if (verdict !== undefined && !VERDICTS.includes(verdict as string))
    throw wrong(`has the verdict ${JSON.stringify(verdict).slice(0, 100)}, which is none`);
  if (findings !== undefined && !Array.isArray(findings)) throw wrong("has findings that are no list");
  return {
    verdict: (verdict as Verdict | undefined) ?? null,
    findings: ((findings ?? []) as Json[]).map((finding, at) => readFinding(finding, at, wrong)),
  };
}

function readFinding(value: Json, at: number, wrong: (found: string) => TenutoError): Finding {
  if (typeof value === "string") return { level: "warning", message: value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(`has no text as finding ${at}`);
  const { level = "warning", message, place } = value;
  if (typeof message !== "string") throw wrong(`has no message in finding ${at}`);
  if (!LEVELS.includes(level as string)) throw wrong(`has the level ${JSON.stringify(level)} in finding ${at}`);
  return {
    level: level as Finding["level"],
    message,
    ...(typeof place === "string" ? { place } : {}),
  };
}

export function judge(claimed: readonly (Verdict | null)[], findings: readonly Finding[], gate: GateSpec): Judgement {
  const warnings = findings.filter((finding) => finding.level === "warning").length;
  const errors = findings.filter((finding) => finding.level === "error").length;
  const tooMany = gate.maxWarnings !== undefined && warnings > gate.maxWarnings;
  const verdict =
    errors > 0 || tooMany || claimed.includes("FAILED")
      ? "FAILED"
      : warnings > 0 || claimed.includes("PASSED_WITH_WARNINGS")
        ? "PASSED_WITH_WARNINGS"
        : "PASSED";
  return { verdict, findings: [...findings], warnings, errors };
}

/** What the gate's policy makes of a verdict. */
export function actionOf(gate: GateSpec, verdict: Verdict): "continue" | "fail" | "retry" | "halt" | "approve" {
  if (verdict === "FAILED") return gate.onFailed ?? "fail";
  if (verdict === "PASSED_WITH_WARNINGS") return gate.onWarnings ?? "continue";
  return "continue";
}

/** The verdict in one line. */
const amount = (count: number, noun: string): string =>
  count === 0 ? "" : `${count} ${noun}${count === 1 ? "" : "s"}`;

export function judgementText({ verdict, findings, warnings, errors }: Judgement): string {
  const counts = [amount(errors, "error"), amount(warnings, "warning")].filter((text) => text !== "");
  const first = findings.find((finding) => finding.level === "error") ?? findings[0];
  const text = counts.length === 0 ? verdict : `${verdict} with ${counts.join(" and ")}`;
  return first === undefined ? text : `${text}: ${first.message}`;
}
