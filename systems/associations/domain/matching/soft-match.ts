/**
 * How much of two word lists agrees: equal words first, then words written together on one side, then misspelt ones.
 *
 * Symmetric: swapping the lists gives the same result. Works on word numbers; letters are looked at only where numbers differ.
 */
import { wordLikeness } from "./edit-distance.ts";

export interface WordList {
  readonly ids: Int32Array;
  readonly start: number;
  readonly end: number;
}

export interface SoftMatch {
  /** Weight that agrees, and what is left over on either side. */
  agreed: number;
  leftOver: number;
  rightOver: number;
  /** A figure is left over on both sides: Plant 2 is not Plant 3. */
  figuresDiffer: boolean;
}

const MOST_WORDS = 24;
const usedLeft = new Uint8Array(MOST_WORDS);
const usedRight = new Uint8Array(MOST_WORDS);
const isFigure = (word: string) => word.charCodeAt(0) < 58;
const LIKE_ENOUGH = 0.55;
/** MicroTech and Micro Technology. */
const JOINED_LIKE_ENOUGH = 0.6;

/** Reused for every call, so that millions of comparisons make no garbage. */
const result: SoftMatch = { agreed: 0, leftOver: 0, rightOver: 0, figuresDiffer: false };

/** The result is valid until the next call. */
export function softMatch(
  left: WordList,
  right: WordList,
  words: readonly string[],
  weightOf: (word: number) => number,
): SoftMatch {
  const [n, m] = [Math.min(left.end - left.start, MOST_WORDS), Math.min(right.end - right.start, MOST_WORDS)];
  usedLeft.fill(0, 0, n);
  usedRight.fill(0, 0, m);
  result.agreed = 0;
  lacking = 0;
  matchEqual(left, right, n, m, weightOf);
  if (open(usedLeft, n) && open(usedRight, m)) {
    // What is one word here may be two there.
    matchJoined(left, right, n, m, words, weightOf, usedLeft, usedRight);
    matchJoined(right, left, m, n, words, weightOf, usedRight, usedLeft);
    matchAlike(left, right, n, m, words, weightOf);
  }
  result.leftOver = lacking;
  result.rightOver = lacking;
  let leftFigure = false;
  let rightFigure = false;
  for (let i = 0; i < n; i++) {
    if (usedLeft[i]) continue;
    const word = left.ids[left.start + i]!;
    result.leftOver += weightOf(word);
    leftFigure ||= isFigure(words[word]!);
  }
  for (let j = 0; j < m; j++) {
    if (usedRight[j]) continue;
    const word = right.ids[right.start + j]!;
    result.rightOver += weightOf(word);
    rightFigure ||= isFigure(words[word]!);
  }
  result.figuresDiffer = leftFigure && rightFigure;
  return result;
}

function open(used: Uint8Array, length: number): boolean {
  for (let at = 0; at < length; at++) if (!used[at]) return true;
  return false;
}

function matchEqual(left: WordList, right: WordList, n: number, m: number, weightOf: (word: number) => number): void {
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
function matchAlike(
  left: WordList,
  right: WordList,
  n: number,
  m: number,
  words: readonly string[],
  weightOf: (word: number) => number,
): void {
  for (;;) {
    let best = LIKE_ENOUGH;
    let bestOrder = "";
    let bestLeft = -1;
    let bestRight = -1;
    for (let i = 0; i < n; i++) {
      if (usedLeft[i]) continue;
      for (let j = 0; j < m; j++) {
        if (usedRight[j]) continue;
        const likeness = wordLikeness(words[left.ids[left.start + i]!]!, words[right.ids[right.start + j]!]!);
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

function pairOrder(one: string, two: string): string {
  return one < two ? `${one} ${two}` : `${two} ${one}`;
}

function matchJoined(
  one: WordList,
  two: WordList,
  n: number,
  m: number,
  words: readonly string[],
  weightOf: (word: number) => number,
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
