/**
 * The whole of duplicate detection: profiles, candidates, scores, groups.
 *
 * Runs in portions: `findDuplicates` is a generator that stops every few thousand comparisons, so that a caller can let others run, and
 * `drain` runs it at once. Memory: about 200 bytes a record, and the candidates of one portion.
 */
import type { BlockingStats } from "./blocking.ts";
import { candidatePairs } from "./blocking.ts";
import type { MatchedPairs, RefusedPair } from "./clusters.ts";
import { clusterPairs } from "./clusters.ts";
import type { Profiles } from "./profiles.ts";
import type { Weights } from "./score.ts";
import { compare, DEFAULT_THRESHOLD, DEFAULT_WEIGHTS, scoreIfReached, scorePair } from "./score.ts";

export interface DuplicateOptions {
  /** Pairs from this score on are the same. Default 0.85. */
  threshold?: number;
  weights?: Weights;
  /** How far below the threshold two members of one group may lie; with phone or website in common, 2.5 times as far. Default 0.1. */
  slack?: number;
}

export interface Duplicates {
  /** Groups of two and more records, by number. */
  groups: number[][];
  /** All pairs at or above the threshold, each once. */
  pairs: MatchedPairs;
  refused: RefusedPair[];
  stats: BlockingStats;
}

export const DEFAULT_SLACK = 0.1;
const COMPARISONS_A_PORTION = 20_000;

/** Yields how many comparisons are done, every now and then; returns the duplicates. */
export function* findDuplicates(profiles: Profiles, options: DuplicateOptions = {}): Generator<number, Duplicates> {
  const { threshold = DEFAULT_THRESHOLD, weights = DEFAULT_WEIGHTS, slack = DEFAULT_SLACK } = options;
  const { count } = profiles;
  const stats: BlockingStats = { keys: 0, candidates: 0, largeBlocks: 0 };
  let found: Float64Array = new Float64Array(0);
  let done = 0;
  for (const portion of candidatePairs(profiles, stats)) {
    yield done;
    let kept = 0;
    for (const pair of portion) {
      const left = Math.floor(pair / count);
      const score = scoreIfReached(profiles, left, pair - left * count, { weights, threshold });
      if (score >= threshold) portion[kept++] = pair;
      if (++done % COMPARISONS_A_PORTION === 0) yield done;
    }
    found = united(found, portion.subarray(0, kept));
  }
  const pairs: MatchedPairs = {
    left: Int32Array.from(found, (pair) => Math.floor(pair / count)),
    right: Int32Array.from(found, (pair) => pair % count),
    score: new Float32Array(found.length),
  };
  for (let at = 0; at < found.length; at++)
    pairs.score[at] = scorePair(profiles, pairs.left[at]!, pairs.right[at]!, weights);
  yield done;
  const { groups, refused } = clusterPairs(count, pairs, {
    clash: (i, j) => {
      const score = scorePair(profiles, i, j, weights);
      const near = sameContact(profiles, i, j) || sameNameAndCity(profiles, i, j);
      return score < threshold - (near ? SLACK_WHEN_NEAR : 1) * slack ? score : null;
    },
  });
  return { groups, pairs, refused, stats };
}

/** Two spellings of a name may lie far apart and still be the company of that phone number; one name in one city may have moved. */
const SLACK_WHEN_NEAR = 2.5;
const SAME_NAME = 0.85;

function sameNameAndCity(profiles: Profiles, i: number, j: number): boolean {
  const [name, , city] = compare(profiles, i, j) as unknown as [number, number, number];
  return name >= SAME_NAME && city !== 0;
}

function sameContact({ phone, domain }: Profiles, i: number, j: number): boolean {
  return (phone[i] !== 0 && phone[i] === phone[j]) || (domain[i] !== 0 && domain[i] === domain[j]);
}

/** Two ascending lists as one, without repetition. */
function united(one: Float64Array, two: Float64Array): Float64Array {
  const all = new Float64Array(one.length + two.length);
  all.set(one);
  all.set(two, one.length);
  all.sort();
  let kept = 0;
  for (const pair of all) if (kept === 0 || pair !== all[kept - 1]) all[kept++] = pair;
  return all.slice(0, kept);
}

/** Runs a generator to its end at once. */
export function drain<T>(work: Generator<unknown, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
