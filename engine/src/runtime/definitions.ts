/**
 * What this process knows: pipelines by version, agents by reference, and the resolved shape of each job.
 *
 * Invariants: (1) a run is carried out with the definition that it began with, read from the ledger by its hash; (2) a
 * worker offers only agents whose code it has, so that a job it cannot do stays `ready`.
 */
import type { Agent } from "../core/agent.ts";
import { agentReference } from "../core/agent.ts";
import type { JobSpec, LimiterSpec, PipelineDocument, WorkPolicy } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import { LLM_DEFAULTS } from "../core/llm.ts";
import { type JobRow, type JobSeq, type Json, type RunRow, type RunSeq, variantOf } from "../core/model.ts";
import { requiredOutputs, type Scope } from "../core/placeholders.ts";
import { MULTIPLY_AGENT, type Plan, planOf } from "../core/plan.ts";
import { mergePolicies, type ResolvedPolicy } from "../core/retry.ts";
import type { Ledger } from "../ports/ledger.ts";
import type { KnownPipeline, Params } from "./parts.ts";
import { compensationScope } from "./rollback.ts";

/** Agents that the engine itself provides for inline commands. */
export const INLINE_COMMAND = "command/inline";
/** A fan-out whose closure lives in its parent's process. */
export const MAP_AGENT = "engine/map";

export interface LoadedDefinition {
  version: string;
  document: PipelineDocument;
  plan: Plan;
  /** Folder for relative paths; the working directory if this process does not know the pipeline's file. */
  folder: string;
}

export interface ResolvedJob {
  definition: LoadedDefinition;
  spec: JobSpec;
  agent: Agent | null;
  policy: ResolvedPolicy;
  params: Params;
}

const NO_CONTEXT = { reason: null, requestedBy: null, parentOutput: null };

const PARAMS_KEPT = 2_000;

export class Definitions {
  /** Grows with each agent that becomes known. */
  agentsVersion = 0;
  private readonly ledger: Ledger;
  private readonly cwd: string;
  /** The engine's own, behind those of job, agent and pipeline. */
  private readonly defaults: WorkPolicy;
  private readonly pipelines = new Map<string, KnownPipeline>();
  private readonly byVersion = new Map<string, KnownPipeline>();
  private readonly agents = new Map<string, Agent>();
  private readonly loaded = new Map<string, LoadedDefinition>();
  private readonly loading = new Map<string, Promise<LoadedDefinition>>();
  private readonly params = new Map<number, Params>();
  private readonly policies = new WeakMap<JobSpec, ResolvedPolicy>();
  private readonly outputs = new WeakMap<JobSpec, string[]>();

  constructor(ledger: Ledger, cwd: string, defaults: WorkPolicy) {
    this.defaults = defaults;
    this.ledger = ledger;
    this.cwd = cwd;
  }

  /** Makes a pipeline and its agents known. @throws invalid_config if a name is taken by another definition */
  add(pipeline: KnownPipeline): void {
    this.pipelines.set(pipeline.document.name, pipeline);
    this.byVersion.set(pipeline.version, pipeline);
    for (const agent of pipeline.agents) this.addAgent(agent);
  }

  addAgent(agent: Agent): void {
    const reference = agentReference(agent.name, agent.version);
    const known = this.agents.get(reference);
    if (
      known !== undefined &&
      known !== agent &&
      known.kind === "function" &&
      agent.kind === "function" &&
      known.run !== agent.run &&
      !reference.startsWith("pipeline/")
    ) {
      throw new TenutoError("invalid_config", `two agents are named ${reference}`, {
        hint: "Rename one of them or give it another version.",
      });
    }
    if (known !== agent) this.agentsVersion += 1;
    this.agents.set(reference, agent);
  }

  pipeline(name: string): KnownPipeline {
    const known = this.pipelines.get(name);
    if (known !== undefined) return known;
    const names = [...this.pipelines.keys()];
    throw new TenutoError("unknown_pipeline", `there is no pipeline named ${JSON.stringify(name)}`, {
      hint:
        names.length === 0
          ? "No pipeline is loaded: list them in tenuto.config.mts or give a file."
          : `Known: ${names.join(", ")}.`,
    });
  }

  /** The pipeline of this name that this process knows. */
  named(name: string): KnownPipeline | undefined {
    return this.pipelines.get(name);
  }

  list(): KnownPipeline[] {
    return [...this.pipelines.values()];
  }

  agentNames(): string[] {
    return [...this.agents.keys()];
  }

  agent(reference: string): Agent | undefined {
    return this.agents.get(reference);
  }

  /** Agents that a run of this plan may use, as far as they are known here. */
  agentsOf(plan: Plan, own: readonly Agent[]): Agent[] {
    const named = plan.jobs.map((job) => this.agents.get(job.agent)).filter((agent) => agent !== undefined);
    return [...own, ...named];
  }

  offers(reference: string): boolean {
    return this.agents.has(reference) || reference === INLINE_COMMAND || reference === MULTIPLY_AGENT;
  }

  /**
   * What an agent is called in a run of this definition: a run goes on with the versions that it began with, whoever spawns or
   * judges. Where the definition declares none it is the one that is known here.
   */
  referenceIn({ document }: LoadedDefinition, name: string): string {
    const version = document.agents?.[name];
    if (version !== undefined) return agentReference(name, version);
    if (this.offers(name)) return name;
    return this.agentNames().find((reference) => reference.startsWith(`${name}@`)) ?? name;
  }

  /** Whether there is such an agent, here or on another worker. */
  knows(definition: LoadedDefinition, name: string): boolean {
    return definition.document.agents?.[name] !== undefined || this.offers(this.referenceIn(definition, name));
  }

  /** Many starts at once wait for one and the same reading. */
  async load(version: string): Promise<LoadedDefinition> {
    const known = this.loaded.get(version);
    if (known !== undefined) return known;
    const loading = this.loading.get(version) ?? this.read(version);
    this.loading.set(version, loading);
    try {
      return await loading;
    } finally {
      this.loading.delete(version);
    }
  }

  private async read(version: string): Promise<LoadedDefinition> {
    const text = await this.ledger.definition(version);
    if (text === null)
      throw new TenutoError("definition_changed", `the ledger has no definition ${version}`, {
        hint: "The ledger is damaged; restore a backup.",
      });
    const document = JSON.parse(text) as PipelineDocument;
    const definition: LoadedDefinition = {
      version,
      document,
      plan: planOf(document),
      folder: this.byVersion.get(version)?.folder ?? this.pipelines.get(document.name)?.folder ?? this.cwd,
    };
    this.loaded.set(version, definition);
    return definition;
  }

  async paramsOf(run: RunRow): Promise<Params> {
    const known = this.params.get(run.seq);
    if (known !== undefined) return known;
    const record = await this.ledger.run(run.seq);
    const params = JSON.parse(record?.params ?? "{}") as Params;
    this.rememberParams(run.seq, params);
    return params;
  }

  rememberParams(run: RunSeq, params: Params): void {
    if (this.params.size >= PARAMS_KEPT) this.params.delete(this.params.keys().next().value as number);
    this.params.set(run, params);
  }

  async resolve(run: RunRow, job: JobRow): Promise<ResolvedJob> {
    const definition = this.loaded.get(run.version) ?? (await this.load(run.version));
    const params = this.params.get(run.seq) ?? (await this.paramsOf(run));
    const declared = job.parent === null ? definition.plan.specs[job.seq - run.firstJob] : undefined;
    const given = declared !== undefined && run.variant !== null ? variantOf(run).inputs : undefined;
    const own =
      declared === undefined || (Array.isArray(given) && given.includes(job.id)) ? await this.ownSpec(job) : undefined;
    const spec = own ?? declared;
    if (spec === undefined) throw new TenutoError("internal", `job ${job.id} has no spec in definition ${run.version}`);
    const agent = this.agents.get(job.agent) ?? null;
    let policy = this.policies.get(spec);
    if (policy === undefined) {
      policy = mergePolicies(
        spec,
        agent ?? undefined,
        definition.document.defaults,
        agent?.kind === "llm" ? (LLM_DEFAULTS.policy as WorkPolicy) : undefined,
        this.defaults,
      );
      this.policies.set(spec, policy);
    }
    return { definition, spec, agent, policy, params };
  }

  /** How many crashes of its worker a job survives. */
  async crashLimit(seq: JobSeq, otherwise: number): Promise<number> {
    try {
      const job = await this.ledger.job(seq);
      const run = job === null ? null : await this.ledger.run(job.run);
      return job === null || run === null ? otherwise : (await this.resolve(run, job)).policy.maxCrashes;
    } catch {
      // A damaged definition must not keep the job from being given back.
      return otherwise;
    }
  }

  /** Of spawned jobs, and of jobs that a rerun was given another input for. */
  private async ownSpec(job: JobRow): Promise<JobSpec | undefined> {
    const text = await this.ledger.spec(job.seq);
    return text === null ? undefined : (JSON.parse(text) as JobSpec);
  }

  /** What placeholders of this job may refer to, loaded from the outputs of the jobs that it names. */
  async scope(run: RunRow, job: JobRow, resolved: ResolvedJob): Promise<Scope> {
    const { spec, definition, params } = resolved;
    if (spec.compensates !== undefined)
      return {
        ...(await compensationScope(this.ledger, this, run, { ...spec, compensates: spec.compensates })),
        ...(await this.ofJob(job, {})),
      };
    const own = { params, run: { id: run.id }, ...(await this.ofJob(job, spec)) };
    let needed = this.outputs.get(spec);
    if (needed === undefined) {
      const parts = [
        spec.input,
        spec.when,
        spec.forEach?.source,
        spec.limits,
        spec.cache?.key,
        spec.summary,
        spec.command,
        spec.approval,
        spec.gate,
        spec.multiply?.source,
        spec.artifacts,
      ] as unknown as Json[];
      needed = [...new Set(parts.filter((part) => part !== undefined).flatMap((part) => requiredOutputs(part)))];
      this.outputs.set(spec, needed);
    }
    if (needed.length === 0) return own;
    const jobs: Record<string, { output: Json; state: string; error: Json }> = {};
    for (const id of needed) {
      const ordinal = definition.plan.ordinals.get(id);
      const record = ordinal === undefined ? null : await this.ledger.outcome(run.firstJob + ordinal);
      if (record !== null)
        jobs[id] = {
          output: record.output === null ? null : (JSON.parse(record.output) as Json),
          state: record.state,
          error: record.error === null ? null : (JSON.parse(record.error) as Json),
        };
    }
    return { ...own, jobs };
  }

  /** What placeholders may say about the job itself. */
  private async ofJob(job: JobRow, spec: Pick<JobSpec, "bindings">): Promise<Partial<Scope>> {
    const { item, index, context } = spec.bindings ?? {};
    const error = job.attempt > 1 || job.failures > 0 ? ((await this.ledger.outcome(job.seq))?.error ?? null) : null;
    return {
      ...(item === undefined ? {} : { item }),
      ...(index === undefined ? {} : { index }),
      context: (context ?? NO_CONTEXT) as unknown as Json,
      attempt: {
        number: job.attempt,
        failures: job.failures,
        error: error === null ? null : (JSON.parse(error) as Json),
      },
    };
  }

  limiters(definition: LoadedDefinition): { [name: string]: LimiterSpec } {
    return definition.document.limiters ?? {};
  }
}
