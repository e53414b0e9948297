/** Changes that must get through: handed in again and again while the ledger can't be written. */
import * as changes from "../core/changes.ts";
import { storedErrorFrom } from "../core/classify.ts";
import { TenutoError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import type { JobSeq } from "../core/model.ts";
import type { Change, SliceOf } from "../ports/ledger.ts";
import { sleep } from "./limiting.ts";
import type { Parts } from "./parts.ts";

/** While the ledger can't be written, claims pause and reports are tried again this often. */
export const TROUBLE_RETRY_MS = 1_000;
const TELL_AGAIN_MS = 10_000;

export class Insistence {
  private readonly parts: Parts;
  private readonly tell: (error: unknown) => void;
  /** True while the last attempt to write has failed. */
  troubled = false;
  private over = false;
  private told: { message: string; at: number } | null = null;

  constructor(parts: Parts, tell: (error: unknown) => void) {
    this.parts = parts;
    this.tell = tell;
  }

  /** From now on a failure is final. */
  stop(): void {
    this.over = true;
  }

  /** Hands a change in until the ledger can write again. @throws what the ledger refuses for good */
  async apply<K extends keyof SliceOf, R>(change: Change<K, R>, inTrouble: () => void = () => {}): Promise<R> {
    for (;;) {
      try {
        const result = await this.parts.ledger.apply(change);
        this.troubled = false;
        return result;
      } catch (error) {
        if (this.over || !(error instanceof TenutoError)) throw error;
        if (!passes(error)) throw error;
        this.troubled = true;
        this.tellOnce(error);
        inTrouble();
        await sleep(this.parts.clock, TROUBLE_RETRY_MS);
      }
    }
  }

  /** Each of many reports meets the same trouble, once a second. */
  private tellOnce(error: TenutoError): void {
    const now = this.parts.clock.now();
    if (this.told !== null && this.told.message === error.message && now - this.told.at < TELL_AGAIN_MS) return;
    this.told = { message: error.message, at: now };
    this.tell(error);
  }

  /** A fault outside of the attempt's own work must not leave the job in the hands of a worker that does nothing. */
  async giveUp(job: JobSeq, lease: Lease, fault: unknown): Promise<void> {
    const error = storedErrorFrom(fault);
    const passing = error.category === "critical" || error.category === "retryable";
    await this.apply(
      passing
        ? changes.giveBack(job, lease, TROUBLE_RETRY_MS, "fault")
        : changes.failJob(job, lease, error, { maxRetries: 0, delayMs: 0, onExhausted: "fail" }),
    ).catch(() => {});
  }
}

/** Whether the same change may be taken later: the disk is full, others hold the lock, or the server is away. */
function passes({ category, code }: TenutoError): boolean {
  return (
    category === "critical" || code === "ledger_busy" || (code === "ledger_unavailable" && category === "retryable")
  );
}
