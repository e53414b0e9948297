import { describe, expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema } from "../adapters/config.ts";
import { parseAddress } from "../domain/address.ts";
import type { Fields } from "../domain/extract.ts";
import { extractPage } from "../domain/extract.ts";
import { parsePage } from "../domain/page.ts";
import { PARSERS } from "../domain/parsers.ts";
import type { SchemaFile } from "../domain/schema.ts";
import { resolveSchema } from "../domain/schema.ts";
import { compileSelector, select } from "../domain/selectors.ts";

const URL_OF_PAGE = "https://guild.test/members/1";
const schema = (name: string) => loadSchema(DEFAULT_CONFIG_DIR, name);
const records = (html: string, name = "default"): Fields[] =>
  extractPage(parsePage({ url: URL_OF_PAGE, text: html }), schema(name)).records.map(({ fields }) => fields);

const ACME = {
  company_name: "Acme Springs, Inc.",
  street: "12 Main St, Suite 4",
  city: "Santa Fe",
  state: "NM",
  postal_code: "87501-1234",
  country: "United States",
  phone: "+15055550123",
  website: "https://www.acme.example",
  email: "office@acme.example",
};

describe("one member in the shapes that sites give it", () => {
  const frame = (main: string) =>
    `<header><a href="/">Guild</a><a href="tel:8005550000">call us</a></header><main>${main}</main><footer>Phone: (800) 555-0000 <a href="https://host.example">Website by Host</a></footer>`;
  test.each([
    [
      "definition list",
      '<h1>Acme Springs, Inc.</h1><dl><dt>Address:</dt><dd>12 Main St, Suite 4<br>Santa Fe, NM 87501-1234</dd><dt>Phone</dt><dd>(505) 555-0123 x9</dd><dt>Web site</dt><dd><a href="https://www.acme.example/">Visit</a></dd><dt>E-mail</dt><dd><a href="mailto:Office@acme.example?subject=x">write</a></dd></dl>',
    ],
    [
      "table",
      "<h1>Acme Springs, Inc.</h1><table><tr><th>Street</th><td>12 Main St, Suite 4</td></tr><tr><th>City</th><td>SANTA FE</td></tr><tr><th>State</th><td>New Mexico</td></tr><tr><th>Zip</th><td>87501-1234</td></tr><tr><th>Telephone</th><td>505.555.0123</td></tr><tr><th>URL</th><td>www.acme.example</td></tr><tr><th>Email</th><td>office@acme.example</td></tr></table>",
    ],
    [
      "bold labels in lines",
      '<h1>Acme Springs, Inc.</h1><p><b>Address:</b> 12 Main St, Suite 4, Santa Fe, NM 87501-1234<br><b>Phone:</b> 505-555-0123<br><b>Website:</b> <a href="https://www.acme.example">acme</a><br><b>Email:</b> office@acme.example</p>',
    ],
    [
      "classes",
      '<h1 class="company-name">Acme Springs, Inc.</h1><p class="address"><span class="street">12 Main St, Suite 4</span><br><span class="city">Santa Fe</span>, <span class="state">NM</span> <span class="zip">87501-1234</span></p><p class="phone">505 555 0123</p><p class="website"><a href="https://www.acme.example/">site</a></p><p class="email"><a href="mailto:office%40acme.example">mail</a></p>',
    ],
    [
      "microdata",
      '<div itemscope itemtype="https://schema.org/Organization"><h1 itemprop="name">Acme Springs, Inc.</h1><div itemprop="address" itemscope itemtype="https://schema.org/PostalAddress"><span itemprop="streetAddress">12 Main St, Suite 4</span><span itemprop="addressLocality">Santa Fe</span><span itemprop="addressRegion">NM</span><span itemprop="postalCode">87501-1234</span></div><span itemprop="telephone">+1 505 555 0123</span><a itemprop="url" href="https://www.acme.example/">x</a><a itemprop="email" href="mailto:office@acme.example">m</a></div>',
    ],
    [
      "JSON-LD",
      '<h1>Acme Springs, Inc.</h1><script type="application/ld+json">{"@graph":[{"@type":"Organization","name":"Guild","telephone":"800"},{"@type":"LocalBusiness","name":"Acme Springs, Inc.","telephone":"505-555-0123","url":"https://www.acme.example","email":"office@acme.example","address":{"@type":"PostalAddress","streetAddress":"12 Main St, Suite 4","addressLocality":"Santa Fe","addressRegion":"NM","postalCode":"87501-1234","addressCountry":"US"}}]}</script>',
    ],
    [
      "plain links",
      '<h1>Acme Springs, Inc.</h1><address>12 Main St, Suite 4<br>Santa Fe, New Mexico 87501-1234</address><a href="tel:505-555-0123">call</a> <a href="mailto:office@acme.example">mail</a> <a href="https://www.acme.example/">Visit website</a> <a href="https://www.facebook.com/acme">Facebook</a>',
    ],
    [
      "label and value in boxes",
      '<h1>Acme Springs, Inc.</h1><div class="r"><div class="l">Address</div><div>12 Main St, Suite 4</div><div>Santa Fe, NM 87501-1234</div></div><div class="r"><div class="l">Phone</div><div>505-555-0123</div></div><div class="r"><div class="l">Website</div><div>acme</div><div><a href="https://www.acme.example">x</a></div></div><div class="r"><div class="l">Email</div><div>office@acme.example</div></div>',
    ],
  ])("%s", (_, main) => {
    const [record] = records(frame(main));
    expect(record).toMatchObject(ACME);
  });

  test.each([
    ["nothing", "<p>This profile is being moved.</p>"],
    ["an error page", "<h1>Page not found</h1><p>Phone: 505-555-0123</p>"],
    ["a heading of the site", "<h1>Member Directory</h1>"],
    ["an empty page", ""],
  ])("%s is no member", (_, html) => {
    expect(() => records(html)).toThrow(
      expect.objectContaining({
        name: "ParseError",
        category: "skippable",
        message: expect.stringContaining("company_name"),
      }),
    );
  });

  test.each([
    "404 Not Found",
    "Error 500",
    "Oops! Something went wrong",
    "Member Details",
    "The page could not be found",
    "Access denied",
    "Our Members",
  ])("%s is no name", (title) => {
    expect(() => records(`<h1>${title}</h1>`)).toThrow("company_name");
  });

  test.each([
    "122 West Co",
    "404 Tool & Die",
    "Forbidden Fruit Inc",
    "Error-Free Gauges",
    "Profile Grinding",
    "Search Metals LLC",
    "7G",
    "Oopsy Daisy Works & the Sons of a very long name that goes on and on and on",
  ])("%s is a name", (name) => {
    expect(records(`<h1>${name}</h1>`)[0]?.company_name).toBe(name);
  });

  test("what the association says of itself is not the member's", () => {
    const html = `<h1>Bolt Co</h1><script type="application/ld+json">{"@type":"Organization","name":"Guild","telephone":"800 555 0000"}</script><p>no more</p>`;
    expect(records(frame(html))[0]).toMatchObject({
      company_name: "Bolt Co",
      phone: null,
      website: null,
      email: null,
      street: null,
    });
  });

  test("a town called Street is a value where the table says so", () => {
    const row = (label: string, value: string) => `<tr><th>${label}</th><td>${value}</td></tr>`;
    const html = `<h1>Bolt Co</h1><table>${row("City", "Street")}${row("State", "Maryland")}</table>`;
    expect(records(html)[0]).toMatchObject({ city: "Street", state: "MD", street: null });
  });

  test("related companies do not turn a member's page into a list", () => {
    const page = parsePage({
      url: URL_OF_PAGE,
      text: '<main><h1>Bolt Co</h1></main><div class="member-card"><h3>X</h3></div><div class="member-card"><h3>Y</h3></div>',
    });
    expect(extractPage(page, schema("default"), "detail").records.map(({ fields }) => fields.company_name)).toEqual([
      "Bolt Co",
    ]);
  });
});

describe("lists", () => {
  test("PMA: name, city and state, profile and id", () => {
    const html = `<ul class="icons row-fluid"><li class="span4"><a href="/directory/profile.asp?id=77">Acme Stamping</a><cite>Grand Rapids, MI</cite></li><li class="span4"><cite>Nowhere, OH</cite></li></ul>`;
    const result = extractPage(
      parsePage({ url: "https://pma.org/directory/results.asp?n=2000", text: html }),
      schema("pma"),
    );
    expect(result.records.map(({ fields }) => fields)).toEqual([
      expect.objectContaining({
        company_name: "Acme Stamping",
        city: "Grand Rapids",
        state: "MI",
        member_id: "77",
        profile_url: "https://pma.org/directory/profile.asp?id=77",
        website: null,
      }),
    ]);
    expect(result.dropped).toEqual([{ reason: "without company_name", text: "Nowhere, OH" }]);
  });

  test("NEMA: names and websites on one page", () => {
    const html = `<div class="membership-directory-posts"><div class="membership-directory-item"><a href="https://volt.example">Volt Inc</a></div><div class="membership-directory-item"><h3>Ohm LLC</h3></div></div>`;
    expect(records(html, "nema")).toEqual([
      expect.objectContaining({ company_name: "Volt Inc", website: "https://volt.example" }),
      expect.objectContaining({ company_name: "Ohm LLC", website: null }),
    ]);
  });

  test.each([
    [
      "socma",
      '<div class="membership-list"><div class="member-item"><h3>A</h3><span class="tier">Full Member</span><p class="specialties">Dyes</p></div></div>',
      { membership_tier: "Full", specialties: "Dyes" },
    ],
    [
      "agma",
      '<div class="member-list"><div class="member-entry"><h3>A</h3><span class="tier">manufacturer</span><p class="gear-types">Bevel</p></div></div>',
      { membership_tier: "Manufacturer", gear_types: "Bevel", country: "United States" },
    ],
    [
      "ntma",
      '<div class="member-directory"><div class="member-listing"><h3>A</h3><p>Capabilities: EDM, milling</p></div></div>',
      { capabilities: "EDM, milling" },
    ],
  ])("%s", (name, html, expected) => {
    expect(records(html, name)).toEqual([expect.objectContaining({ company_name: "A", ...expected })]);
  });
});

describe("parsers", () => {
  const parse = (name: string, text: string) => PARSERS[name]!(text, { pageUrl: URL_OF_PAGE });
  test.each([
    ["state_code", "new  york", "NY"],
    ["state_code", "Ontario", "ON"],
    ["state_code", "oh", "OH"],
    ["state_code", "Bayern", "Bayern"],
    ["state_code", "Texarkana", "Texarkana"],
    ["title_case", "SANTA FE", "Santa Fe"],
    ["title_case", "McAllen", "McAllen"],
    ["title_case", "winston-salem", "Winston-Salem"],
    ["title_case", "o'fallon", "O'Fallon"],
    ["title_case", "ISLE OF PALMS", "Isle of Palms"],
    ["phone", "tel:+1-505-555-0123", "+15055550123"],
    ["phone", "(505) 555-0123 ext. 44", "+15055550123"],
    ["phone", "505.555.0123 / 505.555.9999", "+15055550123"],
    ["phone", "Fax: 505-555-0199 Phone: 505-555-0123", "+15055550123"],
    ["phone", "+44 20 7946 0958", "+442079460958"],
    ["phone", "555-0123", null],
    ["phone", "n/a", null],
    ["email", "mailto:A@B.example?subject=Hi", "a@b.example"],
    ["email", "/contact", null],
    ["url", "www.acme.example/x", "https://www.acme.example/x"],
    ["url", "Http://www.Acme.example", "http://www.acme.example"],
    ["url", "/members/1", null],
    ["url", "https://guild.test/members/2", null],
    ["url", "/out?url=https%3A%2F%2Facme.example%2F", "https://acme.example"],
    ["url", "Visit website", null],
    ["url", "javascript:alert(1)", null],
    ["year", "Member since June 1987", 1987],
    ["year", "since 87", null],
    ["integer", "1,134 members", 1134],
    ["number", "-105.93", -105.93],
    ["postal_code", "NM 87501-1234", "87501-1234"],
    ["postal_code", "k1a 0b1", "K1A 0B1"],
    ["country", "U.S.A.", "United States"],
    ["pma_city", "ST. LOUIS, MO", "St. Louis"],
    ["pma_state", "St. Louis, Missouri", "MO"],
    ["pma_member_id", "profile.asp?x=1&id=42", "42"],
  ])("%s of %s", (name, text, value) => {
    expect(parse(name, text)).toBe(value);
  });

  test.each([
    [["1 Elm St", "New York, NY 10001"], { street: "1 Elm St", city: "New York", state: "NY", postal_code: "10001" }],
    [
      ["1 Elm St, Kansas City, Missouri 64101, USA"],
      { street: "1 Elm St", city: "Kansas City", state: "MO", postal_code: "64101", country: "United States" },
    ],
    [["Raton, New Mexico"], { street: null, city: "Raton", state: "NM", postal_code: null }],
    [["Raton NM 87740"], { city: "Raton", state: "NM", postal_code: "87740" }],
    [
      ["5 Rue X", "Québec QC G1A 1A1", "Canada"],
      { street: "5 Rue X", city: "Québec", state: "QC", postal_code: "G1A 1A1", country: "Canada" },
    ],
    [["PO Box 12", "West Virginia Springs, WV"], { street: "PO Box 12", city: "West Virginia Springs", state: "WV" }],
  ])("address %o", (lines, expected) => {
    expect(parseAddress(lines)).toMatchObject(expected);
  });

  test("text that is no address gives none", () => {
    expect(parseAddress(["Open daily from 9"])).toBeNull();
    expect(parseAddress([])).toBeNull();
  });
});

describe("schemas", () => {
  const files: Record<string, SchemaFile> = {
    base: {
      fields: {
        company_name: { required: true, selectors: ["h1"] },
        city: { selectors: [".c"], parser: "title_case" },
      },
    },
    own: { extends: "base", fields: { city: { selectors: [".town"] } } },
    circle: { extends: "loop" },
    loop: { extends: "circle" },
    orphan: { extends: "nobody" },
    lax: { fields: { city: {} } },
  };
  const resolve = (name: string) => resolveSchema(name, (wanted) => files[wanted] ?? null);

  test("a field that is named replaces the whole field, the others are inherited", () => {
    const fields = Object.fromEntries(resolve("own").fields.map((field) => [field.name, field]));
    expect(fields.company_name).toMatchObject({ required: true });
    expect(fields.city).toMatchObject({ parser: "text", selectors: [{ source: ".town" }] });
  });

  test.each([
    ["circle", /extends itself: circle → loop → circle/],
    ["orphan", /no schema nobody, which orphan extends/],
    ["lax", /no required field/],
    ["missing", /no schema missing/],
  ])("%s is refused", (name, message) => {
    expect(() => resolve(name)).toThrow(message);
  });

  const PAGE = parsePage({
    url: URL_OF_PAGE,
    text: `<div id="item"><h2>A</h2><dl><dt>Phone</dt><dd>1</dd><dt>City</dt><dd class="city big">Reno</dd></dl><a href="/q">go</a><a id="r" href="/r">rest</a></div><h2>B</h2>`,
  });
  const found = (source: string) =>
    select(PAGE, PAGE.$("#item"), compileSelector(source)).map((match) =>
      "text" in match ? match.text : PAGE.$(match.node).text(),
    );

  test.each([
    ["//h2", ["A"]],
    ["//div[@id='item']/h2", ["A"]],
    [".//a/@href", ["/q", "/r"]],
    ["(//a)[last()]/@href", ["/r"]],
    ["//dt[.='City']/following-sibling::dd[1]", ["Reno"]],
    ["//dd[contains(concat(' ', @class, ' '), ' big ')]/text()", ["Reno"]],
    ["//dl/*[position() > 2]", ["City", "Reno"]],
    ["//a[not(@id)]", ["go"]],
    ["//a[@id and starts-with(normalize-space(.), 're')]", ["rest"]],
    ["//dt | //h2", ["A", "Phone", "City"]],
    ["//a[@id='r']/preceding-sibling::a", ["go"]],
    ["//dd/ancestor::div/h2", ["A"]],
    ["//dd[2]/preceding::h2", ["A"]],
    ["/concat", []],
    ["(concat(string(//dt[2]), '!'))", ["City!"]],
    ["(count(//dd) * 2 + 1)", ["5"]],
    ["//a[translate(., 'GO', 'go') = 'go' or @id = 'none']", ["go"]],
    ["a > b", []],
    ["dd.city", ["Reno"]],
  ])("selector %s", (source, texts) => {
    expect(found(source)).toEqual(texts);
  });

  test.each(["//a[", "//a/cousin::b", "//$x", "//a[bogus(1)]", "//a[position(]", "//a[contains(.)]", "div[", "::nope"])(
    "%s is refused when the schema is read, not misread",
    (source) => {
      expect(() => compileSelector(source)).toThrow(expect.objectContaining({ code: "invalid_config" }));
    },
  );

  test.each(["default", "pma", "nema", "socma", "agma", "ntma"])("the shipped schema %s is valid", (name) => {
    expect(schema(name).fields.find((field) => field.name === "company_name")?.required).toBe(true);
  });
});
