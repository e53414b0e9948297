/** Numbers as people read them. */
const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function bytesText(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export const numberText = (count: number): string => count.toLocaleString();

/** `2 jobs`, `1 job`. */
export const counted = (count: number, word: string): string => `${numberText(count)} ${word}${count === 1 ? "" : "s"}`;
