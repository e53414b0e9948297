/**
 * Days and months in UTC by arithmetic alone, so that the core needs no clock and no Date.
 *
 * Owner: core. Times are milliseconds since the Unix epoch.
 */
export const DAY_MS = 86_400_000;

/** Midnight UTC after `at`. */
export function nextDay(at: number): number {
  return (dayOf(at) + 1) * DAY_MS;
}

/** Start of the month after `at`, UTC. */
export function nextMonth(at: number): number {
  const month = monthOf(at) + 1;
  return daysFromCivil(1970 + Math.floor(month / 12), month - 12 * Math.floor(month / 12) + 1) * DAY_MS;
}

/** Days since 1970, UTC. */
export function dayOf(at: number): number {
  return Math.floor(at / DAY_MS);
}

/** Months since January 1970, UTC. */
export function monthOf(at: number): number {
  // Days are counted in eras of 400 years that begin in March, so that the leap day is the last of its year.
  const shifted = dayOf(at) + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  return (era * 400 + yearOfEra - 1970) * 12 + marchMonth + 2;
}

/** Days since 1970 of the first of a month. */
function daysFromCivil(year: number, month: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5);
  return (
    era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
  );
}
