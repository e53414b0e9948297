/** What `npx tenuto` knows in this checkout: the pipelines of systems/. Files of examples/ are run by their path. */
import { defineConfig } from "tenuto";
import { associationsPipelines } from "./systems/associations/pipeline.ts";
import { devloopPipelines } from "./systems/devloop/pipeline.ts";

export default defineConfig({
  pipelines: [...associationsPipelines(), ...devloopPipelines()],
});
