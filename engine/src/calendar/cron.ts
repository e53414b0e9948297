/**
 * Cron expressions in time zones, by croner.
 *
 * Owner: calendar. Invariants:
 * 1. An expression has five fields (minute, hour, day of month, month, day of week), or six with seconds in front. When day of
 *    month and day of week are both given, either is enough, as in cron.
 * 2. Clocks that are put forward or back: an expression whose times of day are fixed comes up once in an hour that comes
 *    twice, the first time, and at the first moment after an hour that is left out. One with `*` or a step in hours, minutes or
 *    seconds goes by what passes: in an hour that comes twice it comes up in both, in one that is left out not at all.
 * 3. What is refused is refused in little time, whatever is written.
 */
import { Cron } from "croner";
import type { Calendar } from "../ports/calendar.ts";

const MAX_CHARS = 200;
const KEPT = 200;
const FIRST_LOOK = 8;
const LOOK = 256;
const EXPRESSION = /^[0-9A-Za-z*,/\-?#+ \t]+$/;
const ZONE = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/;

export function createCalendar(): Calendar {
  const kept = new Map<string, Cron>();
  const of = (cron: string, zone: string): Cron => {
    const key = `${zone} ${cron}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const made = parse(cron, zone);
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value as string);
    kept.set(key, made);
    return made;
  };
  return {
    fault(cron, zone) {
      if (zone.length > MAX_CHARS || !ZONE.test(zone) || !isZone(zone))
        return { what: "zone", message: `${JSON.stringify(zone.slice(0, 60))} is no time zone` };
      if (cron.length > MAX_CHARS || !EXPRESSION.test(cron))
        return { what: "cron", message: `${JSON.stringify(cron.slice(0, 60))} is no cron expression` };
      try {
        if (parse(cron, zone).nextRun() === null)
          return { what: "cron", message: `${JSON.stringify(cron)} never comes up` };
        return null;
      } catch (error) {
        const message = (error as Error).message.replace(/^CronPattern: /, "");
        return { what: "cron", message: `${JSON.stringify(cron)} can't be read: ${message}` };
      }
    },
    next: (cron, zone, after) => of(cron, zone).nextRun(new Date(after))?.getTime() ?? null,
    between(cron, zone, { after, until, limit }) {
      const found: number[] = [];
      let look = FIRST_LOOK;
      // Croner looks at whole seconds before the given one.
      for (let before = Math.floor(until / 1_000) * 1_000 + 1_000; found.length < limit; look = LOOK) {
        const runs = of(cron, zone).previousRuns(Math.min(look, limit - found.length), new Date(before));
        for (const run of runs) if (run.getTime() > after && run.getTime() <= until) found.push(run.getTime());
        const last = runs.at(-1);
        if (last === undefined || last.getTime() <= after) break;
        before = last.getTime();
      }
      return found.reverse();
    },
  };
}

function parse(cron: string, zone: string): Cron {
  return new Cron(cron, { timezone: zone, paused: true, mode: "5-or-6-parts", fixedTimeRule: "no-wildcard" });
}

function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
