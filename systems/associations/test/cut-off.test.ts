/** A network without names: what cannot be known is not "no", and nobody waits for it ten thousand times. */
import { afterEach, describe, expect, test } from "vitest";
import { createDns } from "../adapters/dns.ts";
import type { HttpClient } from "../adapters/http.ts";
import { TimeoutError } from "../domain/errors.ts";
import { techStack } from "../jobs/enrich-tech-stack.ts";
import { startDns, type Zone } from "./dns-server.ts";
import { call } from "./harness.ts";
import { companies, now, providerContext } from "./provider-server.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(zone: Zone, timeoutMs = 30_000) {
  const server = await startDns(zone);
  cleanups.push(server.close);
  let clock = 0;
  const witnesses = ["sure.example", "certain.example"];
  const dns = createDns({ servers: [server.address], timeoutMs, tries: 1, witnesses, now: () => clock });
  return { server, dns, wait: (ms: number) => void (clock += ms) };
}

describe("a name server", () => {
  test("that says no to everything is not believed, and asked nothing for half a minute", async () => {
    const { server, dns, wait } = await serve({ "known.example": { a: ["192.0.2.1"] } });
    const notKnown = { valid: null, reason: expect.stringContaining("surely exist") };
    expect(await dns.check("missing.example")).toMatchObject(notKnown);
    const asked = server.asked.length;
    expect(await Promise.all(["a.example", "b.example"].map((name) => dns.check(name)))).toMatchObject([
      notKnown,
      notKnown,
    ]);
    expect(server.asked).toHaveLength(asked);
    wait(30_001);
    // A "yes" is a yes, whoever says it.
    expect(await dns.check("known.example")).toMatchObject({ valid: true });
    expect(await dns.cutOff()).toBe(true);
  });

  test("that knows one name that surely exists is believed, and asked for it once", async () => {
    const { server, dns } = await serve({ "certain.example": { a: ["192.0.2.2"] } });
    for (const name of ["missing.example", "gone.example"])
      expect(await dns.check(name)).toMatchObject({ valid: false });
    expect(server.asked.filter((question) => question === "A certain.example")).toHaveLength(1);
    expect(await dns.cutOff()).toBe(false);
  });

  test("that is silent costs one wait", async () => {
    const silent = { silent: true };
    const { server, dns } = await serve({ "a.example": silent, "sure.example": silent, "certain.example": silent }, 30);
    expect(await dns.check("a.example")).toMatchObject({ valid: null });
    const asked = server.asked.length;
    expect(await dns.check("a.example")).toMatchObject({ valid: null });
    expect(server.asked).toHaveLength(asked);
  });
});

describe("sites of companies", () => {
  const tried: string[] = [];
  const http = {
    get: (url: string) => {
      tried.push(url);
      return Promise.reject(new TimeoutError(`${url} did not answer`, { url }));
    },
  } as unknown as HttpClient;
  const run = async (cutOff: boolean) => {
    tried.length = 0;
    const finding = { valid: null, method: null, mail_servers: [], reason: null };
    const dns = () => ({ check: async () => finding, cutOff: async () => cutOff });
    const records = [...companies(40), { company_name: "Zorbel", website: "https://192.0.2.7" }];
    const input = { records, methods: ["website_fingerprint"] };
    const result = await call(techStack({ now, env: {}, http: () => http, dns }), input, providerContext().ctx);
    return result.records.map(({ enrichment }: any) => enrichment.tech_stack.reason as string);
  };

  test("are not tried one after the other where no name server answers; addresses are", async () => {
    const reasons = await run(true);
    expect(new Set(reasons.slice(0, 40))).toEqual(new Set(["website_fingerprint: no_name_server"]));
    expect(reasons[40]).not.toContain("no_name_server");
    // Those that were under way when it was found out.
    expect(tried.filter((url) => url.includes("example")).length).toBeLessThanOrEqual(8);
    expect(tried.some((url) => url.includes("192.0.2.7"))).toBe(true);
  });

  test("are all tried where it is the sites that are slow", async () => {
    const reasons = await run(false);
    expect(new Set(reasons)).toEqual(new Set(["website_fingerprint: timeout"]));
    expect(new Set(tried.map((url) => new URL(url).hostname)).size).toBe(41);
  });
});
