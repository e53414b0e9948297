/**
 * How alike two phone numbers, cities, postal codes and streets are: from 0 to 1, and -1 where they cannot be compared.
 *
 * Symmetric. A wrong digit is no other number; another line of the same exchange, or a post box beside a street, says nothing.
 */
import { editDistance } from "./edit-distance.ts";
import type { Profiles } from "./profiles.ts";
import type { WordFacts, WordList } from "./soft-match.ts";
import { rangesOf, softMatch } from "./soft-match.ts";
import { WEAK_STREET_WORDS } from "./words.ts";

/** 1 or 0; -1 where one of them is not known. */
export function equality(values: Float64Array | Int32Array, i: number, j: number): number {
  const [left, right] = [values[i]!, values[j]!];
  return left === 0 || right === 0 ? -1 : left === right ? 1 : 0;
}

const EXCHANGE = 10_000;
const NEARLY_THE_NUMBER = 0.7;

/** Another line of the same exchange says nothing: companies have several, and so have their neighbours. */
export function phoneLikeness(left: number, right: number): number {
  if (left === 0 || right === 0) return -1;
  if (left === right) return 1;
  if (isWrongDigit(left, right)) return NEARLY_THE_NUMBER;
  return Math.floor(left / EXCHANGE) === Math.floor(right / EXCHANGE) ? -1 : 0;
}

/** One digit differs, or two neighbours are swapped. */
function isWrongDigit(left: number, right: number): boolean {
  let gap = Math.abs(left - right);
  while (gap % 10 === 0) gap /= 10;
  // One digit makes a gap of 1 to 9, a swap one of 9 to 81, in whatever place; others need no look at their digits.
  if (gap > 81) return false;
  let [a, b] = [left, right];
  let differing = 0;
  let sum = 0;
  let neighbours = true;
  for (let place = 0, last = -1; a > 0 || b > 0; place++) {
    const step = (a % 10) - (b % 10);
    if (step !== 0) {
      differing++;
      sum += step;
      neighbours = last < 0 || last === place - 1;
      last = place;
    }
    a = Math.floor(a / 10);
    b = Math.floor(b / 10);
  }
  return differing === 1 || (differing === 2 && neighbours && sum === 0);
}

export function cityLikeness(profiles: Profiles, i: number, j: number): number {
  const [left, right] = [profiles.city[i]!, profiles.city[j]!];
  if (left === 0 || right === 0) return -1;
  if (left === right) return 1;
  const [a, b] = [profiles.cities[left]!, profiles.cities[right]!];
  // "New York" and "New York City", "Winston" and "Winston Salem".
  if (` ${a} `.includes(` ${b} `) || ` ${b} `.includes(` ${a} `)) return 0.9;
  return Math.min(a.length, b.length) > 4 && editDistance(a, b, 2) <= (a.length > 8 ? 2 : 1) ? 0.9 : 0;
}

export function postalLikeness({ postal, postalArea }: Profiles, i: number, j: number): number {
  const same = equality(postal, i, j);
  return same === 0 && postalArea[i] === postalArea[j] ? 0.5 : same;
}

const factsOfStreets = new WeakMap<Profiles, WordFacts>();

function factsOf(profiles: Profiles): WordFacts {
  const known = factsOfStreets.get(profiles);
  if (known !== undefined) return known;
  const { words } = profiles;
  const facts: WordFacts = {
    words,
    occurrences: null,
    weightOf: (word) => (WEAK_STREET_WORDS.has(words[word]!) ? 0.15 : 1),
    saysWho: () => true,
  };
  factsOfStreets.set(profiles, facts);
  return facts;
}

export function streetLikeness(profiles: Profiles, i: number, j: number): number {
  const { houseNumber, streetWords, streetStart, words } = profiles;
  const [left, right] = rangesOf(streetWords, streetStart, i, j);
  if (left.start === left.end || right.start === right.end) return -1;
  // A post box and a street address do not contradict each other.
  if (hasWord(left, words, "box") !== hasWord(right, words, "box")) return -1;
  const { agreed, leftOver, rightOver } = softMatch(left, right, factsOf(profiles));
  const total = agreed + (leftOver + rightOver) / 2;
  const street = total === 0 ? 0 : agreed / total;
  const number = equality(houseNumber, i, j);
  if (number === 1) return 0.4 + 0.6 * street;
  if (number === 0) return isSlip(words[houseNumber[i]!]!, words[houseNumber[j]!]!) ? 0.7 * street : 0.2 * street;
  const bothWithout = houseNumber[i] === 0 && houseNumber[j] === 0;
  return (bothWithout ? 1 : 0.7) * street;
}

/** 8384 and 8834: a wrong digit, or the house beside it. */
function isSlip(one: string, two: string): boolean {
  return Math.min(one.length, two.length) >= 3 && editDistance(one, two, 1) === 1;
}

export function hasStreet({ streetStart }: Profiles, record: number): boolean {
  return streetStart[record]! < streetStart[record + 1]!;
}

function hasWord({ ids, start, end }: WordList, words: readonly string[], wanted: string): boolean {
  for (let at = start; at < end; at++) if (words[ids[at]!] === wanted) return true;
  return false;
}
