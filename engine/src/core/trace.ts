/**
 * Ids of spans, which follow from the ids of runs, jobs and attempts: whoever looks at a run finds its spans without anything
 * being stored, and a span that is told twice is the same.
 *
 * Owner: core. Invariants: (1) each run and each attempt is a trace of its own, since a run may last for weeks; an attempt
 * links to its run; (2) what an attempt causes is below its span, in its trace.
 */

/** SHA-256 in lower-case hex. */
type Hash = (text: string) => string;

export interface SpanIds {
  traceId: string;
  spanId: string;
}

function idsOf(parts: readonly (string | number | null)[], hash: Hash): SpanIds {
  const digest = hash(JSON.stringify(parts));
  return { traceId: digest.slice(0, 32), spanId: digest.slice(32, 48) };
}

export const runSpan = (run: string, hash: Hash): SpanIds => idsOf(["run", run], hash);

/** Of an attempt of a job, or of an item of it. */
export const attemptSpan = (run: string, job: string, attempt: number, item: number | null, hash: Hash): SpanIds =>
  idsOf(["attempt", run, job, attempt, item], hash);

/** Of something below an attempt, in its trace. */
export const childSpan = (above: SpanIds, key: string, hash: Hash): SpanIds => ({
  traceId: above.traceId,
  spanId: idsOf(["child", above.spanId, key], hash).spanId,
});

/** As W3C trace context writes it. */
export const traceParentOf = ({ traceId, spanId }: SpanIds): string => `00-${traceId}-${spanId}-01`;
