/** Waiting in tests for what commits bring, without a clock. */
import type { Tenuto } from "../src/index.ts";

/** Resolves when `look` gives something, asked again after each commit. */
export function seen<T>(tenuto: Tenuto, look: () => Promise<T | null | undefined>): Promise<T> {
  const { ledger } = tenuto.engine.parts;
  return new Promise((resolve, reject) => {
    const again = () =>
      void look().then((found) => {
        if (found == null) return;
        off();
        resolve(found);
      }, reject);
    const off = ledger.onCommit(again);
    again();
  });
}
