/**
 * The shape of a pipeline's graph, computed once per version: what a start has to insert, without looking at payloads.
 *
 * Invariant: declared jobs are numbered in the document's order, so a job's seq is the run's `firstJob` plus its ordinal.
 */
import { agentReference } from "./agent.ts";
import type { JobSpec, PipelineDocument } from "./document.ts";
import { waitsForStage } from "./job-graph.ts";
import type { DependencyType, JobKind, Priority } from "./model.ts";

/** Any worker can multiply a job; its children are for those that offer their agent. */
export const MULTIPLY_AGENT = "engine/multiply";

export interface PlannedJob {
  ordinal: number;
  id: string;
  stage: number;
  kind: JobKind;
  agent: string;
  priority: Priority | null;
  allowFailure: 0 | 1;
  blockers: number;
  barrier: 0 | 1;
  hasDependents: 0 | 1;
}

export interface PlannedEdge {
  from: number;
  to: number;
  on: DependencyType;
}

export interface Plan {
  stages: { name: string; firstJob: number; declared: number }[];
  jobs: PlannedJob[];
  edges: PlannedEdge[];
  /** Spec of each job, by ordinal. */
  specs: JobSpec[];
  ordinals: ReadonlyMap<string, number>;
}

/** The plan of a valid document. Constant work per job and edge. */
export function planOf(document: PipelineDocument): Plan {
  const plan: { stages: Plan["stages"]; jobs: PlannedJob[]; edges: PlannedEdge[]; specs: JobSpec[] } = {
    stages: [],
    jobs: [],
    edges: [],
    specs: [],
  };
  const ordinals = new Map<string, number>();
  document.stages.forEach((stage, stageOrdinal) => {
    plan.stages.push({ name: stage.name, firstJob: plan.specs.length, declared: stage.jobs.length });
    for (const spec of stage.jobs) {
      const ordinal = plan.specs.length;
      ordinals.set(spec.id, ordinal);
      plan.specs.push(spec);
      const barrier = waitsForStage(spec) && stageOrdinal > 0 ? 1 : 0;
      plan.jobs.push({
        ordinal,
        id: spec.id,
        stage: stageOrdinal,
        kind: spec.forEach === undefined ? "single" : "fanout",
        agent: spec.multiply === undefined ? agentReference(spec.agent, document.agents?.[spec.agent]) : MULTIPLY_AGENT,
        priority: spec.priority ?? null,
        allowFailure: spec.allowFailure === true ? 1 : 0,
        blockers: barrier + (spec.needs?.length ?? 0),
        barrier,
        hasDependents: 0,
      });
    }
  });
  plan.specs.forEach((spec, to) => {
    for (const need of spec.needs ?? []) {
      const from = ordinals.get(need.job);
      if (from === undefined) continue;
      plan.edges.push({ from, to, on: need.on });
      plan.jobs[from]!.hasDependents = 1;
    }
  });
  return { ...plan, ordinals };
}
