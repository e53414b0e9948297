/** Pipelines for measuring the page: one of 10,000 jobs in 20 stages, one of 1,000, one that talks, one that does next to nothing. */
import { defineAgent, definePipeline } from "tenuto";
import { z } from "zod";

const STAGES = 20;
const A_STAGE = 500;
const nothing = defineAgent({ name: "load/nothing", run: () => null });
const talk = defineAgent({
  name: "load/talk",
  run: ({ lines }: { lines: number }, ctx) => {
    for (let line = 1; line <= lines; line++)
      ctx.log.info(`line ${line}: \u001b[36mbytes\u001b[0m read, nothing to report`);
    return lines;
  },
});

export default {
  pipelines: [
    definePipeline({ name: "tiny", agents: [nothing], jobs: [{ id: "one", agent: "load/nothing" }] }),
    definePipeline({
      name: "talk",
      agents: [talk],
      params: z.object({ lines: z.int() }),
      jobs: [{ id: "talk", agent: "load/talk", input: { lines: "{{ params.lines }}" } }],
    }),
    definePipeline({
      name: "thousand",
      agents: [nothing],
      stages: Array.from({ length: 5 }, (_, stage) => ({
        name: `stage-${stage}`,
        jobs: Array.from({ length: 200 }, (_, job) => ({
          id: `job-${stage}-${job}`,
          agent: "load/nothing",
          ...(job % 4 === 0 ? {} : { needs: [`job-${stage}-${job - 1}`] }),
        })),
      })),
    }),
    definePipeline({
      name: "many",
      agents: [nothing],
      stages: Array.from({ length: STAGES }, (_, stage) => ({
        name: `stage-${stage}`,
        jobs: Array.from({ length: A_STAGE }, (_, job) => ({
          id: `job-${stage}-${job}`,
          agent: "load/nothing",
          ...(job % 50 === 0 || job === 0 ? {} : { needs: [`job-${stage}-${job - 1}`] }),
        })),
      })),
    }),
  ],
};
