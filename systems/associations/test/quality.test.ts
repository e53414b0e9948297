/** Scores and grades as the source document defines them, and what is made of them: summary, CSV, report. */
import { load } from "cheerio";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CRM_EXPORTS, crmHeader, crmLines } from "../domain/quality/crm-exports.ts";
import { CSV_COLUMNS, csvCell, csvHeader, csvLine } from "../domain/quality/csv.ts";
import { htmlReport, markdownReport } from "../domain/quality/report.ts";
import {
  accuracy,
  completeness,
  freshness,
  gradeOf,
  qualityOf,
  sourceReliability,
  sourcesOf,
  validationScore,
} from "../domain/quality/score.ts";
import { SummaryBuilder } from "../domain/quality/summary.ts";

fc.configureGlobal({ seed: 20_260_129 });

const now = new Date("2026-02-01T00:00:00Z");
const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000).toISOString();
const four = { company_name: "Acme", website: "https://acme.com", city: "Toledo", state: "OH" };

describe("score", () => {
  test("the check value: the four required fields, fresh, from an association, not validated is 66, a D", () => {
    expect(qualityOf({ ...four, association: "PMA", extracted_at: daysAgo(0) }, now)).toEqual({
      score: 66,
      grade: "D",
      parts: { completeness: 60, accuracy: 60, freshness: 100, sources: 62 },
    });
  });

  test("everything there and confirmed is an A, nothing there is an F", () => {
    const all = {
      ...four,
      employee_count_min: 0,
      revenue_min_usd: 1,
      erp_system: "SAP",
      contacts: [{}],
      year_founded: 1950,
      naics_code: "332119",
      industry: "Metal",
      phone: "1",
      email: "a@acme.com",
      data_sources: ["clearbit", "zoominfo"],
      extracted_at: daysAgo(3),
      validation: { dns_valid: true, places_match: true, linkedin_valid: true, validation_score: 100 },
    };
    expect(qualityOf(all, now)).toMatchObject({ score: 99, grade: "A", parts: { completeness: 100, accuracy: 100 } });
    expect(qualityOf({}, now)).toMatchObject({
      grade: "F",
      score: 39,
      parts: { completeness: 0, accuracy: 60, freshness: 50, sources: 52 },
    });
  });

  test("completeness: sixty for the required, forty for the others; empty is not filled", () => {
    expect(completeness({ ...four, city: " ", state: null })).toBe(30);
    expect(completeness({ contacts: [], phone: "1", email: "" })).toBeCloseTo(40 / 9);
  });

  test.each([
    [undefined, 60],
    [{ dns_valid: null, places_match: null, validation_score: null }, 60],
    [{ dns_valid: true, places_match: null, validation_score: 70 }, 75],
    [{ dns_valid: false, places_match: false, validation_score: 20 }, 25],
    [{ dns_valid: true, places_match: true, linkedin_valid: true, validation_score: 100 }, 100],
  ])("accuracy of %j is %d", (validation, expected) => {
    expect(accuracy({ validation })).toBe(expected);
  });

  test.each([
    [{ dns_valid: true, places_match: true, linkedin_valid: true }, 100],
    [{ dns_valid: false, places_match: false }, 20],
    [{ dns_valid: null, places_match: false }, 40],
    [{}, 50],
  ])("validation score of %j is %d", (findings, expected) => {
    expect(validationScore(findings)).toBe(expected);
  });

  test.each([
    [0, 100],
    [7, 100],
    [7.01, 90],
    [30, 90],
    [90, 75],
    [180, 60],
    [365, 40],
    [366, 20],
  ])("%d days old is worth %d", (days, expected) => {
    expect(freshness({ extracted_at: daysAgo(days) }, now)).toBe(expected);
  });

  test("the latest of extracted, enriched and verified counts; unreadable is unknown", () => {
    expect(freshness({ extracted_at: daysAgo(400), enriched_at: daysAgo(20) }, now)).toBe(90);
    expect([freshness({ extracted_at: "soon" }, now), freshness({}, now)]).toEqual([50, 50]);
  });

  test("sources: the mean and a little for having several", () => {
    expect(sourceReliability(["clearbit"])).toBe(97);
    expect(sourceReliability(["clearbit", "association"])).toBe(81.5);
    expect(sourceReliability([])).toBe(52);
    expect(sourceReliability(["clearbit", "sec_edgar", "zoominfo", "clearbit", "clearbit", "clearbit"])).toBe(100);
    expect(sourcesOf({ association: "PMA", firmographic_source: "Apollo", tech_source: "apollo" })).toEqual([
      "apollo",
      "association",
    ]);
  });

  test("grades change at 90, 80, 70 and 60", () => {
    expect([100, 90, 89, 80, 79, 70, 69, 60, 59, 0].map(gradeOf).join("")).toBe("AABBCCDDFF");
  });

  test("always a whole number from 0 to 100", () => {
    fc.assert(
      fc.property(fc.object(), (record) => {
        const { score, grade } = qualityOf(record as Record<string, unknown>, now);
        expect(Number.isInteger(score) && score >= 0 && score <= 100).toBe(true);
        expect(grade).toBe(gradeOf(score));
      }),
    );
  });
});

function summaryOf(records: object[], minimum = 60) {
  const builder = new SummaryBuilder(minimum);
  for (const record of records) builder.add(record as never);
  return builder.build(now);
}

describe("summary", () => {
  test("counts, average and median", () => {
    const records = [
      {
        ...four,
        quality_score: 91,
        erp_system: "SAP",
        associations: ["NEMA", "PMA"],
        merged_from_count: 2,
        validation: { dns_valid: true, issues: [] },
      },
      { ...four, quality_score: 60, association: "PMA", validation: { dns_valid: false, issues: ["invalid_domain"] } },
      { company_name: "B", quality_score: 59, association: "PMA" },
      { company_name: "C", quality_score: 10, association: "PMA", erp_system: "" },
    ];
    expect(summaryOf(records)).toMatchObject({
      total_records: 4,
      passed: 2,
      quality_distribution: { A: 1, B: 0, C: 0, D: 1, F: 2 },
      average_quality_score: 55,
      median_quality_score: 59.5,
      score_histogram: [0, 1, 0, 0, 0, 1, 1, 0, 0, 1],
      erp_distribution: { SAP: 1 },
      associations: { NEMA: 1, PMA: 4 },
      validation: { dns: { valid: 1, invalid: 1, unknown: 2 } },
      issues: { invalid_domain: 1 },
      merged_records: 1,
      generated_at: now.toISOString(),
    });
    expect(summaryOf(records).field_completeness).toMatchObject({ company_name: 1, city: 0.5, erp_system: 0.25 });
    expect(summaryOf([])).toMatchObject({ total_records: 0, average_quality_score: null, median_quality_score: null });
  });

  test("median and distribution agree with sorting", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { minLength: 1, maxLength: 40 }), (scores) => {
        const sorted = [...scores].sort((a, b) => a - b);
        const middle = (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
        const summary = summaryOf(scores.map((quality_score) => ({ quality_score })));
        expect(summary.median_quality_score).toBe(middle);
        expect(summary.score_histogram.reduce((sum, number) => sum + number, 0)).toBe(scores.length);
        expect(summary.passed).toBe(scores.filter((score) => score >= 60).length);
      }),
    );
  });
});

describe("CSV", () => {
  test("is read back as it was", () => {
    const record = {
      company_name: 'Acme "Tool", Die\nWorks',
      phone: "+16165550147",
      tech_stack: ["SAP", "nginx"],
      associations: ["NEMA", "PMA"],
      employee_count_min: 51,
      contacts: [{ name: "Ann", title: "CIO", email: "ann@acme.com", phone: null }],
      quality_score: 71,
    };
    const [row] = parse<Record<string, string>>(csvHeader() + csvLine(record), { columns: true });
    expect(row).toMatchObject({
      company_name: record.company_name,
      phone: "+16165550147",
      tech_stack: "SAP; nginx",
      associations: "NEMA; PMA",
      employee_count_min: "51",
      contact_1_name: "Ann",
      contact_1_email: "ann@acme.com",
      contacts: "Ann, CIO, ann@acme.com",
      quality_score: "71",
      website: "",
    });
    expect(Object.keys(row!)).toEqual([...CSV_COLUMNS]);
  });

  test("what a spreadsheet would run is only text", () => {
    expect(["=1+1", "@SUM(A1)", "+cmd|x", "-2+3+cmd", "\tx", "\uff1d1+1", "\u0000=1", "\u00a0=1"].map(csvCell)).toEqual(
      ["'=1+1", "'@SUM(A1)", "'+cmd|x", "'-2+3+cmd", "'\tx", "'\uff1d1+1", "'=1", "'\u00a0=1"],
    );
    expect(csvCell("+1 616 555 0147")).toBe("+1 616 555 0147");
  });

  test("any text comes back", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const [row] = parse(`${csvCell(text)},end\r\n`) as string[][];
        expect(row!.at(-1)).toBe("end");
        expect(row![0]!.replace(/^'/, "")).toBe(text.replace(/^'/, ""));
      }),
    );
  });
});

describe("exports for CRM systems", () => {
  test("each company once, each contact once, in the columns they import", () => {
    const record = {
      ...four,
      website: "https://www.acme.com/x",
      employee_count_min: 51,
      associations: ["NEMA", "PMA"],
      contacts: [
        { name: "Ann Mary Lee", title: "CIO", email: "ann@acme.com", source: "apollo" },
        { name: "=Bo", title: "COO" },
      ],
    };
    const read = (at: number, records: object[]) =>
      parse<Record<string, string>>(
        crmHeader(CRM_EXPORTS[at]!) + records.flatMap((one) => crmLines(CRM_EXPORTS[at]!, one as never)).join(""),
        { columns: true },
      );
    expect(read(0, [record, four])).toMatchObject([
      { Name: "Acme", BillingCity: "Toledo", NumberOfEmployees: "51", AccountSource: "NEMA; PMA" },
      { Name: "Acme", NumberOfEmployees: "" },
    ]);
    expect(read(1, [record, four])).toMatchObject([
      { FirstName: "Ann Mary", LastName: "Lee", Title: "CIO", "Account.Name": "Acme", LeadSource: "apollo" },
      { FirstName: "", LastName: "'=Bo", Email: "" },
    ]);
    expect(read(2, [record])).toMatchObject([{ "Company name": "Acme", "Company domain name": "acme.com" }]);
  });
});

describe("report", () => {
  const evil = `<script>alert(1)</script> | "x" & 'y'`;
  const summary = summaryOf([
    { ...four, quality_score: 95, erp_system: evil, association: "PMA" },
    { ...four, quality_score: 42, association: "NEMA" },
  ]);

  test("HTML: plots inline, nothing loaded, no foreign markup", () => {
    const $ = load(htmlReport(summary));
    expect($("script, link, img, iframe").length).toBe(0);
    expect(htmlReport(summary)).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
    expect($("svg[role=img] > title").length).toBe(5);
    expect($("svg text").text()).toContain("<script>alert(1)</script>".slice(0, 20));
    const bars = $('svg[aria-label="Records by grade"] rect.bar');
    expect(bars.toArray().map((bar) => Number($(bar).attr("width")) > 0)).toEqual([true, false, false, false, true]);
    for (const bar of $("rect").toArray())
      for (const name of ["x", "y", "width", "height"])
        expect(Number.isFinite(Number($(bar).attr(name))), name).toBe(true);
  });

  test("Markdown: the same figures, and no cell is broken", () => {
    const text = markdownReport(summary);
    expect(text).toContain("2 records, 1 (50.0 %) with a score of 60 or more. Average score 68.5, median 68.5.");
    expect(text).toContain("| A | 1 | 50.0 % |");
    expect(text).toContain("\\<script\\>alert(1)\\</script\\> \\| ");
    for (const line of text.split("\n").filter((each) => each.startsWith("|"))) {
      expect([4, 5]).toContain(line.replaceAll("\\|", "").split("|").length - 1);
    }
  });

  test("an empty set has a report too", () => {
    const empty = summaryOf([]);
    expect(markdownReport(empty)).toContain("0 records");
    expect(htmlReport(empty)).not.toMatch(/NaN|undefined|null/);
  });
});
