/** The environment of a command: what gets through, what wins, and the trace that it belongs to. */
import { expect, it } from "vitest";
import { baseEnvironment, commandEnvironment, traceParent } from "./environment.ts";

const variables = {
  runId: "crawl-1",
  jobId: "fetch",
  attempt: 2,
  item: null,
  input: "in",
  context: null,
  output: "out",
  workspace: "w",
  artifacts: "a",
  url: "u",
  token: "t",
  marker: "m",
};

it("a program gets the trace of its attempt, whatever the engine's own is", () => {
  const base = baseEnvironment({ PATH: "/bin", TRACEPARENT: "00-engine", TENUTO_TOKEN: "no" });
  const env = commandEnvironment(
    base,
    { argv: ["x"], passEnv: ["TRACEPARENT"], env: { TRACEPARENT: "mine" } },
    variables,
  );
  expect(env["TRACEPARENT"]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(env["TRACEPARENT"]).toBe(traceParent(variables));
  const next = traceParent({ ...variables, attempt: 3 });
  // A trace for each attempt: one of a run that lasts for weeks would break whatever shows it.
  expect(next.slice(0, 35)).not.toBe(traceParent(variables).slice(0, 35));
  expect(traceParent({ ...variables })).toBe(traceParent(variables));
  expect(traceParent({ ...variables, runId: "crawl-2" }).slice(0, 35)).not.toBe(next.slice(0, 35));
});
