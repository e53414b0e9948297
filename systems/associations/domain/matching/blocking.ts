/**
 * Candidates: pairs of records worth scoring, found in near-linear time.
 *
 * Each record gets a dozen keys (phone, domain, address, rare words, beginnings and endings of words with the place). Records with a key in
 * common are a block, and all pairs of a small block are candidates. In a block over `MAX_BLOCK` each record meets only its neighbours in
 * the order of names, so work per record is bounded by keys x neighbours, however the data looks.
 */
import type { Profiles } from "./profiles.ts";

/** Blocks up to this size are compared in full. */
const MAX_BLOCK = 24;
/** Neighbours met on either side in larger ones. */
const NEIGHBOURS = 8;
/** A word in more names than this is no key by itself. */
const RARE = 24;
/** Rarest words of a name that make keys. */
const KEY_WORDS = 3;
/** Candidates handed over at once. */
const CHUNK = 1 << 22;

export interface BlockingStats {
  keys: number;
  candidates: number;
  /** Blocks too large to be compared in full. */
  largeBlocks: number;
}

/**
 * Candidates in portions, each sorted and without repetition; a pair may come up in two portions. A pair (i, j), i < j, is i * count + j.
 * `stats` is complete at the end.
 */
export function* candidatePairs(profiles: Profiles, stats: BlockingStats): Generator<Float64Array> {
  const { count } = profiles;
  if (count < 2) return;
  const span = 2 ** Math.ceil(Math.log2(count));
  const keys = collectKeys(profiles, span);
  stats.keys = keys.length;
  keys.sort();
  const portion = Math.min(CHUNK, Math.max(1 << 12, count * 32));
  let pairs = new Float64Array(portion);
  let filled = 0;
  const members: number[] = [];
  const add = (i: number, j: number) => {
    if (i !== j) pairs[filled++] = i < j ? i * count + j : j * count + i;
  };
  for (let at = 0; at < keys.length; ) {
    const block = Math.floor(keys[at]! / span);
    members.length = 0;
    let last = -1;
    for (; at < keys.length && Math.floor(keys[at]! / span) === block; at++) {
      const record = keys[at]! - block * span;
      // One record may have one key twice.
      if (record !== last) members.push(record);
      last = record;
    }
    const step = members.length <= MAX_BLOCK ? MAX_BLOCK : NEIGHBOURS;
    if (members.length > MAX_BLOCK) {
      stats.largeBlocks++;
      members.sort((a, b) => profiles.nameOrder[a]! - profiles.nameOrder[b]! || a - b);
    }
    for (let left = 0; left < members.length; left++) {
      const end = Math.min(members.length, left + step + 1);
      if (filled + end - left > portion) {
        yield distinct(pairs, filled, stats);
        pairs = new Float64Array(portion);
        filled = 0;
      }
      for (let right = left + 1; right < end; right++) add(members[left]!, members[right]!);
    }
  }
  yield distinct(pairs, filled, stats);
}

function distinct(pairs: Float64Array, filled: number, stats: BlockingStats): Float64Array {
  const sorted = pairs.subarray(0, filled).sort();
  let kept = 0;
  for (let at = 0; at < sorted.length; at++) {
    if (kept === 0 || sorted[at] !== sorted[kept - 1]) sorted[kept++] = sorted[at]!;
  }
  stats.candidates += kept;
  return sorted.subarray(0, kept);
}

/** All keys of all records: a hash above, the record below, in one number. Two keys of one hash only cost a needless comparison. */
function collectKeys(profiles: Profiles, span: number): Float64Array {
  let keys = new Float64Array(profiles.count * 12 + 64);
  let filled = 0;
  const hashes = Math.min(2 ** 32, 2 ** 53 / span);
  const finder = new KeyFinder(profiles);
  for (let record = 0; record < profiles.count; record++) {
    const found = finder.keysOf(record);
    if (filled + found.length > keys.length) {
      const grown = new Float64Array(keys.length * 2);
      grown.set(keys);
      keys = grown;
    }
    for (let at = 0; at < found.length; at++) keys[filled++] = (found[at]! % hashes) * span + record;
  }
  return keys.subarray(0, filled);
}

/** Kinds of key: keys of two kinds never meet. */
const KIND = { phone: 1, domain: 2, address: 3, name: 4, word: 5, wordPlace: 6, words: 7, head: 8, tail: 9, start: 10 };

class KeyFinder {
  private readonly profiles: Profiles;
  private readonly occurrences: Int32Array;
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly found: number[] = [];

  constructor(profiles: Profiles) {
    this.profiles = profiles;
    this.occurrences = new Int32Array(profiles.words.length);
    for (const word of profiles.nameWords) this.occurrences[word]!++;
    // One wrong letter leaves either the first or the last four of a word as they were.
    this.heads = Int32Array.from(profiles.words, (word) => hashText(word.slice(0, 4)));
    this.tails = Int32Array.from(profiles.words, (word) => hashText(word.slice(-4)));
  }

  /** Valid until the next call. */
  keysOf(record: number): readonly number[] {
    const { found, profiles } = this;
    const { phone, domain, nameKey, city, state } = profiles;
    found.length = 0;
    const place = city[record] || -state[record]!;
    if (phone[record] !== 0) this.add(KIND.phone, phone[record]! % 2 ** 31, Math.floor(phone[record]! / 2 ** 31));
    if (domain[record] !== 0) this.add(KIND.domain, domain[record]!, 0);
    this.addressKeys(record);
    if (nameKey[record] !== 0) {
      this.add(KIND.name, nameKey[record]!, 0);
      this.add(KIND.name, nameKey[record]!, place);
      // Names that differ in spaces or endings only lie side by side in the order of names.
      this.add(KIND.start, Math.floor(profiles.nameOrder[record]! / 30 ** 4), place);
    }
    this.wordKeys(record, place);
    return found;
  }

  private addressKeys(record: number): void {
    const { postal, city, houseNumber, streetStart, streetWords, rarity } = this.profiles;
    if (houseNumber[record] === 0) return;
    let rarest = 0;
    for (let at = streetStart[record]!; at < streetStart[record + 1]!; at++) {
      if (rarest === 0 || rarity[streetWords[at]!]! > rarity[rarest]!) rarest = streetWords[at]!;
    }
    const address = mix(houseNumber[record]!, rarest);
    if (postal[record] !== 0) this.add(KIND.address, address, postal[record]!);
    if (city[record] !== 0) this.add(KIND.address, address, -city[record]!);
    if (postal[record] === 0 && city[record] === 0) this.add(KIND.address, address, 0);
  }

  private wordKeys(record: number, place: number): void {
    const { nameStart, nameWords, rarity } = this.profiles;
    const rarest: number[] = [];
    for (let at = nameStart[record]!; at < nameStart[record + 1]!; at++) {
      const word = nameWords[at]!;
      if (rarest.includes(word)) continue;
      rarest.push(word);
      rarest.sort((a, b) => rarity[b]! - rarity[a]! || a - b);
      if (rarest.length > KEY_WORDS) rarest.length = KEY_WORDS;
    }
    for (const [at, word] of rarest.entries()) {
      if (this.occurrences[word]! <= RARE) this.add(KIND.word, word, 0);
      else this.add(KIND.wordPlace, word, place);
      for (const other of rarest.slice(at + 1)) this.add(KIND.words, Math.min(word, other), Math.max(word, other));
      if (at < 2) {
        this.add(KIND.head, this.heads[word]!, place);
        this.add(KIND.tail, this.tails[word]!, place);
      }
    }
  }

  private add(kind: number, one: number, two: number): void {
    this.found.push(mix(mix(one, two), kind) >>> 0);
  }
}

/** Spreads two numbers over 32 bits. */
function mix(one: number, two: number): number {
  let hash = Math.imul(one ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(two + 0x165667b1, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return hash ^ (hash >>> 15);
}

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash | 0;
}
