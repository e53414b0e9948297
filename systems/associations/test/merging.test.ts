/** Merging records of one company: nothing lost, nothing invented, and it says from where. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeRecords } from "../domain/matching/merge.ts";
import { sameCompanyName, similarCompanyName } from "../domain/matching/same-name.ts";

fc.configureGlobal({ seed: 20_260_129 });

describe("merging", () => {
  const facts = { mergedAt: "2026-01-01T00:00:00.000Z", group: "dup-1" };
  const one = {
    company_name: "Zorbel",
    website: null,
    phone: "1",
    employee_count_min: 50,
    tech_stack: ["SAP"],
    contacts: [{ name: "Ann", email: "ann@zorbel.com" }],
    association: "PMA",
    source_url: "https://pma.example/1",
  };
  const two = {
    company_name: "Zorbel Inc",
    website: "https://zorbel.com",
    phone: "",
    employee_count_min: 80,
    tech_stack: ["sap", "Epicor"],
    contacts: [
      { name: "Ann B.", email: "ANN@zorbel.com" },
      { name: "Bo", email: null },
    ],
    association: "NEMA",
    source_url: "https://nema.example/9",
  };

  test("the first is the base, gaps are filled, lists united, the larger number kept, and it says from where", () => {
    expect(mergeRecords([one, two], facts)).toEqual({
      ...one,
      website: "https://zorbel.com",
      employee_count_min: 80,
      tech_stack: ["SAP", "Epicor"],
      contacts: [one.contacts[0], two.contacts[1]],
      associations: ["NEMA", "PMA"],
      merged_at: facts.mergedAt,
      merged_from_count: 2,
      duplicate_group: "dup-1",
      merged_from: [
        { association: "PMA", source_url: one.source_url, company_name: "Zorbel" },
        { association: "NEMA", source_url: two.source_url, company_name: "Zorbel Inc" },
      ],
      merged_fields: { website: [1], employee_count_min: [1], tech_stack: [0, 1], contacts: [0, 1] },
      merge_conflicts: { company_name: ["Zorbel Inc"] },
    });
  });

  test("a default of the schema gives way to what a page said, and is no conflict", () => {
    const assumed = {
      company_name: "Zorbel",
      country: "United States",
      provenance: { fields: { country: "default" } },
    };
    const said = { company_name: "Zorbel", country: "Canada", provenance: { fields: { country: "label country" } } };
    expect(mergeRecords([assumed, said, assumed], facts)).toMatchObject({
      country: "Canada",
      merged_fields: { country: [1] },
      merge_conflicts: {},
    });
    expect(mergeRecords([said, assumed], facts)).toMatchObject({
      country: "Canada",
      merged_fields: {},
      merge_conflicts: {},
    });
  });

  test("a single record stays as it is", () => {
    expect(mergeRecords([one], facts)).toEqual({ ...one, associations: ["PMA"] });
  });

  test("no value is lost or invented", () => {
    const value = fc.option(fc.constantFrom("a", "b", 3, ""), { nil: null });
    const any = fc.record({
      company_name: fc.constant("X"),
      phone: value,
      email: value,
      employee_count_min: fc.option(fc.nat(9), { nil: null }),
    });
    fc.assert(
      fc.property(fc.array(any, { minLength: 2, maxLength: 5 }), (records) => {
        const before = JSON.stringify(records);
        const merged: any = mergeRecords(records, facts);
        expect(JSON.stringify(records)).toBe(before);
        for (const field of ["phone", "email"] as const) {
          const values = records.map((each) => each[field]).filter((each) => each !== null && each !== "");
          const kept = [merged[field], ...(merged.merge_conflicts[field] ?? [])].filter(
            (each) => each !== null && each !== "",
          );
          expect(new Set(kept)).toEqual(new Set(values));
        }
        const counts = records.flatMap((each) => each.employee_count_min ?? []);
        expect(merged.employee_count_min).toBe(counts.length === 0 ? null : Math.max(...counts));
      }),
    );
  });
});

describe("names of search results", () => {
  test.each([
    ["Acme Tool, Inc.", "ACME Tool", true, true],
    ["Acme Tool", "Acme Tool & Die Works", true, true],
    ["Acme Tool Works", "Acme Gear Works", false, true],
    ["Acme", "Bolt", false, false],
    ["", "", false, false],
    ["Inc.", "", false, false],
  ])("%s and %s", (one, two, same, similar) => {
    expect([sameCompanyName(one, two), sameCompanyName(two, one)]).toEqual([same, same]);
    expect([similarCompanyName(one, two), similarCompanyName(two, one)]).toEqual([similar, similar]);
  });
});
