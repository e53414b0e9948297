/**
 * The score of a pair of records: a weighted mean of how alike its fields are, from 0 to 1, and why.
 *
 * 1. Symmetric: score(a, b) = score(b, a). A field that one of them lacks drops out, and the weights of the others are scaled up.
 * 2. With name, domain, city and state alone it is the source document's formula. Phone, street and postal code join in where both
 *    records have them; to agree in them says more than to differ, since companies move and have several numbers.
 * 3. What many differently named companies share (a call centre's number, a parent's domain) counts the less, the more share it.
 * 4. What differs counts less where others already say who it is (`settle`).
 * 5. Place alone identifies nobody: without name, domain or phone the score is 0.
 */
import { nameLikeness } from "./name-likeness.ts";
import { cityLikeness, equality, hasStreet, phoneLikeness, postalLikeness, streetLikeness } from "./place-likeness.ts";
import type { Profiles } from "./profiles.ts";

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
  settle();
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

/** From here on names, and places, count as agreeing. */
const AGREES = 0.85;
const HALF = 0.5;
const THIRD = 1 / 3;

/**
 * What the fields say of each other. A company that is known by its name and by one of address, phone in its city and website in its city
 * may have another number, house or website as well: what differs then counts half, a website a third. And where nothing but the name
 * and the place can be compared, that two cities are in one state speaks for nobody.
 */
function settle(): void {
  reliefs.fill(1);
  if (likenesses[CITY] === 0 && likenesses[DOMAIN]! < 0 && likenesses[PHONE]! < 0 && likenesses[STREET]! < 0)
    reliefs[STATE] = 0;
  if (likenesses[NAME]! < AGREES) return;
  const domain = likenesses[DOMAIN] === 1 && factors[DOMAIN] === 1;
  const phone = likenesses[PHONE] === 1 && factors[PHONE] === 1;
  const city = likenesses[CITY]! >= AGREES;
  // Two houses in two parts of one city are two branches rather than one that has moved.
  const otherPart = likenesses[POSTAL]! >= 0 && likenesses[POSTAL]! < 1;
  const address = likenesses[STREET]! >= AGREES && likenesses[CITY] !== 0;
  if (domain && phone) relieve(CITY, HALF);
  else if (!address && !(city && (phone || (domain && !chain && !otherPart)))) return;
  relieve(DOMAIN, THIRD);
  relieve(PHONE, HALF);
  relieve(STREET, HALF);
  relieve(POSTAL, HALF);
}

function relieve(field: number, share: number): void {
  if (likenesses[field]! <= HALF) reliefs[field] = share;
}

const reliefs = new Float64Array(FIELDS.length);
/** The domain that the two share is used in several cities. */
let chain = false;

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
  likenesses[PHONE] = phoneLikeness(profiles.phone[i]!, profiles.phone[j]!);
  likenesses[POSTAL] = postalLikeness(profiles, i, j);
  if (likenesses[DOMAIN] === 1) factors[DOMAIN] = sharedFactor(profiles.domainSharers[i]!);
  chain = profiles.domainCities[i]! > 1;
  if (likenesses[PHONE] === 1) factors[PHONE] = sharedFactor(profiles.phoneSharers[i]!);
}

const [NAME, DOMAIN, CITY, STATE, PHONE, STREET, POSTAL] = [0, 1, 2, 3, 4, 5, 6];
const FEW_SHARERS = 4;

function weightAt(at: number, likeness: number, weights: Weights): number {
  const { agree, differ } = weights[FIELDS[at]!];
  return (differ + (agree - differ) * likeness) * factors[at]! * reliefs[at]!;
}

function sharedFactor(sharers: number): number {
  return sharers <= FEW_SHARERS ? 1 : 1 / (1 + Math.log2(sharers / FEW_SHARERS));
}
