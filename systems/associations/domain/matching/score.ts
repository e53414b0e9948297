/**
 * The score of a pair of records: a weighted mean of how alike its fields are, from 0 to 1, and why.
 *
 * 1. Symmetric: score(a, b) = score(b, a). A field that one of them lacks drops out, and the weights of the others are scaled up.
 * 2. With name, domain, city and state alone it is the source document's formula. Phone, street and postal code join in where both
 *    records have them; to agree in them says more than to differ, since companies move and have several numbers.
 * 3. What many differently named companies share (a call centre's number, a parent's domain) counts the less, the more share it.
 * 4. Place alone identifies nobody: without name, domain or phone the score is 0.
 */
import { editDistance } from "./edit-distance.ts";
import type { Profiles } from "./profiles.ts";
import type { WordList } from "./soft-match.ts";
import { softMatch } from "./soft-match.ts";
import { WEAK_STREET_WORDS } from "./words.ts";

export const FIELDS = ["company_name", "domain", "city", "state", "phone", "street", "postal_code"] as const;
export type Field = (typeof FIELDS)[number];

/** Weight of a field where it agrees fully and where it differs fully; in between it is interpolated. */
export interface Weight {
  agree: number;
  differ: number;
}
export type Weights = Readonly<Record<Field, Weight>>;

export const DEFAULT_THRESHOLD = 0.85;

export const DEFAULT_WEIGHTS: Weights = {
  company_name: { agree: 0.5, differ: 0.5 },
  domain: { agree: 0.3, differ: 0.3 },
  city: { agree: 0.1, differ: 0.1 },
  state: { agree: 0.1, differ: 0.1 },
  phone: { agree: 0.3, differ: 0.1 },
  street: { agree: 0.2, differ: 0.1 },
  postal_code: { agree: 0.1, differ: 0.05 },
};

export interface Evidence {
  field: Field;
  /** 0 to 1. */
  likeness: number;
  /** Share of the score that this field decides. */
  weight: number;
}

/** Of the fields, in their order; -1: cannot be compared. */
const likenesses = new Float64Array(FIELDS.length);
const factors = new Float64Array(FIELDS.length);

/** The score of records i and j. */
export function scorePair(profiles: Profiles, i: number, j: number, weights: Weights = DEFAULT_WEIGHTS): number {
  compare(profiles, i, j);
  return total(weights);
}

/** The score where it reaches the threshold, else anything below it; most pairs need no look at their words for that. */
export function scoreIfReached(
  profiles: Profiles,
  i: number,
  j: number,
  { weights, threshold }: { weights: Weights; threshold: number },
): number {
  compareNumbers(profiles, i, j);
  // At best, name and street agree in full; every weight is larger where its field agrees.
  likenesses[NAME] = profiles.nameKey[i] === 0 || profiles.nameKey[j] === 0 ? -1 : 1;
  likenesses[STREET] = hasStreet(profiles, i) && hasStreet(profiles, j) ? 1 : -1;
  const reachable = total(weights);
  if (reachable < threshold) return reachable;
  likenesses[NAME] = nameLikeness(profiles, i, j);
  const withName = total(weights);
  if (withName < threshold) return withName;
  likenesses[STREET] = streetLikeness(profiles, i, j);
  return total(weights);
}

function total(weights: Weights): number {
  if (likenesses[NAME]! < 0 && likenesses[DOMAIN]! < 0 && likenesses[PHONE]! < 0) return 0;
  let sum = 0;
  let all = 0;
  for (let at = 0; at < FIELDS.length; at++) {
    const likeness = likenesses[at]!;
    if (likeness < 0) continue;
    const weight = weightAt(at, likeness, weights);
    sum += weight * likeness;
    all += weight;
  }
  return all === 0 ? 0 : sum / all;
}

/** What the score of a pair is made of, heaviest first. */
export function explainPair(
  profiles: Profiles,
  i: number,
  j: number,
  weights: Weights = DEFAULT_WEIGHTS,
): { score: number; evidence: Evidence[] } {
  const score = scorePair(profiles, i, j, weights);
  const evidence = FIELDS.flatMap((field, at) => {
    const likeness = likenesses[at]!;
    return likeness < 0 ? [] : [{ field, likeness, weight: weightAt(at, likeness, weights) }];
  });
  const all = evidence.reduce((sum, { weight }) => sum + weight, 0);
  return {
    score,
    evidence: evidence
      .map((one) => ({ ...one, weight: all === 0 ? 0 : one.weight / all }))
      .sort((a, b) => b.weight - a.weight),
  };
}

/** How alike the fields of a pair are, -1 where they cannot be compared; valid until the next call. */
export function compare(profiles: Profiles, i: number, j: number): Float64Array {
  compareNumbers(profiles, i, j);
  likenesses[NAME] = nameLikeness(profiles, i, j);
  likenesses[STREET] = streetLikeness(profiles, i, j);
  return likenesses;
}

/** The fields that need no look at words. */
function compareNumbers(profiles: Profiles, i: number, j: number): void {
  factors.fill(1);
  likenesses[DOMAIN] = equality(profiles.domain, i, j);
  likenesses[CITY] = cityLikeness(profiles, i, j);
  likenesses[STATE] = equality(profiles.state, i, j);
  likenesses[PHONE] = equality(profiles.phone, i, j);
  likenesses[POSTAL] = postalLikeness(profiles, i, j);
  if (likenesses[DOMAIN] === 1) factors[DOMAIN] = sharedFactor(profiles.domainSharers[i]!);
  if (likenesses[PHONE] === 1) factors[PHONE] = sharedFactor(profiles.phoneSharers[i]!);
}

const [NAME, DOMAIN, CITY, STATE, PHONE, STREET, POSTAL] = [0, 1, 2, 3, 4, 5, 6];
const FEW_SHARERS = 4;

function weightAt(at: number, likeness: number, weights: Weights): number {
  const { agree, differ } = weights[FIELDS[at]!];
  return (differ + (agree - differ) * likeness) * factors[at]!;
}

function sharedFactor(sharers: number): number {
  return sharers <= FEW_SHARERS ? 1 : 1 / (1 + Math.log2(sharers / FEW_SHARERS));
}

function equality(values: Float64Array | Int32Array, i: number, j: number): number {
  const [left, right] = [values[i]!, values[j]!];
  return left === 0 || right === 0 ? -1 : left === right ? 1 : 0;
}

const leftWords: { -readonly [Key in keyof WordList]: WordList[Key] } = { ids: new Int32Array(0), start: 0, end: 0 };
const rightWords: typeof leftWords = { ids: new Int32Array(0), start: 0, end: 0 };

function setWords(ids: Int32Array, starts: Int32Array, i: number, j: number): [WordList, WordList] {
  leftWords.ids = ids;
  leftWords.start = starts[i]!;
  leftWords.end = starts[i + 1]!;
  rightWords.ids = ids;
  rightWords.start = starts[j]!;
  rightWords.end = starts[j + 1]!;
  return [leftWords, rightWords];
}

/** A name that lies wholly within the other is closer than its length says. */
const CONTAINED = 0.4;
/** Rarity that a shared name needs for that, about that of one rare word. */
const ENOUGH_RARITY = 20;
const PLACE_IN_NAME = 0.25;

function nameLikeness(profiles: Profiles, i: number, j: number): number {
  const [leftName, rightName] = [profiles.nameKey[i]!, profiles.nameKey[j]!];
  if (leftName === 0 || rightName === 0) return -1;
  if (leftName === rightName) return 1;
  const { rarity, words, cityWords } = profiles;
  const leftCity = cityWords[profiles.city[i]!]!;
  const rightCity = cityWords[profiles.city[j]!]!;
  // "Acme (Chicago)" in Chicago is Acme.
  const weightOf = (word: number) =>
    rarity[word]! * (leftCity.includes(word) || rightCity.includes(word) ? PLACE_IN_NAME : 1);
  const [left, right] = setWords(profiles.nameWords, profiles.nameStart, i, j);
  const { agreed, leftOver, rightOver, figuresDiffer } = softMatch(left, right, words, weightOf);
  if (figuresDiffer) return 0.6 * shareOf(agreed, leftOver, rightOver);
  const slip = slipOfThePen(profiles.spellings[profiles.spelling[i]!]!, profiles.spellings[profiles.spelling[j]!]!);
  if (agreed > 0) return Math.max(slip, shareOf(agreed, leftOver, rightOver));
  return Math.max(slip, isAcronym(left, right, words) || isAcronym(right, left, words) ? ACRONYM : 0);
}

function shareOf(agreed: number, leftOver: number, rightOver: number): number {
  if (agreed === 0) return 0;
  const half = agreed / (agreed + (leftOver + rightOver) / 2);
  const contained = agreed / (agreed + Math.min(leftOver, rightOver));
  return half + (contained - half) * CONTAINED * Math.min(1, agreed / ENOUGH_RARITY);
}

/**
 * Whole names that differ in a letter or two: a typing mistake, wherever it stands and whatever it does to the words. Long names only, in
 * which so small a difference is hardly another company.
 */
function slipOfThePen(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  if (length < ONE_SLIP_FROM || figuresOf(left) !== figuresOf(right)) return 0;
  const edits = editDistance(left, right, length < TWO_SLIPS_FROM ? 1 : 2);
  return edits === 1 ? 0.9 : edits === 2 && length >= TWO_SLIPS_FROM ? 0.84 : 0;
}

function figuresOf(name: string): string {
  return name.replace(/\D+/g, " ");
}

const ONE_SLIP_FROM = 9;
const TWO_SLIPS_FROM = 14;

/** "IBM" for "International Business Machines": likely, where nothing else contradicts it. */
const ACRONYM = 0.8;

function isAcronym(one: WordList, other: WordList, words: readonly string[]): boolean {
  const length = other.end - other.start;
  if (one.end - one.start !== 1 || length < 2) return false;
  const short = words[one.ids[one.start]!]!;
  if (short.length !== length) return false;
  for (let at = 0; at < length; at++) {
    if (words[other.ids[other.start + at]!]!.charCodeAt(0) !== short.charCodeAt(at)) return false;
  }
  return true;
}

function cityLikeness(profiles: Profiles, i: number, j: number): number {
  const [left, right] = [profiles.city[i]!, profiles.city[j]!];
  if (left === 0 || right === 0) return -1;
  if (left === right) return 1;
  const [a, b] = [profiles.cities[left]!, profiles.cities[right]!];
  // "New York" and "New York City", "Winston" and "Winston Salem".
  if (` ${a} `.includes(` ${b} `) || ` ${b} `.includes(` ${a} `)) return 0.9;
  return Math.min(a.length, b.length) > 4 && editDistance(a, b, 2) <= (a.length > 8 ? 2 : 1) ? 0.9 : 0;
}

function postalLikeness({ postal, postalArea }: Profiles, i: number, j: number): number {
  const same = equality(postal, i, j);
  return same === 0 && postalArea[i] === postalArea[j] ? 0.5 : same;
}

function streetLikeness(profiles: Profiles, i: number, j: number): number {
  const { houseNumber, streetWords, streetStart, words } = profiles;
  const [left, right] = setWords(streetWords, streetStart, i, j);
  if (left.start === left.end || right.start === right.end) return -1;
  // A post box and a street address do not contradict each other.
  if (hasWord(left, words, "box") !== hasWord(right, words, "box")) return -1;
  const weightOf = (word: number) => (WEAK_STREET_WORDS.has(words[word]!) ? 0.15 : 1);
  const { agreed, leftOver, rightOver } = softMatch(left, right, words, weightOf);
  const total = agreed + (leftOver + rightOver) / 2;
  const street = total === 0 ? 0 : agreed / total;
  const number = equality(houseNumber, i, j);
  if (number === 1) return 0.4 + 0.6 * street;
  if (number === 0) return 0.2 * street;
  const bothWithout = houseNumber[i] === 0 && houseNumber[j] === 0;
  return (bothWithout ? 1 : 0.7) * street;
}

function hasStreet({ streetStart }: Profiles, record: number): boolean {
  return streetStart[record]! < streetStart[record + 1]!;
}

function hasWord({ ids, start, end }: WordList, words: readonly string[], wanted: string): boolean {
  for (let at = start; at < end; at++) if (words[ids[at]!] === wanted) return true;
  return false;
}
