/** The rules of enrichment: sizes and revenues, titles, contacts, technologies, mentions of ERP systems. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { companyQuery, enriched, identityOf, laidOver } from "../domain/enrichment/company.ts";
import { chooseContacts, qualifies } from "../domain/enrichment/contacts.ts";
import { crmOfTechnology, erpMentions, erpOfPostings, erpOfTechnology } from "../domain/enrichment/erp-mentions.ts";
import type { TechRule } from "../domain/enrichment/fingerprint.ts";
import { detectTechnologies } from "../domain/enrichment/fingerprint.ts";
import { firmographicsOf, linkedinUrl, rangeOf, yearOf } from "../domain/enrichment/firmographics.ts";
import { TECH_RULES } from "../domain/enrichment/technologies.ts";
import { matchTitle } from "../domain/enrichment/titles.ts";

fc.configureGlobal({ seed: 20_260_129 });

describe("firmographics", () => {
  test.each([
    ["$50M", 50e6, 50e6],
    ["$10M-$50M", 10e6, 50e6],
    ["10-50M", 10e6, 50e6],
    ["$1.2B+", 1.2e9, null],
    ["under 1 million", null, 1e6],
    ["51-200", 51, 200],
    ["10,001+", 10_001, null],
    ["1 to 10 employees", 1, 10],
    ["250K", 250_000, 250_000],
    [5_000_000, 5_000_000, 5_000_000],
    ["n/a", null, null],
    ["", null, null],
    [null, null, null],
    [Number.NaN, null, null],
    [-5, null, null],
    ["-5", null, null],
    ["$-1B", null, null],
    ["-$2M", null, null],
  ])("%s", (value, min, max) => {
    expect(rangeOf(value)).toEqual({ min, max });
  });

  test("no company has more people or money than there is", () => {
    expect(firmographicsOf({ employees: 1e308, revenue: "$9000000B", founded: 99_999 })).toBeNull();
    expect(firmographicsOf({ employees: 2_100_000, revenue: "$700B" })).toMatchObject({
      employee_count_min: 2_100_000,
      revenue_min_usd: 7e11,
    });
  });

  test("years and LinkedIn pages are read from what providers call them", () => {
    expect([yearOf("1987"), yearOf(1987), yearOf("c. 1987"), yearOf(87), yearOf(null)]).toEqual([
      1987,
      1987,
      1987,
      null,
      null,
    ]);
    expect([
      linkedinUrl("company/acme"),
      linkedinUrl("acme"),
      linkedinUrl("http://linkedin.com/company/acme/"),
    ]).toEqual(Array.from({ length: 3 }, () => "https://www.linkedin.com/company/acme"));
    expect([linkedinUrl("https://evil.example/company/acme"), linkedinUrl(""), linkedinUrl("a b")]).toEqual([
      null,
      null,
      null,
    ]);
  });

  test("nothing found is null, not an empty set of facts", () => {
    expect(firmographicsOf({ employees: null, industry: "N/A" })).toBeNull();
    expect(firmographicsOf({ naics: ["332119"] })).toMatchObject({ naics_code: "332119", employee_count_min: null });
  });

  test("what was not found overwrites nothing", () => {
    expect(laidOver({ phone: "1", industry: "Steel" }, { phone: null, industry: "", year_founded: 1950 })).toEqual({
      phone: "1",
      industry: "Steel",
      year_founded: 1950,
    });
  });

  test("a company is asked about by its host, without www, or by its name", () => {
    expect(companyQuery({ company_name: " Acme ", website: "https://WWW.Acme.com/about" })).toEqual({
      name: "Acme",
      domain: "acme.com",
      city: null,
      state: null,
    });
    expect(companyQuery({ company_name: "Acme", website: "https://facebook.com/acme" })?.domain).toBeNull();
    expect(companyQuery({ website: "not a site", city: "Toledo" })).toBeNull();
    expect(identityOf(companyQuery({ company_name: "Acme", city: "Toledo" })!)).toBe("acme|toledo|");
  });

  test("the record says what came from where", () => {
    const at = "2026-01-01T00:00:00Z";
    const record = enriched(
      { association: "PMA", industry: "Steel" },
      { agent: "firmographic", found: { year_founded: 1950, industry: null }, source: "apollo", at },
    );
    expect(record).toEqual({
      association: "PMA",
      industry: "Steel",
      year_founded: 1950,
      data_sources: ["association", "apollo"],
      enriched_at: at,
      enrichment: { firmographic: { source: "apollo", at, fields: ["year_founded"] } },
    });
    expect(enriched({}, { agent: "contacts", found: {}, source: null, at, reason: "no key" })).toEqual({
      enrichment: { contacts: { source: null, at, reason: "no key" } },
    });
  });
});

describe("titles", () => {
  test.each([
    ["CIO", "CIO"],
    ["Chief Information Officer", "CIO"],
    ["C.I.O.", "CIO"],
    ["Chief Information and Technology Officer", "CIO"],
    ["Vice President of Information Technology", "VP IT"],
    ["VP, IT", "VP IT"],
    ["Director of IT", "IT Director"],
    ["Head of Information Systems", "IT Director"],
    ["Director - Information Technology", "IT Director"],
    ["ERP Systems Manager", "ERP Manager"],
    ["Chief Operating Officer", "COO"],
    ["Senior Vice President, Operations", "VP Operations"],
    ["EVP Operations", "VP Operations"],
    ["President & CEO", "CEO"],
    ["Owner/President", "President"],
    ["Co-Owner", "Owner"],
    ["Comptroller", "Controller"],
    ["Executive Vice President and CFO", "CFO"],
    ["Plant Mgr.", "Plant Manager"],
    ["VP of Mfg", "VP Manufacturing"],
  ])("%s is %s", (title, target) => {
    expect(matchTitle(title)?.title).toBe(target);
  });

  test.each([
    "Marketing Coordinator",
    "Vice President",
    "Vice President of Sales",
    "Executive Assistant to the CEO",
    "Assistant Controller",
    "Former President",
    "Product Owner",
    "Process Owner, ERP",
    "Pricing Director",
    "Social Media Manager",
    "Recruiter for CIO roles",
    "Councilor",
    "",
  ])("%s is nobody", (title) => {
    expect(matchTitle(title)).toBeNull();
  });
});

describe("contacts", () => {
  test("only companies of more than fifty are asked about; unknown is not more", () => {
    expect([51, 50, null, undefined, "80"].map((employee_count_min) => qualifies({ employee_count_min }))).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  test("wanted titles first, each person once, at most five, missing values are no fault", () => {
    const people = [
      { name: "Pat Plant", title: "Plant Manager", email: null, source: "apollo" },
      { name: "Olga Owner", title: "Owner", email: "OLGA@acme.com", source: "apollo" },
      { name: "Kim Coordinator", title: "Coordinator", email: "kim@acme.com", source: "apollo" },
      { first_name: "Cy", last_name: "Oh", title: "CIO", email: undefined, source: "apollo" },
      { name: "Olga O.", title: "President", email: "olga@acme.com", phone: "419", source: "hunter" },
      { name: "cy oh", title: "Chief Information Officer", email: "cy@acme.com", source: "hunter" },
      { name: null, title: "CEO", email: "x@acme.com", source: "hunter" },
      { name: "No Title", title: null, email: "y@acme.com", source: "hunter" },
      ...["A", "B", "C", "D"].map((name) => ({ name, title: "Controller", email: "not a mail", source: "hunter" })),
    ];
    const chosen = chooseContacts(people);
    expect(chosen.map(({ name, email, priority }) => [name, email, priority])).toEqual([
      ["Cy Oh", "cy@acme.com", 1],
      ["Olga Owner", "olga@acme.com", 2],
      ["A", null, 2],
      ["B", null, 2],
      ["C", null, 2],
    ]);
    expect(chosen[1]).toMatchObject({ phone: "419", source: "apollo" });
  });

  test("any people: sorted, at most five, none twice", () => {
    const person = fc.record({
      name: fc.option(fc.constantFrom("Ann", "Bo", "ann", "Cy", "Di", "Ed", "Flo")),
      title: fc.option(fc.constantFrom("CIO", "CEO", "Plant Manager", "Cook", "VP IT & COO")),
      email: fc.option(fc.constantFrom("a@x.com", "A@x.com", "b@x.com", "", "junk")),
      source: fc.constantFrom("apollo", "hunter"),
    });
    fc.assert(
      fc.property(fc.array(person, { maxLength: 15 }), (people) => {
        const chosen = chooseContacts(people);
        expect(chosen.length).toBeLessThanOrEqual(5);
        expect(chosen.map(({ priority }) => priority)).toEqual(chosen.map(({ priority }) => priority).sort());
        const mails = chosen.flatMap(({ email }) => email ?? []);
        expect(new Set(mails).size).toBe(mails.length);
        for (const { name } of chosen) expect(people.some((one) => one.name === name)).toBe(true);
      }),
    );
  });
});

describe("technologies", () => {
  const names = (html: string, headers: [string, string][] = []) =>
    detectTechnologies({ html, headers }, TECH_RULES).map(({ name }) => name);

  test.each<[string, string, [string, string][], string, string]>([
    [
      "SAP",
      `<script id="sap-ui-bootstrap" src="/resources/sap-ui-core.js" data-sap-ui-theme="sap_horizon"></script>`,
      [],
      "SAP UI5",
      "SAP",
    ],
    [
      "NetSuite",
      `<img src="https://1234.app.netsuite.com/core/media/media.nl?id=1">`,
      [],
      "NetSuite",
      "Oracle NetSuite",
    ],
    ["Odoo", `<meta name="generator" content="Odoo"><script>odoo.define("x")</script>`, [], "Odoo", "Odoo"],
    [
      "Salesforce",
      `<form action="https://webto.salesforce.com/servlet/servlet.WebToLead?encoding=UTF-8"></form>`,
      [],
      "Salesforce",
      "Salesforce",
    ],
    [
      "Dynamics",
      `<script src="https://mktdplp102cdn.azureedge.net/public/latest/js/ws-tracking.js"></script>`,
      [],
      "Microsoft Dynamics 365 Marketing",
      "Microsoft Dynamics",
    ],
  ])("%s is seen", (_, html, headers, name, family) => {
    expect(detectTechnologies({ html, headers }, TECH_RULES).find((one) => one.name === name)).toMatchObject({
      family,
    });
  });

  test("headers, cookies, versions and what is implied", () => {
    const found = detectTechnologies(
      {
        html: `<meta name="generator" content="WooCommerce 8.2.1"><link href="/wp-content/themes/x/style.css"><script src="/js/jquery-3.7.1.min.js"></script>`,
        headers: [
          ["Server", "nginx/1.25.3"],
          ["Set-Cookie", "PHPSESSID=abc; path=/"],
          ["Set-Cookie", "__cf_bm=x"],
        ],
      },
      TECH_RULES,
    );
    const byName = new Map(found.map((one) => [one.name, one]));
    expect([...byName.keys()].sort()).toEqual([
      "Cloudflare",
      "MySQL",
      "PHP",
      "WooCommerce",
      "WordPress",
      "jQuery",
      "nginx",
    ]);
    expect(byName.get("WooCommerce")?.version).toBe("8.2.1");
    expect(byName.get("jQuery")?.version).toBe("3.7.1");
    expect(byName.get("nginx")?.version).toBe("1.25.3");
    expect(byName.get("MySQL")?.evidence).toEqual(["implied by WordPress"]);
  });

  test("text about a product is not the product", () => {
    expect(
      names(
        "<p>We integrate with SAP, NetSuite, Salesforce and WordPress. Our sage advice: asap.</p><a href='https://www.salesforce.com/'>partner</a>",
      ),
    ).toEqual([]);
    expect(names("")).toEqual([]);
  });

  test("evidence adds up like chances, and implying hands its confidence on, in circles as well", () => {
    const rules: TechRule[] = [
      { name: "A", category: "other", confidence: 0.5, html: [/aaa/, /bbb/], implies: ["B"] },
      { name: "B", category: "other", implies: ["C", "A"] },
      { name: "C", category: "other", confidence: 0.3, html: [/aaa/] },
    ];
    expect(detectTechnologies({ html: "aaa bbb" }, rules).map(({ name, confidence }) => [name, confidence])).toEqual([
      ["A", 0.75],
      ["B", 0.75],
      ["C", 0.75],
    ]);
  });

  test("no page takes long or breaks it", () => {
    const nasty = [
      "<a href='/wp-content".repeat(20_000),
      "<script src=".repeat(10_000),
      `<img src="${"/medias/".repeat(100_000)}">`,
      `<a href="${"//a.".repeat(200_000)}">`,
      "\u0000".repeat(1000),
    ];
    for (const html of nasty) expect(names(html)).toEqual(expect.any(Array));
    expect(new Set(TECH_RULES.map(({ name }) => name)).size).toBe(TECH_RULES.length);
    for (const { implies = [] } of TECH_RULES)
      for (const name of implies)
        expect(
          TECH_RULES.some((rule) => rule.name === name),
          name,
        ).toBe(true);
  });
});

describe("mentions of ERP systems", () => {
  test("whole words only; ambiguous ones only beside a word such as ERP", () => {
    expect(erpMentions(["Send gifs asap. Sage advice. The movie complex. Infor­mation for sapling growers."])).toEqual(
      [],
    );
    expect(erpMentions(["Experience with Sage software required. Sage ERP a plus."])[0]).toMatchObject({
      system: "Sage",
    });
    expect(erpMentions(["You know IFS, our ERP system."])[0]).toMatchObject({ system: "IFS", mentions: 1 });
    expect(erpMentions(["knowledge of oracle bones"])).toEqual([]);
  });

  test("two mentions of one word are needed, and the product goes before its family", () => {
    expect(erpOfPostings(["SAP experience"])).toBeNull();
    expect(erpOfPostings(["SAP experience", "You will run SAP S/4HANA"])).toMatchObject({ system: "SAP", mentions: 2 });
    expect(erpOfPostings(["JD Edwards (Oracle ERP)", "JD Edwards with Oracle ERP"])).toMatchObject({
      system: "Oracle JD Edwards",
    });
    expect(erpOfPostings(["Epicor or SyteLine", "Epicor Kinetic"])).toMatchObject({ system: "Epicor" });
  });

  test("names of technologies", () => {
    expect(
      ["NetSuite", "SAP Business One", "Infor", "Plex", "Oracle", "Oracle Database", "gifs", "WordPress"].map(
        erpOfTechnology,
      ),
    ).toEqual(["Oracle NetSuite", "SAP", "Infor", "Plex", null, null, null, null]);
    expect(["Salesforce Sales Cloud", "HubSpot Forms", "Dynamics 365 CRM", "Force Field"].map(crmOfTechnology)).toEqual(
      ["Salesforce", "HubSpot", "Microsoft Dynamics CRM", null],
    );
  });
});
