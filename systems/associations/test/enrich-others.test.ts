/** Contacts, technologies and batches: the other agents of enrichment, against the same server. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createHttpClient } from "../adapters/http.ts";
import { fromList } from "../adapters/records.ts";
import { cutBatches } from "../jobs/enrich-batches.ts";
import { contactFinder } from "../jobs/enrich-contacts.ts";
import { techStack } from "../jobs/enrich-tech-stack.ts";
import { call } from "./harness.ts";
import {
  type Asked,
  cleanups,
  companies,
  type FakeAnswer,
  now,
  type ProviderServer,
  providerContext,
  serve,
} from "./provider-server.ts";

fc.configureGlobal({ seed: 20_260_129 });

describe("contact_finder", () => {
  const large = companies(3).map((record, at) => ({ ...record, employee_count_min: [51, 50, null][at] }));
  const apolloPeople = (...titles: string[]) => ({
    body: {
      people: titles.map((title, at) => ({
        name: `P${at}`,
        title,
        email: at === 0 ? "email_not_unlocked@domain.com" : `p${at}@x.com`,
        phone_numbers: null,
      })),
    },
  });

  test("asks only about companies above fifty, wants titles by words, and asks Hunter only when Apollo knows fewer than two", async () => {
    const server = await serve(({ path }) =>
      path === "/v2/domain-search"
        ? {
            body: {
              data: {
                emails: [
                  { value: "cfo@c0.example", first_name: "Fay", last_name: "Oh", position: "Chief Financial Officer" },
                ],
              },
            },
          }
        : apolloPeople("CIO", "Office Coordinator", "Vice President"),
    );
    const result = await call(contactFinder({ now, env: server.env }), { records: large }, providerContext().ctx);
    expect(result).toMatchObject({ contacts_found: 2, qualified: 1, records_processed: 3 });
    expect(result.records[0]).toMatchObject({
      contacts: [
        { name: "P0", title: "CIO", email: null, source: "apollo", priority: 1 },
        { name: "Fay Oh", title: "Chief Financial Officer", email: "cfo@c0.example", source: "hunter", priority: 2 },
      ],
    });
    expect(result.records.slice(1)).toEqual(large.slice(1));
    expect(server.asked.map(({ path }) => path)).toEqual(["/api/v1/mixed_people/search", "/v2/domain-search"]);
    expect(server.asked[0]?.body).toMatchObject({ q_organization_domains_list: ["c0.example"] });
    expect(server.asked[1]?.query.has("api_key")).toBe(false);
  });

  test("two contacts from the first are enough, and wanted titles can be named", async () => {
    const server = await serve(() => apolloPeople("CIO", "COO", "Safety Director", "Plant Manager"));
    const { records } = await call(
      contactFinder({ now, env: server.env }),
      { records: large.slice(0, 1), target_titles: ["COO", "Safety Director", "CIO"] },
      providerContext().ctx,
    );
    expect((records[0] as any).contacts.map(({ title }: any) => title)).toEqual(["CIO", "COO", "Safety Director"]);
    expect(server.asked).toHaveLength(1);
    expect(server.asked[0]?.body.person_titles).toEqual(["COO", "Safety Director", "CIO"]);
  });

  test("no contacts found leaves those that are there", async () => {
    const server = await serve(() => ({ body: { people: [], data: null } }));
    const record = { ...large[0], contacts: [{ name: "Ann" }] };
    const { records } = await call(
      contactFinder({ now, env: server.env }),
      { records: [record] },
      providerContext().ctx,
    );
    expect(records[0]).toMatchObject({ contacts: [{ name: "Ann" }], enrichment: { contacts: { source: null } } });
  });
});

describe("tech_stack", () => {
  const services = (server: ProviderServer) => {
    const http = createHttpClient({ userAgent: "test/1.0 (+https://example.org)" });
    cleanups.push(() => http.close());
    return { now, env: server.env, http: () => http };
  };
  const builtwith = (...names: string[]) => ({
    body: { Results: [{ Result: { Paths: [{ Technologies: names.map((Name) => ({ Name, Categories: null })) }] } }] },
  });
  const postings = (company: string, ...descriptions: string[]) => ({
    body: {
      results: descriptions.map((description) => ({
        title: "Planner",
        description,
        company: { display_name: company },
      })),
    },
  });

  test("stops at the first method that names an ERP system", async () => {
    const server = await serve(({ path }) =>
      path === "/v21/api.json" ? builtwith("nginx", "Salesforce", "NetSuite") : { status: 500 },
    );
    const result = await call(techStack(services(server)), { records: companies(1) }, providerContext().ctx);
    expect(result.records[0]).toMatchObject({
      erp_system: "Oracle NetSuite",
      crm_system: "Salesforce",
      tech_source: "builtwith",
      tech_stack: ["Salesforce", "NetSuite", "nginx"],
    });
    expect([result.detection_rate, server.asked.length]).toEqual([1, 1]);
  });

  test("job postings need two mentions, and only the company's own count", async () => {
    const server = await serve(({ path, query }) => {
      if (path === "/v21/api.json") return builtwith("jQuery");
      if (query.get("company") === "Company 0") return postings("Company 0 Inc", "Epicor user", "our Epicor system");
      return postings("Somebody Else", "SAP", "SAP", "SAP");
    });
    const { records } = await call(
      techStack(services(server)),
      { records: companies(2), methods: ["builtwith", "job_postings"] },
      providerContext().ctx,
    );
    expect(records).toMatchObject([
      { erp_system: "Epicor", tech_source: "job_postings", tech_stack: ["jQuery", "Epicor"] },
      { tech_source: "builtwith", tech_stack: ["jQuery"] },
    ]);
    expect(records[1]).not.toHaveProperty("erp_system");
  });

  test("the company's own site is read: robots.txt first, private addresses not unless allowed", async () => {
    const server = await serve(({ path }) =>
      path === "/robots.txt"
        ? { body: "User-agent: *\nAllow: /\n" }
        : {
            headers: {
              "content-type": "text/html",
              server: "SAP NetWeaver Application Server 7.5",
              "set-cookie": "JSESSIONID=1",
            },
            body: "<script src='https://cdn.example/sap-ui-core.js'></script>",
          },
    );
    const records = [{ company_name: "Acme", website: `${server.url}/deep/page` }];
    const input = { records, methods: ["website_fingerprint"] };
    const refused = await call(techStack(services(server)), input, providerContext().ctx);
    expect(refused.records[0]).toMatchObject({
      enrichment: { tech_stack: { source: null, reason: "website_fingerprint: private address" } },
    });
    expect(server.asked).toEqual([]);
    const result = await call(
      techStack(services(server)),
      { ...input, allow_private_sites: true },
      providerContext().ctx,
    );
    expect(result.records[0]).toMatchObject({
      erp_system: "SAP",
      tech_source: "website_fingerprint",
      tech_stack: ["SAP NetWeaver", "SAP UI5", "Java"],
    });
    expect(server.asked.map(({ path }) => path)).toEqual(["/robots.txt", "/"]);
    expect(result.sites).toEqual({ visited: 1, failed: 0 });
  });

  test.each<[string, (asked: Asked) => FakeAnswer, string]>([
    ["404", ({ path }) => (path === "/robots.txt" ? { status: 404 } : { status: 404 }), "not_found"],
    [
      "closed by robots.txt",
      ({ path }) => (path === "/robots.txt" ? { body: "User-agent: *\nDisallow: /\n" } : {}),
      "robots_disallowed",
    ],
    [
      "a hung up connection",
      ({ path }) => (path === "/robots.txt" ? { status: 404 } : { hangUp: true }),
      "UND_ERR_SOCKET",
    ],
  ])("%s costs no record", async (_, answer, reason) => {
    const server = await serve(answer);
    const record = { company_name: "Acme", website: server.url };
    const result = await call(
      techStack(services(server)),
      { records: [record], methods: ["website_fingerprint"], allow_private_sites: true },
      providerContext().ctx,
    );
    expect(result.records[0]).toMatchObject({
      ...record,
      enrichment: { tech_stack: { source: null, reason: `website_fingerprint: ${reason}` } },
    });
    expect(result.sites).toEqual({ visited: 0, failed: 1 });
  });
});

describe("batches", () => {
  test("of a hundred, in order, nothing lost, and large records in smaller ones", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(350), fc.integer({ min: 1, max: 120 }), fc.boolean(), async (count, size, large) => {
        const records = Array.from({ length: count }, (_, id) => ({ id, text: large ? "x".repeat(5_000) : "" }));
        const all = [];
        for await (const batch of cutBatches(fromList(records), size)) all.push(batch);
        expect(all.flatMap((batch) => batch.records)).toEqual(records);
        expect(all.map(({ batch }) => batch)).toEqual(all.map((_, at) => at));
        for (const { records: some } of all) {
          expect(some.length).toBeGreaterThan(0);
          expect(some.length).toBeLessThanOrEqual(size);
          expect(some.length === 1 || JSON.stringify(some).length < 260_000).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });
});
