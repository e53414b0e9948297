/**
 * Which agents a worker takes, said in the ledger, and which work stands still because nobody takes it.
 *
 * Invariants: (1) a worker claims only what it takes, and what it says in the ledger is the same list; (2) what can't be told
 * (a worker that has not said what it takes) is never told as missing.
 */
import { LEASE_MS } from "../core/limits.ts";
import type { BootRow, BootSeq } from "../core/model.ts";
import { MULTIPLY_AGENT } from "../core/plan.ts";
import { type Definitions, INLINE_COMMAND, MAP_AGENT } from "./definitions.ts";
import type { EngineOptions, Parts } from "./parts.ts";

/** What the worker of this process takes. */
export class Offers {
  private readonly parts: Parts;
  private readonly definitions: Definitions;
  private readonly options: EngineOptions;
  /** Boot and state of the agents that the ledger knows of. */
  private said = "";

  constructor(parts: Parts, definitions: Definitions, options: EngineOptions) {
    this.parts = parts;
    this.definitions = definitions;
    this.options = options;
  }

  has(agent: string): boolean {
    return this.definitions.offers(agent) && (this.options.agents === undefined || this.options.agents(agent));
  }

  list(): string[] {
    return [...this.definitions.agentNames(), INLINE_COMMAND, MULTIPLY_AGENT].filter((agent) => this.has(agent));
  }

  /** Says it in the ledger, unless it is said already. */
  async tell(boot: BootSeq): Promise<void> {
    const present = `${boot}:${this.definitions.agentsVersion}`;
    if (this.said === present) return;
    this.said = present;
    try {
      await this.parts.ledger.putOffers(boot, this.list());
    } catch (error) {
      this.said = "";
      throw error;
    }
  }
}

type Seeing = Pick<Parts, "ledger" | "probe">;

async function living({ ledger, probe }: Seeing): Promise<BootRow[]> {
  return (await ledger.boots("alive")).filter(
    (boot) => probe.alive(boot) ?? ledger.now() - boot.heartbeatAt < 2 * LEASE_MS,
  );
}

/** How many workers that are alive take this agent. */
export async function takersOf(parts: Seeing, agent: string): Promise<number> {
  const alive = new Set((await living(parts)).map((boot) => boot.seq));
  const offers = await parts.ledger.offers();
  return offers.filter((offer) => alive.has(offer.boot) && offer.agents?.includes(agent) === true).length;
}

/**
 * Of these agents, those that no worker takes that is alive; null if that can't be told: nobody is alive, or somebody has not
 * said what it takes.
 */
export async function takenByNobody(parts: Seeing, agents: Iterable<string>): Promise<Set<string> | null> {
  const { ledger } = parts;
  const boots = await living(parts);
  if (boots.length === 0) return null;
  const alive = new Set(boots.map((boot) => boot.seq));
  const taken = new Set<string>([MAP_AGENT]);
  for (const offer of await ledger.offers()) {
    if (!alive.has(offer.boot)) continue;
    if (offer.agents === null) return null;
    for (const agent of offer.agents) taken.add(agent);
  }
  return new Set([...agents].filter((agent) => !taken.has(agent)));
}
