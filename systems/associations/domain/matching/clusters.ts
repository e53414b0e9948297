/**
 * From pairs that are the same to groups: closed transitively, best pairs first, with a guard against chaining.
 *
 * 1. Two records joined by a pair that was not refused are in one group.
 * 2. A pair is refused when joining its groups would put records together that contradict each other. A chain A–B–C ends where A and C
 *    no longer go together.
 * 3. The result does not depend on the order in which pairs come in.
 */

/** Pairs that are the same: record numbers and score, in columns. */
export interface MatchedPairs {
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly score: Float32Array;
}

export interface RefusedPair {
  left: number;
  right: number;
  score: number;
  /** The two records of the groups that do not go together, and their score. */
  because: { left: number; right: number; score: number };
}

export interface Clusters {
  /** Groups of two and more, members ascending, groups in order of their first member. */
  groups: number[][];
  refused: RefusedPair[];
}

/** The score of two records that contradict each other; null for others. */
export type Clash = (i: number, j: number) => number | null;

/** Members of each group that are compared across; more would cost the square. */
const SAMPLE = 8;

export function clusterPairs(count: number, pairs: MatchedPairs, { clash }: { clash: Clash }): Clusters {
  const parent = Int32Array.from({ length: count }, (_, index) => index);
  const members = new Map<number, number[]>();
  const refused: RefusedPair[] = [];
  const find = (record: number): number => {
    let root = record;
    while (parent[root] !== root) root = parent[root]!;
    for (let at = record; at !== root; ) {
      const next = parent[at]!;
      parent[at] = root;
      at = next;
    }
    return root;
  };
  const membersOf = (root: number) => members.get(root) ?? [root];
  for (const at of bestFirst(pairs)) {
    const [left, right] = [pairs.left[at]!, pairs.right[at]!];
    const [a, b] = [find(left), find(right)];
    if (a === b) continue;
    const because = contradiction(membersOf(a), membersOf(b), clash);
    if (because !== null) {
      refused.push({ left, right, score: pairs.score[at]!, because });
      continue;
    }
    // The smaller group goes into the larger one, so that a group of n costs n log n, however it grows.
    const larger = membersOf(a).length >= membersOf(b).length;
    const [root, other] = larger ? [a, b] : [b, a];
    const joined = membersOf(root);
    for (const member of membersOf(other)) joined.push(member);
    parent[other] = root;
    members.set(root, joined);
    members.delete(other);
  }
  const groups = [...members.values()].map((group) => group.sort((x, y) => x - y)).sort((x, y) => x[0]! - y[0]!);
  return { groups, refused };
}

function bestFirst({ left, right, score }: MatchedPairs): Uint32Array {
  const order = new Uint32Array(score.length).map((_, index) => index);
  return order.sort((a, b) => score[b]! - score[a]! || left[a]! - left[b]! || right[a]! - right[b]!);
}

function contradiction(
  lefts: readonly number[],
  rights: readonly number[],
  clash: Clash,
): RefusedPair["because"] | null {
  if (lefts.length === 1 && rights.length === 1) return null;
  for (const left of sample(lefts)) {
    for (const right of sample(rights)) {
      const score = clash(left, right);
      if (score !== null) return { left, right, score };
    }
  }
  return null;
}

/** Evenly spread, the first and the last included. */
function sample(members: readonly number[]): readonly number[] {
  if (members.length <= SAMPLE) return members;
  return Array.from({ length: SAMPLE }, (_, at) => members[Math.round((at * (members.length - 1)) / (SAMPLE - 1))]!);
}
