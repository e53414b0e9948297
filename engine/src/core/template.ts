/**
 * A pipeline without some of its jobs: what a start with excluded stages and jobs runs.
 *
 * Owner: core. An excluded job counts as one that does nothing and succeeds. Invariants:
 * 1. What a remaining job waited for, it still waits for: the needs of an excluded job take its place, through any number
 *    of excluded jobs in a row, and so does the stage barrier that it waited for.
 * 2. A need on `success` of an excluded job becomes that job's needs, one on `always` becomes `always` on the same jobs, one
 *    on `failure` can never be met: the job that has it is left out as well, and said to be.
 * 3. A remaining job that refers to a result of one that is left out is an error that names both; nothing is guessed.
 */
import type { Dependency, JobSpec, PipelineDocument, StageSpec } from "./document.ts";
import { TenutoError } from "./errors.ts";
import { type JobGraph, jobGraph, upstreamPairs } from "./job-graph.ts";
import { declaredParams, jobReferences } from "./job-references.ts";
import type { DependencyType } from "./model.ts";
import { suggest } from "./names.ts";
import { validateDocument } from "./pipeline.ts";

export interface Exclusion {
  stages?: readonly string[];
  jobs?: readonly string[];
}

export interface Excluded {
  document: PipelineDocument;
  /** Jobs that were asked to be left out, those of excluded stages among them. */
  jobs: string[];
  /** Jobs that are left out because they can't start any more, each with the reason. */
  implied: { job: string; reason: string }[];
  /** Rights that remaining jobs lose: who may no longer run whom again. */
  rights: { job: string; spawns: string }[];
}

/** Edges that bridging may add before it gives up: a barrier between two stages of 1,000 jobs. */
const MAX_EDGES = 1_000_000;

/** What has to be over before something starts. */
interface Waits {
  needs: Map<number, DependencyType>;
  /** Stages that must have ended well. */
  barriers: Set<number>;
  /** Stages of barriers whose excluded jobs waited for something: an order to be kept, no condition. */
  behind: Set<number>;
  /** Why it can never start; null if it can. */
  never: string | null;
}

/** What the excluded jobs of one stage waited for: remaining jobs by their stage, and stages as a whole. */
interface Order {
  jobs: Map<number, Set<number>>;
  stages: Set<number>;
}

/** Whether anything is to be left out. */
export function excludes(exclusion: Exclusion): boolean {
  return (exclusion.stages?.length ?? 0) + (exclusion.jobs?.length ?? 0) > 0;
}

/**
 * The document without the excluded stages and jobs, dependencies bridged.
 * @throws invalid_input for names that are not there, for references to what is left out, and when nothing is left
 */
export function excludeJobs(document: PipelineDocument, exclusion: Exclusion): Excluded {
  const graph = jobGraph(document);
  const out = chosen(document, graph, exclusion);
  const asked = [...out].map((at) => graph.nodes[at]!.spec.id);
  const bridge = new Bridge(document, graph, out);
  const implied = bridge.dropImpossible();
  if (out.size === graph.nodes.length)
    throw refused(document, [`nothing is left of its ${graph.nodes.length} jobs`], "Exclude less.");
  const dangling = danglingReferences(document, graph, out);
  if (dangling.length > 0)
    throw refused(document, dangling, "Exclude these jobs as well, or keep the ones that they refer to.");
  const reduced = bridge.document();
  const rights = dropRights(reduced, new Set([...out].map((at) => graph.nodes[at]!.spec.id)));
  const problems = validateDocument(reduced).map(({ path, message }) => `${path}: ${message}`);
  if (problems.length > 0) throw refused(document, problems, "Exclude more, or less.");
  return { document: reduced, jobs: asked, implied, rights };
}

function refused(document: PipelineDocument, lines: readonly string[], hint: string): TenutoError {
  const shown = lines.slice(0, 20).map((line) => `  ${line}`);
  if (lines.length > 20) shown.push(`  … and ${lines.length - 20} more`);
  return new TenutoError(
    "invalid_input",
    `pipeline ${document.name} can't be started like this:\n${shown.join("\n")}`,
    {
      hint: `${hint} Nothing was started.`,
      details: { pipeline: document.name, problems: [...lines] },
    },
  );
}

/** The nodes that were asked to be left out. */
function chosen(document: PipelineDocument, graph: JobGraph, exclusion: Exclusion): Set<number> {
  const problems: string[] = [];
  const out = new Set<number>();
  const stageNames = document.stages.map((stage) => stage.name);
  for (const name of exclusion.stages ?? []) {
    const stage = stageNames.indexOf(name);
    if (stage < 0) problems.push(`there is no stage "${name.slice(0, 120)}". ${suggest(name, stageNames, "stage")}`);
    else for (let at = graph.starts[stage]!; at < graph.starts[stage + 1]!; at++) out.add(at);
  }
  for (const id of exclusion.jobs ?? []) {
    const at = graph.byId.get(id);
    if (at === undefined)
      problems.push(`there is no job "${id.slice(0, 120)}". ${suggest(id, [...graph.byId.keys()], "job")}`);
    else out.add(at);
  }
  if (problems.length > 0) throw refused(document, problems, "Look at its stages and jobs: tenuto templates show.");
  return out;
}

/** `job "b": input.x {{ jobs.a.output }} refers to "a", which is left out`, of all remaining jobs. */
function danglingReferences(document: PipelineDocument, graph: JobGraph, out: ReadonlySet<number>): string[] {
  const params = declaredParams(document.params);
  const lines: string[] = [];
  graph.nodes.forEach((node, at) => {
    if (out.has(at)) return;
    for (const { job, text, path } of jobReferences(node.spec, [], params).jobs) {
      const target = graph.byId.get(job);
      if (target !== undefined && out.has(target))
        lines.push(`job "${node.spec.id}" refers to {{ ${text} }} in ${path.join(".")}, but job "${job}" is left out`);
    }
    const source = node.spec.multiply?.source;
    if (typeof source !== "object" || Array.isArray(source)) return;
    const target = graph.byId.get(source.job);
    if (target !== undefined && out.has(target))
      lines.push(`job "${node.spec.id}" is multiplied by an artifact of job "${source.job}", which is left out`);
  });
  return lines;
}

/** Jobs that are not there can't be run again either. Changes the document, which is nobody else's yet. */
function dropRights(document: PipelineDocument, out: ReadonlySet<string>): Excluded["rights"] {
  const lost: Excluded["rights"] = [];
  for (const stage of document.stages) {
    for (const [i, spec] of stage.jobs.entries()) {
      const jobs = spec.spawns?.jobs ?? [];
      if (!jobs.some((job) => out.has(job))) continue;
      lost.push(...jobs.filter((job) => out.has(job)).map((spawns) => ({ job: spec.id, spawns })));
      stage.jobs[i] = { ...spec, spawns: { ...spec.spawns, jobs: jobs.filter((job) => !out.has(job)) } };
    }
  }
  return lost;
}

/** Follows needs and barriers through the jobs that are left out. Numbers are positions in the graph, or of stages. */
class Bridge {
  private readonly source: PipelineDocument;
  private readonly graph: JobGraph;
  private readonly out: Set<number>;
  private readonly resolved = new Map<number, Waits>();
  private readonly orders = new Map<number, Order>();
  private readonly kept = new Map<number, readonly number[]>();
  private readonly reached = new Map<number, Set<number>>();
  private edges = 0;

  constructor(document: PipelineDocument, graph: JobGraph, out: Set<number>) {
    this.source = document;
    this.graph = graph;
    this.out = out;
  }

  /** Leaves out what can't start any more, and what can't because of that, until nothing changes. */
  dropImpossible(): Excluded["implied"] {
    const implied: Excluded["implied"] = [];
    // In the order of the graph everything that a job waits for has been looked at before it.
    for (const at of this.graph.order) {
      const waits = this.waitsOf(at);
      this.resolved.set(at, waits);
      if (waits.never === null || this.out.has(at)) continue;
      this.out.add(at);
      this.kept.delete(this.graph.nodes[at]!.stage);
      implied.push({ job: this.idOf(at), reason: waits.never });
    }
    return implied;
  }

  private idOf(at: number): string {
    return this.graph.nodes[at]!.spec.id;
  }

  private waitsOf(at: number): Waits {
    const { spec, stage, barrier } = this.graph.nodes[at]!;
    const waits: Waits = { needs: new Map(), barriers: new Set(), behind: new Set(), never: null };
    if (barrier === 1) {
      waits.barriers.add(stage - 1);
      waits.behind.add(stage - 1);
    }
    for (const need of spec.needs ?? []) this.addNeed(waits, this.graph.byId.get(need.job)!, need.on);
    return waits;
  }

  private addNeed(waits: Waits, job: number, on: DependencyType): void {
    if (!this.out.has(job)) return this.addCondition(waits, job, on);
    const behind = this.resolved.get(job)!;
    if (on === "failure") waits.never ??= `it runs only when "${this.idOf(job)}" has failed`;
    if (on === "success" && behind.never !== null) waits.never ??= `it needs "${this.idOf(job)}", which can't start`;
    for (const [other, type] of behind.needs) this.addCondition(waits, other, on === "always" ? "always" : type);
    for (const stage of behind.behind) waits.behind.add(stage);
    for (const stage of behind.barriers) {
      if (on !== "always") waits.barriers.add(stage);
      else for (const [other] of this.jobsOf(stage)) this.addCondition(waits, other, "always");
    }
  }

  /** Both conditions must hold when a job is waited for twice. */
  private addCondition(waits: Waits, job: number, on: DependencyType): void {
    this.count(1);
    const before = waits.needs.get(job);
    if (before === undefined || before === "always") waits.needs.set(job, on);
    else if (on !== "always" && on !== before)
      waits.never ??= `it would need "${this.idOf(job)}" to succeed and to fail`;
  }

  /** What a stage's barrier comes to as needs: a job that may fail only has to end. */
  private jobsOf(stage: number): [number, DependencyType][] {
    const jobs = this.remaining(stage).map((at): [number, DependencyType] => [
      at,
      this.graph.nodes[at]!.spec.allowFailure === true ? "always" : "success",
    ]);
    this.count(jobs.length);
    return jobs;
  }

  private remaining(stage: number): readonly number[] {
    const known = this.kept.get(stage);
    if (known !== undefined) return known;
    const jobs: number[] = [];
    for (let at = this.graph.starts[stage]!; at < this.graph.starts[stage + 1]!; at++)
      if (!this.out.has(at)) jobs.push(at);
    this.kept.set(stage, jobs);
    return jobs;
  }

  private count(edges: number): void {
    this.edges += edges;
    if (this.edges > MAX_EDGES)
      throw refused(this.source, [`bridging makes more than ${MAX_EDGES} dependencies`], "Exclude whole stages.");
  }

  /** The remaining jobs with their bridged dependencies, without stages that have become empty. */
  document(): PipelineDocument {
    const stages = this.source.stages.map((_, stage) => stage).filter((stage) => this.remaining(stage).length > 0);
    const before = new Map(stages.map((stage, i) => [stage, stages[i - 1] ?? null]));
    const waits = new Map<number, Waits>();
    this.graph.nodes.forEach((node, at) => {
      if (!this.out.has(at)) waits.set(at, this.direct(at, this.waitsOf(at), before.get(node.stage)!));
    });
    return this.inOrder(this.assemble(stages, waits), stages, waits);
  }

  /** A barrier stays one only between neighbours; any other becomes needs on the jobs of its stage. */
  private direct(at: number, waits: Waits, before: number | null): Waits {
    const kept = new Set<number>();
    for (const barrier of waits.barriers) {
      let stage = barrier;
      while (stage >= 0 && this.remaining(stage).length === 0) stage -= 1;
      // What comes in the place of a stage that is gone may itself wait for this job.
      if (stage < 0 || (stage !== barrier && this.leadsTo(at, stage))) continue;
      if (stage === before) kept.add(stage);
      else for (const [job, on] of this.jobsOf(stage)) if (!waits.needs.has(job)) waits.needs.set(job, on);
    }
    return { ...waits, barriers: kept };
  }

  private leadsTo(at: number, stage: number): boolean {
    return upstreamPairs(
      this.graph,
      this.remaining(stage).map((job) => [job, at] as const),
    ).some((upstream) => upstream);
  }

  private assemble(stages: readonly number[], waits: ReadonlyMap<number, Waits>): PipelineDocument {
    const kept: StageSpec[] = stages.map((stage) => ({
      ...this.source.stages[stage]!,
      jobs: this.remaining(stage).map((at) =>
        this.rewired(this.graph.nodes[at]!.spec, waits.get(at)!, stage === stages[0]),
      ),
    }));
    return { ...this.source, stages: kept };
  }

  /** In the first stage a job without needs starts at once anyway. */
  private rewired(spec: JobSpec, { needs, barriers }: Waits, first: boolean): JobSpec {
    const { needs: _, afterStage: __, ...rest } = spec;
    const list = [...needs].map(([job, on]): Dependency => ({ job: this.idOf(job), on }));
    if (list.length === 0) return first || barriers.size > 0 ? rest : { ...rest, needs: list };
    return barriers.size === 0 ? { ...rest, needs: list } : { ...rest, needs: list, afterStage: true };
  }

  /** What the excluded jobs of a stage waited for, through excluded jobs of stages before them. */
  private orderOf(stage: number): Order {
    const known = this.orders.get(stage);
    if (known !== undefined) return known;
    const order: Order = { jobs: new Map(), stages: new Set() };
    this.orders.set(stage, order);
    const add = (job: number): void => {
      const { stage: of } = this.graph.nodes[job]!;
      order.jobs.set(of, (order.jobs.get(of) ?? new Set()).add(job));
    };
    for (let at = this.graph.starts[stage]!; at < this.graph.starts[stage + 1]!; at++) {
      const waits = this.out.has(at) ? this.resolved.get(at)! : null;
      for (const job of waits?.needs.keys() ?? []) add(job);
      for (const before of waits?.behind ?? []) {
        order.stages.add(before);
        const further = this.orderOf(before);
        for (const other of further.stages) order.stages.add(other);
        for (const jobs of further.jobs.values()) for (const job of jobs) add(job);
      }
    }
    return order;
  }

  /** Adds what a barrier used to imply and now does not: needs on jobs that may not have ended otherwise. */
  private inOrder(draft: PipelineDocument, stages: readonly number[], waits: Map<number, Waits>): PipelineDocument {
    const wanted = [...waits].flatMap(([at, waiting]) => this.loose(at, waiting, waits));
    if (wanted.length === 0) return draft;
    const graph = jobGraph(draft);
    const position = (at: number) => graph.byId.get(this.idOf(at))!;
    const known = upstreamPairs(
      graph,
      wanted.map(({ at, job }) => [position(at), position(job)] as const),
    );
    const missing = wanted.filter((_, i) => !known[i]);
    for (const { at, job, on } of missing) waits.get(at)!.needs.set(job, on);
    return missing.length === 0 ? draft : this.assemble(stages, waits);
  }

  /** Jobs that have to end before `at`, and that its barriers do not obviously wait for. */
  private loose(at: number, waiting: Waits, waits: ReadonlyMap<number, Waits>) {
    const found: { at: number; job: number; on: DependencyType }[] = [];
    const add = (job: number, on: DependencyType): void => {
      if (waiting.needs.has(job)) return;
      this.count(1);
      found.push({ at, job, on });
    };
    for (const barrier of waiting.behind) {
      const order = this.orderOf(barrier);
      if (order.stages.size === 0 && order.jobs.size === 0) continue;
      const reached = this.reach(waiting.barriers, waits);
      for (const stage of order.stages)
        if (!reached.has(stage)) for (const [job, on] of this.jobsOf(stage)) add(job, on);
      for (const [stage, jobs] of order.jobs) if (!reached.has(stage)) for (const job of jobs) add(job, "always");
    }
    return found;
  }

  /** Stages that are over when these are, by barriers alone. */
  private reach(barriers: ReadonlySet<number>, waits: ReadonlyMap<number, Waits>): ReadonlySet<number> {
    // After `direct` there is at most one.
    const [first] = barriers;
    if (first === undefined) return barriers;
    const known = this.reached.get(first);
    if (known !== undefined) return known;
    const reached = new Set(barriers);
    for (const stage of reached)
      for (const at of this.remaining(stage)) for (const before of waits.get(at)!.barriers) reached.add(before);
    this.reached.set(first, reached);
    return reached;
  }
}
