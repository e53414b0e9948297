/** What the code of one item works in. Its lease is the window that the item is in. */
import * as changes from "../core/changes.ts";
import type { Effect } from "../core/decision.ts";
import type { Lease } from "../core/job.ts";
import { releaseHolder } from "../core/limiting.ts";
import type { Parts } from "./parts.ts";
import { AttemptScope, type ScopeFacts } from "./scope.ts";

export class ItemScope extends AttemptScope {
  readonly lease: Lease;
  private readonly windowStart: number;
  /** Whether a limiter may count this item as a holder. */
  holds = false;

  constructor(parts: Parts, facts: ScopeFacts, lease: Lease, windowStart: number) {
    super(parts, facts);
    this.lease = lease;
    this.windowStart = windowStart;
  }

  async guarded(effects: readonly Effect[]): Promise<void> {
    const change = changes.whileWindowHeld(this.facts.job.seq, this.windowStart, this.lease, effects);
    try {
      await this.parts.ledger.apply(change);
    } catch (error) {
      await this.insist(error, () => this.parts.ledger.apply(change));
    }
  }

  override async limit(name: string): Promise<void> {
    this.holds = true;
    await super.limit(name);
  }

  override holder() {
    return { ...super.holder(), window: this.windowStart };
  }

  releaseHolds() {
    return releaseHolder(this.facts.job.seq, this.lease.epoch, this.facts.item);
  }
}
