/**
 * Requests to the server, in the words of its contract.
 *
 * Invariants: (1) only types come from the contract, so that no schema library is loaded; (2) a failed request is a
 * `ProblemError` with what the server said, or says that the server was not reached; (3) 401 is told to the shell.
 */
import type * as contract from "tenuto/contract";

type Of<T extends { _output: unknown }> = T["_output"];
export type RunSummary = contract.RunSummary;
export type Run = contract.Run;
export type Usage = NonNullable<contract.Run["usage"]>;
export type RunListed = RunSummary & Pick<Of<typeof contract.RunListed>, "failure">;
export type RunGraph = contract.RunGraph;
export type GraphNode = RunGraph["nodes"][number];
export type Stage = RunGraph["stages"][number];
export type JobSummary = contract.JobSummary;
export type Job = contract.Job;
export type LogLine = contract.LogLine;
export type Event = contract.Event;
export type ServerFrame = contract.ServerFrame;
export type StoredError = NonNullable<Job["error"]>;
export type RunState = RunSummary["state"];
export type JobState = JobSummary["state"];
export type RunCounts = Of<typeof contract.RunCounts>;
export type Item = Of<typeof contract.Item>;
export type Artifact = Of<typeof contract.Artifact>;
export type Lineage = Of<typeof contract.Lineage>;
export type Approval = Of<typeof contract.Approval>;
export type PipelineInfo = Of<typeof contract.PipelineInfo>;
export type AgentInfo = Of<typeof contract.AgentInfo>;
export type Budget = NonNullable<AgentInfo["budget"]>;
export type TemplateInfo = Of<typeof contract.TemplateInfo>;
export type Template = Of<typeof contract.Template>;
export type Schedule = Of<typeof contract.Schedule>;
export type Worker = Of<typeof contract.Worker>;
export type Limiter = Of<typeof contract.Limiter>;
export type Webhook = Of<typeof contract.Webhook>;
export type Delivery = Of<typeof contract.Delivery>;
export type Hook = Of<typeof contract.Hook>;
export type Session = Of<typeof contract.Session>;
export type Token = Of<typeof contract.Token>;
export type AuditEntry = Of<typeof contract.AuditEntry>;
export type BulkResult = Of<typeof contract.BulkResult>;
export type Started = Of<typeof contract.Started>;
export type LogPage = Of<typeof contract.LogPage>;
export type Problem = contract.Problem;
export interface Page<T> {
  items: T[];
  next: string | null;
}

export class ProblemError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.name = "ProblemError";
    this.problem = problem;
  }
}

export type Query = Record<string, string | number | boolean | undefined | null>;

export function address(path: string, query: Query = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null && value !== "") given.set(name, String(value));
  return given.size === 0 ? path : `${path}?${given}`;
}

export const runPath = (run: string, rest = "") => `/api/runs/${encodeURIComponent(run)}${rest}`;
export const jobPath = (run: string, job: string, rest = "") => runPath(run, `/jobs/${encodeURIComponent(job)}${rest}`);

export interface Send {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  body?: unknown;
  key?: string;
  signal?: AbortSignal;
}

let onLoggedOut = () => {};
export function whenLoggedOut(call: () => void): void {
  onLoggedOut = call;
}

const unreached = (detail: string): Problem => ({
  type: "about:blank",
  title: "Not reached",
  status: 0,
  detail,
  code: "unreachable",
  hint: "Is `tenuto serve` running? The page goes on by itself when it is back.",
  retryable: true,
});

async function send(path: string, { method = "GET", body, key, signal }: Send): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key !== undefined) headers["idempotency-key"] = key;
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ProblemError(unreached("The server was not reached."));
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && path !== "/api/session") onLoggedOut();
  throw new ProblemError(await problemOf(answer));
}

async function problemOf(answer: Response): Promise<Problem> {
  try {
    return (await answer.json()) as Problem;
  } catch {
    return { ...unreached(`The server answered ${answer.status}.`), status: answer.status, code: "unknown" };
  }
}

export async function call<T>(path: string, options: Send = {}): Promise<T> {
  const answer = await send(path, options);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

export async function textOf(path: string, signal?: AbortSignal): Promise<string> {
  return await (await send(path, signal === undefined ? {} : { signal })).text();
}

export async function blobOf(path: string, signal?: AbortSignal): Promise<Blob> {
  return await (await send(path, signal === undefined ? {} : { signal })).blob();
}

/** The same request for a terminal. */
export function curlOf(path: string, { method = "GET", body }: Send = {}): string {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = ["curl", ...(method === "GET" ? [] : ["-X", method]), '-H "Authorization: Bearer $TENUTO_TOKEN"'];
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(body))}`);
  return [...parts, quote(`${location.origin}${path}`)].join(" ");
}
