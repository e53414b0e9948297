/**
 * Measures duplicate detection on a real list of companies (CSV) that is not part of the project: some of them are added a second time,
 * written differently, and must be found again; whatever else is put together is shown.
 *
 *   node --conditions=source systems/associations/dev/dedupe-companies.ts COMPANIES.csv [HOW_MANY_AGAIN]
 *
 * Duplicates that the list has by itself are not counted as wrong: what is found without the additions counts as one company.
 */
import { readFileSync } from "node:fs";
import { parse } from "csv-parse/sync";
import { drain, findDuplicates } from "../domain/matching/find-duplicates.ts";
import type { RecordLike } from "../domain/matching/profiles.ts";
import { FIELD_NAMES, profilesOf } from "../domain/matching/profiles.ts";
import { explainPair } from "../domain/matching/score.ts";
import { seededRandom } from "../fixtures/companies-at-scale.ts";

const SHOWN = 15;
const SHORT: Readonly<Record<string, string>> = {
  Street: "St",
  Avenue: "Ave",
  Road: "Rd",
  Company: "Co",
  North: "N",
  South: "S",
  West: "W",
  and: "&",
};
const FIELDS = ["phone", "street", "postal_code", "website"] as const;
type Company = Record<(typeof FIELDS)[number] | "company_name" | "city" | "state", string>;

const random = seededRandom(9);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

function readCompanies(path: string): Company[] {
  const rows = parse<Record<string, string>>(readFileSync(path), { columns: true, bom: true });
  const first = (row: Record<string, string>, names: readonly string[]) =>
    names.map((name) => row[name]).find(Boolean) ?? "";
  return rows.map((row) => ({
    company_name: first(row, FIELD_NAMES.name),
    street: first(row, FIELD_NAMES.street),
    city: first(row, FIELD_NAMES.city),
    state: first(row, FIELD_NAMES.state),
    postal_code: first(row, FIELD_NAMES.postal),
    phone: first(row, FIELD_NAMES.phone),
    website: first(row, FIELD_NAMES.website),
  }));
}

/** The company as another list would write it: two to four changes. */
function writtenAgain(company: Company): Company {
  const copy = { ...company };
  const shorten = (text: string) =>
    text
      .split(" ")
      .map((word) => SHORT[word] ?? word)
      .join(" ");
  for (let change = 2 + Math.floor(random() * 3); change > 0; change--) {
    const kind = Math.floor(random() * 9);
    const name = copy.company_name;
    const at = 1 + Math.floor(random() * Math.max(1, name.length - 2));
    if (kind === 0) copy.company_name = name.slice(0, at) + name.slice(at + 1);
    if (kind === 1) copy.company_name = name.toUpperCase();
    if (kind === 2) copy.company_name = shorten(name);
    if (kind === 3) copy.company_name = name + pick([" LLC", ", Inc.", " Group", " of America"]);
    if (kind === 4) copy.street = shorten(copy.street);
    if (kind === 5) copy.phone = copy.phone.replace(/^(\d{3})(\d{3})(\d{4})$/, "($1) $2-$3");
    if (kind === 6) copy[pick(FIELDS)] = "";
    if (kind === 7 && copy.phone !== "") copy.phone = copy.phone.slice(0, -4) + Math.floor(1000 + random() * 9000);
    if (kind === 8) copy.website = "";
  }
  return copy;
}

function groupNumbers(groups: readonly number[][]): (record: number) => number {
  const numbers = new Map(groups.flatMap((group, number) => group.map((member) => [member, number] as const)));
  return (record) => numbers.get(record) ?? -1 - record;
}

function main(path: string, again: number): void {
  const companies = readCompanies(path);
  const byItself = drain(findDuplicates(profilesOf(companies)));
  const naturally = groupNumbers(byItself.groups);
  const origins = companies.map((_, index) => index);
  const records: RecordLike[] = [...companies];
  for (let added = 0; added < again; added++) {
    const origin = Math.floor(random() * companies.length);
    origins.push(origin);
    records.push(writtenAgain(companies[origin]!));
  }
  const profiles = profilesOf(records);
  const { groups, stats, refused } = drain(findDuplicates(profiles));
  const numberOf = groupNumbers(groups);
  const show = (word: string, left: number, right: number) => {
    const { score, evidence } = explainPair(profiles, left, right);
    say(`  ${word} ${score.toFixed(3)}: ${JSON.stringify(records[left])}\n    ${JSON.stringify(records[right])}`);
    say(`    ${evidence.map((one) => `${one.field} ${one.likeness.toFixed(2)}`).join("  ")}`);
  };
  let [right, wrong, missed] = [0, 0, 0];
  for (const group of groups) {
    for (const [at, left] of group.entries()) {
      for (const other of group.slice(at + 1)) {
        const same = naturally(origins[left]!) === naturally(origins[other]!);
        if (same) right++;
        else if (wrong++ < SHOWN) show("not the same", left, other);
      }
    }
  }
  let found = 0;
  for (let record = companies.length; record < records.length; record++) {
    if (numberOf(record) === numberOf(origins[record]!)) found++;
    else if (missed++ < SHOWN) show("missed", origins[record]!, record);
  }
  say(`${companies.length} companies, ${byItself.groups.length} groups by themselves; ${again} added`);
  say(
    `found again ${found} (${((100 * found) / again).toFixed(2)} %), pairs put together ${right + wrong}, ${wrong} of them not the same`,
  );
  say(`${stats.candidates} comparisons, ${refused.length} pairs refused`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (import.meta.main) main(process.argv[2] ?? "companies.csv", Number(process.argv[3] ?? 3_000));
