/**
 * Ctrl-C and SIGTERM: the first asks for a graceful stop, the second for an immediate one.
 *
 * Invariant: signals that arrive within a moment count as one. A terminal sends Ctrl-C to all its processes, and launchers
 * such as npx send it on, so that one press arrives twice.
 */
import type { CliIo, StopSignal } from "./io.ts";

const ONE_PRESS_MS = 300;

export class Interrupts {
  /** The signal that came first; null as long as there is none. */
  signal: StopSignal | null = null;
  readonly first: Promise<StopSignal>;
  readonly second: Promise<StopSignal>;
  readonly stop: () => void;

  constructor(io: CliIo, now: () => number = () => performance.now()) {
    const one = Promise.withResolvers<StopSignal>();
    const two = Promise.withResolvers<StopSignal>();
    let last = Number.NEGATIVE_INFINITY;
    this.first = one.promise;
    this.second = two.promise;
    this.stop = io.onSignal((signal) => {
      const again = now() - last < ONE_PRESS_MS;
      last = now();
      if (this.signal === null) {
        this.signal = signal;
        one.resolve(signal);
      } else if (!again) two.resolve(signal);
    });
  }
}
