/** What people do without a mouse, faster than answers come: keys mean what they say, and nothing else. */
import type { Route } from "playwright-core";
import { describe, expect, it } from "vitest";
import { opened, place, TIMEOUT } from "./opened.ts";
import { settled } from "./shots.ts";

/** Answers that are kept back until they are let go. */
class Held {
  private waiting: Route[] = [];
  private open = false;
  readonly take = async (route: Route): Promise<void> => {
    if (this.open) await route.continue();
    else this.waiting.push(route);
  };
  async letGo(): Promise<void> {
    this.open = true;
    await Promise.all(this.waiting.splice(0).map((route) => route.continue()));
  }
}

describe.skipIf(place === null)("keys", { timeout: TIMEOUT }, () => {
  const ui = opened();
  const type = async (text: string) => {
    await ui.page.keyboard.press("Control+k");
    await ui.page.keyboard.type(text);
    await ui.page.keyboard.press("Enter");
  };

  it("does all main things with keys", async () => {
    await ui.open("/");
    await type("start nightly");
    await ui.page.waitForURL(/\/pipelines\/nightly-report/);
    await ui.page.getByRole("dialog").waitFor({ state: "detached" });
    await ui.page.getByRole("heading", { name: "nightly-report" }).waitFor();
    await ui.page.keyboard.press("g");
    await ui.page.keyboard.press("r");
    await ui.page.waitForURL(`${ui.server.url}/`);
    await ui.page.keyboard.press("?");
    await ui.page.getByRole("dialog", { name: "Keys" }).waitFor();
  });

  it("types before the lists are there: Enter waits for what the text means", async () => {
    const held = new Held();
    await ui.page.route(/\/api\/(known-pipelines|templates)(\?|$)/, held.take);
    await ui.open("/");
    await type("start nightly");
    await ui.page.getByRole("status").getByText("Looking").waitFor();
    expect(new URL(ui.page.url()).pathname).toBe("/");
    await held.letGo();
    await ui.page.waitForURL(/\/pipelines\/nightly-report/);
  });

  it("does not take a run of the answer before for the one that is typed", async () => {
    const [one, other] = [await ui.server.run("directory"), await ui.server.run("batch")];
    const held = new Held();
    await ui.open("/");
    await ui.page.keyboard.press("Control+k");
    await ui.page.getByRole("option", { name: one }).waitFor();
    await ui.page.route(/\/api\/runs\?q=/, held.take);
    await ui.page.keyboard.type(other.slice(0, 8));
    await ui.page.keyboard.type(other.slice(8));
    await ui.page.keyboard.press("Enter");
    await held.letGo();
    await ui.page.waitForURL(new RegExp(`/runs/${other}$`));
    for (const run of [one, other]) await settled(ui.server, run, ["completed"]);
  });

  it("calls the waiting off when more is typed, and keeps what was chosen by hand", async () => {
    const held = new Held();
    await ui.page.route(/\/api\/(known-pipelines|templates)(\?|$)/, held.take);
    await ui.open("/");
    await type("start d");
    await ui.page.getByText("Looking").waitFor();
    await ui.page.keyboard.type("irectory");
    await held.letGo();
    await ui.page.getByRole("option", { name: "Start directory" }).waitFor();
    expect(new URL(ui.page.url()).pathname).toBe("/");
    await ui.page.keyboard.press("Enter");
    await ui.page.waitForURL(/\/pipelines\/directory/);
    await ui.page.keyboard.press("Control+k");
    await ui.page.keyboard.type("rows");
    await ui.page.keyboard.press("ArrowDown");
    await ui.page.keyboard.press("Enter");
    await expect.poll(() => ui.page.evaluate(() => document.documentElement.dataset["density"])).toBe("normal");
  });

  it("never decides by a key alone: g a goes to the approvals, and a only leads to the button", async () => {
    const run = await ui.server.run("release", { params: { tag: "keys" } });
    await settled(ui.server, run, ["waiting"]);
    await ui.open("/approvals");
    await ui.page.getByRole("heading", { name: /Release keys/ }).waitFor();
    for (const key of ["g", "a", "a"]) await ui.page.keyboard.press(key);
    await expect
      .poll(() => ui.page.evaluate(() => document.activeElement?.textContent?.trim().startsWith("Approve")))
      .toBe(true);
    const { items } = await ui.server.api<{ items: { state: string }[] }>(`/api/approvals?run=${run}`);
    expect(items.map(({ state }) => state)).toEqual(["open"]);
    await ui.page.keyboard.press("Enter");
    await ui.page.getByText("You approved it.").waitFor();
    await settled(ui.server, run, ["completed"]);
  });

  it("keeps the focus where it was, and g r on a failed run leaves it as it is", async () => {
    const run = await ui.server.run("nightly-report");
    await settled(ui.server, run, ["failed"]);
    await ui.open(`/runs/${run}`);
    // Who leaves a question is where it was asked; a box of the graph is opened with Enter.
    await ui.button("Retry failed").press("Enter");
    const focused = () => ui.page.evaluate(() => document.activeElement?.textContent?.trim());
    await expect.poll(focused).toBe("Leave it");
    await ui.page.keyboard.press("Enter");
    await ui.page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await focused()).toBe("Retry failed");
    await ui.page.keyboard.press("2");
    await ui.page.locator(".react-flow__node-job", { hasText: "dates" }).press("Enter");
    await ui.page.waitForURL(/job=dates/);
    await ui.page.keyboard.press("g");
    await ui.page.keyboard.press("r");
    await ui.page.waitForURL(`${ui.server.url}/`);
    expect(await ui.page.getByRole("dialog").count()).toBe(0);
  });
});
