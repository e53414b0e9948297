/**
 * How alike the names of two records are: words weighted by how rare they are, spelling mistakes, short forms, acronyms, second names.
 *
 * 1. Symmetric, from 0 to 1; -1 where one of them has no name.
 * 2. Words that companies add ("Group", their city) count little; words that each has for itself and that say who it is count against it.
 */
import { editDistance } from "./edit-distance.ts";
import type { Profiles } from "./profiles.ts";
import type { WordFacts, WordList } from "./soft-match.ts";
import { rangesOf, softMatch } from "./soft-match.ts";
import { isAdded, saysLittle } from "./words.ts";

/** A name that lies wholly within the other is closer than its length says. */
const CONTAINED = 0.4;
/** Rarity that a shared name needs for that, about that of one rare word. */
const ENOUGH_RARITY = 20;
const PLACE_IN_NAME = 0.25;
/** Of "Group", "of America" and the like. */
const ADDED = 0.5;

/** 0 to 1; -1 where one of them has no name. */
export function nameLikeness(profiles: Profiles, i: number, j: number): number {
  const [leftName, rightName] = [profiles.nameKey[i]!, profiles.nameKey[j]!];
  if (leftName === 0 || rightName === 0) return -1;
  if (leftName === rightName) return 1;
  leftCity = profiles.cityWords[profiles.city[i]!]!;
  rightCity = profiles.cityWords[profiles.city[j]!]!;
  const facts = factsOf(profiles);
  const { nameWords, nameStart, nameAlso, spelling, spellings } = profiles;
  const [left, right] = rangesOf(nameWords, nameStart, i, j);
  const whole = likenessOfWords(left, right, facts);
  const slip = apart ? 0 : slipOfThePen(spellings[spelling[i]!]!, spellings[spelling[j]!]!);
  const best = Math.max(slip, whole);
  const twoNames = nameAlso[i]! < left.end || nameAlso[j]! < right.end;
  return twoNames ? Math.max(best, likenessOfTwoNames(profiles, i, j)) : best;
}

/** One of them goes by two names, and either may be the one that the other list has. */
function likenessOfTwoNames(profiles: Profiles, i: number, j: number): number {
  const facts = factsOf(profiles);
  let best = 0;
  for (const left of namesOf(profiles, i))
    for (const right of namesOf(profiles, j)) best = Math.max(best, likenessOfWords(left, right, facts));
  return best;
}

/** Its name, and the other one that it goes by. */
function namesOf({ nameWords: ids, nameStart, nameAlso }: Profiles, record: number): WordList[] {
  const [start, also, end] = [nameStart[record]!, nameAlso[record]!, nameStart[record + 1]!];
  const names = [
    { ids, start, end: also },
    { ids, start: also, end },
  ];
  return names.filter((name) => name.start < name.end);
}

/** Left by the last comparison: the names differ by words that are no misspelling of each other. */
let apart = false;

function likenessOfWords(left: WordList, right: WordList, facts: WordFacts): number {
  const { agreed, leftOver, rightOver, opposed, contradicts, apart: ownWords } = softMatch(left, right, facts);
  apart = opposed || ownWords;
  const share = shareOf(agreed, leftOver, rightOver);
  if (opposed) return 0.6 * share;
  if (agreed > 0) return (contradicts ? CONTRADICTED : 1) * share;
  return isAcronym(left, right, facts.words) || isAcronym(right, left, facts.words) ? ACRONYM : 0;
}

/** Each name says something that the other does not. */
const CONTRADICTED = 0.75;

const factsOfNames = new WeakMap<Profiles, WordFacts>();
let leftCity: readonly number[] = [];
let rightCity: readonly number[] = [];
const isOfPlace = (word: number) => leftCity.includes(word) || rightCity.includes(word);

function factsOf(profiles: Profiles): WordFacts {
  const known = factsOfNames.get(profiles);
  if (known !== undefined) return known;
  const { words, rarity, occurrences } = profiles;
  const facts: WordFacts = {
    words,
    occurrences,
    // "Acme (Chicago)" in Chicago is Acme.
    weightOf: (word) => rarity[word]! * (isOfPlace(word) ? PLACE_IN_NAME : isAdded(words[word]!) ? ADDED : 1),
    saysWho: (word) => !saysLittle(words[word]!) && !isOfPlace(word),
  };
  factsOfNames.set(profiles, facts);
  return facts;
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
  if (left === right) return SPACES_ONLY;
  const length = Math.min(left.length, right.length);
  if (length < ONE_SLIP_FROM || figuresOf(left) !== figuresOf(right)) return 0;
  const edits = editDistance(left, right, length < TWO_SLIPS_FROM ? 1 : 2);
  return edits === 1 ? 0.9 : edits === 2 && length >= TWO_SLIPS_FROM ? 0.84 : 0;
}

function figuresOf(name: string): string {
  return name.replace(/\D+/g, " ");
}

const SPACES_ONLY = 0.97;
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
