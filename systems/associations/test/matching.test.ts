/** Duplicate detection: forms, scores, groups, merging; what must hold for any records is checked on many. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clusterPairs } from "../domain/matching/clusters.ts";
import { emailDomain, phoneKey, websiteDomain } from "../domain/matching/contact-keys.ts";
import { editDistance, wordLikeness } from "../domain/matching/edit-distance.ts";
import { drain, findDuplicates } from "../domain/matching/find-duplicates.ts";
import { profilesOf } from "../domain/matching/profiles.ts";
import {
  DEFAULT_THRESHOLD,
  DEFAULT_WEIGHTS,
  explainPair,
  scoreIfReached,
  scorePair,
} from "../domain/matching/score.ts";
import { cityForm, nameForm, streetForm } from "../domain/matching/words.ts";
import { madeCompanies } from "../fixtures/companies-at-scale.ts";

fc.configureGlobal({ seed: 20_260_129 });

const score = (left: object, right: object) => scorePair(profilesOf([left, right] as never), 0, 1);
const groupsOf = (records: object[]) => drain(findDuplicates(profilesOf(records as never))).groups;

describe("forms", () => {
  test.each([
    ["Acme Tool & Die, Inc.", "ACME TOOL AND DIE LLC"],
    ["The Müller Company", "Muller Co"],
    ["A.B.C. Mfg. Corp.", "ABC Manufacturing Corporation"],
    ["Smith's Industries", "Smiths Industry"],
    ["Nord-Metall GmbH & Co. KG", "Nord Metall"],
    ["First Street Machining", "1st Street Machinery"],
    ["O’Brien Bros. Ltd", "OBrien Brothers"],
  ])("%s is %s", (left, right) => {
    expect(nameForm(left).joined).toBe(nameForm(right).joined);
  });

  test("a name of nothing but legal forms and small words is still a name", () => {
    expect(nameForm("The Company, Inc.").tokens.length).toBeGreaterThan(0);
    expect(nameForm("").tokens).toEqual([]);
  });

  test.each([
    ["102 5th Ave. between 15th and 16th Sts.", "102 Fifth Avenue"],
    ["3570 Las Vegas Blvd. S", "3570 Las Vegas Boulevard South"],
    ["12 Main Street, Suite 400", "12 MAIN ST"],
    ["12 Main St Ste 400", "12 Main St #4"],
    ["Hauptstraße 16", "16 Hauptstrasse"],
  ])("street %s is %s", (left, right) => {
    expect(streetForm(left).number).toBe(streetForm(right).number);
    expect([...streetForm(left).tokens].sort()).toEqual([...streetForm(right).tokens].sort());
  });

  test("an ordinal or the number of a highway is no house number", () => {
    expect(streetForm("5th Avenue").number).toBe("");
    expect(streetForm("Highway 61").number).toBe("");
    expect(streetForm("200 Highway 61").number).toBe("200");
  });

  test("cities lose what is left out half of the time", () => {
    expect(cityForm("St. Paul")).toBe(cityForm("Saint Paul"));
    expect(cityForm("W. Hollywood")).toBe(cityForm("Hollywood"));
    expect(cityForm("North")).toBe("north");
  });

  test("phones are compared by their last digits", () => {
    expect(phoneKey("(616) 555-0147 ext. 12")).toBe(phoneKey("+1 616.555.0147"));
    expect(phoneKey("+49 9261 628000")).toBe(phoneKey("09261 628000"));
    expect(phoneKey("616-555-0147 x22")).toBe(phoneKey("6165550147"));
    expect(phoneKey("419-555-0100 / 419-555-0101")).toBe(phoneKey("4195550100"));
    expect(phoneKey("419/555 -0100")).toBe(phoneKey("4195550100"));
    expect(phoneKey("419-555-0100;ext=7")).toBe(phoneKey("4195550100"));
    expect([phoneKey("555"), phoneKey("000-000-0000"), phoneKey("n/a")]).toEqual([0, 0, 0]);
  });

  test("domains that belong to many identify nobody", () => {
    expect(websiteDomain("https://www.shop.acme.co.uk/about?x=1")).toBe("acme.co.uk");
    expect(websiteDomain("ACME.com")).toBe("acme.com");
    expect(websiteDomain("https://acme.wordpress.com")).not.toBe("wordpress.com");
    expect([websiteDomain("https://facebook.com/acme"), websiteDomain("n/a"), emailDomain("acme@gmail.com")]).toEqual([
      null,
      null,
      null,
    ]);
    expect(emailDomain("sales@acme.com")).toBe("acme.com");
  });

  test("edits are counted, swaps of neighbours as one, and never past the bound", () => {
    expect(editDistance("stamping", "stmaping", 3)).toBe(1);
    expect(editDistance("abc", "abcdef", 2)).toBe(3);
    expect(wordLikeness("plant2", "plant3")).toBe(0);
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (left, right) => {
        expect(editDistance(left, right, 20)).toBe(editDistance(right, left, 20));
        expect(editDistance(left, left, 3)).toBe(0);
        expect(editDistance(left, right, 2)).toBe(Math.min(3, editDistance(left, right, 20)));
      }),
    );
  });
});

describe("scores", () => {
  const acme = { company_name: "Zorbel Stamping Inc", website: "https://zorbel.com", city: "Toledo", state: "OH" };

  test("with name, domain, city and state alone it is the source document's formula", () => {
    expect(score(acme, { ...acme, company_name: "ZORBEL STAMPING, LLC" })).toBe(1);
    expect(score(acme, { ...acme, website: "https://other.com" })).toBeCloseTo(0.7, 10);
    expect(score(acme, { ...acme, city: "Dayton" })).toBeCloseTo(0.9, 10);
    expect(score(acme, { ...acme, state: "IN", city: "Gary" })).toBeCloseTo(0.8, 10);
    // Fields missing on one side drop out and the others are scaled up.
    expect(score(acme, { company_name: acme.company_name, website: acme.website })).toBe(1);
    expect(score({ ...acme, city: "" }, { ...acme, website: "", state: "IN" })).toBeCloseTo(0.5 / 0.6, 10);
    expect(score(acme, { company_name: acme.company_name })).toBe(1);
  });

  test("a state by name is its code, and a website without www is the same", () => {
    expect(score(acme, { ...acme, state: "Ohio", website: "http://www.zorbel.com/home" })).toBe(1);
  });

  test("place alone identifies nobody", () => {
    const place = { city: "Toledo", state: "OH", street: "1 Main St", postal_code: "43601" };
    expect(score(place, place)).toBe(0);
    expect(score({ ...place, phone: "419-555-0100" }, { ...place, phone: "419 555 0100" })).toBe(1);
  });

  test("rare words decide, common ones do not", () => {
    const at = { city: "Toledo", state: "OH" };
    const common = score(
      { company_name: "Zorbel Metal Products", ...at },
      { company_name: "Quindle Metal Products", ...at },
    );
    const rare = score(
      { company_name: "Zorbel Metal Products", ...at },
      { company_name: "Zorbel Metal Stamping", ...at },
    );
    expect(common).toBeLessThan(0.65);
    expect(rare).toBeGreaterThan(0.75);
  });

  test("numbers in names must agree; misspelt and joined words may differ", () => {
    const at = { city: "Toledo", state: "OH", phone: "419-555-0100" };
    const of = (one: string, two: string) => score({ company_name: one, ...at }, { company_name: two, ...at });
    expect(of("Local Union 12", "Local Union 14")).toBeLessThan(DEFAULT_THRESHOLD);
    expect(of("Northpoint Castings", "North Point Castings")).toBeGreaterThan(0.95);
    expect(of("MicroTech", "Micro Technologies Inc")).toBeGreaterThan(DEFAULT_THRESHOLD);
    expect(of("Z.S.W.", "Zorbel Stamping Works")).toBeGreaterThan(DEFAULT_THRESHOLD);
    expect(of("ZSX", "Zorbel Stamping Works")).toBeLessThan(0.6);
    expect(of("Zorbel Stamping", "Zorbell Stampings")).toBeGreaterThan(DEFAULT_THRESHOLD);
    expect(of("Zorbel (Toledo)", "Zorbel")).toBeGreaterThan(DEFAULT_THRESHOLD);
  });

  test("a phone that many companies share says little", () => {
    const shared = Array.from({ length: 40 }, (_, at) => ({
      company_name: `Company${at} Xy${at}`,
      phone: "800-555-0199",
    }));
    const pair = [
      { company_name: "Zorbel Gears", phone: "800-555-0199" },
      { company_name: "Zorbel Forge", phone: "800-555-0199" },
    ];
    const among = profilesOf([...pair, ...shared]);
    expect(scorePair(among, 0, 1)).toBeLessThan(scorePair(profilesOf(pair), 0, 1) - 0.05);
  });

  test("branches of one company in two places are two", () => {
    const hq = { ...acme, phone: "419-555-0100", street: "1 Main St" };
    const branch = { ...acme, city: "Reno", state: "NV", phone: "775-555-0100", street: "88 Lake Rd" };
    expect(score(hq, branch)).toBeLessThan(DEFAULT_THRESHOLD);
  });

  test("the reasons add up to the score", () => {
    const records = [...madeCompanies({ count: 400, seed: 3, duplicates: 0.5 })];
    const profiles = profilesOf(records as never);
    for (let at = 1; at < 400; at++) {
      const { score: total, evidence } = explainPair(profiles, at - 1, at);
      expect(evidence.reduce((sum, one) => sum + one.weight * one.likeness, 0)).toBeCloseTo(total, 9);
      expect(evidence.reduce((sum, one) => sum + one.weight, 0)).toBeCloseTo(1, 9);
    }
  });
});

const words = fc.constantFrom(
  "acme",
  "zorbel",
  "tool",
  "tools",
  "north",
  "point",
  "northpoint",
  "12",
  "13",
  "mfg",
  "steel",
  "zorbell",
  "inc",
);
const field = (...values: string[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
const record = fc.record(
  {
    company_name: fc.array(words, { minLength: 0, maxLength: 5 }).map((list) => list.join(" ")),
    website: field("https://acme.com", "zorbel.com", "https://facebook.com/x", ""),
    phone: field("419-555-0100", "+1 (419) 555-0100", "775-555-0123", ""),
    street: field("12 Main St", "12 Main Street", "14 Main St", "PO Box 12", "North Main"),
    city: field("Toledo", "North Toledo", "Reno"),
    state: field("OH", "Ohio", "NV"),
    postal_code: field("43601", "43601-1234", "43699", "89501"),
  },
  { requiredKeys: ["company_name"] },
);

describe("what holds for any records", () => {
  test("scores are symmetric, between 0 and 1, and 1 for a record and itself", () => {
    fc.assert(
      fc.property(record, record, (left, right) => {
        const one = score(left, right);
        expect(one).toBe(scorePair(profilesOf([left, right] as never), 1, 0));
        expect(one).toBeCloseTo(score(right, left), 12);
        expect(one).toBeGreaterThanOrEqual(0);
        expect(one).toBeLessThanOrEqual(1);
        if (nameForm(left.company_name).joined !== "") expect(score(left, left)).toBe(1);
      }),
    );
  });

  test("the quick score is the score where it reaches the threshold, and below it elsewhere", () => {
    fc.assert(
      fc.property(record, record, fc.double({ min: 0.3, max: 1, noNaN: true }), (left, right, threshold) => {
        const profiles = profilesOf([left, right] as never);
        const full = scorePair(profiles, 0, 1);
        const quick = scoreIfReached(profiles, 0, 1, { weights: DEFAULT_WEIGHTS, threshold });
        if (full >= threshold) expect(quick).toBe(full);
        else expect(quick).toBeLessThan(threshold);
      }),
    );
  });

  test("on few records, blocking finds every pair that reaches the threshold", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 2, maxLength: 12 }), (records) => {
        const profiles = profilesOf(records as never);
        const { pairs } = drain(findDuplicates(profiles));
        const found = new Set(Array.from(pairs.left, (left, at) => `${left} ${pairs.right[at]}`));
        for (let i = 0; i < records.length; i++) {
          for (let j = i + 1; j < records.length; j++) {
            // Without anything in common but a misspelling and no place there is no key to meet by.
            const meet = profiles.nameKey[i] === profiles.nameKey[j] && profiles.nameKey[i] !== 0;
            const contact = profiles.phone[i] !== 0 && profiles.phone[i] === profiles.phone[j];
            const full = scorePair(profiles, i, j);
            expect(found.has(`${i} ${j}`) && full < DEFAULT_THRESHOLD).toBe(false);
            if (full >= DEFAULT_THRESHOLD && (meet || contact)) expect(found.has(`${i} ${j}`)).toBe(true);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test("groups are closed, disjoint, ascending, and do not depend on the order of pairs", () => {
    const pair = fc.tuple(fc.nat(19), fc.nat(19), fc.double({ min: 0.85, max: 1, noNaN: true }));
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 40 }), fc.array(pair, { maxLength: 15 }), (matched, bad) => {
        const enemies = new Set(bad.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));
        const edges = matched
          .filter(([a, b]) => a !== b && !enemies.has(`${a} ${b}`))
          .map(([a, b, s]) => ({ l: Math.min(a, b), r: Math.max(a, b), s: Math.fround(s) }));
        const columns = (list: typeof edges) => ({
          left: Int32Array.from(list, ({ l }) => l),
          right: Int32Array.from(list, ({ r }) => r),
          score: Float32Array.from(list, ({ s }) => s),
        });
        const clash = (i: number, j: number) => (enemies.has(`${i} ${j}`) ? 0.2 : null);
        const { groups, refused } = clusterPairs(20, columns(edges), { clash });
        expect(clusterPairs(20, columns([...edges].reverse()), { clash }).groups).toEqual(groups);
        const groupOf = new Map(groups.flatMap((group, at) => group.map((member) => [member, at] as const)));
        expect(groupOf.size).toBe(groups.reduce((sum, group) => sum + group.length, 0));
        for (const group of groups) {
          expect(group.length).toBeGreaterThan(1);
          expect([...group].sort((a, b) => a - b)).toEqual(group);
          if (group.length <= 8)
            for (const a of group) for (const b of group) expect(enemies.has(`${a} ${b}`) && a !== b).toBe(false);
        }
        const no = new Set(refused.map(({ left, right }) => `${left} ${right}`));
        for (const { l, r } of edges) if (!no.has(`${l} ${r}`)) expect(groupOf.get(l)).toBe(groupOf.get(r));
      }),
    );
  });
});

describe("groups", () => {
  test("A is B, B is C: all three are one, although A and C alone would not be", () => {
    const records = [
      { company_name: "Zorbel Stamping", phone: "419-555-0100", city: "Toledo" },
      { company_name: "Zorbel Stamping", phone: "419-555-0100", website: "zorbel.com" },
      { company_name: "Zorbel Stamping Manufacturing Group", website: "zorbel.com", city: "Toledo" },
      { company_name: "Quindle Gears", phone: "419-555-0177", city: "Toledo" },
    ];
    expect(groupsOf(records)).toEqual([[0, 1, 2]]);
  });

  test("a record without a place does not join two companies of one name in two places", () => {
    const name = { company_name: "General Machine Works" };
    const records = [
      { ...name, city: "Toledo", state: "OH", phone: "419-555-0100", street: "1 Main St" },
      { ...name },
      { ...name, city: "Reno", state: "NV", phone: "775-555-0123", street: "88 Lake Rd" },
    ];
    const { groups, refused } = drain(findDuplicates(profilesOf(records)));
    expect(groups).toEqual([[0, 1]]);
    expect(refused).toMatchObject([{ left: 1, right: 2, because: { left: 0, right: 2 } }]);
  });

  test("thousands of the same name and place cost no square of comparisons", () => {
    const records = Array.from({ length: 5_000 }, (_, at) => ({
      company_name: "Acme Tool",
      city: "Toledo",
      phone: `419-${1000000 + at * 13}`,
    }));
    const { stats } = drain(findDuplicates(profilesOf(records)));
    expect(stats.candidates).toBeLessThan(5_000 * 100);
    expect(stats.largeBlocks).toBeGreaterThan(0);
  });

  test("values of a megabyte, of other types and of signs only cost no time and break nothing", () => {
    const long = { company_name: " '".repeat(500_000), phone: "1 ".repeat(500_000), street: "#1 ".repeat(300_000) };
    const odd = {
      company_name: ["x"],
      website: { a: 1 },
      phone: 4195550100,
      city: null,
      state: true,
      postal_code: 43601,
    };
    const signs = { company_name: "!!! ???", website: "::::", phone: "---", street: ",,,", city: "(", state: "" };
    const { groups } = drain(
      findDuplicates(profilesOf([long, odd, signs, { ...odd, phone: "419-555-0100" }, {}] as never)),
    );
    expect(groups).toEqual([[1, 3]]);
  });

  test("fields are found under the names that others use", () => {
    const ours = {
      company_name: "Zorbel Gears",
      street: "12 Main St",
      city: "Toledo",
      postal_code: "43601",
      phone: "419-555-0100",
    };
    const theirs = {
      Name: "ZORBEL GEARS",
      streetAddress: "12 Main Street",
      City: "Toledo",
      zipCode: 43601,
      Telephone: "4195550100",
    };
    expect(score(ours, theirs)).toBe(1);
    expect(score({ name: "Zorbel Gears", address: "12 Main St., Toledo, OH 43601" }, ours)).toBe(1);
  });

  test("one company twenty thousand times is one group, in no more than its share of time", () => {
    const records = Array.from({ length: 20_000 }, () => ({ company_name: "Zorbel Gears", phone: "419-555-0100" }));
    const { groups, stats } = drain(findDuplicates(profilesOf(records)));
    expect(groups.map((group) => group.length)).toEqual([20_000]);
    expect(stats.candidates).toBeLessThan(20_000 * 50);
  });

  test("made-up lists of 3,000: nothing wrong put together, nearly all found", () => {
    const records = [...madeCompanies({ count: 3_000, seed: 11 })];
    const groups = groupsOf(records.map(({ entity: _, ...rest }) => rest));
    const wrong = groups.filter((group) => new Set(group.map((at) => records[at]!.entity)).size > 1);
    expect(wrong).toEqual([]);
    const duplicates = records.length - new Set(records.map(({ entity }) => entity)).size;
    expect(groups.reduce((sum, group) => sum + group.length - 1, 0)).toBeGreaterThan(duplicates * 0.96);
  });
});
