/**
 * Pairs as other lists would have them: forms of several countries, short forms, second names, moved companies, wrong digits; and what
 * looks alike and is not. Each is judged alone and once more among forty others, whose words then count.
 */
import { describe, expect, test } from "vitest";
import { drain, findDuplicates } from "../domain/matching/find-duplicates.ts";
import { profilesOf } from "../domain/matching/profiles.ts";
import { DEFAULT_THRESHOLD, scorePair } from "../domain/matching/score.ts";
import { madeCompanies } from "../fixtures/companies-at-scale.ts";

const others = [...madeCompanies({ count: 40, seed: 5, duplicates: 0 })].map(({ entity: _, ...rest }) => rest);
const toledo = { city: "Toledo", state: "OH" };
const full = {
  ...toledo,
  street: "1250 Industrial Pkwy",
  postal_code: "43612",
  phone: "419-555-0147",
  website: "zorbel.com",
};

function scores(left: object, right: object): number[] {
  return [
    scorePair(profilesOf([left, right] as never), 0, 1),
    scorePair(profilesOf([left, right, ...others] as never), 0, 1),
  ];
}
const same = (left: object, right: object) => {
  for (const score of scores(left, right)) expect(score).toBeGreaterThanOrEqual(DEFAULT_THRESHOLD);
};
const different = (left: object, right: object) => {
  for (const score of scores(left, right)) expect(score).toBeLessThan(DEFAULT_THRESHOLD);
};

describe("names", () => {
  test.each([
    ["Bauer Technik Gesellschaft mit beschränkter Haftung", "Bauer Technik GmbH"],
    ["Fabryka Maszyn Kowalski Sp. z o.o.", "Fabryka Maszyn Kowalski"],
    ["Huta Stalowa Spółka z ograniczoną odpowiedzialnością", "Huta Stalowa"],
    ["Svensson Verktyg AB (publ)", "Svensson Verktyg"],
    ["Fonderie Martel Société Anonyme", "Fonderie Martel SA"],
    ["Aceros del Norte, S.A. de C.V.", "Aceros del Norte"],
    ["Tanaka Seiki Kabushiki Kaisha", "Tanaka Seiki K.K."],
    ["Ünal Makina Sanayi ve Ticaret A.Ş.", "Unal Makina San. ve Tic. A.S."],
    ["Zorbel PLC", "Zorbel Public Limited Company"],
    ["株式会社田中製作所", "田中製作所"],
    ["ООО Завод Металлист", "Zavod Metallist OOO"],
    ["Müller Maschinenbau", "Mueller Maschinenbau"],
    ["Ødegård Mekaniske AS", "Oedegaard Mekaniske"],
    ["United States Gear Works", "U.S. Gear Works"],
    ["Two Rivers Forge", "2 Rivers Forge"],
    ["Zorbel Hydraulics Div.", "Zorbel Hydraulics Division"],
    ["Zorbel.com", "Zorbel"],
    ["Zorbel® Tools™", "Zorbel Tooling"],
    ["Zorbel Moulding", "Zorbel Molding"],
    ["Zorbel, Inc. (formerly Quindle Gear)", "Zorbel Inc"],
    ["Zorbel Holdings LLC dba Quindle Coatings", "Quindle Coatings"],
    ["Zorbel Tool, a division of Quindle Corp", "Zorbel Tool"],
    ["Zorbel Brewing", "Zorbel Brewng of America"],
    ["ZorbelFabricating", "Zorbel Fab"],
  ])("%s is %s, in one city", (left, right) => {
    same({ company_name: left, city: "Lyon" }, { company_name: right, city: "Lyon" });
  });

  test.each([
    ["North Star Electric", "South Star Electric"],
    ["Upper Valley Supply", "Lower Valley Supply"],
    ["Zorbel Phase II", "Zorbel Phase III"],
    ["Two Rivers Forge", "Three Rivers Forge"],
    ["Miller Foods", "Miller Woods"],
    ["Delta Power", "Delta Tower"],
    ["Carter Packing", "Carter Packaging"],
    ["Zorbel Tool, a division of Quindle Corp", "Quindle Corp"],
  ])("%s is not %s, in one city or one house", (left, right) => {
    different({ company_name: left, ...toledo }, { company_name: right, ...toledo });
    const house = { ...full, website: "", phone: "" };
    different(
      { company_name: left, ...house, phone: "419-555-0147" },
      { company_name: right, ...house, phone: "567-770-0199" },
    );
  });

  test.each([
    ["University of Zorbel Department of Chemistry", "University of Zorbel Department of Physics"],
    ["Zorbel Medical Center Radiology", "Zorbel Medical Center Oncology"],
    ["Hotel Zorbel Restaurant", "Hotel Zorbel Bar"],
  ])("%s and %s share a house and its telephone", (left, right) => {
    different({ company_name: left, ...full, website: "" }, { company_name: right, ...full, website: "" });
  });

  test("two names that are both common are two names, unless the telephone says otherwise", () => {
    const firms = ["Thomson", "Thompson"].flatMap((name) =>
      ["Gears", "Forge", "Tile", "Sand", "Paper"].map((kind) => ({ company_name: `${name} ${kind}` })),
    );
    const [left, right] = [
      { company_name: "Thomson Steel", ...toledo },
      { company_name: "Thompson Steel", ...toledo },
    ];
    const score = (a: object, b: object) => scorePair(profilesOf([a, b, ...firms] as never), 0, 1);
    expect(score(left, right)).toBeLessThan(DEFAULT_THRESHOLD);
    const phone = { phone: "419-555-0147" };
    expect(score({ ...left, ...phone }, { ...right, ...phone })).toBeGreaterThanOrEqual(DEFAULT_THRESHOLD);
  });
});

describe("contacts and places", () => {
  const zorbel = { company_name: "Zorbel Stamping Inc", ...full };
  const again = { ...zorbel, company_name: "Zorbel Stamping" };

  test.each<[string, object]>([
    ["another website", { website: "zorbelstamping.com" }],
    ["another website and telephone", { website: "zorbelstamping.com", phone: "567-377-2211" }],
    ["moved within the city, with another telephone", { street: "9 Lake Rd", phone: "567-377-2211" }],
    ["moved to another city", { street: "9 Lake Rd", city: "Perrysburg", postal_code: "43551" }],
    ["two digits swapped", { website: "", street: "", phone: "419-555-0174" }],
    ["a wrong house number", { website: "", phone: "567-377-2211", street: "1350 Industrial Pkwy" }],
    ["another line of the same exchange", { website: "", street: "", phone: "419-555-9902" }],
  ])("%s: the same company", (_, change) => {
    same(zorbel, { ...again, ...change });
  });

  const elsewhere = { street: "88 Harbor Rd", city: "Dayton", postal_code: "45402", phone: "937-444-0123" };
  test.each<[string, object, object]>([
    ["one name in two cities", { ...zorbel, website: "" }, { ...again, website: "", ...elsewhere }],
    [
      "one name in two cities, and nothing else",
      { company_name: "Zorbel", ...toledo },
      { company_name: "Zorbel", ...toledo, city: "Dayton" },
    ],
    ["a chain with one website", zorbel, { ...again, ...elsewhere }],
    [
      "branches in two parts of a city",
      zorbel,
      { ...again, street: "88 Harbor Rd", postal_code: "43605", phone: "567-444-0123" },
    ],
    [
      "two shops of one name in a city",
      { ...zorbel, website: "" },
      { ...again, website: "", street: "88 Harbor Rd", phone: "567-444-0123" },
    ],
  ])("%s: two companies", (_, left, right) => {
    different(left, right);
  });

  test("a website in use in several cities joins no two houses of one of them", () => {
    const [left, right] = [zorbel, { ...again, street: "9 Lake Rd", phone: "567-377-2211" }];
    const reno = { company_name: "Zorbel Stamping", website: "zorbel.com", city: "Reno", state: "NV" };
    expect(scorePair(profilesOf([left, right]), 0, 1)).toBeGreaterThanOrEqual(DEFAULT_THRESHOLD);
    expect(scorePair(profilesOf([left, right, reno]), 0, 1)).toBeLessThan(DEFAULT_THRESHOLD);
  });

  test("a company that moved keeps its group together: old, both, new", () => {
    const moved = { street: "9 Lake Rd", website: "" };
    const records = [
      { ...zorbel, website: "", phone: "419-555-0147" },
      { ...again, ...moved, phone: "419-555-0147" },
      { ...again, ...moved, phone: "567-377-2211" },
    ];
    expect(scorePair(profilesOf(records), 0, 2)).toBeLessThan(DEFAULT_THRESHOLD - 0.04);
    expect(drain(findDuplicates(profilesOf(records))).groups).toEqual([[0, 1, 2]]);
  });
});
