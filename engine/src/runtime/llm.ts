/**
 * One attempt of an LLM agent: what its executor is given, and model calls as steps whose usage is booked with them.
 *
 * Invariants: (1) a model call is made only after its reservation is on disk; (2) its answer and its booking are one
 * commit; (3) a call that was paid is booked even when the lease is gone by then.
 */
import type { LlmAgent } from "../core/agent.ts";
import type { CallPlan, CallUsage } from "../core/budget.ts";
import { totalsOf } from "../core/budget.ts";
import * as changes from "../core/changes.ts";
import type { StepRow } from "../core/decision.ts";
import { TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import { LLM_MAX_DEPTH, narrowed, smallerBudget } from "../core/llm.ts";
import type { Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import { stepKeyText } from "../core/step-key.ts";
import type { CallMeter, OfferedArtifact } from "../ports/llm.ts";
import { AttemptContext } from "./context.ts";
import { Execution } from "./execution.ts";
import type { AttemptScope } from "./scope.ts";
import type { AttemptHost } from "./work.ts";

/** Runs the agent. What it throws is classified where every throw is. */
export async function callModelAgent(
  host: AttemptHost,
  scope: AttemptScope,
  agent: LlmAgent,
  input: Json,
): Promise<Json> {
  const { parts } = host;
  const { run, job, item, attempt, resolved, workspace } = scope.facts;
  parts.files.ensure(workspace);
  const { bindings, spawns = agent.llm.spawns ?? {} } = resolved.spec;
  const within = narrowed(agent.llm, bindings?.ceiling ?? null);
  const budget = smallerBudget(within.budget, resolved.definition.document.modelBudget ?? {});
  const context = new AttemptContext(scope, host.operations);
  const work = parts.models.run({
    agent: { ...agent, llm: { ...within, budget } },
    input,
    context,
    meter: meterOf(scope),
    spawns: scope instanceof Execution && job.depth < LLM_MAX_DEPTH ? spawns : {},
    regression: bindings?.context ?? null,
    life: item === null ? `${job.failures}/${job.firstStartedAt ?? 0}` : "item",
    previousError: async () => {
      const before = item === null ? await parts.ledger.outcome(job.seq) : null;
      return before?.error == null ? null : (JSON.parse(before.error) as Json);
    },
    offered: async () => [...referredTo(input), ...(await offeredTo(context))],
    owner: { job: job.seq, boot: scope.lease.boot },
    item,
    scratch: (name) =>
      parts.files.folder("scratch", `${run.id}.${job.seq}.${attempt}${item === null ? "" : `.${item}`}.${name}`),
    discard: (folder) => parts.files.remove(folder),
    api: host.apiOf(scope),
    now: () => parts.clock.now(),
    hash: parts.hash,
  });
  // Whoever is inside a tool or a call sees the signal; its own end is waited for, so that nothing of it is left behind.
  return await work;
}

function meterOf(scope: AttemptScope): CallMeter {
  const { parts } = scope;
  const { run, job, item } = scope.facts;
  return {
    recall: (key) => scope.recorded(stepKeyText(key), null),
    totals: async () => totalsOf(await parts.ledger.runUsage(run.seq)),
    call: async <T>(...args: Parameters<CallMeter["call"]>): Promise<T> => {
      const [key, request, spec, work, faultOf] = args;
      const text = scope.claimKey(key, meterOf);
      const gate = scope.enter();
      if (gate !== null) await gate;
      try {
        const recorded = await scope.recorded(text, null);
        if (recorded !== undefined) return recorded as T;
        const plan: CallPlan = {
          ...request,
          run: run.seq,
          job: job.seq,
          item: item ?? -1,
          key: text,
          price: spec.model.price ?? null,
          budget: spec.budget,
        };
        return (await makeCall(scope, plan, work, faultOf)) as T;
      } finally {
        scope.leave();
      }
    },
  };
}

async function makeCall(
  scope: AttemptScope,
  plan: CallPlan,
  work: Parameters<CallMeter["call"]>[3],
  faultOf: Parameters<CallMeter["call"]>[4],
): Promise<unknown> {
  const { ledger, clock } = scope.parts;
  const inJob = scope instanceof Execution;
  const grant = await ledger.apply(changes.reserveCall(plan, inJob ? scope.lease : null));
  const startedAt = clock.now();
  let answer: Awaited<ReturnType<typeof work>>;
  try {
    answer = await work(grant);
  } catch (error) {
    const outcome = faultOf(error) === "refused" ? "refused" : null;
    await ledger.apply(changes.settleCall(plan, outcome, null)).catch(() => {});
    throw error;
  }
  return await book(scope, plan, answer, startedAt);
}

/** Books a call that was answered, together with its step. */
async function book(
  scope: AttemptScope,
  plan: CallPlan,
  answer: { value: unknown; usage: CallUsage },
  startedAt: number,
): Promise<unknown> {
  const { ledger, clock } = scope.parts;
  const paid = (row: { lease: Lease; row: StepRow } | null) => changes.settleCall(plan, answer.usage, row);
  let json: string;
  try {
    ({ json } = checkPayload(answer.value, `answer of the model in job ${scope.facts.job.id}`));
  } catch (error) {
    await ledger.apply(paid(null));
    throw error;
  }
  const { job, item, key } = plan;
  const row: StepRow = { job, item, key, inputHash: null, output: json, startedAt, endedAt: clock.now() };
  let recorded = true;
  const write = async () => {
    if (scope instanceof Execution) recorded = await ledger.apply(paid({ lease: scope.lease, row }));
    // An item's lease is its window: two changes of one turn, which the ledger commits together.
    else await Promise.all([ledger.apply(paid(null)), scope.guarded([{ type: "step", row }])]);
  };
  try {
    await write();
  } catch (error) {
    // On a full disk it is written when there is room: the answer has been paid.
    await scope.insist(error, write);
  }
  if (!recorded) throw new TenutoError("lease_lost", `the lease of job ${scope.facts.job.id} was lost during a call`);
  return answer.value;
}

/** What the jobs before this one, its children and its parents have made. */
async function offeredTo(context: AttemptContext): Promise<OfferedArtifact[]> {
  const offered = await context.artifacts();
  return offered.map(({ $artifact, name, type, job, bytes, mediaType }) => ({
    name,
    type,
    job,
    sha256: $artifact.replace(/^sha256:/, ""),
    bytes,
    mediaType,
  }));
}

/** What the input refers to. */
function referredTo(input: Json): OfferedArtifact[] {
  const referred = new Map<string, OfferedArtifact>();
  const look = (value: Json): void => {
    if (typeof value !== "object" || value === null) return;
    if (!Array.isArray(value)) {
      const name = value.$artifact ?? value.$dataset;
      if (typeof name === "string") {
        const sha256 = name.replace(/^sha256:/, "");
        referred.set(sha256, {
          name: typeof value.name === "string" ? value.name : sha256.slice(0, 12),
          type: value.$dataset === undefined ? "file" : "dataset",
          job: null,
          sha256,
          bytes: typeof value.bytes === "number" ? value.bytes : 0,
          mediaType: typeof value.mediaType === "string" ? value.mediaType : "application/octet-stream",
        });
      }
    }
    for (const entry of Object.values(value)) look(entry as Json);
  };
  look(input);
  return [...referred.values()];
}
