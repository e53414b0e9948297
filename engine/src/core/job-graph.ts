/**
 * The graph of a document's jobs: cycles with their path, and which jobs are certainly upstream of which.
 *
 * Owner: core. Invariants:
 * 1. Stage barriers are counters, never edges: two stages of 5,000 jobs cost 10,000 steps, not 25 million.
 * 2. No recursion; time grows with jobs + dependencies.
 * 3. Every cycle that is reported exists, and a graph without reports has an order.
 */
import type { JobSpec, PipelineDocument } from "./document.ts";

/** Whether a job waits for the stage before as a whole. */
export function waitsForStage(spec: JobSpec): boolean {
  return spec.needs === undefined || spec.afterStage === true;
}

export interface JobNode {
  spec: JobSpec;
  stage: number;
  /** Position in its stage. */
  ordinal: number;
  /** Jobs that it depends on, as positions in the graph. */
  needs: number[];
  /** 1 if it waits for the stage before. */
  barrier: 0 | 1;
}

export interface JobGraph {
  nodes: JobNode[];
  byId: ReadonlyMap<string, number>;
  /** First node of each stage, and one more for the end: nodes of stage s are [starts[s], starts[s + 1]). */
  starts: number[];
  /** Nodes so that each comes after all that it waits for; without the members of cycles and what waits for them. */
  order: number[];
  /** Each as the nodes of a circle in which every one waits for the next. At most `MAX_CYCLES`. */
  cycles: number[][];
}

const MAX_CYCLES = 10;
const CHUNK = 1_024;

/** The graph of a document. Dependencies on jobs that don't exist are left out; of jobs with the same id the first counts. */
export function jobGraph(document: PipelineDocument): JobGraph {
  const nodes: JobNode[] = [];
  const byId = new Map<string, number>();
  const starts: number[] = [];
  document.stages.forEach((stage, stageIndex) => {
    starts.push(nodes.length);
    stage.jobs.forEach((spec, ordinal) => {
      if (!byId.has(spec.id)) byId.set(spec.id, nodes.length);
      nodes.push({
        spec,
        stage: stageIndex,
        ordinal,
        needs: [],
        barrier: waitsForStage(spec) && stageIndex > 0 ? 1 : 0,
      });
    });
  });
  starts.push(nodes.length);
  for (const node of nodes) {
    for (const need of node.spec.needs ?? []) {
      const target = byId.get(need.job);
      if (target !== undefined) node.needs.push(target);
    }
  }
  return { nodes, byId, starts, ...settle(nodes, starts) };
}

/**
 * Which of `pairs` (job, target) hold: the target has certainly ended before the job starts. Works on 1,024 targets at
 * a time, one bit each, so that memory stays small for any number of jobs.
 */
export function upstreamPairs(graph: JobGraph, pairs: readonly (readonly [number, number])[]): boolean[] {
  const result = pairs.map(() => false);
  const targets = [...new Set(pairs.map(([, target]) => target))];
  for (let from = 0; from < targets.length; from += CHUNK) {
    const column = new Map(targets.slice(from, from + CHUNK).map((target, i) => [target, i]));
    const words = Math.ceil(column.size / 32);
    const above = closure(graph, column, words);
    pairs.forEach(([job, target], i) => {
      const bit = column.get(target);
      if (bit !== undefined) result[i] = (above[job * words + (bit >> 5)]! & (1 << (bit & 31))) !== 0;
    });
  }
  return result;
}

/** For each node the bits of the targets upstream of it. */
function closure(graph: JobGraph, column: ReadonlyMap<number, number>, words: number): Uint32Array {
  const { nodes, order, starts } = graph;
  const above = new Uint32Array(nodes.length * words);
  // Per stage: the union over its jobs, themselves included; complete before anything waits for the barrier.
  const stages = new Uint32Array((starts.length - 1) * words);
  for (const at of order) {
    const node = nodes[at]!;
    const row = at * words;
    for (const need of node.needs) {
      for (let w = 0; w < words; w++) above[row + w]! |= above[need * words + w]!;
      const bit = column.get(need);
      if (bit !== undefined) above[row + (bit >> 5)]! |= 1 << (bit & 31);
    }
    if (node.barrier === 1) {
      for (let w = 0; w < words; w++) above[row + w]! |= stages[(node.stage - 1) * words + w]!;
    }
    for (let w = 0; w < words; w++) stages[node.stage * words + w]! |= above[row + w]!;
    const own = column.get(at);
    if (own !== undefined) stages[node.stage * words + (own >> 5)]! |= 1 << (own & 31);
  }
  return above;
}

/** Releases jobs as a run would; what is never released waits for itself. */
function settle(nodes: readonly JobNode[], starts: readonly number[]): { order: number[]; cycles: number[][] } {
  const dependents = dependentsOf(nodes);
  const blockers = nodes.map((node) => node.needs.length + node.barrier);
  const openInStage = starts.slice(1).map((end, stage) => end - starts[stage]!);
  const done = new Uint8Array(nodes.length);
  const order: number[] = [];
  const queue: number[] = [];
  const unblock = (at: number): void => {
    blockers[at]!--;
    if (blockers[at] === 0 && done[at] === 0) queue.push(at);
  };
  const finish = (at: number): void => {
    done[at] = 1;
    for (let i = dependents.first[at]!; i < dependents.first[at + 1]!; i++) unblock(dependents.list[i]!);
    const stage = nodes[at]!.stage;
    openInStage[stage]!--;
    if (openInStage[stage]! > 0 || stage + 2 >= starts.length) return;
    for (let next = starts[stage + 1]!; next < starts[stage + 2]!; next++)
      if (nodes[next]!.barrier === 1) unblock(next);
  };
  const drain = (): void => {
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      if (done[at] === 1) continue;
      order.push(at);
      finish(at);
    }
  };
  nodes.forEach((_, at) => {
    if (blockers[at] === 0) queue.push(at);
  });
  drain();
  const cycles: number[][] = [];
  // Taking a found circle out lets the rest settle, so that separate circles are all reported.
  for (let at = 0; at < nodes.length && cycles.length < MAX_CYCLES; at++) {
    while (done[at] === 0 && cycles.length < MAX_CYCLES) {
      const cycle = circleFrom(at, nodes, starts, done);
      cycles.push(cycle);
      for (const member of cycle) finish(member);
      const reported = order.length;
      drain();
      order.length = reported;
    }
  }
  return { order, cycles };
}

/** The reverse of `needs` in two flat lists: dependents of n are list[first[n]] up to list[first[n + 1]]. */
function dependentsOf(nodes: readonly JobNode[]): { first: Int32Array; list: Int32Array } {
  const first = new Int32Array(nodes.length + 1);
  for (const node of nodes) for (const need of node.needs) first[need + 1]!++;
  for (let at = 0; at < nodes.length; at++) first[at + 1]! += first[at]!;
  const list = new Int32Array(first[nodes.length]!);
  const next = first.slice();
  for (let at = 0; at < nodes.length; at++) for (const need of nodes[at]!.needs) list[next[need]!++] = at;
  return { first, list };
}

/** Follows, from a job that is never released, what it waits for, until a job comes up again. */
function circleFrom(start: number, nodes: readonly JobNode[], starts: readonly number[], done: Uint8Array): number[] {
  const position = new Int32Array(nodes.length).fill(-1);
  const path: number[] = [];
  let at = start;
  while (position[at]! < 0) {
    position[at] = path.length;
    path.push(at);
    const node = nodes[at]!;
    let next = node.needs.find((need) => done[need] === 0);
    if (next === undefined) {
      next = starts[node.stage - 1]!;
      while (done[next] === 1) next++;
    }
    at = next;
  }
  return path.slice(position[at]!);
}
