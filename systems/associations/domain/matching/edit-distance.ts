/** How far two words are apart: insertions, deletions, substitutions and swaps of neighbours, up to a bound. */

const rows = [new Int32Array(64), new Int32Array(64), new Int32Array(64)] as [Int32Array, Int32Array, Int32Array];
const LONGEST = 63;

/** Edits between two words, or `bound + 1` as soon as it must be more. Words over 63 letters are only compared as wholes. */
export function editDistance(left: string, right: string, bound: number): number {
  if (left === right) return 0;
  const [n, m] = [left.length, right.length];
  if (Math.abs(n - m) > bound || n > LONGEST || m > LONGEST) return bound + 1;
  let [before, above, row] = rows;
  for (let j = 0; j <= m; j++) above[j] = j;
  for (let i = 1; i <= n; i++) {
    row[0] = i;
    let least = i;
    const letter = left.charCodeAt(i - 1);
    for (let j = 1; j <= m; j++) {
      const other = right.charCodeAt(j - 1);
      let cost = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (letter === other ? 0 : 1));
      const swapped = i > 1 && j > 1 && letter === right.charCodeAt(j - 2) && other === left.charCodeAt(i - 2);
      if (swapped) cost = Math.min(cost, before[j - 2]! + 1);
      row[j] = cost;
      if (cost < least) least = cost;
    }
    if (least > bound) return bound + 1;
    [before, above, row] = [above, row, before];
  }
  return above[m]! > bound ? bound + 1 : above[m]!;
}

const FEWEST_LETTERS = 4;
const CUT_SHORT = 0.6;

/** Likeness of two different words, 0 to 1: spelling mistakes count, words that merely share letters do not. Figures must agree. */
export function wordLikeness(left: string, right: string): number {
  const short = Math.min(left.length, right.length);
  const long = Math.max(left.length, right.length);
  if (short < FEWEST_LETTERS) return 0;
  const bound = short < 6 ? 1 : short < 11 ? 2 : 3;
  if (long - short > bound && short < 5) return 0;
  const distance = editDistance(left, right, bound);
  if (distance <= bound && (hasFigure(left) || hasFigure(right))) return 0;
  // People slip within words; two wrong letters of which one is the first make another word.
  if (distance > 1 && distance <= bound && left[0] !== right[0]) return 0;
  if (distance <= bound) return Math.max(0, 1 - (1.4 * distance) / long);
  // "micro" for "microelectronics": people cut long words short.
  const [small, large] = left.length < right.length ? [left, right] : [right, left];
  return short >= 5 && large.startsWith(small) ? CUT_SHORT : 0;
}

function hasFigure(word: string): boolean {
  for (let at = 0; at < word.length; at++) if (word.charCodeAt(at) < 58) return true;
  return false;
}
