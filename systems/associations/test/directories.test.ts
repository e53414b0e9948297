/** The general extraction on builds that no schema describes: how many members, which of their fields, and nothing invented. */
import { describe, expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema } from "../adapters/config.ts";
import { readList } from "../domain/general/list.ts";
import { parsePage } from "../domain/page.ts";
import type { Build, Listed } from "../fixtures/directories.ts";
import { BUILDS, listedMembers } from "../fixtures/directories.ts";
import { randomness } from "../fixtures/members.ts";
import { MESSY_BUILDS } from "../fixtures/messy-directories.ts";

const URL_OF_PAGE = "https://guild.example/directory";
const schema = loadSchema(DEFAULT_CONFIG_DIR, "default");

export function read(
  build: Build,
  members: readonly Listed[],
  seed: number,
  known: Parameters<typeof readList>[2] = null,
) {
  const { html, contentType, shown, details } = build(members, randomness(seed));
  const page = parsePage({ url: URL_OF_PAGE, text: html, contentType: contentType ?? "text/html" });
  const list = readList(page, schema, known, { trusting: true });
  return { list, entries: list?.entries.filter(({ missing }) => missing.length === 0) ?? [], shown, details };
}

const plain = (value: unknown) =>
  String(value ?? "")
    .toLowerCase()
    .replaceAll("’", "'")
    .replace(/\/$/, "");

function measure(build: Build, members: readonly Listed[], seed: number) {
  const { entries, shown } = read(build, members, seed);
  const byName = new Map(entries.map((entry) => [plain(entry.fields.company_name), entry]));
  const found = members.filter(({ company_name }) => byName.has(plain(company_name)));
  const wrong: string[] = [];
  let [known, right, given] = [0, 0, 0];
  for (const member of found) {
    const { fields } = byName.get(plain(member.company_name))!;
    for (const field of shown) {
      const [want, got] = [plain(member[field]), plain(fields[field])];
      if (want !== "") known++;
      if (got !== "") given++;
      if (want !== "" && want === got) right++;
      if (want !== got && !(want === "" && field === "website"))
        wrong.push(`${member.company_name} ${field}: ${want} → ${got}`);
    }
  }
  return {
    recall: found.length / members.length,
    precision: entries.length === 0 ? 0 : found.length / entries.length,
    fieldRecall: known === 0 ? 1 : right / known,
    fieldPrecision: given === 0 ? 1 : right / given,
    wrong,
    extra: entries
      .filter(({ fields }) => !members.some(({ company_name }) => plain(company_name) === plain(fields.company_name)))
      .map(({ fields }) => fields.company_name),
  };
}

describe.each(Object.entries({ ...BUILDS, ...MESSY_BUILDS }))("%s", (_, build) => {
  test.each([
    [40, 1],
    [12, 2],
    [150, 3],
  ])("%i members", (count, seed) => {
    const { wrong, extra, ...shares } = measure(build, listedMembers(count, seed), seed);
    expect({ ...shares, wrong: wrong.slice(0, 8), extra: extra.slice(0, 8) }).toEqual({
      recall: 1,
      precision: 1,
      fieldRecall: 1,
      fieldPrecision: 1,
      wrong: [],
      extra: [],
    });
  });

  test("the shape of one page finds the single member of the last page", () => {
    const members = listedMembers(31, 4);
    const { list } = read(build, members.slice(0, 30), 4);
    const { entries } = read(build, members.slice(30), 5, JSON.parse(JSON.stringify(list!.shape)));
    expect(entries.map(({ fields }) => plain(fields.company_name))).toEqual([plain(members[30]!.company_name)]);
  });
});
