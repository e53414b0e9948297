/**
 * A job that becomes several: one child per element of a list that another job made, in the same stage, each with its own
 * attempts and gate. The job waits for all of them, and its result says how each ended.
 *
 * Invariants: (1) children are keyed by position, so that a crash or a retry makes none twice; (2) the list is fixed by the
 * first read; (3) the job completes only if all children did.
 */
import type { MultiplySpec } from "../core/document-agents.ts";
import { TenutoError } from "../core/errors.ts";
import { MAX_CHILDREN_PER_JOB, PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { Json } from "../core/model.ts";
import { parseElements } from "../core/multiply.ts";

import { expand, type Scope } from "../core/placeholders.ts";
import { outcomeOf, repeatable } from "./children.ts";
import type { Execution } from "./execution.ts";
import { recordUse } from "./offer.ts";
import type { Result } from "./work.ts";

const LIST_STEP = "tenuto:elements";

export async function multiplyJob(execution: Execution, multiply: MultiplySpec, data: Scope): Promise<Result> {
  const { job, resolved } = execution.facts;
  const startedAt = execution.parts.clock.now();
  let elements = (await execution.recorded(LIST_STEP, null)) as Json[] | undefined;
  if (elements === undefined) {
    elements = await elementsOf(execution, multiply, data);
    const json = JSON.stringify(elements);
    await execution.working(() => execution.record(LIST_STEP, null, json, startedAt));
  }
  const base = repeatable(resolved.spec);
  const ends: Json[] = [];
  const bad: string[] = [];
  const atOnce = multiply.concurrency ?? elements.length;
  for (let from = 0; from < elements.length; from += atOnce) {
    const part = elements.slice(from, from + atOnce);
    const seqs = await execution.working(() =>
      Promise.all(
        part.map((item, at) =>
          execution.spawnSpec(
            { ...base, id: String(from + at), bindings: { ...base.bindings, item, index: from + at } },
            { allowFailure: true },
          ),
        ),
      ),
    );
    const records = await Promise.all(seqs.map((seq) => execution.childEnd(seq)));
    for (const [at, record] of records.entries()) {
      const { id, state, output, error } = outcomeOf<Json>(record, true);
      ends.push({ index: from + at, id, state, output, error: error as unknown as Json });
      if (state !== "completed")
        bad.push(`${id} is ${state}${error === null ? "" : `: ${error.message.slice(0, 200)}`}`);
    }
  }
  if (bad.length > 0)
    throw new TenutoError(
      "job_failed",
      `${bad.length} of ${ends.length} jobs that ${job.id} became did not complete: ${bad.slice(0, 3).join("; ")}`,
      {
        hint: "`tenuto runs retry` runs only those again.",
        details: { failed: bad.length, total: ends.length },
      },
    );
  const json = JSON.stringify(ends);
  if (json.length <= PAYLOAD_MAX_BYTES / 2) return { kind: "completed", json };
  const ref = await execution.working(() => execution.dataset("outcomes", ends, true));
  return { kind: "completed", json: JSON.stringify(ref) };
}

async function elementsOf(execution: Execution, multiply: MultiplySpec, data: Scope): Promise<Json[]> {
  const { job } = execution.facts;
  const { source, parse = "json" } = multiply;
  const place = `multiply.source of job ${job.id}`;
  const given =
    typeof source === "object" && !Array.isArray(source)
      ? await artifactText(execution, source)
      : expand(source, data, place);
  const elements =
    typeof given === "string" ? parseElements(given, parse, place) : Array.isArray(given) ? given : [given];
  if (elements.length > MAX_CHILDREN_PER_JOB)
    throw new TenutoError("spawn_limit", `${place} has ${elements.length} elements`, {
      hint: `A job becomes at most ${MAX_CHILDREN_PER_JOB}; forEach goes to a million items.`,
    });
  return elements;
}

async function artifactText(execution: Execution, source: { job: string; artifact: string }): Promise<string> {
  const { parts, facts } = execution;
  const ordinal = facts.resolved.definition.plan.ordinals.get(source.job);
  const seq = ordinal === undefined ? -1 : facts.run.firstJob + ordinal;
  const found = (await parts.ledger.artifacts(facts.run.seq)).filter(
    (row) => row.job === seq && row.name === source.artifact,
  );
  const row = found.at(-1);
  if (row === undefined)
    throw new TenutoError("not_found", `job ${source.job} has no artifact named ${JSON.stringify(source.artifact)}`, {
      hint: "Look at them with `tenuto artifacts list`.",
    });
  await execution.working(() => recordUse(execution, row.sha256, "input"));
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of parts.store.get(row.sha256)) {
    bytes += chunk.length;
    if (bytes > PAYLOAD_MAX_BYTES)
      throw new TenutoError("payload_too_large", `artifact ${row.name} is larger than 1 MB`, {
        hint: "Use forEach with a dataset.",
      });
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}
