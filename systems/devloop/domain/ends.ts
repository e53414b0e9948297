/**
 * How the work of an agent may end, and what each end means for the job.
 *
 * Invariants:
 * 1. Only `finish` completes. Limits and stops are tried again by the engine's retry policy, a fatal error is not.
 * 2. The exit codes are those of Tenuto's contract: 0 completed, 75 retryable, any other fails for good.
 */

export type End =
  | { kind: "finish"; summary: string; output: unknown }
  | { kind: "spawn"; requests: SpawnRequest[] }
  | { kind: "max_iterations_reached"; iterations: number }
  | { kind: "timeout_exceeded"; seconds: number }
  | { kind: "external_stop" }
  | { kind: "fatal_error"; message: string; retryable: boolean };

export interface SpawnRequest {
  agent_type: string;
  prompt: string;
  reason: string;
}

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_RETRYABLE = 75;

export function exitCodeOf(end: End): number {
  switch (end.kind) {
    case "finish":
    case "spawn":
      return EXIT_DONE;
    case "max_iterations_reached":
    case "timeout_exceeded":
    case "external_stop":
      return EXIT_RETRYABLE;
    case "fatal_error":
      return end.retryable ? EXIT_RETRYABLE : EXIT_FAILED;
  }
}

/** One line for people and for the prompt of the next attempt. */
export function endText(end: End): string {
  switch (end.kind) {
    case "finish":
      return "finished";
    case "spawn":
      return `asks for ${end.requests.length === 1 ? "a job" : `${end.requests.length} jobs`}`;
    case "max_iterations_reached":
      return `max_iterations_reached (${end.iterations})`;
    case "timeout_exceeded":
      return `timeout_exceeded (${end.seconds} s)`;
    case "external_stop":
      return "stopped from outside";
    case "fatal_error":
      return end.message;
  }
}
