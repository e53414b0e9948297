/** Retry of what a person chose: jobs, items, over the API. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Api, openPlace, type Place } from "./serving.ts";

let place: Place;
let api: Api;

beforeAll(async () => {
  place = await openPlace();
  api = await place.api("operator");
});
afterAll(() => place.close());

it("chosen items run again, and what had not begun; the others stay failed, and are tolerated as declared", async () => {
  const { body: started } = await api.call("startRun", { body: { pipeline: "shut" } });
  const params = { run: started.id };
  const run = await place.tenuto.client.attach(params.run);
  await run.wait({ timeoutMs: 60_000 });
  const items = async () =>
    (await api.call("listItems", { params: { ...params, job: "each" } })).body.items.map(
      (item: { ordinal: number; state: string }) => `${item.ordinal}:${item.state}`,
    );
  const states = async () =>
    (await api.call("listJobs", { params })).body.items.map(
      (job: { id: string; state: string }) => `${job.id}:${job.state}`,
    );
  expect(await items()).toEqual(["0:failed", "1:failed", "2:failed", "3:failed"]);
  place.latch.open();
  const retry = (body: object) => api.call("retryRun", { params, body });
  const refused = await retry({ items: [{ job: "each", ordinals: [1, 5] }] });
  expect(refused).toMatchObject({ status: 422, body: { code: "invalid_input", details: { ordinals: [5] } } });
  expect((await retry({ items: [{ job: "other", ordinals: [0] }] })).status).toBe(422);
  expect((await retry({ jobs: ["nobody"] })).status).toBe(404);
  expect((await retry({ jobs: [], items: [{ job: "each", ordinals: [] }] })).status).toBe(422);
  expect(await retry({ items: [{ job: "each", ordinals: [1, 3] }] })).toMatchObject({ status: 202, body: { jobs: 1 } });
  await run.wait({ timeoutMs: 60_000 });
  expect(await items()).toEqual(["0:failed", "1:completed", "2:failed", "3:completed", "4:completed", "5:completed"]);
  expect(await states()).toEqual(["each:completed", "other:failed"]);
  expect((await retry({ jobs: ["each"] })).body.code).toBe("invalid_input");
  expect(await retry({ jobs: ["other"] })).toMatchObject({ status: 202, body: { jobs: 1 } });
  await run.wait({ timeoutMs: 60_000 });
  expect(await states()).toEqual(["each:completed", "other:completed"]);
  expect((await api.call("showRun", { params })).body.state).toBe("completed");
  expect(place.faults).toEqual([]);
});
