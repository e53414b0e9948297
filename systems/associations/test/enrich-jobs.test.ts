/** Enrichment against providers in every kind of trouble: no record is lost, nothing is paid twice, and what is missing is said. */
import fc from "fast-check";
import { TenutoError } from "tenuto";
import { describe, expect, test } from "vitest";
import { createHttpClient } from "../adapters/http.ts";
import { firmographic } from "../jobs/enrich-firmographic.ts";
import { techStack } from "../jobs/enrich-tech-stack.ts";
import { call } from "./harness.ts";
import { cleanups, companies, type FakeAnswer, now, providerContext, serve } from "./provider-server.ts";

fc.configureGlobal({ seed: 20_260_129 });

const clearbitBody = {
  metrics: { employees: 120, estimatedAnnualRevenue: "$10M-$50M" },
  foundedYear: 1950,
  category: { naicsCode: "332119", industry: "Metal" },
  linkedin: { handle: "company/acme" },
};

describe("firmographic", () => {
  test("Clearbit, ZoomInfo and Apollo are asked in order until one knows; their fields come out in one form", async () => {
    const server = await serve(({ path, query, body }) => {
      const domain = query.get("domain") ?? body?.matchCompanyInput?.[0]?.companyWebsite;
      if (path === "/v2/companies/find") return domain === "c0.example" ? { body: clearbitBody } : { status: 404 };
      if (path === "/enrich/company")
        return domain === "c1.example"
          ? {
              body: {
                data: {
                  result: [
                    {
                      data: [
                        {
                          employeeCount: 80,
                          revenueInMillions: 12.5,
                          yearFounded: 1988,
                          naicsCode: 332710,
                          industry: null,
                        },
                      ],
                    },
                  ],
                },
              },
            }
          : { body: { data: { result: [{ data: [] }] } } };
      return domain === "c2.example"
        ? {
            body: {
              organization: {
                estimated_num_employees: 45,
                founded_year: 2001,
                industry: "machinery",
                linkedin_url: "http://www.linkedin.com/company/c2",
              },
            },
          }
        : { body: { organization: null } };
    });
    const { ctx, told } = providerContext();
    const records = [...companies(4), { city: "Toledo" }];
    const result = await call(firmographic({ now, env: server.env }), { records, batch: 7 }, ctx);
    expect(result).toMatchObject({ success: true, batch: 7, records_processed: 5, match_rate: 0.6 });
    expect(result.records).toMatchObject([
      {
        employee_count_min: 120,
        revenue_min_usd: 10e6,
        revenue_max_usd: 50e6,
        year_founded: 1950,
        naics_code: "332119",
        industry: "Metal",
        firmographic_source: "clearbit",
        linkedin_url: "https://www.linkedin.com/company/acme",
        data_sources: ["association", "clearbit"],
      },
      {
        employee_count_min: 80,
        revenue_min_usd: 12.5e6,
        year_founded: 1988,
        naics_code: "332710",
        firmographic_source: "zoominfo",
      },
      { employee_count_min: 45, year_founded: 2001, industry: "machinery", firmographic_source: "apollo" },
      {
        company_name: "Company 3",
        enrichment: {
          firmographic: { source: null, reason: "clearbit: not known; zoominfo: not known; apollo: not known" },
        },
      },
      { city: "Toledo" },
    ]);
    expect(result.records[4]).toEqual({ city: "Toledo" });
    expect(result.providers.clearbit).toEqual({
      asked: 4,
      found: 1,
      failed: 0,
      retried: 0,
      spent: 0.2,
      left_out: null,
    });
    expect([told.spent.get("provider-clearbit"), told.memory.limits.get("provider-zoominfo")]).toEqual([
      expect.closeTo(0.2),
      3,
    ]);
    const keys = server.asked.map(({ headers }) => headers.authorization ?? headers["x-api-key"]);
    expect(new Set(keys)).toEqual(new Set(["Bearer secret-CLEARBIT", "Bearer secret-ZOOMINFO", "secret-APOLLO"]));
  });

  test("a provider without a key is left out, and says which variable is missing", async () => {
    const server = await serve(() => ({ body: { organization: { estimated_num_employees: 7 } } }));
    const { CLEARBIT_API_KEY: _, ZOOMINFO_API_KEY: __, ...env } = server.env;
    const { ctx, told } = providerContext();
    const result = await call(firmographic({ now, env }), { records: companies(2) }, ctx);
    expect(result.providers.clearbit?.left_out).toBe("no key: set CLEARBIT_API_KEY");
    expect(result.match_rate).toBe(1);
    expect(told.memory.log).toContain("job | INFO | zoominfo is left out: no key: set ZOOMINFO_API_KEY");
    const none = await call(firmographic({ now, env: {} }), { records: companies(2) }, providerContext().ctx);
    expect(none.records.map(({ company_name }: any) => company_name)).toEqual(["Company 0", "Company 1"]);
  });

  test("a key with a line end is tidied, one with other signs is left out, an address that is none is refused", async () => {
    const server = await serve(() => ({ body: clearbitBody }));
    const ask = (env: Record<string, string>) =>
      call(
        firmographic({ now, env: { ...server.env, ...env } }),
        { records: companies(1), providers: ["clearbit"] },
        providerContext().ctx,
      );
    expect((await ask({ CLEARBIT_API_KEY: "abc\n" })).match_rate).toBe(1);
    expect(server.asked[0]?.headers.authorization).toBe("Bearer abc");
    const unfit = await ask({ CLEARBIT_API_KEY: "abc\u0000d\u00e9f" });
    expect(unfit.providers.clearbit?.left_out).toBe("CLEARBIT_API_KEY holds signs that no key has");
    await expect(ask({ CLEARBIT_BASE_URL: "not an address" })).rejects.toMatchObject({
      code: "invalid_config",
      message: "CLEARBIT_BASE_URL is no http(s) address",
    });
  });

  test("500 twice, then an answer: waits one and five seconds", async () => {
    let calls = 0;
    const server = await serve(() => (++calls <= 2 ? { status: 500 } : { body: clearbitBody }));
    const { ctx, told } = providerContext();
    const result = await call(
      firmographic({ now, env: server.env }),
      { records: companies(1), providers: ["clearbit"] },
      ctx,
    );
    expect(told.waits).toEqual([1_000, 5_000]);
    expect(result.providers.clearbit).toMatchObject({ asked: 3, found: 1, retried: 2, spent: 0.15 });
    expect(told.outcomes.map(([, ok]) => ok)).toEqual([false, false, true]);
  });

  test("503 for ever: after six requests in a row the provider is left out and the next one asked", async () => {
    const server = await serve(({ path }) =>
      path === "/v2/companies/find" ? { status: 503 } : { body: { organization: { estimated_num_employees: 7 } } },
    );
    const { ctx, told } = providerContext();
    const result = await call(
      firmographic({ now, env: server.env }),
      { records: companies(20), providers: ["clearbit", "apollo"] },
      ctx,
    );
    expect(result.match_rate).toBe(1);
    expect(result.providers.clearbit).toMatchObject({
      found: 0,
      left_out: "6 requests in a row failed, the last: clearbit answered 503",
    });
    // The fifth opens the breaker, and each one behind it would have waited a minute; four at a time were under way.
    expect(result.providers.clearbit!.asked).toBeLessThanOrEqual(9);
    expect(told.waits.every((ms) => [1_000, 5_000, 25_000].includes(ms))).toBe(true);
  });

  test("a provider that failed a batch is tried once in the next, and has its credit back with a good answer", async () => {
    let up = false;
    const server = await serve(() => (up ? { body: clearbitBody } : { status: 500 }));
    const batch = async () => {
      const { ctx, told } = providerContext();
      const before = server.asked.length;
      const records = companies(20);
      const result = await call(firmographic({ now, env: server.env }), { records, providers: ["clearbit"] }, ctx);
      return { asked: server.asked.length - before, waits: told.waits.length, found: result.match_rate };
    };
    expect((await batch()).waits).toBeGreaterThanOrEqual(5);
    const second = await batch();
    // Four at a time were under way.
    expect(second).toMatchObject({ waits: 0, found: 0 });
    expect(second.asked).toBeLessThanOrEqual(4);
    up = true;
    expect(await batch()).toEqual({ asked: 20, waits: 0, found: 1 });
    up = false;
    expect((await batch()).waits).toBeGreaterThanOrEqual(5);
  });

  test("one company alone is asked four times, and three that nobody answers about end it as well", async () => {
    const server = await serve(({ query }) => ({ status: query.get("domain") === "c0.example" ? 500 : 400 }));
    const input = (count: number) => ({ records: companies(count), providers: ["clearbit"] });
    const { ctx, told } = providerContext();
    const one = await call(firmographic({ now, env: server.env }), input(1), ctx);
    expect(one.providers.clearbit).toMatchObject({ asked: 4, failed: 1, left_out: null });
    expect(told.waits).toEqual([1_000, 5_000, 25_000]);
    const many = await call(firmographic({ now, env: { ...server.env } }), input(20), providerContext().ctx);
    expect(many.providers.clearbit!.left_out).toContain("3 failures in a row");
  });

  test("many 429 are no trouble: the provider lives, and is asked when it says", async () => {
    let answers = 0;
    const server = await serve(() =>
      ++answers <= 8 ? { status: 429, headers: { "retry-after": "2" } } : { body: clearbitBody },
    );
    const { ctx, told } = providerContext();
    const input = { records: companies(12), providers: ["clearbit"] };
    const result = await call(firmographic({ now, env: server.env }), input, ctx);
    expect([result.match_rate, result.providers.clearbit?.left_out]).toEqual([1, null]);
    expect([new Set(told.waits), told.outcomes]).toEqual([new Set([2_000]), []]);
  });

  test("429 waits as long as it says, else a minute; an hour is not waited for", async () => {
    const answers: FakeAnswer[] = [
      { status: 429, headers: { "retry-after": "7" } },
      { status: 429 },
      { body: clearbitBody },
    ];
    const server = await serve(() => answers.shift() ?? { status: 429, headers: { "retry-after": "3600" } });
    const { ctx, told } = providerContext();
    const one = await call(
      firmographic({ now, env: server.env }),
      { records: companies(1), providers: ["clearbit"] },
      ctx,
    );
    expect([told.waits, one.match_rate]).toEqual([[7_000, 60_000], 1]);
    const later = await call(
      firmographic({ now, env: server.env }),
      { records: companies(9), providers: ["clearbit"] },
      providerContext().ctx,
    );
    expect(later.records).toHaveLength(9);
    expect(later.providers.clearbit?.left_out).toMatch(/429; it asks for 3600 s of patience/);
    expect(server.asked.length).toBeLessThan(3 + 9);
  });

  test("401 stops the run and says which key", async () => {
    const server = await serve(() => ({ status: 401, body: "no" }));
    await expect(
      call(firmographic({ now, env: server.env }), { records: companies(2) }, providerContext().ctx),
    ).rejects.toMatchObject({
      name: "ProviderKeyError",
      category: "critical",
      code: "provider_key_refused",
      hint: expect.stringContaining("clearbit"),
    });
  });

  test("403 and 402 leave the provider out", async () => {
    const server = await serve(({ path }) => (path === "/v2/companies/find" ? { status: 402 } : { status: 403 }));
    const result = await call(firmographic({ now, env: server.env }), { records: companies(6) }, providerContext().ctx);
    expect(result.records).toHaveLength(6);
    expect(result.providers.clearbit?.left_out).toMatch(/402/);
    expect(result.providers.apollo?.left_out).toMatch(/403/);
  });

  test.each<[string, FakeAnswer]>([
    ["HTML", { body: "<html>down for maintenance</html>" }],
    ["JSON of another form", { body: '[1,2,"three"]' }],
    ["cut off JSON", { body: '{"metrics": {"empl' }],
    ["bytes", { body: Buffer.from([0xff, 0xfe, 0x00, 0x01]) }],
    ["a number", { body: "42" }],
    ["too much", { body: `{"x":"${"y".repeat(5_000_000)}"}` }],
    ["a way elsewhere, for the key as well,", { status: 302, headers: { location: "/elsewhere" } }],
  ])("%s is nonsense: the record stays as it is, without a retry", async (_, answer) => {
    const server = await serve(() => answer);
    const { ctx, told } = providerContext();
    const result = await call(
      firmographic({ now, env: server.env }),
      { records: companies(2), providers: ["clearbit"] },
      ctx,
    );
    expect(result.records).toMatchObject([{ company_name: "Company 0" }, { company_name: "Company 1" }]);
    expect(result.providers.clearbit).toMatchObject({ found: 0, failed: 2 });
    expect(told.waits).toEqual([]);
    expect(server.asked.map(({ path }) => path)).not.toContain("/elsewhere");
  });

  test("fields of odd types are not known, and what is not known overwrites nothing", async () => {
    const server = await serve(() => ({
      body: {
        metrics: { employees: { a: 1 }, estimatedAnnualRevenue: [] },
        foundedYear: "soon",
        category: null,
        linkedin: { handle: "x y" },
      },
    }));
    const record = { ...companies(1)[0], industry: "Steel", employee_count_min: 9 };
    const result = await call(
      firmographic({ now, env: server.env }),
      { records: [record], providers: ["clearbit"] },
      providerContext().ctx,
    );
    expect(result.records[0]).toMatchObject({ industry: "Steel", employee_count_min: 9 });
    expect(result.match_rate).toBe(0);
  });

  test.each(["quota_exhausted", "budget_exhausted"] as const)(
    "%s leaves the provider out and goes on",
    async (code) => {
      const server = await serve(({ path }) =>
        path === "/v2/companies/find" ? { body: clearbitBody } : { body: { organization: { founded_year: 1999 } } },
      );
      let left = 3;
      const refuse = (name: string) => {
        if (name === "provider-clearbit" && left-- <= 0) throw new TenutoError(code, `${name} is used up`);
      };
      const { ctx } = providerContext(code === "quota_exhausted" ? { limit: refuse } : { spend: refuse });
      const result = await call(
        firmographic({ now, env: server.env }),
        { records: companies(8), providers: ["clearbit", "apollo"] },
        ctx,
      );
      expect(result.match_rate).toBe(1);
      expect(result.providers.clearbit).toMatchObject({ asked: 3, found: 3, left_out: code });
      expect(server.asked.filter(({ path }) => path === "/v2/companies/find")).toHaveLength(3);
    },
  );

  test("after a crash nothing is asked or paid again", async () => {
    const server = await serve(() => ({ body: clearbitBody }));
    const first = providerContext();
    const input = { records: companies(10), providers: ["clearbit"] };
    const before = await call(firmographic({ now, env: server.env }), input, first.ctx);
    const again = providerContext({ memory: first.told.memory });
    const after = await call(firmographic({ now: () => new Date(0), env: server.env }), input, again.ctx);
    expect(after).toEqual(before);
    expect([server.asked.length, again.told.spent.size]).toEqual([10, 0]);
  });

  test("one company in two records is asked about once", async () => {
    const server = await serve(() => ({ body: clearbitBody }));
    const [record] = companies(1);
    const result = await call(
      firmographic({ now, env: server.env }),
      { records: [record, { ...record, city: "Toledo" }], providers: ["clearbit"] },
      providerContext().ctx,
    );
    expect([server.asked.length, result.match_rate]).toEqual([1, 1]);
  });

  test("no error and no log line holds a key", async () => {
    const server = await serve(() => ({ status: 400, body: "bad" }));
    const [one, two] = [providerContext(), providerContext()];
    const records = companies(2);
    await call(firmographic({ now, env: server.env }), { records }, one.ctx);
    const http = createHttpClient({ userAgent: "t/1 (+x)" });
    cleanups.push(() => http.close());
    const services = { now, env: server.env, http: () => http };
    await call(techStack(services), { records, methods: ["builtwith", "job_postings"] }, two.ctx);
    const said = [one, two].flatMap(({ told }) => [
      ...told.memory.log,
      JSON.stringify([...told.memory.steps.values()]),
    ]);
    expect(said.length).toBeGreaterThan(5);
    expect(said.join("\n")).not.toMatch(/secret/);
  });

  test("whatever providers answer: every record once, in order, with its own name", async () => {
    const trouble: FakeAnswer[] = [
      { status: 500 },
      { status: 404 },
      { status: 418 },
      { body: "junk" },
      { hangUp: true },
      { status: 429, headers: { "retry-after": "1" } },
      { status: 302, headers: { location: "/x" } },
      { body: clearbitBody },
      { body: {} },
    ];
    let random: () => number = () => 0;
    const server = await serve(() => trouble[random()]!);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(trouble.length - 1), { minLength: 1, maxLength: 30 }),
        fc.array(fc.constantFrom("full", "nameless", "siteless", "empty"), { maxLength: 12 }),
        async (order, kinds) => {
          let at = 0;
          random = () => order[at++ % order.length]!;
          const records = kinds.map((kind, id) => ({
            id,
            ...(kind === "nameless" || kind === "empty" ? {} : { company_name: `Company ${id}` }),
            ...(kind === "siteless" || kind === "empty" ? {} : { website: `c${id}.example` }),
          }));
          const result = await call(firmographic({ now, env: server.env }), { records }, providerContext().ctx);
          expect(result.records.map(({ id }: any) => id)).toEqual(records.map(({ id }) => id));
          result.records.forEach((record: any, index: number) => void expect(record).toMatchObject(records[index]!));
        },
      ),
      { numRuns: 40 },
    );
  });
});
