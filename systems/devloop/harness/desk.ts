/** What an attempt of a role has at hand: its task, its job, and its limits. */
import type { Json } from "tenuto";
import type { ActionsRecord } from "./record.ts";
import type { Job } from "./socket.ts";
import type { AttemptContext, Task } from "./task.ts";

export interface Desk {
  task: Task;
  context: AttemptContext;
  runId: string;
  jobId: string;
  job: Job;
  record: ActionsRecord;
  now: () => number;
  /** When the harness must be done. */
  deadline: number;
  signal: AbortSignal;
  print: (line: string) => void;
  /** Attempts of this job that failed before. */
  failures: number;
  /** How often the job had come to a final word, and a person opened it again: each life begins new conversations. */
  life: number;
}

/** How a role ends. Final: a person has to open the job again before anything else comes of it. */
export type RoleEnd =
  | { kind: "done"; output: Json; final?: boolean }
  | { kind: "spawn"; output: Json }
  | { kind: "failed"; error: string; retryable: boolean };
