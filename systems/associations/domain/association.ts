/** An association as configured, and what a run may set instead. */
import { z } from "zod";
import { configError, issuesOf } from "./config-issues.ts";
import type { ConfigIssue } from "./errors.ts";
import { ConfigError } from "./errors.ts";
import type { Pagination } from "./pagination.ts";
import { NO_PAGINATION, paramTypeOf } from "./pagination.ts";

const httpUrl = z.string().regex(/^https?:\/\/[^\s/]+/i, "must be an http(s) address");

const paginationSchema = z.strictObject({
  type: z.enum(["none", "auto", "pages", "query_param", "path_segment", "next_link", "load_more", "infinite_scroll"]),
  param: z.string().optional(),
  param_type: z.enum(["page", "count", "offset"]).optional(),
  pattern: z.string().includes("{n}").optional(),
  start: z.number().int().min(0).optional(),
  page_size: z.number().int().positive().optional(),
});

const associationSchema = z.strictObject({
  name: z.string().min(1),
  url: httpUrl,
  directory_url: httpUrl.optional(),
  pagination: paginationSchema.optional(),
  expected_members: z.number().int().positive().optional(),
  /** Requests a second. */
  rate_limit: z.number().positive().optional(),
  /** Name of the extraction schema; default: the code in lower case if there is such a schema, else `default`. */
  schema: z.string().optional(),
  max_pages: z.number().int().positive().optional(),
  /** CSS selector of the links to members, where the general rules fail. */
  member_links: z.string().optional(),
  priority: z.enum(["high", "normal", "low"]).optional(),
});

export type Association = z.infer<typeof associationSchema>;

/** Codes name folders and files, so they are kept plain. */
export const ASSOCIATION_CODE = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

/** All associations of a configuration file. @throws ConfigError naming the entry */
export function readAssociations(content: unknown): Map<string, Association> {
  if (content === null || typeof content !== "object" || Array.isArray(content)) {
    throw new ConfigError("associations.yaml must be a mapping from codes to associations");
  }
  const associations = new Map<string, Association>();
  const issues: ConfigIssue[] = [];
  for (const [code, entry] of Object.entries(content)) {
    if (!ASSOCIATION_CODE.test(code))
      issues.push({ path: [code], message: "a code is a letter followed by letters, digits, _ or -" });
    const parsed = associationSchema.safeParse(entry);
    if (parsed.success) associations.set(code, parsed.data);
    else issues.push(...issuesOf(parsed.error, [code]));
  }
  if (issues.length > 0) throw configError("associations.yaml", issues);
  return associations;
}

/** The configured pagination in full; `pages` means: follow the page links that are there. Null when nothing is configured. */
export function configuredPagination(spec: Association["pagination"]): Pagination | null {
  if (spec === undefined) return null;
  if (spec.type === "pages" || spec.type === "auto") return { ...NO_PAGINATION, type: "auto" };
  return {
    type: spec.type,
    param: spec.param ?? null,
    param_type: spec.param_type ?? (spec.param === undefined ? null : paramTypeOf(spec.param)),
    pattern: spec.pattern ?? null,
    start: spec.start ?? 1,
    page_size: spec.page_size ?? null,
  };
}
