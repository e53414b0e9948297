/** What a run would do, without doing it: which addresses it would ask for, how fast, and what it would write. */
import type { Association } from "./association.ts";
import { configuredPagination } from "./association.ts";
import { slowerSpacing } from "./pace.ts";

export interface PlannedAssociation {
  association: string;
  name: string;
  /** Asked for in this order, until a directory is found; robots.txt first. */
  asks: string[];
  /** Pages of the directory and of members, as far as one can tell. */
  expected_requests: number | null;
  seconds_between_requests: number;
  /** At the pace above; null where nobody knows how many members there are. */
  expected_minutes: number | null;
  pagination: string;
  schema: string;
  writes: string[];
}

export interface PlanOptions {
  code: string;
  association: Association;
  schema: string;
  patterns: readonly string[];
  ratePerSecond: number;
  dataDir: string;
}

/** The plan of the extraction of one association. */
export function planExtraction({
  code,
  association,
  schema,
  patterns,
  ratePerSecond,
  dataDir,
}: PlanOptions): PlannedAssociation {
  const { directory_url: directory, url, rate_limit: rateLimit = null, expected_members: members = null } = association;
  const target = directory ?? url;
  const asks = [
    new URL("/robots.txt", target).href,
    ...(directory === undefined
      ? [...patterns.map((pattern) => new URL(pattern, url).href), new URL("/sitemap.xml", url).href]
      : [directory]),
  ];
  const spacing = slowerSpacing({ ratePerSecond, rateLimit, crawlDelaySeconds: null }) ?? 1000 / ratePerSecond;
  const requests = members === null ? null : members + Math.ceil(members / 50) + asks.length;
  return {
    association: code,
    name: association.name,
    asks,
    expected_requests: requests,
    seconds_between_requests: spacing / 1000,
    expected_minutes: requests === null ? null : Math.ceil((requests * spacing) / 60_000),
    pagination: configuredPagination(association.pagination)?.type ?? "as the page shows",
    schema,
    writes: ["site_map.json", "urls.jsonl", "records.jsonl", "errors.jsonl"].map(
      (name) => `${dataDir}/raw/${code}/${name}`,
    ),
  };
}
