/** A report waits for a ledger that is away, however long that lasts; what the ledger refuses is told at once. */
import { expect, it } from "vitest";
import { TenutoError } from "../core/errors.ts";
import { FakeClock } from "../testing/clock.ts";
import { Insistence, TROUBLE_RETRY_MS } from "./insistence.ts";

/** An insistence on a ledger that answers with these, one after the other. */
function on(clock: FakeClock, ...answers: (TenutoError | string)[]) {
  let asked = 0;
  const told: unknown[] = [];
  const ledger = {
    apply: async () => {
      const answer = answers[asked++];
      if (answer instanceof TenutoError) throw answer;
      return answer;
    },
  };
  const insistence = new Insistence({ ledger, clock } as never, (error) => told.push(error));
  const change = { select: { kind: "run", run: 1 }, decide: () => ({ ok: true, result: null }) } as never;
  return { insistence, told, asked: () => asked, ended: insistence.apply(change) };
}

const away = () => new TenutoError("ledger_unavailable", "cannot be reached", { category: "retryable" });

it("hands a change in again while the server is away, and tells it once", async () => {
  const clock = new FakeClock();
  const { insistence, told, asked, ended } = on(clock, away(), away(), "written");
  for (let round = 1; round < 3; round++) {
    await expect.poll(() => clock.pending).toBe(1);
    expect([asked(), insistence.troubled]).toEqual([round, true]);
    clock.advance(TROUBLE_RETRY_MS);
  }
  expect(await ended).toBe("written");
  expect([asked(), insistence.troubled, told.length]).toEqual([3, false, 1]);
});

it.each([
  new TenutoError("ledger_unavailable", "the ledger is closed"),
  new TenutoError("lease_lost", "of an older epoch"),
])("does not insist on what is refused: $message", async (refusal) => {
  const { ended, asked } = on(new FakeClock(), refusal);
  await expect(ended).rejects.toBe(refusal);
  expect(asked()).toBe(1);
});
