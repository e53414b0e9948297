/**
 * How much of two word lists agrees: equal words first, then words written together on one side, then misspelt ones.
 *
 * Symmetric: swapping the lists gives the same result. Works on word numbers; letters are looked at only where numbers differ.
 */
import { editDistance, wordLikeness } from "./edit-distance.ts";
import { areKnown, oppositeKind } from "./words.ts";

export interface WordList {
  readonly ids: Int32Array;
  readonly start: number;
  readonly end: number;
}

type Range = { -readonly [Key in keyof WordList]: WordList[Key] };
const leftRange: Range = { ids: new Int32Array(0), start: 0, end: 0 };
const rightRange: Range = { ids: new Int32Array(0), start: 0, end: 0 };

/** The words of two records: those of record i from `starts[i]` to `starts[i + 1]`. Valid until the next call. */
export function rangesOf(ids: Int32Array, starts: Int32Array, i: number, j: number): [WordList, WordList] {
  leftRange.ids = ids;
  leftRange.start = starts[i]!;
  leftRange.end = starts[i + 1]!;
  rightRange.ids = ids;
  rightRange.start = starts[j]!;
  rightRange.end = starts[j + 1]!;
  return [leftRange, rightRange];
}

export interface SoftMatch {
  /** Weight that agrees, and what is left over on either side. */
  agreed: number;
  leftOver: number;
  rightOver: number;
  /** A figure is left over on both sides, or words that are opposites: Plant 2 is not Plant 3, North Star not South Star. */
  opposed: boolean;
  /** Words that say who it is are left over on both sides: Radiology and Oncology of one hospital. */
  contradicts: boolean;
  /** Two words differ by a letter and are words of their own: no slip of the pen. */
  apart: boolean;
}

/** What is known of words, by their numbers. */
export interface WordFacts {
  readonly words: readonly string[];
  weightOf(word: number): number;
  /** False for words that companies add or leave out. */
  saysWho(word: number): boolean;
  /** Names that each word is in; null where no names are compared. */
  readonly occurrences: Int32Array | null;
}

const MOST_WORDS = 24;
const usedLeft = new Uint8Array(MOST_WORDS);
const usedRight = new Uint8Array(MOST_WORDS);
const isFigure = (word: string) => word.charCodeAt(0) < 58;
const LIKE_ENOUGH = 0.55;
/** MicroTech and Micro Technology. */
const JOINED_LIKE_ENOUGH = 0.6;

/** Reused for every call, so that millions of comparisons make no garbage. */
const result: SoftMatch = { agreed: 0, leftOver: 0, rightOver: 0, opposed: false, contradicts: false, apart: false };

/** The result is valid until the next call. */
export function softMatch(left: WordList, right: WordList, facts: WordFacts): SoftMatch {
  const [n, m] = [Math.min(left.end - left.start, MOST_WORDS), Math.min(right.end - right.start, MOST_WORDS)];
  usedLeft.fill(0, 0, n);
  usedRight.fill(0, 0, m);
  result.agreed = 0;
  result.apart = false;
  lacking = 0;
  matchEqual(left, right, n, m, facts);
  if (open(usedLeft, n) && open(usedRight, m)) {
    // What is one word here may be two there.
    matchJoined(left, right, n, m, facts, usedLeft, usedRight);
    matchJoined(right, left, m, n, facts, usedRight, usedLeft);
    matchAlike(left, right, n, m, facts);
  }
  result.leftOver = lacking;
  result.rightOver = lacking;
  const [ofLeft, ofRight] = [leftKinds, rightKinds];
  result.leftOver += leftOvers(left, n, usedLeft, facts, ofLeft);
  result.rightOver += leftOvers(right, m, usedRight, facts, ofRight);
  result.opposed = (ofLeft.figure && ofRight.figure) || (ofLeft.opposites & ofRight.opposites) !== 0;
  result.contradicts = ofLeft.sayers > 0 && ofRight.sayers > 0 && !result.apart && !mayBeTypos(ofLeft, ofRight, facts);
  return result;
}

interface LeftOverKinds {
  figure: boolean;
  /** The words that say who it is: how many, and their numbers. */
  sayers: number;
  words: Int32Array;
  /** A bit for each line of opposites. */
  opposites: number;
}
const leftKinds: LeftOverKinds = { figure: false, sayers: 0, words: new Int32Array(MOST_WORDS), opposites: 0 };
const rightKinds: LeftOverKinds = { figure: false, sayers: 0, words: new Int32Array(MOST_WORDS), opposites: 0 };

/** Their weight; of what kinds they are goes into `kinds`. */
function leftOvers(list: WordList, length: number, used: Uint8Array, facts: WordFacts, kinds: LeftOverKinds): number {
  kinds.figure = false;
  kinds.sayers = 0;
  kinds.opposites = 0;
  let weight = 0;
  for (let at = 0; at < length; at++) {
    if (used[at]) continue;
    const word = list.ids[list.start + at]!;
    const text = facts.words[word]!;
    weight += facts.weightOf(word);
    kinds.figure ||= isFigure(text);
    if (facts.saysWho(word)) kinds.words[kinds.sayers++] = word;
    const kind = oppositeKind(text);
    if (kind >= 0) kinds.opposites |= 1 << kind;
  }
  return weight;
}

/** Two of the words left over may be one word, too badly misspelt to count as the same. */
function mayBeTypos(left: LeftOverKinds, right: LeftOverKinds, { words }: WordFacts): boolean {
  for (let i = 0; i < left.sayers; i++) {
    for (let j = 0; j < right.sayers; j++) {
      const [one, two] = [words[left.words[i]!]!, words[right.words[j]!]!];
      const bound = Math.max(one.length, two.length) < 6 ? 1 : 2;
      if (Math.min(one.length, two.length) > 2 && editDistance(one, two, bound) <= bound) return true;
    }
  }
  return false;
}

function open(used: Uint8Array, length: number): boolean {
  for (let at = 0; at < length; at++) if (!used[at]) return true;
  return false;
}

function matchEqual(left: WordList, right: WordList, n: number, m: number, { weightOf }: WordFacts): void {
  for (let i = 0; i < n; i++) {
    const word = left.ids[left.start + i]!;
    for (let j = 0; j < m; j++) {
      if (usedRight[j] || right.ids[right.start + j] !== word) continue;
      usedLeft[i] = 1;
      usedRight[j] = 1;
      result.agreed += weightOf(word);
      break;
    }
  }
}

/** Best pairs first, so that the order of the lists does not matter. */
function matchAlike(left: WordList, right: WordList, n: number, m: number, facts: WordFacts): void {
  const { words, weightOf } = facts;
  for (;;) {
    let best = LIKE_ENOUGH;
    let bestOrder = "";
    let bestLeft = -1;
    let bestRight = -1;
    for (let i = 0; i < n; i++) {
      if (usedLeft[i]) continue;
      for (let j = 0; j < m; j++) {
        if (usedRight[j]) continue;
        const likeness = likenessOf(left.ids[left.start + i]!, right.ids[right.start + j]!, facts);
        if (likeness < best || likeness === 0) continue;
        // Between equals the spelling decides, not which list came first.
        const order = pairOrder(words[left.ids[left.start + i]!]!, words[right.ids[right.start + j]!]!);
        if (likeness === best && bestOrder !== "" && order >= bestOrder) continue;
        best = likeness;
        bestOrder = order;
        bestLeft = i;
        bestRight = j;
      }
    }
    if (bestLeft < 0) return;
    usedLeft[bestLeft] = 1;
    usedRight[bestRight] = 1;
    const weight = Math.max(weightOf(left.ids[left.start + bestLeft]!), weightOf(right.ids[right.start + bestRight]!));
    // What the likeness lacks stands against both sides, like a word left over.
    result.agreed += best * weight;
    lacking += (1 - best) * weight;
  }
}

let lacking = 0;

/** Both words occur so often that one is hardly the other misspelt. */
const OFTEN = 4;
const MUCH_RARER = 50;
/** Thomson and Thompson: two names, but people do mix them up. */
const OF_THEIR_OWN = 0.6;

function likenessOf(one: number, two: number, { words, occurrences }: WordFacts): number {
  const [a, b] = [words[one]!, words[two]!];
  const likeness = wordLikeness(a, b);
  if (likeness === 0 || a.startsWith(b) || b.startsWith(a)) return likeness;
  if (areKnown(a, b)) {
    result.apart = true;
    return 0;
  }
  if (occurrences === null) return likeness;
  const [fewer, more] = [
    Math.min(occurrences[one]!, occurrences[two]!),
    Math.max(occurrences[one]!, occurrences[two]!),
  ];
  if (fewer < OFTEN || fewer * MUCH_RARER < more) return likeness;
  result.apart = true;
  return Math.min(likeness, OF_THEIR_OWN);
}

function pairOrder(one: string, two: string): string {
  return one < two ? `${one} ${two}` : `${two} ${one}`;
}

function matchJoined(
  one: WordList,
  two: WordList,
  n: number,
  m: number,
  { words, weightOf }: WordFacts,
  usedOne: Uint8Array,
  usedTwo: Uint8Array,
): void {
  for (let i = 0; i < n; i++) {
    if (usedOne[i]) continue;
    const whole = words[one.ids[one.start + i]!]!;
    if (whole.length < 5) continue;
    for (let j = 0; j + 1 < m; j++) {
      if (usedTwo[j] || usedTwo[j + 1]) continue;
      const joined = words[two.ids[two.start + j]!]! + words[two.ids[two.start + j + 1]!]!;
      if (joined !== whole && wordLikeness(joined, whole) < JOINED_LIKE_ENOUGH) continue;
      usedOne[i] = 1;
      usedTwo[j] = 1;
      usedTwo[j + 1] = 1;
      result.agreed += weightOf(one.ids[one.start + i]!);
      break;
    }
  }
}
