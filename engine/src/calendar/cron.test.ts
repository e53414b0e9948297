/**
 * clocks that are put forward and back, against an oracle that goes through the days around it and asks Intl for
 * the local time.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createCalendar } from "./cron.ts";

const calendar = createCalendar();
const iso = (times: readonly (number | null)[]) => times.map((at) => (at === null ? null : new Date(at).toISOString()));
const at = (text: string) => Date.parse(text);

function following(cron: string, zone: string, after: number, until: number): number[] {
  const found: number[] = [];
  for (
    let next = calendar.next(cron, zone, after);
    next !== null && next <= until;
    next = calendar.next(cron, zone, next)
  )
    found.push(next);
  return found;
}

/** Zones with the days around a change; Lord Howe moves by half an hour, Santiago and Cairo change at midnight. */
const CHANGES: readonly [zone: string, forward: string, back: string][] = [
  ["Europe/Berlin", "2026-03-29", "2026-10-25"],
  ["Europe/London", "2026-03-29", "2026-10-25"],
  ["Europe/Athens", "2026-03-29", "2026-10-25"],
  ["America/New_York", "2026-03-08", "2026-11-01"],
  ["America/Los_Angeles", "2026-03-08", "2026-11-01"],
  ["America/St_Johns", "2026-03-08", "2026-11-01"],
  ["America/Havana", "2026-03-08", "2026-11-01"],
  ["America/Santiago", "2026-09-06", "2026-04-05"],
  ["Australia/Sydney", "2026-10-04", "2026-04-05"],
  ["Australia/Lord_Howe", "2026-10-04", "2026-04-05"],
  ["Pacific/Auckland", "2026-09-27", "2026-04-05"],
  ["Africa/Cairo", "2026-04-24", "2026-10-30"],
];

/** Local time of day in seconds, at each step of a range. */
function localTimes(
  zone: string,
  from: number,
  to: number,
  step = 300_000,
): { at: number; second: number; day: string }[] {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const times: { at: number; second: number; day: string }[] = [];
  for (let at = from; at < to; at += step) {
    const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    const second = Number(parts.hour) * 3_600 + Number(parts.minute) * 60 + Number(parts.second);
    times.push({ at, second, day: `${parts.year}-${parts.month}-${parts.day}` });
  }
  return times;
}

/** A fixed time of day: once a local day, at its first occurrence, or at the first moment after it if it is left out. */
function fixedTime(times: ReturnType<typeof localTimes>, second: number): number[] {
  const days = new Map<string, number>();
  for (const { at, second: now, day } of times) if (now >= second && !days.has(day)) days.set(day, at);
  return [...days.values()];
}

describe("R-19: clocks that are put forward or back", () => {
  for (const [zone, forward, back] of CHANGES) {
    test(`${zone}: fixed times once, wildcards without a pause`, { timeout: 30_000 }, () => {
      for (const day of [forward, back]) {
        const from = at(`${day}T00:00:00Z`) - 36 * 3_600_000;
        const to = from + 84 * 3_600_000;
        const times = localTimes(zone, from, to);
        const whole = times.filter(({ day: of }) => of !== times[0]!.day && of !== times.at(-1)!.day);
        const [start, end] = [whole[0]!.at, whole.at(-1)!.at];
        for (const [cron, second] of [
          ["30 2 * * *", 9_000],
          ["0 0 * * *", 0],
          ["15 1 * * *", 4_500],
          ["45 23 * * *", 85_500],
        ] as const)
          expect([cron, ...iso(following(cron, zone, start - 1, end))]).toEqual([
            cron,
            ...iso(fixedTime(whole, second)),
          ]);
        const expectAll = (cron: string, times: ReturnType<typeof localTimes>, test: (second: number) => boolean) => {
          const expected = times.filter(({ second }) => test(second)).map((time) => time.at);
          const found = following(cron, zone, times[0]!.at - 1, times.at(-1)!.at);
          expect([cron, found.length, ...iso(found.filter((time) => !expected.includes(time)))]).toEqual([
            cron,
            expected.length,
          ]);
        };
        expectAll("0 * * * *", whole, (second) => second % 3_600 === 0);
        expectAll("*/30 * * * *", whole, (second) => second % 1_800 === 0);
        expectAll("*/20 1-2 * * *", whole, (second) => second % 1_200 === 0 && second >= 3_600 && second < 10_800);
        const changed = whole.find(({ second }, i) => i > 0 && second !== (whole[i - 1]!.second + 300) % 86_400)!.at;
        const around = localTimes(zone, changed - 4_500_000, changed + 4_500_000, 15_000);
        expectAll("*/15 * * * * *", around, () => true);
        expectAll("0 */5 * * * *", around, (second) => second % 300 === 0);
      }
    });
  }

  test("looking back finds what looking ahead found", () => {
    for (const [zone, forward, back] of CHANGES) {
      for (const day of [forward, back]) {
        const after = at(`${day}T00:00:00Z`) - 40 * 3_600_000;
        const until = after + 90 * 3_600_000;
        for (const cron of ["30 2 * * *", "0 * * * *", "*/20 1-2 * * *", "30 0,1,2,3 * * *", "0 0 * * *"])
          expect(calendar.between(cron, zone, { after, until, limit: 1_000 })).toEqual(
            following(cron, zone, after, until),
          );
      }
    }
  });
});

describe("between", () => {
  const zone = "Europe/Berlin";
  test("is open at its beginning and closed at its end", () => {
    const [a, b, c] = [at("2026-05-01T10:00:00Z"), at("2026-05-01T11:00:00Z"), at("2026-05-01T12:00:00Z")];
    const hours = (after: number, until: number, limit = 10) =>
      calendar.between("0 * * * *", zone, { after, until, limit });
    expect(hours(a, c)).toEqual([b, c]);
    expect(hours(a - 1, c)).toEqual([a, b, c]);
    expect(hours(a, c - 1)).toEqual([b]);
    expect(hours(b, b)).toEqual([]);
    expect(hours(a - 1, c + 999, 2)).toEqual([b, c]);
  });

  test("keeps the newest of many", () => {
    const until = at("2026-05-01T00:00:00Z");
    const minutes = calendar.between("* * * * *", zone, { after: 0, until, limit: 1_000 });
    expect(minutes).toEqual(Array.from({ length: 1_000 }, (_, i) => until - (999 - i) * 60_000));
  });

  test("does not look back for ever", () => {
    const [after, until] = [at("2027-01-01T00:00:00Z"), at("2029-01-01T00:00:00Z")];
    expect(iso(calendar.between("0 0 29 2 *", "UTC", { after, until, limit: 1_000 }))).toEqual([
      "2028-02-29T00:00:00.000Z",
    ]);
  });
});

describe("what is refused", () => {
  test.each([
    ["", "UTC", "cron", "is no cron expression"],
    ["* * * *", "UTC", "cron", "can't be read"],
    ["* * * * * * *", "UTC", "cron", "requires exactly 5 or 6 parts"],
    ["61 * * * *", "UTC", "cron", "Invalid value for minute: 61"],
    ["* * * * 8", "UTC", "cron", "Invalid value for dayOfWeek"],
    ["*/0 * * * *", "UTC", "cron", "stepping"],
    ["0 0 30 2 *", "UTC", "cron", "never comes up"],
    ["@daily", "UTC", "cron", "is no cron expression"],
    ["* * * * *; rm -rf", "UTC", "cron", "is no cron expression"],
    ["* ".repeat(200), "UTC", "cron", "is no cron expression"],
    ["0 0 * * *", "Mars/Olympus", "zone", "is no time zone"],
    ["0 0 * * *", "+02:00", "zone", "is no time zone"],
    ["0 0 * * *", "", "zone", "is no time zone"],
  ] as const)("%j in %j", (cron, zone, what, message) => {
    const fault = calendar.fault(cron, zone);
    expect([fault?.what, fault?.message]).toEqual([what, expect.stringContaining(message)]);
  });

  test.each([
    "0 2 * * *",
    "*/15 * * * *",
    "0 9 * * mon-fri",
    "30 4 1,15 * *",
    "0 0 L * *",
    "*/15 * * * * *",
    "0 12 * JAN-MAR 1#2",
  ])("%j is taken", (cron) => expect(calendar.fault(cron, "Europe/Berlin")).toBeNull());

  test("S-25: whatever is written, the answer comes and nothing throws", () => {
    const field = fc.stringMatching(/^[0-9*,/\-?#LWA-Za-z]{0,12}$/);
    const cron = fc.oneof(
      fc.string({ maxLength: 250 }),
      fc.array(field, { minLength: 4, maxLength: 7 }).map((fields) => fields.join(" ")),
    );
    const zone = fc.oneof(fc.constantFrom("UTC", "Europe/Berlin", "America/New_York"), fc.string({ maxLength: 40 }));
    fc.assert(
      fc.property(cron, zone, (expression, where) => {
        if (calendar.fault(expression, where) !== null) return;
        const next = calendar.next(expression, where, 0);
        expect(next).toBeGreaterThan(0);
        expect(calendar.between(expression, where, { after: next! - 1, until: next!, limit: 5 })).toEqual([next]);
      }),
      { numRuns: 3_000, seed: 25 },
    );
  });
});
