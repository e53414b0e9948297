/** The authoring surface that these tests use, with the form of a job as people write it. */
export type { JobForm } from "../../src/authoring/form.ts";
export { defineAgent, definePipeline } from "../../src/index.ts";
