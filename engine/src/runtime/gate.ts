/** Looks at a job's output through its gate, and says what follows: the report of the attempt, with the verdict beside it. */
import { evaluate } from "../core/condition.ts";
import type { Effect } from "../core/decision.ts";
import type { GateSpec } from "../core/document-agents.ts";
import { TenutoError } from "../core/errors.ts";
import { actionOf, type Finding, type Judgement, judge, judgementText, readClaim } from "../core/gate.ts";
import type { Json } from "../core/model.ts";
import { expand, expandText, type Scope } from "../core/placeholders.ts";
import type { Verdict } from "../core/records.ts";
import { askApproval } from "./approvals.ts";
import type { Execution } from "./execution.ts";
import { type AttemptHost, attemptWork, type Result } from "./work.ts";

const FINDINGS_KEPT = 1_000;
const FINDINGS_IN_ERROR = 20;

/** How long a job waits for a worker that has its judge. */
const NO_JUDGE_MS = 5_000;

/** Puts a job off whose judge this worker has not, in the version that the run began with; another worker may have it. */
export function withoutJudge(
  host: AttemptHost,
  { facts }: Execution,
  gate: GateSpec | undefined,
): { waitMs: number; reason: string } | null {
  if (gate?.agent === undefined) return null;
  const judge = host.definitions.referenceIn(facts.resolved.definition, gate.agent);
  return host.definitions.offers(judge) ? null : { waitMs: NO_JUDGE_MS, reason: `no_judge:${judge}` };
}

/** @throws what the gate's own agent throws */
export async function passGate(
  host: AttemptHost,
  execution: Execution,
  gate: GateSpec,
  input: Json,
  result: Result & { kind: "completed" },
  data: Scope,
): Promise<Result> {
  const output = result.json === null ? null : (JSON.parse(result.json) as Json);
  const judgement = await judgementOf(host, execution, gate, { ...data, input, output });
  const action = actionOf(gate, judgement.verdict);
  const effects = [...(result.effects ?? []), ...gateEffects(execution, judgement, action)];
  execution.log(judgement.verdict === "PASSED" ? "INFO" : "WARNING", `gate: ${judgementText(judgement)}`);
  if (action === "approve") {
    await execution.guarded(effects);
    const show = { verdict: judgement.verdict, findings: kept(judgement.findings), output } as unknown as Json;
    await askApproval(execution, "gate", {
      title: `Gate of ${execution.facts.job.id}: ${judgementText(judgement)}`.slice(0, 500),
      show,
    });
    return { ...result, effects: [] };
  }
  if (action === "continue") return { ...result, effects };
  const category = action === "retry" ? "retryable" : action === "halt" ? "critical" : "permanent";
  return {
    kind: "failed",
    effects,
    error: {
      category,
      code: "gate_failed",
      message: `the gate says ${judgementText(judgement)}`,
      hint: "Its findings are in `tenuto runs show RUN --job JOB` and in the report.",
      details: { verdict: judgement.verdict, findings: judgement.findings.slice(0, FINDINGS_IN_ERROR) },
    },
  };
}

async function judgementOf(host: AttemptHost, execution: Execution, gate: GateSpec, data: Scope): Promise<Judgement> {
  const { job } = execution.facts;
  const claimed: (Verdict | null)[] = [];
  const findings: Finding[] = [];
  for (const [at, check] of (gate.checks ?? []).entries()) {
    const place = `gate.checks[${at}] of job ${job.id}`;
    if (evaluate(check.when, data, place))
      findings.push({ level: check.level, message: expandText(check.message, data, place) });
  }
  if (gate.verdict !== undefined) {
    const claim = readClaim(expand(gate.verdict, data, `gate of job ${job.id}`), `the verdict of job ${job.id}`);
    claimed.push(claim.verdict);
    findings.push(...claim.findings);
  }
  if (gate.agent !== undefined) {
    const reply = await askAgent(host, execution, gate.agent, data);
    const claim = readClaim(reply, `what gate agent ${gate.agent} said of job ${job.id}`);
    claimed.push(claim.verdict);
    findings.push(...claim.findings);
  }
  return judge(claimed, findings, gate);
}

async function askAgent(host: AttemptHost, execution: Execution, name: string, data: Scope): Promise<Json> {
  const { definitions } = host;
  const agent = definitions.agent(definitions.referenceIn(execution.facts.resolved.definition, name));
  if (agent === undefined)
    throw new TenutoError("unknown_agent", `this worker has no gate agent ${name}`, {
      hint: "Give it to the worker with the pipeline's agents.",
    });
  const given = { input: data.input ?? null, output: data.output ?? null };
  const result = await attemptWork(host, execution, agent, given, data);
  if (result.kind === "completed") return result.json === null ? null : (JSON.parse(result.json) as Json);
  throw result.kind === "failed"
    ? Object.assign(new Error(result.error.message), result.error)
    : new TenutoError("stopped", "the gate was stopped", { category: "retryable" });
}

const kept = (findings: readonly Finding[]) => findings.slice(0, FINDINGS_KEPT);

function gateEffects(execution: Execution, judgement: Judgement, action: string): Effect[] {
  const { run, job } = execution.facts;
  const { verdict, warnings, errors } = judgement;
  return [
    {
      type: "put",
      table: "gate",
      row: {
        id: `${job.seq}/${job.attempt}`,
        run: run.seq,
        job: job.seq,
        attempt: job.attempt,
        verdict,
        findings: JSON.stringify(kept(judgement.findings)),
        warnings,
        errors,
        action,
        at: execution.parts.clock.now(),
      },
    },
    { type: "event", name: "gate.decided", job: job.id, data: { verdict, warnings, errors, action } },
  ];
}
