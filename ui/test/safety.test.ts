/** Texts of others: whatever logs, names, errors, artifacts, scraped pages, templates and addresses say, nothing of it runs (S-18). */
import type { Page } from "playwright-core";
import { beforeEach, describe, expect, it } from "vitest";
import { PAYLOADS } from "./demo/payloads.ts";
import { opened, place, TIMEOUT } from "./opened.ts";
import { settled } from "./shots.ts";

const first = PAYLOADS[0] as string;

/** What a page would hold if one of the texts had become more than text. */
async function traces(page: Page) {
  return await page.evaluate(() => {
    const root = document.getElementById("root") as HTMLElement;
    const within = [...root.querySelectorAll("*")];
    return {
      ran: (globalThis as { __ran?: unknown }).__ran,
      title: document.title.includes("title"),
      elements: [...root.querySelectorAll("script, iframe, object, embed, form[action], base, meta, link, style, math")]
        .length,
      handlers: within.filter((node) => [...node.attributes].some(({ name }) => name.startsWith("on"))).length,
      addresses: within.filter((node) =>
        /^\s*(javascript|data:text|vbscript)/i.test(node.getAttribute("href") ?? node.getAttribute("src") ?? ""),
      ).length,
      elsewhere: within.filter(
        (node) =>
          node.tagName === "A" &&
          (node as HTMLAnchorElement).origin !== location.origin &&
          !node.matches("[rel~=noopener]"),
      ).length,
    };
  });
}
const NOTHING = { ran: undefined, title: false, elements: 0, handlers: 0, addresses: 0, elsewhere: 0 };

describe.skipIf(place === null)("safety", { timeout: TIMEOUT }, () => {
  const ui = opened();
  const { server, open } = ui;
  let page: Page;
  let run = "";
  beforeEach(() => {
    page = ui.page;
  });
  const looked = async (paths: readonly string[]) => {
    for (const path of paths) {
      await open(path);
      await page.waitForFunction(() => document.querySelector(".loading") === null);
      expect({ path, ...(await traces(page)) }).toEqual({ path, ...NOTHING });
    }
  };

  it("in runs: logs, errors, items, inputs, labels, approvals", async () => {
    run = await server.run("markup", { labels: { site: first }, params: { text: first } });
    await settled(server, run, ["waiting"]);
    await looked([
      `/?q=${encodeURIComponent(PAYLOADS[1] as string)}`,
      `/?label=${encodeURIComponent(`site=${first}`)}`,
      `/runs/${run}?view=logs&wrap=1&times=1`,
      `/runs/${run}?view=logs&log=${encodeURIComponent("<img")}`,
      `/runs/${run}?job=fail`,
      `/runs/${run}?job=fail&tab=attempts&view=timeline`,
      `/runs/${run}?job=pages&tab=items`,
      `/runs/${run}?job=say&tab=log`,
      `/runs/${run}?view=about`,
      `/runs/${run}?view=graph&find=${encodeURIComponent(first)}`,
      `/compare?a=${run}&b=${run}&all=1`,
      "/approvals",
    ]);
    // The texts are there, as texts.
    await open(`/runs/${run}?view=logs&log=${encodeURIComponent(first)}`);
    await page.locator(".log-line mark", { hasText: first }).first().waitFor();
    expect(await page.locator(".log a[href*=example]").count()).toBe(0);
  });

  it("in artifacts: HTML, SVG, Markdown, rows, diffs, conversations, what only says that it is an image", async () => {
    const { items } = await server.api<{ items: { sha256: string; name: string }[] }>(`/api/runs/${run}/artifacts`);
    expect(items.map(({ name }) => name)).toContain("drawing.svg");
    const paths = items
      .filter(({ name }) => !name.startsWith("pages."))
      .flatMap(({ sha256, name }) => [
        `/artifacts/${sha256}`,
        ...(/^(page.html|text.md)$/.test(name) ? [`/artifacts/${sha256}?source=1`] : []),
        ...(name === "page.html" ? [`/artifacts/${sha256}?view=lineage`, `/artifacts/${sha256}?view=about`] : []),
      ]);
    await looked(paths);
    // Opened by themselves they are text, or a download, in a sandbox.
    for (const { sha256, name } of items.filter((one) => /html|svg/.test(one.name))) {
      const answer = await page.request.get(`${server.url}/api/artifacts/${sha256}/content`);
      const headers = answer.headers();
      expect({ name, type: headers["content-type"], policy: headers["content-security-policy"] }).toMatchObject({
        name,
        policy: expect.stringContaining("sandbox"),
      });
      expect(headers["content-type"]).not.toMatch(/html|svg/);
    }
  });

  it("in what is kept: templates and their notes, agents, webhooks and their addresses, schedules, views, the palette", async () => {
    await server.put("/api/templates/hostile", {
      document: {
        kind: "graph",
        name: "hostile",
        description: first,
        stages: [{ name: "s", jobs: [{ id: "j", agent: "test/markup", summary: first, input: { [first]: first } }] }],
      },
      note: first,
    });
    await server.put("/api/webhooks/hostile", {
      url: `https://example.org/"><img/src=x/onerror=globalThis.__ran=1>?${encodeURIComponent(first)}#${first}`,
      occasions: ["completed"],
    });
    await server.put("/api/hooks/hostile", { pipeline: "markup", params: { text: first } });
    await server.api("/api/tokens", { name: first.slice(0, 90), role: "viewer" });
    await page.addInitScript(
      (text) => localStorage.setItem("tenuto.views", JSON.stringify([{ name: text, search: `?q=${text}` }])),
      first,
    );
    await looked([
      "/",
      "/templates",
      "/templates/hostile",
      "/templates/hostile?view=plan",
      "/templates/hostile?view=document",
      "/templates/hostile?view=versions",
      "/pipelines/markup",
      "/webhooks?hook=hostile",
      "/webhooks?view=in",
      "/agents?agent=test%2Fmarkup",
      "/settings",
    ]);
    await open("/");
    await page.keyboard.press("Control+k");
    await page.keyboard.type(first);
    await page.getByText("Nothing is called so.").waitFor();
    expect(await traces(page)).toEqual(NOTHING);
  });
});
