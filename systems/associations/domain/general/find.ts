/**
 * Finds the repeated records of a page that nobody has described.
 *
 * Every set of alike elements, and every way to cut the children of an element into runs, is a candidate; the best score wins.
 * Invariants: the same page gives the same shape; a page without records gives null rather than a guess.
 */

import type { BlockFacts, Scored, Sums } from "./score.ts";
import { factsOfBlock, scoreBlocks, sumsOf } from "./score.ts";
import type { Reading } from "./segments.ts";
import { isFrame } from "./segments.ts";
import type { Block, Shape } from "./shape.ts";
import { applyShape, classesOf, DIVIDERS, elementsByPath, runsOf, startersOf } from "./shape.ts";

export interface FoundBlocks {
  shape: Shape;
  facts: BlockFacts[];
  /** Blocks of the same shape without anything that looks like a name: a company may be called like a street. */
  nameless: BlockFacts[];
  score: number;
  contact: number;
}

interface Candidate extends Scored {
  shape: Shape;
}

/** Parents with more children than this are only looked at whole. */
const MAX_CHILDREN = 20_000;
const MAX_STARTERS = 12;
const MIN_LINES = 4;
/** Elements are the plainer reading: cutting at what only some of them have gives runs as good, and glues others together. */
const RUN_HANDICAP = 0.97;
/** Below this a set of mere names and links is as likely a menu. */
const MIN_SCORE = 1.2;

/** The best set of records on a page, or null. */
export function findBlocks(reading: Reading): FoundBlocks | null {
  const sums = sumsOf(reading);
  const byPath = elementsByPath(reading.root, isFrame);
  const all = [...candidates(sums, byPath)];
  const best = all.reduce<Candidate | null>((known, next) => (better(next, known) ? next : known), null);
  if (best === null || best.score < MIN_SCORE) return null;
  const { shape, facts, score, contact } = widest(best, all);
  const nameless = namelessOf(sums, applyShape(shape, byPath));
  return { shape, facts: withoutStrays(reading, facts), nameless, score, contact };
}

function namelessOf(sums: Sums, blocks: readonly Block[]): BlockFacts[] {
  const all = blocks.map((block) => factsOfBlock(sums, block));
  return all.filter((one): one is BlockFacts => one !== null && one.counts.name === 0 && reaches(one));
}

/**
 * A better score may come from leaving records out: where only some names are links, the links alone look more alike. The set
 * that holds each of the best blocks in a block of its own, and more blocks of that kind, is the whole list.
 */
function widest(best: Candidate, all: readonly Candidate[]): Candidate {
  const wider = all.filter(
    (one) =>
      one.score >= best.score * 0.5 &&
      one.facts.length > best.facts.length &&
      ((holdsEach(one.facts, best.facts) && addsMembers(one, best)) || dividesEach(one, best)),
  );
  return wider.reduce((known, next) => (next.score > known.score || known === best ? next : known), best);
}

/** What the wider set has beside the best blocks is not a menu: links into the site and no word of how to reach anybody. */
function addsMembers(wider: Candidate, best: Candidate): boolean {
  if (best.contact < 0.9) return true;
  const added = wider.facts.filter(({ start, end }) => !best.facts.some((one) => one.start >= start && one.end <= end));
  const menus = added.filter((one) => !reaches(one) && one.counts.profile > 0);
  return added.length === 0 || menus.length * 2 < added.length;
}

const ALIKE = ["phone", "email", "place"] as const;

/**
 * Runs that begin at what only some entries have swallow the others: the elements are the list where those inside of a run are like
 * those that begin one.
 */
function dividesEach(elements: Candidate, runs: Candidate): boolean {
  if (elements.shape.kind !== "elements" || runs.shape.kind !== "runs") return false;
  const starts = new Set(runs.facts.map(({ start }) => start));
  const first = elements.facts.filter(({ start }) => starts.has(start));
  const inner = elements.facts.filter(({ start }) => !starts.has(start));
  if (first.length < starts.size || inner.length === 0) return false;
  const share = (facts: readonly BlockFacts[], kind: Reach) =>
    facts.filter(({ counts }) => counts[kind] > 0).length / facts.length;
  const usual = ALIKE.filter((kind) => Math.max(share(first, kind), share(inner, kind)) >= 0.5);
  return usual.length > 0 && usual.every((kind) => Math.min(share(first, kind), share(inner, kind)) >= 0.4);
}

function holdsEach(outer: readonly BlockFacts[], inner: readonly BlockFacts[]): boolean {
  let at = 0;
  for (const { start, end } of inner) {
    while (at < outer.length && outer[at]!.end < end) at++;
    const around = outer[at];
    if (around === undefined || around.start > start || around.end < end) return false;
    at++;
  }
  return true;
}

/** The records of a page where a known shape says they are; null where that shape is not there. */
export function findAgain(
  reading: Reading,
  shape: Shape,
  { reach, usual }: { reach: boolean; usual: readonly Reach[] },
): FoundBlocks | null {
  const sums = sumsOf(reading);
  const blocks = applyShape(shape, elementsByPath(reading.root, isFrame), { again: true });
  const facts = blocks
    .map((block) => factsOfBlock(sums, block))
    .filter((one): one is BlockFacts => one !== null && one.counts.name > 0 && (!reach || reaches(one)))
    .filter(({ start }, _, all) => sums.beside[start] === 0 || all.every((one) => sums.beside[one.start] === 1));
  const nameless = namelessOf(sums, blocks);
  if (facts.length + nameless.length === 0) return null;
  return { shape, facts: withoutStrays(reading, facts, usual), nameless, score: 0, contact: 1 };
}

function* candidates(sums: Sums, byPath: ReadonlyMap<string, any[]>): Generator<Candidate> {
  for (const [path, nodes] of byPath) {
    if (nodes.length >= 2) {
      for (const className of [null, ...sharedClasses(nodes)]) {
        const shape: Shape = { kind: "elements", path, className };
        const scored = scoreBlocks(sums, applyShape(shape, byPath));
        if (scored !== null) yield { ...scored, shape };
      }
    }
    for (const starter of startersBelow(nodes)) {
      const shape: Shape = { kind: "runs", path, starter };
      const blocks = nodes.flatMap((node) => runsOf(node, starter));
      // Runs of one node each are elements, and were judged as such.
      if (blocks.length < 2 || blocks.every(({ nodes: run }) => run.length === 1 && run[0].type === "tag")) continue;
      const scored = scoreBlocks(sums, blocks);
      // What divides entries does not say where the first begins: a heading or bold name does.
      const handicap = DIVIDERS.has(starter) ? RUN_HANDICAP ** 2 : RUN_HANDICAP;
      if (scored !== null) yield { ...scored, score: scored.score * handicap, shape };
    }
  }
}

/** Classes that some of the elements have, but not each one its own. */
function sharedClasses(nodes: readonly any[]): string[] {
  const counts = new Map<string, number>();
  for (const node of nodes) for (const word of new Set(classesOf(node))) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count >= 2 && count < nodes.length)
    .sort((a, b) => b[1] - a[1])
    .slice(0, MAX_STARTERS)
    .map(([word]) => word);
}

function startersBelow(nodes: readonly any[]): string[] {
  const counts = new Map<string, number>();
  let total = 0;
  for (const node of nodes) {
    const children = node.children ?? [];
    total += children.length;
    if (children.length < 3 || total > MAX_CHILDREN) continue;
    let breaks = 0;
    for (const child of children) {
      if (!isLetter(child)) for (const name of startersOf(child)) counts.set(name, (counts.get(name) ?? 0) + 1);
      if (child.name === "br") breaks++;
      else if (child.type === "tag" || child.data?.trim()) breaks = 0;
      if (breaks === 2) counts.set("br+br", (counts.get("br+br") ?? 0) + 1);
    }
  }
  const lines = counts.get("br") ?? 0;
  counts.delete("br");
  const cuts = [...counts]
    .filter(([name, count]) => count >= 2 || name === "br+br" || name === "hr")
    .sort((a, b) => b[1] - a[1])
    .slice(0, MAX_STARTERS)
    .map(([name]) => name);
  // One line for each: only where there are many.
  return lines >= MIN_LINES ? [...cuts, "br"] : cuts;
}

/** One sign or two, such as the letter between the members of an alphabet: no entry begins with it. */
function isLetter(node: any): boolean {
  let length = 0;
  const visit = (one: any): void => {
    if (one.type === "text") length += one.data.trim().length;
    for (const child of one.children ?? []) if (length <= 2) visit(child);
  };
  visit(node);
  return length > 0 && length <= 2;
}

/** Equal scores: the set that covers more, and so has links and badges around the text. */
function better(candidate: Candidate, best: Candidate | null): boolean {
  if (best === null) return true;
  const difference = candidate.score / best.score;
  if (difference > 1.001) return true;
  return difference > 0.999 && covered(candidate) > covered(best);
}

/** It says how to reach somebody. */
export function reaches({ counts }: BlockFacts): boolean {
  return counts.phone + counts.email + counts.website + counts.place > 0;
}

function covered({ facts }: Scored): number {
  return facts.reduce((sum, { start, end }) => sum + end - start, 0);
}

const REACH = ["phone", "email", "website", "place", "profile"] as const;
export type Reach = (typeof REACH)[number];

/** What nearly all records have; it says on later pages, with few records, what is none. */
export function usualFacts(facts: readonly BlockFacts[]): Reach[] {
  return REACH.filter((fact) => facts.filter(({ counts }) => counts[fact] > 0).length >= facts.length * 0.8);
}

/** Blocks that lack everything that nearly all others have, and are built otherwise, are headings, menus and notices. */
function withoutStrays(
  reading: Reading,
  facts: BlockFacts[],
  universal: readonly Reach[] = usualFacts(facts),
): BlockFacts[] {
  const listed = withoutTitles(facts);
  return universal.length === 0 ? listed : withoutPoor(reading, listed, universal);
}

/** Rows of one cell above or between rows of many are titles. */
function withoutTitles(facts: BlockFacts[]): BlockFacts[] {
  const cells = (one: BlockFacts) =>
    one.block.nodes.length === 1 && one.block.nodes[0].name === "tr"
      ? one.block.nodes[0].children.filter(({ name }: any) => name === "td" || name === "th")
      : [];
  const wide = facts.filter((one) => cells(one).length > 1).length;
  if (wide < facts.length * 0.8) return facts;
  return facts.filter((one) => reaches(one) || cells(one).length !== 1 || !(Number(cells(one)[0].attribs.colspan) > 1));
}

function withoutPoor(reading: Reading, facts: BlockFacts[], universal: readonly Reach[]): BlockFacts[] {
  const paths = facts.map((one) => textPaths(reading, one));
  const usual = new Map<string, number>();
  for (const path of paths.flatMap((own) => [...own])) usual.set(path, (usual.get(path) ?? 0) + 1);
  return facts.filter(({ counts, name }, at) => {
    const poor = universal.every((fact) => counts[fact] === 0);
    if (poor && isSentence(name ?? "")) return false;
    return !poor || [...paths[at]!].some((path) => usual.get(path)! * 2 >= facts.length);
  });
}

function isSentence(text: string): boolean {
  const words = text.split(" ").length;
  return words > 9 || (words > 4 && /[.!?:]$/.test(text));
}

/** Tags from the block down to each of its texts. */
function textPaths({ segments }: Reading, { block, start, end }: BlockFacts): Set<string> {
  const found = new Set<string>();
  for (const { element } of segments.slice(start, end)) {
    const names: string[] = [];
    for (let at = element; at && !block.nodes.includes(at); at = at.parent) names.unshift(at.name);
    found.add(names.join(">"));
  }
  return found;
}
