/** What the schedule of the kill test starts. */
import { defineAgent, definePipeline } from "../../../src/index.ts";

export const PIPELINES = [
  definePipeline({ name: "tick", jobs: [{ id: "a", agent: defineAgent({ name: "test/tick", run: () => 1 }) }] }),
];
