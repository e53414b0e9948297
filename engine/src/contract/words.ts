/**
 * The words that all requests and responses are made of: states, ids, times, pages, problems.
 *
 * Owner: contract. Invariants: (1) requests are strict, an unknown field is refused; responses may grow, a reader ignores
 * what it does not know; (2) times are ISO 8601 in UTC, durations milliseconds with `Ms` at the end of their name; (3) ids
 * here never become paths.
 */
import { z } from "zod";
import type { ItemState, JobState, Priority, RunState, StageState } from "../core/model.ts";

/** What a schema gives, and what it finds wrong; so that nobody else needs the schema library. */
export type Infer<T extends z.ZodType> = z.infer<T>;
export type Fault = z.ZodError;

export const RunStates = z.enum([
  "pending",
  "running",
  "waiting",
  "completed",
  "failed",
  "cancelled",
] satisfies RunState[]);
export const JobStates = z.enum([
  "pending",
  "ready",
  "running",
  "waiting",
  "completed",
  "failed",
  "skipped",
  "cancelled",
] satisfies JobState[]);
export const StageStates = z.enum([
  "pending",
  "running",
  "completed",
  "failed",
  "skipped",
  "cancelled",
] satisfies StageState[]);
export const ItemStates = z.enum([
  "pending",
  "running",
  "completed",
  "failed",
  "skipped",
  "cancelled",
] satisfies ItemState[]);
export const Priorities = z.enum(["high", "normal", "low"] satisfies Priority[]);
export const Roles = z.enum(["viewer", "operator", "admin"]);
export const LogLevels = z.enum(["INFO", "WARNING", "ERROR"]);

/** Anything that JSON can say. */
export const JsonValue = z.unknown().meta({ id: "Json", description: "Any JSON value." });

/** The grammar of names in core: letters, digits, dots, dashes and underscores. */
export const Name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "must be a name: letters, digits, '.', '_', '-'");
/** Ids of jobs have a part for each job above them, with slashes between. */
export const JobId = z
  .string()
  .max(4_000)
  .regex(/^[A-Za-z0-9][^\p{Cc}\\]*$/u, "must be the id of a job");
export const Sha256 = z.string().regex(/^[a-f0-9]{64}$/, "must be 64 lower-case hex digits");
export const Exclude = z
  .strictObject({ stages: z.array(Name).max(1_000).optional(), jobs: z.array(JobId).max(5_000).optional() })
  .meta({ description: "Stages and jobs to leave out; what depends on them depends on what they depended on." });
export const Time = z.iso.datetime().meta({ id: "Time", description: "Time in UTC, ISO 8601." });
export const MaybeTime = Time.nullable();
export const Count = z.int().min(0);

/** Text of at most this many characters, without NUL. */
export const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes("\0"), "must not hold NUL");

/** `a,b,c` in a query, each of the words of an enum. */
export const listOf = <T extends Record<string, string>>(words: z.ZodEnum<T>) =>
  z
    .string()
    .max(400)
    .transform((given) => given.split(",").map((word) => word.trim()))
    .pipe(z.array(words).min(1).max(20));

export const limitUpTo = (max: number, otherwise: number) => z.coerce.number().int().min(1).max(max).default(otherwise);
export const Flag = z.enum(["true", "false"]).transform((given) => given === "true");
export const Cursor = z.string().regex(/^[0-9]{1,16}(-[0-9]{1,9})?$/, "must be a cursor that a page or a stream gave");

export const page = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item),
    /** Give it as `after` for the next page; null on the last one. A page may be short and still not be the last. */
    next: z.string().nullable(),
  });

export const StoredErrorShape = z
  .object({
    category: z.enum(["retryable", "skippable", "critical", "permanent"]),
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
    details: z.record(z.string(), z.unknown()).optional(),
    stack: z.string().optional(),
    retryAfterMs: z.number().optional(),
  })
  .meta({ id: "StoredError", description: "Why a job, an attempt or an item failed." });

export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().meta({ description: "What programs decide by." }),
    hint: z.string().optional().meta({ description: "How to mend it." }),
    instance: z.string().optional(),
    retryable: z.boolean(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457 problem." });
export type Problem = z.infer<typeof Problem>;
