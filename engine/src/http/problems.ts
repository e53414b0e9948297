/**
 * Errors as RFC 9457 problems: what happened, a code to decide by, a hint how to mend it.
 *
 * Owner: http. Invariants: (1) a fault of the server says no more than its reference; what it was goes to the operator;
 * (2) no stack, path or SQL leaves the process.
 */
import { randomUUID } from "node:crypto";
import type { Fault, Problem } from "../contract/index.ts";
import { type ErrorCode, TenutoError } from "../core/errors.ts";

export interface HttpProblemOptions {
  hint?: string;
  headers?: Record<string, string>;
  errors?: { path: string; message: string }[];
}

/** A refusal by the server itself, before or beside the engine. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly headers: Record<string, string>;
  readonly errors: { path: string; message: string }[] | undefined;

  constructor(status: number, code: string, message: string, options: HttpProblemOptions = {}) {
    super(message);
    this.name = "HttpProblem";
    this.status = status;
    this.code = code;
    this.hint = options.hint;
    this.headers = options.headers ?? {};
    this.errors = options.errors;
  }
}

const TITLES: Record<number, string> = {
  400: "Bad request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  408: "Request timeout",
  409: "Conflict",
  413: "Content too large",
  414: "URI too long",
  415: "Unsupported media type",
  416: "Range not satisfiable",
  422: "Unprocessable content",
  429: "Too many requests",
  500: "Internal error",
  501: "Not implemented",
  503: "Service unavailable",
  504: "Timeout",
};

const STATUS: Partial<Record<ErrorCode, number>> = {
  not_found: 404,
  unknown_agent: 404,
  unknown_pipeline: 404,
  payload_too_large: 413,
  illegal_transition: 409,
  conflict: 409,
  concurrency_refused: 409,
  definition_changed: 409,
  cannot_resume: 409,
  approval_decided: 409,
  approval_changed: 409,
  spawn_limit: 409,
  lease_lost: 409,
  run_cancelled: 409,
  idempotency_mismatch: 422,
  invalid_input: 422,
  invalid_definition: 422,
  invalid_config: 422,
  invalid_params: 422,
  missing_prerequisites: 422,
  unsupported_value: 422,
  ledger_busy: 503,
  ledger_unavailable: 503,
  disk_full: 503,
  timeout: 504,
};

export interface Told {
  status: number;
  problem: Problem;
  headers: Record<string, string>;
}

/** `onFault` is told of what the problem does not say. */
export function tellProblem(error: unknown, instance: string, onFault: (error: unknown) => void): Told {
  if (error instanceof HttpProblem) return told(error, error.status, instance, error.headers);
  if (error instanceof TenutoError) {
    const status = STATUS[error.code] ?? 500;
    const headers: Record<string, string> = status === 503 ? { "retry-after": "1" } : {};
    if (status < 500) return told(error, status, instance, headers, error.details);
    onFault(error);
    const plain =
      error.code === "disk_full"
        ? {
            code: error.code,
            message: "the disk of the ledger is full",
            hint: "Make room on the machine of the server.",
          }
        : { code: error.code, message: "the ledger can't be used at present", hint: "Try again in a moment." };
    if (status === 503) return told(plain, status, instance, headers);
  } else onFault(error);
  const reference = randomUUID();
  onFault(`reference ${reference} is the fault before this line`);
  return told(
    {
      code: "internal",
      message: `the server has a fault; its log names it under ${reference}`,
      hint: "Try again; if it stays, report it with the log.",
    },
    500,
    instance,
  );
}

interface Facts {
  code: string;
  message: string;
  hint?: string | undefined;
  errors?: { path: string; message: string }[] | undefined;
}

function told(
  facts: Facts,
  status: number,
  instance: string,
  headers: Record<string, string> = {},
  details: Record<string, unknown> = {},
): Told {
  const { code, message, hint, errors } = facts;
  const problem: Problem = {
    type: `urn:tenuto:problem:${code}`,
    title: TITLES[status] ?? "Problem",
    status,
    detail: message,
    code,
    instance,
    retryable: status === 429 || status === 503 || status === 504,
    ...(hint === undefined ? {} : { hint }),
    ...(errors === undefined ? {} : { errors }),
    ...(Object.keys(details).length === 0 ? {} : { details }),
  };
  return { status, problem, headers };
}

/** What zod found, all of it, as one refusal. */
export function invalid(where: string, error: Fault): HttpProblem {
  const errors = error.issues.slice(0, 50).map((issue) => ({
    path: [where, ...issue.path].map(String).join("."),
    message: issue.message,
  }));
  const first = errors[0];
  return new HttpProblem(422, "invalid_input", `${first?.path ?? where}: ${first?.message ?? "is not valid"}`, {
    errors,
    hint: "What each operation takes is described at /api/openapi.json.",
  });
}
