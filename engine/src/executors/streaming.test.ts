import { afterAll, expect, it } from "vitest";
import { createCommandExecutor } from "./command.ts";
import { cleanUp, trial } from "./fixtures/attempts.ts";

const executor = createCommandExecutor({ guard: false });
afterAll(async () => {
  await executor.close();
  cleanUp();
});

it("R-26: 200 MB without a newline do not grow the memory", async () => {
  let bytes = 0;
  let peak = 0;
  const output = (_: string, chunk: Uint8Array): void => {
    bytes += chunk.length;
    if (bytes % (4 * 1024 * 1024) < chunk.length) peak = Math.max(peak, process.memoryUsage.rss());
  };
  const warm = trial({ argv: ["head", "-c", "50000000", "/dev/zero"] }, { output });
  await executor.run(warm.attempt);
  const before = process.memoryUsage.rss();
  bytes = 0;
  peak = 0;
  const command = { argv: ["head", "-c", "200000000", "/dev/zero"], output: "stdout-text" as const };
  const outcome = await executor.run(trial(command, { output }).attempt);
  expect(outcome).toMatchObject({ kind: "failed", error: { code: "payload_too_large", details: { bytes } } });
  expect(bytes).toBe(200_000_000);
  expect(peak - before).toBeLessThan(64 * 1024 * 1024);
}, 20_000);

it("stops reading while the receiver's promise is open, so that the program waits on its pipe", async () => {
  let open = (): void => {};
  let held = 0;
  let bytes = 0;
  const first = new Promise<void>((seen) => {
    const output = (_: string, chunk: Uint8Array): void | Promise<void> => {
      bytes += chunk.length;
      if (bytes > chunk.length) return;
      seen();
      return new Promise((resolve) => {
        open = resolve;
      });
    };
    const one = trial({ argv: ["sh", "-c", "head -c 5000000 /dev/zero; echo end >&2"] }, { output: output as never });
    result = executor.run(one.attempt);
  });
  await first;
  // Turns of the loop in which a stream that is not paused would have gone on.
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  held = bytes;
  open();
  expect((await result).kind).toBe("completed");
  expect(held).toBeLessThanOrEqual(64 * 1024);
  expect(bytes).toBe(5_000_004);
});

let result: ReturnType<typeof executor.run>;
