/** One engine: client, worker and sweeper over the parts it was given, and the order in which they start and stop. */
import { TenutoError } from "../core/errors.ts";
import type { RunSeq } from "../core/model.ts";
import { Client } from "./client.ts";
import { Definitions } from "./definitions.ts";
import { takenByNobody } from "./offers.ts";
import type { EngineOptions, KnownPipeline, Params, Parts } from "./parts.ts";
import { Sweeper } from "./sweeper.ts";
import { Worker } from "./worker.ts";

/** What goes on beside worker and sweeper while the engine works. */
export interface Service {
  /** Whether it starts runs of its own: left out where the work ends with certain runs. */
  readonly startsRuns: boolean;
  start(): Promise<void>;
  /** Those that start runs begin after the worker and stop before it, the others the other way round. */
  stop(): Promise<void>;
  onFault: (error: unknown) => void;
}

export interface WorkOptions {
  /** Only this run. */
  run?: RunSeq;
  /** False: schedules start nothing here. Default true, but with `run` false. */
  schedules?: boolean;
}

export class Engine {
  readonly parts: Parts;
  readonly definitions: Definitions;
  readonly client: Client;
  readonly worker: Worker;
  readonly sweeper: Sweeper;
  /** Begun with the work, in this order. */
  readonly services: Service[] = [];
  private begun: Service[] = [];
  private closing: Promise<void> | null = null;
  private state: "new" | "working" | "closed" = "new";

  constructor(
    parts: Parts,
    options: EngineOptions,
    cwd: string,
    parse: (pipeline: KnownPipeline, params: unknown) => Params,
  ) {
    this.parts = parts;
    this.definitions = new Definitions(parts.ledger, cwd, { maxCrashes: options.maxCrashes });
    this.client = new Client(parts, this.definitions, parse);
    this.worker = new Worker(parts, this.definitions, options);
    this.sweeper = new Sweeper(parts, options, () => this.worker.boot);
    this.sweeper.crashLimit = (job) => this.definitions.crashLimit(job, options.maxCrashes);
  }

  /** Of these agents, those that no worker of this ledger takes; null if that can't be told. */
  takenByNobody(agents: Iterable<string>): Promise<Set<string> | null> {
    return takenByNobody(this.parts, agents);
  }

  onFault(listener: (error: unknown) => void): void {
    this.worker.onFault = listener;
    this.sweeper.onFault = listener;
    for (const service of this.services) service.onFault = listener;
  }

  /** Begins to work, on one run only if it is given: takes over from dead workers first, then claims. */
  async work(options: WorkOptions = {}): Promise<void> {
    if (this.state === "working") return;
    if (this.state === "closed") throw new TenutoError("conflict", "the engine is closed");
    this.state = "working";
    await this.sweeper.start();
    // Who tells of runs listens before any goes on.
    await this.begin(this.services.filter((service) => !service.startsRuns));
    await this.worker.start(options.run ?? null);
    if (options.schedules ?? options.run === undefined)
      await this.begin(this.services.filter((service) => service.startsRuns));
  }

  /** A service that can't start harms nothing else. */
  private async begin(services: readonly Service[]): Promise<void> {
    for (const service of services) {
      this.begun.push(service);
      await service.start().catch((error) => service.onFault(error));
    }
  }

  /** Stops in order; running attempts get until the deadline. What did not end runs again at the next start. */
  async close(drainMs?: number): Promise<void> {
    if (this.closing !== null) {
      if (drainMs !== undefined && drainMs <= 0) await this.worker.stop(0);
      return await this.closing;
    }
    this.closing = this.closeInOrder(drainMs);
    await this.closing;
  }

  private async closeInOrder(drainMs: number | undefined): Promise<void> {
    const working = this.state === "working";
    this.state = "closed";
    if (working) {
      for (const service of this.begun.filter((one) => one.startsRuns)) await service.stop();
      await this.worker.stop(drainMs);
      await this.sweeper.stop();
      for (const service of this.begun.filter((one) => !one.startsRuns)) await service.stop();
    }
    await this.parts.commands.close();
    await this.parts.threads.close();
    await this.parts.logs.close();
    await this.parts.ledger.close();
  }
}
