/**
 * What can go wrong with a page, named as the source document names it.
 *
 * Each class carries the category that the engine acts on: `retryable` tries again, `skippable` leaves the page out and lists it,
 * `permanent` fails the job. `code` is for programs, `hint` for people.
 */

export type Category = "retryable" | "skippable" | "critical" | "permanent";

export interface PageErrorFacts {
  url?: string;
  status?: number;
  retryAfterMs?: number;
  hint?: string;
  cause?: unknown;
}

/** Base of all errors of this system. */
export class PageError extends Error {
  readonly category: Category;
  readonly code: string;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly hint: string | undefined;
  readonly details: { url?: string };

  constructor(name: string, code: string, category: Category, message: string, facts: PageErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = name;
    this.code = code;
    this.category = category;
    this.status = facts.status;
    this.retryAfterMs = facts.retryAfterMs;
    this.hint = facts.hint;
    this.details = facts.url === undefined ? {} : { url: facts.url };
  }
}

/** The page came, but holds no record (no company name, not HTML). */
export class ParseError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("ParseError", "parse_error", "skippable", message, facts);
  }
}

/** 404 or 410. */
export class NotFoundError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("NotFoundError", "not_found", "skippable", message, facts);
  }
}

/** 401 or 403, a login in the way, or robots.txt says no. */
export class ForbiddenError extends PageError {
  constructor(message: string, facts: PageErrorFacts & { code?: string } = {}) {
    super("ForbiddenError", facts.code ?? "forbidden", "skippable", message, facts);
  }
}

/** 429. */
export class RateLimitError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("RateLimitError", "rate_limited", "retryable", message, facts);
  }
}

/** 5xx, 408 or 425. */
export class ServerError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("ServerError", "server_error", "retryable", message, facts);
  }
}

/** No answer in time. */
export class TimeoutError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("TimeoutError", "timeout", "retryable", message, facts);
  }
}

/** No connection, or it broke. */
export class ConnectionError extends PageError {
  constructor(message: string, facts: PageErrorFacts & { code?: string } = {}) {
    super("ConnectionError", facts.code ?? "connection", "retryable", message, facts);
  }
}

/** Any other answer: another 4xx, endless redirects, an address that may not be reached. */
export class RefusedError extends PageError {
  constructor(code: string, message: string, facts: PageErrorFacts = {}) {
    super("RefusedError", code, "permanent", message, facts);
  }
}

/** A site on which no member directory was found; a person has to name one. */
export class NoDirectoryFoundError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("NoDirectoryFoundError", "no_directory_found", "permanent", message, facts);
  }
}

/** A gate said no. */
export class GateError extends PageError {
  constructor(message: string) {
    super("GateError", "gate_failed", "permanent", message);
  }
}

/** One fault of a configuration: where in the file's structure, and what. */
export interface ConfigIssue {
  path: readonly (string | number)[];
  message: string;
}

/** A configuration that cannot be used. All faults of a file are listed at once. */
export class ConfigError extends PageError {
  readonly issues: readonly ConfigIssue[];

  constructor(message: string, facts: PageErrorFacts & { issues?: readonly ConfigIssue[] } = {}) {
    super("ConfigError", "invalid_config", "permanent", message, facts);
    this.issues = facts.issues ?? [];
  }
}
