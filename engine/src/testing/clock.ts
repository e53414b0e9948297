/**
 * A clock that stands still until a test moves it. Timers fire in the order of their time, then of their making.
 *
 * Owner: testing.
 */
import type { Clock } from "../ports/clock.ts";

interface Timer {
  at: number;
  order: number;
  callback: () => void;
}

export class FakeClock implements Clock {
  private time: number;
  private order = 0;
  private timers: Timer[] = [];

  constructor(start = 1_000_000) {
    this.time = start;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, callback: () => void): { cancel(): void } {
    const timer: Timer = { at: this.time + Math.max(0, ms), order: this.order++, callback };
    this.timers.push(timer);
    const cancel = () => {
      this.timers = this.timers.filter((entry) => entry !== timer);
    };
    return { cancel };
  }

  /** Timers that have not fired yet. */
  get pending(): number {
    return this.timers.length;
  }

  /** When the next timer fires; null if there is none. */
  get nextAt(): number | null {
    return this.timers.length === 0 ? null : Math.min(...this.timers.map((timer) => timer.at));
  }

  /** Moves on by `ms`, firing what becomes due on the way, timers set by timers included. */
  advance(ms: number): void {
    this.advanceTo(this.time + ms);
  }

  advanceTo(target: number): void {
    for (;;) {
      const next = this.next(target);
      if (next === null) break;
      this.timers = this.timers.filter((entry) => entry !== next);
      this.time = Math.max(this.time, next.at);
      next.callback();
    }
    this.time = Math.max(this.time, target);
  }

  /** The wall clock is set, forwards or backwards, without any timer firing: NTP, suspend, a changed time zone. */
  jump(ms: number): void {
    this.time += ms;
  }

  private next(target: number): Timer | null {
    let first: Timer | null = null;
    for (const timer of this.timers)
      if (
        timer.at <= target &&
        (first === null || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
      )
        first = timer;
    return first;
  }
}
