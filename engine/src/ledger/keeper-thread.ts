/** Life and end of a boot's heartbeat thread; each ledger has its own `keeper.ts` for what runs in it, and starts it. */
import type { KeepAlive } from "../ports/ledger.ts";

/** What is asked of a worker thread. */
export interface KeeperThread {
  ref(): void;
  unref(): void;
  terminate(): Promise<unknown>;
  once(event: "online" | "exit", listener: () => void): unknown;
  on(event: "message", listener: (message: string) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

export interface KeeperEvents {
  onDead: () => void;
  /** Told, in words, that the ledger cannot be reached, and that it can be again. */
  onNews?: (text: string) => void;
  onError: (error: Error) => void;
  onStop: (keeper: KeepAlive) => void;
}

/** `ticks` is shared with the thread: the first number counts ticks, the second one ends it. */
export function superviseKeeper(thread: KeeperThread, ticks: Int32Array, events: KeeperEvents): KeepAlive {
  thread.unref();
  let started = false;
  thread.once("online", () => {
    started = true;
  });
  thread.on("message", (message: string) => {
    if (message === "dead") events.onDead();
    else events.onNews?.(message);
  });
  thread.on("error", events.onError);
  const keeper: KeepAlive = {
    tick: () => void Atomics.add(ticks, 0, 1),
    stop: async () => {
      events.onStop(keeper);
      Atomics.store(ticks, 1, 1);
      Atomics.notify(ticks, 1);
      // A thread that is still loading has nothing to finish.
      if (!started) return void (await thread.terminate());
      await new Promise<void>((done) => {
        thread.once("exit", () => done());
        thread.ref();
      });
    },
  };
  return keeper;
}
