/** Lists as common programs write them, of members that are no manufacturers. */
import { expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema } from "../adapters/config.ts";
import { readList } from "../domain/general/list.ts";
import { parsePage } from "../domain/page.ts";
import type { Other } from "../fixtures/other-directories.ts";
import { OTHER_LISTS } from "../fixtures/other-directories.ts";

const schema = loadSchema(DEFAULT_CONFIG_DIR, "default");
const plain = (value: unknown) =>
  String(value ?? "")
    .toLowerCase()
    .replace(/\/$/, "");

/** What the rules are known to get wrong: each is shown here, none is left out. */
const KNOWN: Record<string, string[]> = {
  // A dash divides the parts of a line, and this name has one.
  "name, city - phone": ["no record: Edward Jones - Tim Roth", "no member: Edward Jones"],
  // "…, 31 E. Washington Blvd., Suite 200. (360) …": a suite behind a comma, and nothing that says where the address ends.
  "grouped by city heading": [
    "Tasty Thai Kitchen",
    "KLM Accounting",
    "YMCA of Greater Ashland",
    "Smith",
    "Peak Fitness",
  ].map((name) => `${name}: street`),
};

test.each(Object.entries(OTHER_LISTS))("%s", (title, { members, fields, html }) => {
  const page = parsePage({ url: "https://chamber.example/list", text: html(members), contentType: "text/html" });
  const entries = readList(page, schema, null, { trusting: true })?.entries.filter(
    ({ missing }) => missing.length === 0,
  );
  const byName = new Map(entries?.map((entry) => [plain(entry.fields.company_name), entry.fields]));
  const faults: string[] = [];
  for (const member of members) {
    const found = byName.get(plain(member.name));
    if (found === undefined) faults.push(`no record: ${member.name}`);
    else
      faults.push(
        ...fields.filter((field) => differs(member, field, found)).map((field) => `${member.name}: ${field}`),
      );
  }
  const names = new Set(members.map(({ name }) => plain(name)));
  for (const { fields: found } of entries ?? [])
    if (!names.has(plain(found.company_name))) faults.push(`no member: ${found.company_name}`);
  expect(faults).toEqual(KNOWN[title] ?? []);
  expect(entries).toHaveLength(members.length);
});

function differs(member: Other, field: keyof Other, found: Record<string, unknown>): boolean {
  return plain(member[field]) !== plain(found[field === "name" ? "company_name" : field]);
}
