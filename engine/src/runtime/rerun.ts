/**
 * Rerun from a job: a new run of the same pipeline in which every job that has no part in the change is answered from the run
 * that it comes from, artifacts and fan-out results included.
 *
 * Invariants: (1) each job says why it was reused or run again; (2) a job is reused only while every object that its result
 * names is there, and these are made young first, so that no collector of garbage removes them before they are registered;
 * (3) the artifacts of a reused job are registered for the new run, so that they outlive the old one.
 */
import { upstreamOf } from "../core/artifact.ts";
import * as changes from "../core/changes.ts";
import type { Effect } from "../core/decision.ts";
import type { JobSpec } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import { type Json, type RunSeq, type RunVariant, variantOf } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import { checkPayload } from "../core/payload.ts";
import { canonicalJson } from "../core/pipeline.ts";
import { expand, references, type Scope } from "../core/placeholders.ts";
import type { Plan } from "../core/plan.ts";
import { changedWork, declaredValues, PLANNED } from "../core/rerun.ts";
import type { JobRecord, Ledger, RunRecord } from "../ports/ledger.ts";
import type { Definitions, LoadedDefinition } from "./definitions.ts";
import type { Execution } from "./execution.ts";
import { offeredTo, referencedHashes } from "./offer.ts";
import type { Result } from "./work.ts";

/** What a start of a rerun asks for. */
export interface RerunRequest {
  /** Id of the run to begin again. */
  run: string;
  /** The first job to run again; without it all do. */
  from?: string;
  /** Takes the place of the input that the pipeline gives to that job. Placeholders are allowed. */
  input?: Json;
}

export interface RerunStart {
  origin: RunSeq;
  variant: RunVariant;
  specs: Map<number, string>;
}

/** What becomes of the request: the run's header, and specs of jobs whose input is not the pipeline's. */
export async function rerunStart(
  ledger: Ledger,
  plan: Plan,
  origin: RunRecord,
  { from, input }: Omit<RerunRequest, "run">,
): Promise<RerunStart> {
  const specs = await givenInputs(ledger, plan, origin);
  const variant = (): RunVariant => {
    const inputs = [...specs.keys()].map((ordinal) => plan.specs[ordinal]!.id);
    return { relation: "rerun", ...(from === undefined ? {} : { from }), ...(inputs.length === 0 ? {} : { inputs }) };
  };
  if (from === undefined) {
    if (input !== undefined)
      throw new TenutoError("invalid_input", "an input needs the job that it is for", { hint: "Say from which job." });
    return { origin: origin.seq, variant: variant(), specs };
  }
  const ordinal = plan.ordinals.get(from);
  if (ordinal === undefined)
    throw new TenutoError("not_found", `there is no job ${JSON.stringify(from)} to begin with`, {
      hint: suggest(from, [...plan.ordinals.keys()], "job"),
    });
  if (input !== undefined) {
    references(input, `input of job ${from}`);
    const spec: JobSpec = { ...plan.specs[ordinal]!, input };
    specs.set(ordinal, checkPayload(spec, `input of job ${from}`).json);
  }
  return { origin: origin.seq, variant: variant(), specs };
}

/** Inputs that somebody gave to jobs of the origin hold for the new run as well. */
async function givenInputs(ledger: Ledger, plan: Plan, origin: RunRecord): Promise<Map<number, string>> {
  const specs = new Map<number, string>();
  const { inputs } = variantOf(origin);
  if (!Array.isArray(inputs)) return specs;
  for (const job of await ledger.jobs(origin.seq)) {
    const ordinal = plan.ordinals.get(job.id);
    if (job.parent !== null || ordinal === undefined || !inputs.includes(job.id)) continue;
    const given = JSON.parse((await ledger.spec(job.seq)) ?? "{}") as Partial<JobSpec>;
    if (given.input !== undefined)
      specs.set(ordinal, JSON.stringify({ ...plan.specs[ordinal]!, input: given.input } satisfies JobSpec));
  }
  return specs;
}

const BATCH = 500;

/** The result of the same job of the origin, if nothing has changed for it; null, and a note why, if it is to be run. */
export async function answerFromOrigin(
  scope: Execution,
  definitions: Definitions,
  data: Scope,
): Promise<Result | null> {
  const { run, job } = scope.facts;
  if (run.origin === null || job.parent !== null) return null;
  const { relation, from } = variantOf(run);
  if (relation !== "rerun" || typeof from !== "string") return null;
  const { ledger } = scope.parts;
  const origin = await ledger.run(run.origin);
  const looked =
    origin === null ? "the run that it comes from is gone" : await look(scope, definitions, data, origin, from);
  if (typeof looked !== "string") {
    const effects = await takeOver(scope, looked);
    if (effects !== null)
      return {
        kind: "completed",
        json: looked.output,
        reusedFrom: `${origin!.id}/${looked.id}`,
        effects,
      };
  }
  const why = typeof looked === "string" ? looked : "an object that its result names is gone";
  if (job.attempt === 1)
    await scope.working(() => ledger.apply(changes.noteOfJob(job.seq, scope.lease, "job.again", { why })));
  return null;
}

/** The job of the origin that answers this one, or why none does. */
async function look(
  scope: Execution,
  definitions: Definitions,
  data: Scope,
  origin: RunRecord,
  from: string,
): Promise<JobRecord | string> {
  const { run, job, resolved } = scope.facts;
  const { plan } = resolved.definition;
  const first = plan.ordinals.get(from);
  const ordinal = job.seq - run.firstJob;
  if (ordinal === first) return "the rerun begins with it";
  if (first !== undefined && upstreamOf(plan, ordinal).has(first)) return `downstream of ${from}`;
  const definition = await definitions.load(origin.version);
  const before = await sameJob(scope, definition, origin);
  if (before === null) return `${origin.id} has no such job`;
  if (before.state !== "completed") return `it is ${before.state} in ${origin.id}`;
  if (before.reason === PLANNED) return `it was only planned in ${origin.id}`;
  if (before.agent !== job.agent) return `changed: version of its agent (${before.agent}, now ${job.agent})`;
  const resolvedBefore = await definitions.resolve(origin, before);
  const part = changedWork(resolvedBefore.spec, resolved.spec);
  if (part !== null) return `changed: ${part}`;
  const own = { attempt: data.attempt ?? null, context: data.context ?? null };
  const dataBefore = { ...(await definitions.scope(origin, before, resolvedBefore)), ...own };
  const value = changedValue(declaredValues(resolved.spec), { ...data, ...own }, dataBefore);
  if (value !== null) return `changed: {{ ${value} }}`;
  return (await sameOffer(scope, before)) ? before : "changed: the artifacts that it is offered";
}

async function sameJob(scope: Execution, { plan }: LoadedDefinition, origin: RunRecord): Promise<JobRecord | null> {
  const ordinal = plan.ordinals.get(scope.facts.job.id);
  return ordinal === undefined ? null : await scope.parts.ledger.job(origin.firstJob + ordinal);
}

/** The first placeholder that says something else than before. Templates are the same; what an item says follows from the rest. */
function changedValue(values: { [name: string]: Json }, now: Scope, before: Scope): string | null {
  const look = (text: string, scope: Scope): string | null => {
    try {
      return canonicalJson(expand(`{{ ${text} }}`, scope));
    } catch {
      return null;
    }
  };
  for (const value of Object.values(values))
    for (const { path, text } of references(value)) {
      if (!["params", "jobs", "run"].includes(String(path[0]))) continue;
      if (look(text, now) !== look(text, before)) return text;
    }
  return null;
}

/** Programs and models may look at whatever is offered; a function has said what it looked at. */
async function sameOffer(scope: Execution, before: JobRecord): Promise<boolean> {
  const { agent, spec } = scope.facts.resolved;
  const used = (await scope.parts.ledger.consumedBy(before.seq)).filter((use) => use.how === "offered");
  const looks = spec.command !== undefined || (agent !== null && agent.kind !== "function");
  if (!looks && used.length === 0) return true;
  const then = used.map(({ record }) => (record === null ? "?" : `${record.jobId}/${record.name} ${record.sha256}`));
  // What a reused parent's children made is offered under the parent's name.
  const strip = (text: string) => text.replaceAll("/", " ");
  const now = (await offeredTo(scope)).map((record) => `${record.jobId}/${record.name} ${record.sha256}`);
  return then.map(strip).sort().join("\n") === now.map(strip).sort().join("\n");
}

/** Effects that register the artifacts of the old job for the new one; null if an object is gone. */
async function takeOver(scope: Execution, before: JobRecord): Promise<Effect[] | null> {
  const { run, job, attempt } = scope.facts;
  const { ledger, store, clock } = scope.parts;
  if (before.output !== null)
    for (const hash of referencedHashes(JSON.parse(before.output) as Json)) if (!(await store.touch(hash))) return null;
  let effects: Effect[] = [];
  for (let after = 0; ; ) {
    const page = await ledger.artifactsOfJob(before.seq, after, BATCH);
    for (const record of page) {
      if (!(await store.touch(record.sha256))) return null;
      const { name, type, sha256, bytes, mediaType, offered, item, id } = record;
      const below = record.job === before.seq ? "" : `${record.jobId.slice(before.id.length + 1)}/`;
      effects.push({
        type: "artifact",
        row: {
          run: run.seq,
          job: job.seq,
          attempt,
          name: `${below}${name}`,
          type,
          sha256,
          bytes,
          mediaType,
          at: clock.now(),
          item: item ?? -1,
          offered,
          source: id,
        },
      });
    }
    if (page.length < BATCH) return effects;
    after = page.at(-1)!.id;
    const batch = effects;
    effects = [];
    await scope.working(() => scope.guarded(batch));
  }
}
