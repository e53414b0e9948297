/**
 * The templates: from plan, dev, test, verify, or a part of them. `tenuto run systems/devloop/pipeline.ts#devloop-full`.
 *
 * Invariants:
 * 1. `originalPrompt` is a param, so that no job can change it; every prompt is made from it.
 * 2. Each run works in one worktree, made by its first job and removed by its last, whatever happened between; only a
 *    cancelled run leaves it, for `npm run worktrees`.
 * 3. Each limit of an agent is below the job's own, so that the harness ends it and can say why.
 */
import type { Pipeline } from "tenuto";
import { definePipeline } from "tenuto";
import { z } from "zod";
import { devloopAgents } from "./agents.ts";
import { SET_UP_SECONDS } from "./harness/set-up.ts";
import { AGENT_KINDS } from "./harness/task.ts";

type StageForm = NonNullable<Parameters<typeof definePipeline>[0]["stages"]>[number];
type JobForm = StageForm["jobs"][number];

export interface DevloopOptions {
  /** Limit of one attempt of an agent. Default 300. */
  timeoutSeconds?: number;
  testSeconds?: number;
  /** Time an agent may stay on after its final word. Default 5. */
  finalGraceSeconds?: number;
  /** Attempts after the first one. Default 2. */
  maxRetries?: number;
  /** Delay before the first retry. Default 2. */
  retrySeconds?: number;
  /** A person must agree to the plan before `devloop-full` goes on to dev. Default false. */
  approvePlan?: boolean;
}

export const devloopParams = z.object({
  originalPrompt: z.string().min(1).describe("What is to be done; it never changes during the run"),
  workspacePath: z.string().regex(/^\//).describe("Full path of a Git repository; its own files are not touched"),
  agent: z
    .enum(AGENT_KINDS)
    .default("claude-code")
    .describe("Who works: claude-code, codex, command, harness, or none"),
  agentCommand: z
    .array(z.string())
    .default([])
    .describe("Program and arguments of the agent; of the model for harness"),
  model: z.string().default("").describe("Model of the agent; empty: its own default"),
  agentLogins: z
    .array(z.string())
    .default([])
    .describe("Variables with logins that a `command` may see, such as OPENAI_API_KEY"),
  allowedPaths: z
    .array(z.string())
    .default(["."])
    .describe("What dev and tester may change, relative to the repository"),
  setupCommand: z
    .array(z.string())
    .default([])
    .describe("Run in the new worktree, for example npm ci: what Git ignores is not there"),
  testCommand: z.array(z.string()).default([]).describe("How to test; empty: found by what the repository holds"),
  maxIterations: z.number().int().min(1).max(10_000).default(50).describe("Most turns of an agent"),
  maxRegressions: z.number().int().min(0).max(20).default(5).describe("How often the tester may send the work back"),
});

const HARD_MARGIN_SECONDS = 1;
const MAX_SPAWNED = 20;
const GATE = { verdict: "{{ output.gate }}", onFailed: "fail" as const };

/** What jobs of one template have in common. */
interface Kit {
  timeoutSeconds: number;
  testSeconds: number;
  finalGraceSeconds: number;
}

type Role = "planner" | "dev" | "tester" | "verifier";

function agentJob(
  kit: Kit,
  role: Role,
  id: string,
  more: Record<string, unknown> = {},
  job: Partial<JobForm> = {},
): JobForm {
  const { timeoutSeconds: seconds, testSeconds, finalGraceSeconds } = kit;
  const gated = role === "tester" || role === "verifier";
  return {
    id,
    agent: `${role}/agent`,
    timeoutSeconds: seconds + HARD_MARGIN_SECONDS,
    ...(gated ? { gate: GATE } : {}),
    input: {
      role,
      originalPrompt: "{{ params.originalPrompt }}",
      repository: "{{ params.workspacePath }}",
      worktree: "{{ jobs.workspace.output.path }}",
      agent: {
        kind: "{{ params.agent }}",
        command: "{{ params.agentCommand }}",
        model: "{{ params.model }}",
        logins: "{{ params.agentLogins }}",
      },
      // Planner and verifier read everything and write nothing.
      ...(role === "dev" || role === "tester" ? { allowedPaths: "{{ params.allowedPaths }}" } : {}),
      setupCommand: "{{ params.setupCommand }}",
      testCommand: "{{ params.testCommand }}",
      limits: {
        iterations: "{{ params.maxIterations }}",
        regressions: "{{ params.maxRegressions }}",
        seconds,
        testSeconds,
        finalGraceSeconds,
      },
      ...more,
    },
    ...job,
  };
}

const PREPARE: StageForm = {
  name: "prepare",
  jobs: [
    {
      id: "workspace",
      agent: "workspace/open",
      summary: "A worktree of {{ params.workspacePath }}",
      timeoutSeconds: SET_UP_SECONDS + 60,
      input: { repository: "{{ params.workspacePath }}", setupCommand: "{{ params.setupCommand }}" },
    },
  ],
};

/** The last job: it waits for every other one, however that ended. */
function cleanup(stages: readonly StageForm[]): StageForm {
  const all = stages.flatMap((stage) => stage.jobs.map((job) => job.id));
  return {
    name: "cleanup",
    jobs: [
      {
        id: "cleanup",
        agent: "workspace/close",
        needs: ["workspace", ...all].map((job) => ({ job, on: "always" as const })),
        input: { repository: "{{ params.workspacePath }}" },
      },
    ],
  };
}

/** The declared job `dev`, run again in its own stage. */
const BACK_TO_DEV = { regress: { like: "dev", stage: "dev" } };
const MAY_SPAWN_DEV = { spawns: { jobs: ["dev"], children: MAX_SPAWNED, depth: 1, rounds: MAX_SPAWNED } };

/**
 * Stages by name. A plan reaches dev as the planner's artifact, not by a placeholder, so that the stage can be left out at a
 * start.
 */
function stagesOf(kit: Kit, names: readonly string[]): StageForm[] {
  const sentBack = names.includes("dev");
  const jobs: Record<string, () => JobForm> = {
    plan: () => agentJob(kit, "planner", "planner"),
    dev: () => agentJob(kit, "dev", "dev"),
    test: () => agentJob(kit, "tester", "tester", sentBack ? BACK_TO_DEV : {}, sentBack ? MAY_SPAWN_DEV : {}),
    verify: () => agentJob(kit, "verifier", "verifier"),
  };
  return names.map((name) => ({ name, jobs: [jobs[name]!()] }));
}

/** Code for each task of the plan, one after the other in the plan's order; then the verdict. */
function planCodeVerify(kit: Kit): StageForm[] {
  const task = "{{ item.description }}\nAcceptance criteria: {{ item.acceptance_criteria }}";
  return [
    { name: "plan", jobs: [agentJob(kit, "planner", "planner")] },
    {
      name: "code",
      jobs: [
        agentJob(
          kit,
          "dev",
          "code",
          { task },
          { multiply: { source: "{{ jobs.planner.output.plan.tasks }}", concurrency: 1 } },
        ),
      ],
    },
    { name: "verify", jobs: [agentJob(kit, "verifier", "verifier")] },
  ];
}

const CHAINS = {
  fibonacci:
    "Write a function fibonacci(n) that gives the n-th Fibonacci number (fibonacci(0) is 0) and refuses negative n.",
  binary_sort:
    "Write a function binarySort(list) that gives a sorted copy by binary insertion and leaves the list as it was.",
  case_converter: "Write functions that convert a name between camelCase, snake_case, kebab-case and PascalCase.",
};
const JOIN =
  "Write one module that exports what the tasks fibonacci, binary_sort and case_converter made, with tests of its own.";

/** One chain: tests first, then code, then the verdict; each in a folder of its own. */
function chain(kit: Kit, id: string, task: string, first: string[]): JobForm[] {
  const folder = `tasks/${id}`;
  const more = {
    task: `${task} Work in ${folder}.`,
    allowedPaths: [folder],
    testPath: folder,
    chainId: id,
    shared: true,
  };
  return [
    agentJob(kit, "tester", `${id}-tester`, { ...more, runTests: false }, { needs: ["workspace", ...first] }),
    agentJob(kit, "dev", `${id}-dev`, more, { needs: ["workspace", `${id}-tester`] }),
    agentJob(kit, "verifier", `${id}-verifier`, more, { needs: ["workspace", `${id}-dev`] }),
  ];
}

function fourTasks(kit: Kit): StageForm[] {
  const parallel = Object.entries(CHAINS).flatMap(([id, task]) => chain(kit, id, task, []));
  const verifiers = Object.keys(CHAINS).map((id) => `${id}-verifier`);
  return [
    { name: "tasks", jobs: parallel },
    { name: "join", jobs: chain(kit, "all_join_in", JOIN, verifiers) },
  ];
}

const MOCK_JOBS = ["planner", "dev", "verifier"];

function mockStages(): StageForm[] {
  return MOCK_JOBS.map((agentType) => ({
    name: agentType,
    jobs: [
      {
        id: agentType,
        agent: "mock/agent",
        input: {
          agentType,
          failureRate: "{{ params.failureRate }}",
          duration: "{{ params.duration }}",
          prompt: "{{ params.originalPrompt }}",
        },
      },
    ],
  }));
}

const mockParams = z.object({
  originalPrompt: z.string().min(1).default("Nothing").describe("Shown in the log"),
  failureRate: z.number().min(0).max(1).default(0.1).describe("Share of attempts that fail"),
  duration: z.number().min(0).max(3_600).default(1).describe("Seconds that an attempt takes"),
});

interface Template {
  name: string;
  description: string;
  stages: (kit: Kit) => StageForm[];
  timeoutSeconds?: number;
}

const named =
  (...names: string[]) =>
  (kit: Kit) =>
    stagesOf(kit, names);

const TEMPLATES: readonly Template[] = [
  { name: "devloop-full", description: "Plan, dev, test, verify", stages: named("plan", "dev", "test", "verify") },
  { name: "devloop-dev-test", description: "Dev and test", stages: named("dev", "test") },
  { name: "devloop-dev-only", description: "Dev alone", stages: named("dev") },
  { name: "devloop-test-only", description: "Test and verify what is there", stages: named("test", "verify") },
  { name: "devloop-plan-only", description: "A plan", stages: named("plan") },
  {
    name: "devloop-plan-code-verify",
    description: "A plan, code for each of its tasks, a verdict",
    stages: planCodeVerify,
    timeoutSeconds: 600,
  },
  {
    name: "devloop-four-tasks",
    description: "Three chains of tests, code and verdict side by side, then one that joins them",
    stages: fourTasks,
  },
];

/** A gate that passes no plan without a person; not an approval of dev, which would be asked for at each regression. */
const AGREED = {
  gate: {
    checks: [
      { when: { exists: "{{ output.plan }}" }, level: "warning" as const, message: "a person must agree to the plan" },
    ],
    onWarnings: "approve" as const,
  },
};

const agreed = (job: JobForm): JobForm => ({
  ...job,
  ...AGREED,
  input: { ...(job.input as object), awaitsApproval: true },
});

function withApproval(stages: StageForm[]): StageForm[] {
  return stages.map((stage) => (stage.name === "plan" ? { ...stage, jobs: stage.jobs.map(agreed) } : stage));
}

/** All templates, complete with their agents. */
export function devloopPipelines(options: DevloopOptions = {}): Pipeline<any>[] {
  const { maxRetries = 2, retrySeconds = 2, testSeconds = 120, finalGraceSeconds = 5 } = options;
  const retry = { maxRetries, baseSeconds: retrySeconds, factor: 2, capSeconds: 60 };
  const pipelines = TEMPLATES.map(({ name, description, stages, timeoutSeconds: own = 300 }) => {
    const timeoutSeconds = options.timeoutSeconds ?? own;
    const made = stages({ timeoutSeconds, testSeconds: Math.min(testSeconds, timeoutSeconds), finalGraceSeconds });
    const work = options.approvePlan === true && name === "devloop-full" ? withApproval(made) : made;
    return definePipeline({
      name,
      description,
      display: "status",
      params:
        name === "devloop-plan-code-verify"
          ? devloopParams.extend({ maxIterations: devloopParams.shape.maxIterations.default(200) })
          : devloopParams,
      agents: devloopAgents,
      defaults: { retry },
      stages: [PREPARE, ...work, cleanup(work)],
    });
  });
  const mock = definePipeline({
    name: "devloop-mock",
    description: "Three jobs that do nothing",
    display: "status",
    params: mockParams,
    agents: devloopAgents,
    defaults: { retry },
    stages: mockStages(),
  });
  return [...pipelines, mock];
}

export const pipelines = devloopPipelines();
