/**
 * orchestration/association: the jobs of one association, run one after the other as children of this one.
 *
 * The list of jobs is the graph's own (`stages.ts`). Invariants: this job holds no slot while a child works; a child that is done is
 * not run again after a crash; a gate that fails ends the association, not the others.
 */
import type { ChildOutcome, Context, SpawnSpec } from "tenuto";
import { z } from "zod";
import { GateError } from "../../domain/errors.ts";
import type { Verdict } from "../../domain/expected.ts";
import { expand, expandItems } from "../../domain/placeholders.ts";
import { discoveryJobs, enrichStage, extractionJobs, MODES, outputJobs } from "../../stages.ts";

export const associationInput = z.object({
  association: z.string(),
  mode: z.enum(MODES),
  enrichment: z.string().default("all"),
  configDir: z.string().default(""),
  dataDir: z.string().default("data"),
});

export const associationOutput = z.object({
  association: z.string(),
  records: z.number().nullable(),
  enriched: z.number().nullable(),
  findings: z.array(z.object({ level: z.string(), message: z.string() })),
});

type Input = z.infer<typeof associationInput>;

interface Step {
  id: string;
  agent: string;
  input?: object;
  forEach?: { source: string; concurrency: number; errorRate: number };
  onExhausted?: "skip" | "fail";
  timeoutSeconds?: number;
  summary?: string;
  gate?: { agent: string };
  /** An attempt: what goes wrong with it is said, and the association goes on. */
  allowFailure?: boolean;
}

export interface AssociationRunnerOptions {
  /** A model proposes selectors for directories that have no schema of their own. */
  selectors?: boolean;
}

export function associationRunner(ratePerSecond: number, options: AssociationRunnerOptions = {}) {
  return {
    name: "orchestration/association",
    description: "Extracts and enriches one association of several",
    version: "1",
    input: associationInput,
    output: associationOutput,
    run: (input: Input, ctx: Context) => runAssociation(input, ctx, stepsOf(input, ratePerSecond, options)),
  };
}

function stepsOf({ mode }: Input, ratePerSecond: number, options: AssociationRunnerOptions): Step[] {
  const extraction = [
    ...discoveryJobs(ratePerSecond, options),
    ...extractionJobs(ratePerSecond),
    ...outputJobs(),
  ] as Step[];
  return [...(mode === "enrich" ? [] : extraction), ...(mode === "extract" ? [] : (enrichStage() as Step[]))];
}

async function runAssociation(
  input: Input,
  ctx: Context,
  steps: readonly Step[],
): Promise<z.infer<typeof associationOutput>> {
  const values = {
    params: { baseUrl: "", directoryUrl: "", schema: "", maxPages: 0, ...input },
    jobs: {} as Record<string, { output: any }>,
  };
  const findings: Verdict["findings"] = [];
  // The steps of an attempt build on each other: after the first that fails the others are left out.
  let attempting = true;
  for (const step of steps) {
    if (step.allowFailure === true) {
      // As in the graph: only where the association has no schema of its own.
      attempting &&= values.jobs.map?.output.schema === "default";
      const tried: ChildOutcome<any> | null = attempting ? await ctx.spawn(step.id, specOf(step, values)) : null;
      attempting = tried?.state === "completed";
      values.jobs[step.id] = { output: attempting ? tried?.output : null };
      continue;
    }
    const outcome = await ctx.spawn<any>(step.id, specOf(step, values));
    if (outcome.state === "skipped") ctx.skip(`${input.association}: ${step.id} was skipped`);
    values.jobs[step.id] = { output: outcome.output };
    if (step.gate !== undefined) findings.push(...(await passGate(ctx, step, { values, outcome })));
  }
  return {
    association: input.association,
    records: values.jobs.write?.output.records ?? null,
    enriched: values.jobs.write_enriched?.output.records ?? null,
    findings,
  };
}

function specOf(step: Step, values: object): SpawnSpec {
  const { agent, forEach, onExhausted, timeoutSeconds, summary, allowFailure } = step;
  const policy = {
    ...(onExhausted === undefined ? {} : { onExhausted }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
  };
  return {
    agent,
    input: expand(step.input ?? null, values) as any,
    policy,
    ...(allowFailure === undefined ? {} : { allowFailure }),
    ...(summary === undefined ? {} : { summary: String(expandItems(summary, values)) }),
    ...(forEach === undefined
      ? {}
      : {
          forEach: {
            source: expand(forEach.source, values) as any,
            concurrency: forEach.concurrency,
            errorRate: forEach.errorRate,
          },
        }),
  };
}

async function passGate(
  ctx: Context,
  step: Step,
  { values, outcome }: { values: object; outcome: ChildOutcome },
): Promise<Verdict["findings"]> {
  const input = { input: expand(step.input ?? null, values), output: outcome.output } as any;
  const { output } = await ctx.spawn<Verdict>(`${step.id}-gate`, { agent: step.gate!.agent, input });
  for (const { level, message } of output.findings) ctx.log[level === "error" ? "error" : "warn"](message);
  if (output.verdict === "FAILED") throw new GateError(output.findings.map(({ message }) => message).join("; "));
  return output.findings;
}
