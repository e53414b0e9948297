/** Whether two names, alone, may be those of one company: for checking what a search brought up. */
import { nameForm } from "./words.ts";

const ENOUGH_OVERLAP = 0.5;

/** Equal after normalising, one within the other, or at least half of the shorter one's words in common. */
export function similarCompanyName(one: string, two: string): boolean {
  if (sameCompanyName(one, two)) return true;
  const [left, right] = [new Set(nameForm(one).tokens), new Set(nameForm(two).tokens)];
  const common = [...left].filter((word) => right.has(word)).length;
  return common > 0 && common / Math.min(left.size, right.size) >= ENOUGH_OVERLAP;
}

/** Equal after normalising, or one within the other. */
export function sameCompanyName(one: string, two: string): boolean {
  const [left, right] = [nameForm(one), nameForm(two)];
  if (left.joined === "" || right.joined === "") return false;
  if (left.joined === right.joined) return true;
  const [short, long] = left.tokens.length <= right.tokens.length ? [left, right] : [right, left];
  return ` ${long.tokens.join(" ")} `.includes(` ${short.tokens.join(" ")} `);
}
