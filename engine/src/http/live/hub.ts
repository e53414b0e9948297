/**
 * All live streams: wakes them after commits, keeps them alive, and lets go of those that do not read.
 *
 * Owner: http. Invariants: (1) to a client whose buffer holds more than the limit nothing is sent until it has read; (2) a
 * client that does not read for `stuckMs` is closed with 4409, and may resume at its last cursor; (3) rights are looked at
 * again with each heartbeat; (4) without streams the hub reads nothing.
 */
import type { ServerLimits } from "../limits.ts";
import { tooMany } from "../limits.ts";
import { HttpProblem, tellProblem } from "../problems.ts";
import type { Principal } from "../tokens.ts";
import type { Asked, Frame, Sources, Subscription } from "./subscription.ts";
import { subscribe, subscribed } from "./subscription.ts";

/** How frames reach a client. */
export interface Sink {
  send(frame: Frame, id: string): void;
  /** A frame that is no part of a subscription. */
  say(fields: Record<string, unknown>): void;
  /** Bytes that wait to be sent. */
  buffered(): number;
  /** False if the other side has not answered since the last call. */
  alive(): boolean;
  close(code: number, reason: string): void;
}

const SUBSCRIPTIONS = 50;
const PAUSE_MS = 20;
const LOG_EVERY_MS = 250;

export class Listener {
  readonly principal: Principal;
  readonly sink: Sink;
  private readonly hub: Hub;
  private readonly subscriptions = new Map<string, Subscription>();
  private pumping = false;
  private again = false;
  private closed = false;
  /** Since when it does not read. */
  blockedAt: number | null = null;

  constructor(hub: Hub, principal: Principal, sink: Sink) {
    this.hub = hub;
    this.principal = principal;
    this.sink = sink;
  }

  async add(id: string, asked: Asked): Promise<void> {
    this.assertRoom(id);
    if (this.principal.run !== null && asked.run !== this.principal.run)
      throw new HttpProblem(403, "forbidden", `this token is good for run ${this.principal.run} only`);
    const subscription = await subscribe(this.hub.sources, asked);
    if (this.closed) return;
    // Others may have been added meanwhile.
    this.assertRoom(id);
    this.remove(id);
    this.subscriptions.set(id, subscription);
    this.sink.send(subscribed(subscription.position), id);
    this.wake();
  }

  private assertRoom(id: string): void {
    if (this.subscriptions.size >= SUBSCRIPTIONS && !this.subscriptions.has(id))
      throw tooMany(`subscriptions of one stream, at most ${SUBSCRIPTIONS}`, 1_000);
  }

  remove(id: string): void {
    this.subscriptions.get(id)?.close?.();
    this.subscriptions.delete(id);
  }

  get polls(): boolean {
    for (const subscription of this.subscriptions.values()) if (subscription.polled) return true;
    return false;
  }

  /** Sends what is new, as long as the client reads. */
  wake(): void {
    if (this.closed) return;
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    void this.pump()
      .catch((error) => this.fail(error))
      .finally(() => {
        this.pumping = false;
        if (this.again) {
          this.again = false;
          this.wake();
        }
      });
  }

  private async pump(): Promise<void> {
    for (const [id, subscription] of this.subscriptions) {
      for (;;) {
        if (this.closed || this.isBlocked()) return;
        const frame = await subscription.next();
        if (frame === null || this.closed || this.subscriptions.get(id) !== subscription) break;
        if (frame.type === "resync") this.hub.figures.resyncs += 1;
        this.hub.figures.frames += 1;
        this.sink.send(frame, id);
      }
    }
  }

  isBlocked(): boolean {
    if (this.sink.buffered() <= this.hub.limits.queueBytes) {
      this.blockedAt = null;
      return false;
    }
    this.blockedAt ??= performance.now();
    return true;
  }

  private fail(error: unknown): void {
    const { problem } = tellProblem(error, "/api/live", this.hub.onFault);
    this.sink.say({ type: "error", id: null, problem });
    this.close(1011, "the server has a fault");
  }

  close(code: number, reason: string): void {
    if (this.closed) return;
    this.ended();
    this.sink.close(code, reason);
  }

  /** The connection is gone. */
  ended(): void {
    this.closed = true;
    for (const subscription of this.subscriptions.values()) subscription.close?.();
    this.subscriptions.clear();
    this.hub.forget(this);
  }
}

export interface HubOptions {
  sources: Sources;
  limits: ServerLimits;
  figures: { clients: number; frames: number; resyncs: number; slow: number };
  /** Whether a principal may still be served. */
  still(principal: Principal): Promise<boolean>;
  onFault(error: unknown): void;
}

export class Hub {
  readonly sources: Sources;
  readonly limits: ServerLimits;
  readonly figures: HubOptions["figures"];
  readonly onFault: (error: unknown) => void;
  private readonly still: HubOptions["still"];
  private readonly listeners = new Set<Listener>();
  private off: (() => void)[] = [];
  private timer: NodeJS.Timeout | null = null;
  private beat: NodeJS.Timeout | null = null;
  private logTimer: NodeJS.Timeout | null = null;
  private advancing: Promise<void> | null = null;
  private again = false;

  constructor(options: HubOptions) {
    this.sources = options.sources;
    this.limits = options.limits;
    this.figures = options.figures;
    this.still = options.still;
    this.onFault = options.onFault;
  }

  async start(): Promise<void> {
    const { ledger, feed } = this.sources;
    await feed.begin();
    this.off = [ledger.onCommit(() => this.soon()), ledger.onForeignWrite(() => this.soon())];
    this.beat = setInterval(() => void this.heartbeat().catch(this.onFault), this.limits.heartbeatMs).unref();
    this.logTimer = setInterval(() => this.wakeReaders(), LOG_EVERY_MS).unref();
  }

  stop(): void {
    for (const off of this.off) off();
    for (const timer of [this.timer, this.beat, this.logTimer]) if (timer !== null) clearTimeout(timer);
    for (const listener of [...this.listeners]) listener.close(1001, "the server stops");
  }

  /** @throws HttpProblem 429 */
  join(principal: Principal, sink: Sink): Listener {
    const own = [...this.listeners].filter((one) => one.principal.token === principal.token).length;
    if (own >= this.limits.streamsPerToken || this.listeners.size >= this.limits.streams)
      throw tooMany("live streams at once", 5_000);
    const listener = new Listener(this, principal, sink);
    this.listeners.add(listener);
    this.figures.clients = this.listeners.size;
    return listener;
  }

  forget(listener: Listener): void {
    this.listeners.delete(listener);
    this.figures.clients = this.listeners.size;
  }

  /** Commits come in bursts; what they bring is taken in together. */
  private soon(): void {
    if (this.listeners.size === 0 || this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.advance();
    }, PAUSE_MS);
    this.timer.unref();
  }

  private advance(): void {
    this.again = true;
    this.advancing ??= this.advanceWhileAsked()
      .catch(this.onFault)
      .finally(() => {
        this.advancing = null;
      });
  }

  private async advanceWhileAsked(): Promise<void> {
    while (this.again) {
      this.again = false;
      // Somebody who has just come may have taken it in already: everybody looks in any case.
      await this.sources.feed.advance();
      for (const listener of this.listeners) listener.wake();
    }
  }

  /** Log lines are announced by nobody; and clients that were full may have read. */
  private wakeReaders(): void {
    for (const listener of this.listeners) if (listener.polls || listener.blockedAt !== null) listener.wake();
  }

  private async heartbeat(): Promise<void> {
    for (const listener of [...this.listeners]) {
      if (!(await this.still(listener.principal))) {
        listener.close(4401, "the token is no longer valid");
      } else if (listener.isBlocked()) {
        // Whoever does not read does not answer either.
        if (performance.now() - (listener.blockedAt ?? 0) <= this.limits.stuckMs) continue;
        this.figures.slow += 1;
        listener.close(4409, "too slow: resume at the last cursor");
      } else if (!listener.sink.alive()) {
        listener.close(4408, "no answer");
      } else {
        listener.sink.say({ type: "heartbeat", at: new Date().toISOString() });
      }
    }
  }
}
