/**
 * What an error of a model's provider means for the job. The SDK's own retries are off: the engine's categories and
 * Retry-After decide.
 *
 * Invariants: (1) the message names provider and model and quotes at most the beginning of the provider's answer, masked;
 * (2) `refused` only where the provider answered with an error of its own, so that nothing can have been charged.
 */
import { retryAfterFrom } from "../../core/error-facts.ts";
import { type ErrorCategory, TenutoError } from "../../core/errors.ts";
import type { ModelSpec } from "../../core/llm.ts";
import type { CallFault } from "../../ports/llm.ts";
import type { Mask } from "./secrets.ts";

const QUOTE = 500;

interface ApiError {
  message: string;
  name?: string;
  statusCode?: number;
  responseHeaders?: Record<string, string>;
  responseBody?: string;
  cause?: unknown;
}

export function modelFailure(error: unknown, model: ModelSpec, mask: Mask): TenutoError {
  if (error instanceof TenutoError) return error;
  const api = error as ApiError;
  const { statusCode: status } = api;
  const failed = status !== undefined && (status < 200 || status > 299);
  if (failed) return byStatus(api, status, model, mask);
  if (isTimeout(error))
    return new TenutoError("timeout", `${model.id} did not answer within ${model.callTimeoutSeconds} s`, {
      category: "retryable",
      hint: "Raise callTimeoutSeconds of the model, or ask for less at once.",
    });
  if (status !== undefined || api.name?.startsWith("AI_") === true)
    return new TenutoError("model_failed", `the answer of ${model.id} can't be read: ${mask(short(api.message))}`, {
      category: "retryable",
      hint: `Check that ${model.baseURL ?? "the endpoint"} speaks the wire format of ${model.id.split("/")[0]}.`,
      details: {
        model: model.id,
        ...(api.responseBody === undefined ? {} : { answer: mask(short(api.responseBody)) }),
      },
      cause: error,
    });
  return new TenutoError("model_failed", `${model.id} can't be reached: ${mask(reason(error))}`, {
    category: "retryable",
    hint: `Check the network, and that ${model.baseURL ?? "the provider"} is up.`,
    details: { model: model.id },
  });
}

/** Whether the provider can have charged for the call. */
export function faultOf(error: unknown): CallFault {
  const status = error instanceof TenutoError ? error.details["httpStatus"] : undefined;
  return typeof status === "number" ? "refused" : "lost";
}

function byStatus(api: ApiError, status: number, model: ModelSpec, mask: Mask): TenutoError {
  const { category, hint } = meaningOf(status, api.responseBody ?? "", model);
  const headers = api.responseHeaders ?? {};
  const milliseconds = Number(headers["retry-after-ms"]);
  const wait =
    headers["retry-after-ms"] !== undefined && Number.isFinite(milliseconds)
      ? milliseconds
      : headers["retry-after"] === undefined
        ? undefined
        : retryAfterFrom(headers["retry-after"], headers["date"] ?? null);
  return new TenutoError("model_failed", `${model.id} answered with HTTP ${status}: ${mask(short(api.message))}`, {
    category,
    hint,
    // Not `status`: rules of the engine for web pages (404 is skipped) do not hold for models.
    details: {
      model: model.id,
      httpStatus: status,
      ...(api.responseBody === undefined ? {} : { answer: mask(short(api.responseBody)) }),
    },
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
  });
}

function meaningOf(status: number, body: string, model: ModelSpec): { category: ErrorCategory; hint: string } {
  const key = model.keyEnv === null ? "the endpoint's access rights" : `the key in ${model.keyEnv}`;
  if (status === 401 || status === 403)
    return { category: "critical", hint: `Check ${key}, then retry the run: finished calls are kept.` };
  if (status === 402 || /insufficient_quota|credit balance is too low/i.test(body))
    return { category: "critical", hint: "The account has no credit left: top it up, then retry the run." };
  if (status === 404)
    return { category: "permanent", hint: `Check the name of the model and ${model.baseURL ?? "the endpoint"}.` };
  if (status === 408 || status === 409 || status === 425 || status === 429 || status >= 500)
    return { category: "retryable", hint: "The call is tried again by the job's retry policy." };
  return { category: "permanent", hint: "The request itself was refused; the provider's answer says why." };
}

function isTimeout(error: unknown): boolean {
  for (let link = error, depth = 0; link instanceof Error && depth < 5; link = link.cause as Error, depth++)
    if (link.name === "TimeoutError") return true;
  return false;
}

function reason(error: unknown): string {
  const parts: string[] = [];
  for (let link = error, depth = 0; link instanceof Error && depth < 4; link = link.cause as Error, depth++)
    if (link.message !== "" && !parts.includes(link.message)) parts.push(link.message);
  return short(parts.join(": ") || String(error));
}

function short(text: string): string {
  return text.length <= QUOTE ? text : `${text.slice(0, QUOTE)}…`;
}
