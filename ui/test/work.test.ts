/** Parts of runs: chosen items and jobs retried, attempts and runs compared, long logs, what was given and made, webhooks. */
import { lookup } from "node:dns/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { beforeEach, describe, expect, it } from "vitest";
import { ENDS, opened, place, TIMEOUT } from "./opened.ts";
import { settled } from "./shots.ts";

describe.skipIf(place === null)("work", { timeout: TIMEOUT }, () => {
  const ui = opened();
  const { server, open, button } = ui;
  let page: typeof ui.page;
  beforeEach(() => {
    page = ui.page;
  });
  const confirm = async (name: string) => {
    await page.getByRole("dialog").getByRole("button", { name, exact: true }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
  };

  it("retries the items that are selected, and leaves the others as they are", async () => {
    const run = await server.run("tolerant");
    await settled(server, run, ENDS);
    const ends = async () =>
      (
        await server.api<{ items: { ordinal: number; endedAt: string }[] }>(`/api/runs/${run}/jobs/each/items`)
      ).items.map(({ endedAt }) => endedAt);
    const before = await ends();
    await open(`/runs/${run}?job=each&tab=items&items=failed`);
    await page.getByLabel("Select item 3").check();
    await button("Retry 1 selected").click();
    await confirm("Retry");
    await expect.poll(async () => (await ends())[3] !== before[3], { timeout: TIMEOUT / 2 }).toBe(true);
    await settled(server, run, ENDS);
    const after = await ends();
    expect(after.map((end, i) => end !== before[i])).toEqual([false, false, false, true]);
  });

  it("retries one job of those that failed", async () => {
    const run = await server.run("import", { params: { rows: 500 } });
    await settled(server, run, ["failed"]);
    const tries = async (job: string) =>
      (await server.api<{ attempts: unknown[] }>(`/api/runs/${run}/jobs/${job}`)).attempts.length;
    const [load, other] = [await tries("load"), await tries("other")];
    await open(`/runs/${run}?job=other`);
    await button("Retry this job").click();
    await confirm("Retry this job");
    await expect.poll(() => tries("other"), { timeout: TIMEOUT / 2 }).toBe(other + 1);
    await settled(server, run, ["failed"]);
    expect(await tries("load")).toBe(load);
  });

  it("compares two attempts by address: how they ended, and what they logged", async () => {
    const run = await server.run("import", { params: { rows: 500 } });
    await settled(server, run, ["failed"]);
    await open(`/runs/${run}?job=load&tab=attempts`);
    await button("The last two").click();
    await page.waitForURL(/x=1&y=2/);
    await page.locator(".d-removed", { hasText: "the other end did not answer" }).waitFor();
    await page.locator(".d-added", { hasText: "ERROR 500 rows are too many" }).waitFor();
  });

  it("shows beside a failure what differs from the last run that went well", async () => {
    const good = await server.run("import", { params: { rows: 7 } });
    await settled(server, good, ["completed"]);
    const bad = await server.run("import", { params: { rows: 900 } });
    await settled(server, bad, ["failed"]);
    await open(`/runs/${bad}?job=load`);
    const panel = page.getByRole("complementary");
    await panel.getByText("Since it went well in").waitFor();
    await panel.locator(".d-removed", { hasText: '"rows": 7' }).waitFor();
    await panel.locator(".d-added", { hasText: '"rows": 900' }).waitFor();
    await panel.getByText("It kept 1 job from running").waitFor();
  });

  it("shows what a job was given and made, and draws where it came from", async () => {
    const run = await server.run("llm-review");
    await settled(server, run, ENDS);
    await open(`/runs/${run}?job=review&tab=artifacts`);
    await page.getByRole("region", { name: "Artifacts in" }).getByRole("link", { name: "notes.md" }).waitFor();
    await page.getByRole("region", { name: "Artifacts out" }).getByRole("link", { name: "transcript.json" }).click();
    await page.getByRole("link", { name: "Lineage" }).click();
    const lineage = page.getByRole("region", { name: "Lineage" });
    for (const name of ["notes.md", "review", "transcript.json"])
      await lineage.getByRole("link", { name: new RegExp(`^${name}`) }).waitFor();
    expect((await lineage.locator("path").getAttribute("d"))?.match(/M/g)?.length).toBeGreaterThanOrEqual(3);
    await lineage.getByRole("link", { name: /^notes.md/ }).click();
    await page.getByRole("heading", { level: 1, name: "notes.md" }).waitFor();
  });

  it("shows an agent's conversation, its calls of tools and what it has used of its budget", async () => {
    const run = await server.run("llm-review");
    await settled(server, run, ENDS);
    await open(`/runs/${run}?job=review&tab=talk`);
    await page.getByRole("meter", { name: "calls used" }).waitFor();
    await open("/agents?agent=review%2Fnotes");
    await page.getByRole("link", { name: `${run} · review` }).click();
    await page.locator(".tool summary", { hasText: "read_artifact" }).first().click();
    await page.getByRole("region", { name: "Call of read_artifact" }).getByText("notes.md").waitFor();
  });

  it("opens a log at its end, pages up without a gap, and merges the logs of two jobs", async () => {
    const run = await server.run("directory", { params: { pages: 1_000 } });
    await settled(server, run, ENDS);
    await open(`/runs/${run}?view=logs`);
    const numbers = async () => (await page.locator(".log-number").allTextContents()).map(Number);
    await page.locator(".log-line").first().waitFor();
    expect(await page.locator(".log-line").count()).toBeLessThan(120);
    const last = (await numbers()).at(-1) as number;
    const { items } = await server.api<{ items: { number: number }[] }>(`/api/runs/${run}/logs?tail=1`);
    expect(last).toBe(items[0]?.number);
    const log = page.getByRole("log");
    await expect
      .poll(
        async () => {
          await log.evaluate((node) => node.scrollTo(0, 0));
          const seen = await numbers();
          expect(seen.every((number, i) => i === 0 || number === (seen[i - 1] as number) + 1)).toBe(true);
          return seen[0];
        },
        { timeout: TIMEOUT / 2 },
      )
      .toBe(1);
    await page.getByLabel("Only of a job").fill("pages");
    await page.getByLabel("Only of a job").fill("clean");
    await page.waitForURL(/of=pages%2Cclean/);
    await page.getByText("12 post codes").waitFor();
    expect(new Set(await page.locator(".log-job").allTextContents())).toEqual(new Set(["pages", "clean"]));
  });

  /** A name of this machine leads into a private network: that message has failed for good, until a person sends it again. */
  const resends = async () => {
    const own = await lookup(hostname()).catch(() => null);
    if (own === null || !/^(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))\.|^(::1$|f[cde])/.test(own.address)) {
      console.warn(`resending not looked at: ${hostname()} is no name of a private address here`);
      return;
    }
    await server.put("/api/webhooks/own", { url: `http://${hostname()}:8080/`, occasions: ["failed"] });
    const run = await server.run("strict");
    await settled(server, run, ["failed"]);
    const sent = async () =>
      (await server.api<{ items: { state: string; endedAt: string | null }[] }>("/api/webhooks/own/deliveries")).items;
    await open("/webhooks?hook=own");
    await page.getByText("is in a private network").first().waitFor();
    const [before] = await sent();
    await button("Resend").first().click();
    await expect
      .poll(
        async () => (await sent()).some(({ state, endedAt }) => state === "failed" && endedAt !== before?.endedAt),
        {
          timeout: TIMEOUT / 2,
        },
      )
      .toBe(true);
  };

  it("makes a webhook, shows what was sent and why it was not taken, and sends it again", async () => {
    const taken: IncomingHttpHeaders[] = [];
    const receiver = createServer((request, response) => {
      taken.push(request.headers);
      request.resume().on("end", () => response.end());
    });
    await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
    const { port } = receiver.address() as AddressInfo;
    await open("/webhooks");
    await button("Add a webhook").click();
    await page.getByLabel("Name").fill("ops");
    // An address of this machine is refused, and says why; a name that leads nowhere is tried and fails.
    await page.getByLabel("Address").fill(`http://127.0.0.1:${port}/`);
    await button("Add").click();
    await page.getByRole("alert").getByText("private network").first().waitFor();
    await page.getByLabel("Address").fill("https://nobody.invalid/hook");
    await button("Add").click();
    await page.getByText("shown once").waitFor();
    const run = await server.run("strict");
    await settled(server, run, ["failed"]);
    await page.getByRole("link", { name: "Delivery log" }).click();
    await page.getByText("nobody.invalid can't be reached", { exact: false }).first().waitFor();
    expect(taken).toEqual([]);
    receiver.close();
    await page
      .getByText(/^Message /)
      .first()
      .click();
    await page.getByRole("region", { name: "Message" }).getByText(run).first().waitFor();
    await resends();
    await open("/webhooks?view=in");
    await button("Add a hook").click();
    await page.getByLabel("Name").fill("push");
    await page.getByLabel("Pipeline").selectOption("import");
    await button("Add").click();
    await page.getByText(`${server.url}/hooks/push`).waitFor();
  });

  it("keeps a view of the runs under a name", async () => {
    await open("/?state=failed&pipeline=import");
    await button("Save view").click();
    await page.getByLabel("Name").fill("Broken imports");
    await confirm("Save");
    await open("/");
    await page.getByLabel("Saved views").selectOption("Broken imports");
    await page.waitForURL(
      (url) => url.searchParams.get("state") === "failed" && url.searchParams.get("pipeline") === "import",
    );
    await button("Forget view").click();
    await page.getByLabel("Saved views").waitFor({ state: "detached" });
  });

  it("draws a template, and shows what changed between its versions", async () => {
    const document = (argv: string[]) => ({
      kind: "graph",
      name: "greet",
      stages: [
        { name: "say", jobs: [{ id: "first", agent: "import/load", input: { rows: 1 } }] },
        { name: "end", jobs: [{ id: "second", agent: "import/load", input: { rows: argv.length } }] },
      ],
    });
    for (const argv of [["a"], ["a", "b"]])
      await server.put("/api/templates/greet", { document: document(argv), note: `with ${argv.length}` });
    await open("/templates/greet?view=plan");
    await page.getByRole("region", { name: "Stages and jobs" }).getByText("second").waitFor();
    await page.getByRole("link", { name: /^Versions/ }).click();
    await page.locator(".d-added", { hasText: '"rows": 2' }).waitFor();
    await page.getByText("with 1").waitFor();
  });

  it("draws only the rows that are seen, and loses no key of a quick typist while other parts of the address change", async () => {
    const run = await server.run("batch");
    await settled(server, run, ENDS);
    await open("/");
    const field = page.getByLabel("Filter by run or pipeline");
    await field.pressSequentially("nothing-like", { delay: 0 });
    await page.waitForURL(/q=nothing-like/);
    await field.pressSequentially("-this", { delay: 0 });
    await button(/^failed/).click();
    await page.waitForURL(/q=nothing-like-this/);
    expect(await field.inputValue()).toBe("nothing-like-this");
    await page.goBack();
    // Only what is seen is drawn.
    await open(`/runs/${run}?view=timeline`);
    await page.locator(".timeline-row").first().waitFor();
    expect(await page.locator(".timeline-row").count()).toBeLessThan(120);
    await page.getByRole("link", { name: /^Table/ }).click();
    await page.locator(".jobs .rows-inner .row").first().waitFor();
    expect(await page.locator(".jobs .rows-inner .row").count()).toBeLessThan(120);
    await page.getByLabel("Filter by job or agent").pressSequentially("shard-399", { delay: 0 });
    await page.waitForURL(/find=shard-399/);
    await page.getByRole("button", { name: "shard-399" }).waitFor();
    expect(await page.locator(".jobs .rows-inner .row").count()).toBe(1);
  });
});
