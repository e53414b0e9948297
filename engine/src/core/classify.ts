/**
 * From whatever was thrown to a stored failure with its category.
 *
 * Owner: core. Invariants:
 * 1. Order: rules (nearest list first, first match in a list, against the error and each cause), then the category that
 *    the error itself states, then the defaults below, then `permanent`.
 * 2. A TenutoError always states a category; `permanent` is also what it has when nothing was said, so for that one the
 *    defaults of its own code, status and exit code still apply, but not those of its causes.
 * 3. Nothing that is thrown can break this: hostile getters, proxies, cycles, endless cause chains, non-errors.
 * 4. What is stored is bounded, well-formed and free of NUL, so that every ledger accepts it.
 */
import type { ErrorRule } from "./document.ts";
import { type ErrorFacts, factsOf } from "./error-facts.ts";
import { boundedDetails, cleanText } from "./error-text.ts";
import type { ErrorCategory, StoredError } from "./errors.ts";
import { ERROR_CATEGORIES } from "./errors.ts";

const RETRYABLE_NAMES = new Set(["TimeoutError", "ConnectionError", "RateLimitError"]);
const SKIPPABLE_NAMES = new Set(["NotFoundError", "ForbiddenError", "ParseError"]);
const RETRYABLE_CODES = new Set(["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EPIPE", "EAI_AGAIN", "ENOTFOUND"]);
const DISK_CODES = new Set(["ENOSPC", "EDQUOT", "EROFS"]);
/** Codes of the engine itself, for errors that state no other category. */
const ENGINE_CODES: Readonly<Record<string, ErrorCategory>> = {
  timeout: "retryable",
  ledger_busy: "retryable",
  ledger_unavailable: "critical",
  ledger_corrupt: "critical",
  disk_full: "critical",
};

const KEY_HINT = "The credentials were refused (HTTP 401): check the key, then retry the run.";
const DISK_HINT = "Free space or raise the quota, then retry the run: completed work is kept.";

interface Verdict {
  category: ErrorCategory;
  /** Replaces the error's own code. */
  code?: string;
  hint?: string;
}

/** The failure to store for a thrown value. `rules` are the lists of the resolved policy, nearest first. */
export function storedErrorFrom(thrown: unknown, rules: readonly (readonly ErrorRule[])[] = []): StoredError {
  const chain = factsOf(thrown);
  const first = chain[0]!;
  const verdict = byRules(chain, rules) ?? byOwnCategory(chain) ?? byDefaults(chain) ?? { category: "permanent" };
  const stored: StoredError = {
    category: verdict.category,
    code: cleanText(verdict.code ?? codeOf(chain), 100),
    message: messageOf(chain),
  };
  const hint = first.hint ?? verdict.hint;
  if (hint !== undefined) stored.hint = cleanText(hint, 1_000);
  const details = boundedDetails(detailsOf(chain, verdict));
  if (details !== undefined) stored.details = details;
  if (first.stack !== undefined) stored.stack = first.stack;
  const wait = chain.find((link) => link.retryAfterMs !== undefined)?.retryAfterMs;
  if (verdict.category === "retryable" && wait !== undefined) stored.retryAfterMs = wait;
  return stored;
}

/** Whether a rule matches an error: all given fields must. A rule without fields matches every error. */
export function ruleMatches(rule: ErrorRule, facts: ErrorFacts): boolean {
  if (rule.class !== undefined && !facts.names.includes(rule.class)) return false;
  if (rule.code !== undefined && facts.code !== rule.code) return false;
  if (rule.status !== undefined && !listOf(rule.status).some((status) => statusMatches(status, facts.status)))
    return false;
  if (rule.exitCode !== undefined && !(facts.exitCode !== undefined && listOf(rule.exitCode).includes(facts.exitCode)))
    return false;
  return rule.message === undefined || facts.message.includes(rule.message);
}

function byRules(chain: readonly ErrorFacts[], rules: readonly (readonly ErrorRule[])[]): Verdict | null {
  for (const list of rules) {
    for (const rule of list) {
      if (chain.some((facts) => ruleMatches(rule, facts))) return { category: rule.category };
    }
  }
  return null;
}

function byOwnCategory(chain: readonly ErrorFacts[]): Verdict | null {
  for (const facts of chain) {
    const stated = ERROR_CATEGORIES.find((category) => category === facts.category);
    if (stated === undefined) continue;
    if (stated === "permanent" && facts.isTenuto) return byDefault(facts) ?? { category: "permanent" };
    return { category: stated };
  }
  return null;
}

function byDefaults(chain: readonly ErrorFacts[]): Verdict | null {
  for (const facts of chain) {
    const verdict = byDefault(facts);
    if (verdict !== null) return verdict;
  }
  return null;
}

function byDefault(facts: ErrorFacts): Verdict | null {
  const { code, exitCode } = facts;
  if (code !== undefined) {
    if (DISK_CODES.has(code)) return { category: "critical", code: "disk_full", hint: DISK_HINT };
    if (RETRYABLE_CODES.has(code) || code.startsWith("UND_ERR_")) return { category: "retryable" };
    if (facts.isTenuto && Object.hasOwn(ENGINE_CODES, code)) return { category: ENGINE_CODES[code]! };
  }
  const verdict = facts.status === undefined ? null : byStatus(facts.status);
  if (verdict !== null) return verdict;
  if (exitCode === 75) return { category: "retryable" };
  if (exitCode === 78) return { category: "critical" };
  if (facts.names.some((name) => RETRYABLE_NAMES.has(name))) return { category: "retryable" };
  if (facts.names.some((name) => SKIPPABLE_NAMES.has(name))) return { category: "skippable" };
  if (facts.names.includes("AbortError") && /time[d-]?[ -]?out/i.test(facts.message)) return { category: "retryable" };
  return null;
}

function byStatus(status: number): Verdict | null {
  if (status === 408 || status === 425 || status === 429 || status >= 500) return { category: "retryable" };
  if (status === 403 || status === 404 || status === 410) return { category: "skippable" };
  if (status === 401) return { category: "critical", hint: KEY_HINT };
  return null;
}

function codeOf(chain: readonly ErrorFacts[]): string {
  const first = chain[0]!;
  if (first.code !== undefined) return first.code;
  if (!first.isError) return "agent_error";
  // A class that says something beats the code of its cause; "Error" and "TypeError: fetch failed" do not.
  const name = first.names[0] ?? "Error";
  if (!["Error", "TypeError", "AggregateError"].includes(name)) return name;
  const status = first.status;
  return chain.find((facts) => facts.code !== undefined)?.code ?? (status === undefined ? name : `http_${status}`);
}

function messageOf(chain: readonly ErrorFacts[]): string {
  let message = chain[0]!.message;
  for (const cause of chain.slice(1, 4)) {
    if (cause.message !== "" && !message.includes(cause.message)) message += ` (cause: ${cause.message})`;
  }
  return cleanText(message === "" ? (chain[0]!.names[0] ?? "failed without a message") : message, 4_000);
}

function detailsOf(chain: readonly ErrorFacts[], verdict: Verdict): Record<string, unknown> {
  const details: Record<string, unknown> = { ...chain[0]!.details };
  for (const facts of chain) {
    if (facts.status !== undefined) details.status ??= facts.status;
    if (facts.exitCode !== undefined) details.exitCode ??= facts.exitCode;
    if (verdict.code !== undefined && facts.code !== undefined) details.systemCode ??= facts.code;
  }
  return details;
}

function listOf<T>(value: T | T[]): T[] {
  return Array.isArray(value) ? value : [value];
}

function statusMatches(rule: number | string, status: number | undefined): boolean {
  if (status === undefined) return false;
  const text = String(rule).toLowerCase();
  if (/^[1-5]xx$/.test(text)) return text[0] === String(status)[0];
  return text === String(status);
}
