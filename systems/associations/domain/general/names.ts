/**
 * Which text of a record is its name.
 *
 * The texts of all records are laid over each other by their place in the record. The name's place is filled nearly everywhere,
 * differs from record to record, stands early, and is often a heading, a link or bold.
 * Invariant: a record without text in that place gets its name from the next best place, never from another record.
 */
import { columnOf } from "./columns.ts";
import type { Kind } from "./kinds.ts";
import { isCount } from "./kinds.ts";
import type { BlockFacts } from "./score.ts";
import type { Reading, Segment } from "./segments.ts";
import { isUnusual, linkKind, piecesOf } from "./segments.ts";

interface Slot {
  key: string;
  /** By record. */
  values: Map<number, { segment: Segment; at: number }>;
}

const LEGAL =
  /\b(inc|llc|l\.l\.c|ltd|corp|co|company|corporation|group|industries|mfg|manufacturing|products|gmbh|plc|llp|works|services|solutions|systems|associates|enterprises|technologies|brewing|supply)\b\.?/i;
const PERSON_LABEL =
  /^(contact|primary contact|main contact|representative|rep|attn|attention|owner|president|ceo|manager|member contact|contact (name|person))\b/i;
const PERSON_TITLE = /^(mr|mrs|ms|dr|prof)\.? /i;
const NAME_CLASS = /(^|[-_ ])(name|title|company|org|organization|fn|heading|headline)([-_ ]|$)/i;
const MAX_NAME = 120;
const MAX_ALIKE = 3;

/** The name's place in the records; of several texts the winner's `key` serves on the pages that follow. */
export function nameKeys(reading: Reading, facts: readonly BlockFacts[]): string[] {
  const slots = slotsOf(reading, facts);
  return [...slots.values()]
    .map((slot) => ({ key: slot.key, score: slotScore(reading, slot, facts.length) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || (a.key < b.key ? -1 : 1))
    .slice(0, 4)
    .map(({ key }) => key);
}

/** The name of each record by the first of these places that it has; null where it has none of them. */
export function namesAt(reading: Reading, facts: readonly BlockFacts[], keys: readonly string[]): (Segment | null)[] {
  const slots = slotsOf(reading, facts, IN_PLACE);
  return facts.map((_, record) => {
    for (const key of keys) {
      const found = slots.get(key)?.values.get(record);
      if (found !== undefined) return found.segment;
    }
    return null;
  });
}

/** In the name's place, a company may be called like a street, a state, a site or a button; but then it is called so alone. */
const IN_PLACE: ReadonlySet<Kind> = new Set(["words", "street", "state", "place", "url", "noise", "label"]);

function slotsOf(
  reading: Reading,
  facts: readonly BlockFacts[],
  kinds: ReadonlySet<Kind> = new Set(["words"]),
): Map<string, Slot> {
  const slots = new Map<string, Slot>();
  facts.forEach(({ block, start, end }, record) => {
    let behindPerson = false;
    let at = 0;
    const times = new Map<string, number>();
    for (const source of reading.segments.slice(start, end)) {
      const pieces = piecesOf([source]);
      pieces.forEach((segment, part) => {
        const person = behindPerson;
        behindPerson = PERSON_LABEL.test(segment.text);
        const usual =
          (segment.kind === "noise" || segment.kind === "label") &&
          !(isUnusual(reading, segment) && /\p{L}{2}/u.test(segment.text));
        if (
          usual ||
          !kinds.has(segment.kind) ||
          isCount(segment.text) ||
          person ||
          behindPerson ||
          segment.text.length > MAX_NAME
        )
          return;
        const place = `${relativePath(segment.element, block.nodes)}#${part}`;
        // Texts that the tree does not tell apart, such as badges before a name, are told apart by their order.
        const before = times.get(place) ?? 0;
        times.set(place, before + 1);
        if (before > MAX_ALIKE) return;
        const key = before === 0 ? place : `${place}@${before}`;
        const slot = slots.get(key) ?? { key, values: new Map() };
        slots.set(key, slot);
        if (!slot.values.has(record)) slot.values.set(record, { segment, at });
      });
      at++;
    }
  });
  return slots;
}

/** Tags from the record down to the text; cells with their column. */
function relativePath(element: any, nodes: readonly any[]): string {
  const names: string[] = [];
  for (let at = element; at !== null && at !== undefined; at = at.parent) {
    names.unshift(at.name === "td" || at.name === "th" ? `${at.name}${columnOf(at)}` : at.name);
    if (nodes.includes(at)) return names.join(">");
  }
  return ".";
}

function slotScore(reading: Reading, { values }: Slot, records: number): number {
  const found = [...values.values()];
  const texts = found.map(({ segment }) => segment.text);
  const coverage = found.length / records;
  const distinct = new Set(texts.map((text) => text.toLowerCase())).size / found.length;
  const usual = texts.filter((text) => (reading.frequency.get(text.toLowerCase()) ?? 0) >= 3).length / found.length;
  const mean = texts.reduce((sum, text) => sum + text.length, 0) / found.length;
  const share = (test: (segment: Segment) => boolean) =>
    found.filter(({ segment }) => test(segment)).length / found.length;
  const position = found.reduce((sum, { at }) => sum + at, 0) / found.length;
  const emphasis =
    3 * share(({ element }) => hasAncestor(element, /^h[1-6]$/)) +
    1.5 * share(({ href }) => ["inside", "outside"].includes(linkKind(reading.page, href))) +
    1.5 * share(({ element }) => hasAncestor(element, /^(strong|b|th|dt|summary|legend|caption)$/)) +
    2.5 *
      share(({ element }) => NAME_CLASS.test(`${element?.attribs?.class ?? ""} ${element?.attribs?.itemprop ?? ""}`)) +
    3 * share(({ text }) => LEGAL.test(text));
  const penalty =
    (mean > 60 ? 0.4 : 1) *
    (mean < 3 ? 0.3 : 1) *
    (1 - 0.6 * share(({ text }) => PERSON_TITLE.test(text))) *
    (1 - 0.5 * share(({ text }) => /[.!?]$/.test(text) && text.split(" ").length > 6));
  return coverage ** 1.5 * distinct ** 2 * (1 - 0.7 * usual) * (1.5 + emphasis) * penalty * 0.93 ** position;
}

function hasAncestor(element: any, names: RegExp): boolean {
  for (let at = element, depth = 0; at !== null && at !== undefined && depth < 3; at = at.parent, depth++)
    if (names.test(at.name ?? "")) return true;
  return false;
}
