/**
 * The agents of this system: each is a program of this folder, run by the Node that runs the engine.
 *
 * Invariant: logins are handed to jobs of agents only, by name; the harness hands on what the chosen agent needs.
 */
import { fileURLToPath } from "node:url";
import { defineAgent } from "tenuto";

/** The version of what goes in and comes out. */
const VERSION = "1";

const LOGINS = [
  ...[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
  ],
  ...["OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_API_KEY", "CODEX_HOME"],
];

/** Compiled source is kept, which halves the time that each of the many short programs takes to start. */
const env = { NODE_COMPILE_CACHE: fileURLToPath(new URL("node_modules/.cache/compile", import.meta.url)) };

const program = (path: string, ...args: string[]): string[] => [
  process.execPath,
  "--conditions=source",
  fileURLToPath(new URL(path, import.meta.url)),
  ...args,
];

const harness = (name: string, description: string) =>
  defineAgent({
    name,
    description,
    version: VERSION,
    command: { argv: program("harness/main.ts"), env, passEnv: LOGINS, graceSeconds: 1 },
  });

export const planner = harness("planner/agent", "Splits the task into tasks");
export const dev = harness("dev/agent", "Changes the code");
export const tester = harness("tester/agent", "Writes tests, runs them for real, and sends work back");
export const verifier = harness("verifier/agent", "Judges the result, beside the tests");
export const testRunner = harness("tester/run", "Runs the repository's tests, without an agent");

export const openWorkspace = defineAgent({
  name: "workspace/open",
  description: "Makes the run's worktree on a branch of its own",
  version: VERSION,
  command: { argv: program("programs/workspace.ts", "open"), env, graceSeconds: 1 },
});

export const closeWorkspace = defineAgent({
  name: "workspace/close",
  description: "Removes the run's worktree and keeps its branch",
  version: VERSION,
  command: { argv: program("programs/workspace.ts", "close"), env, graceSeconds: 1 },
});

export const mock = defineAgent({
  name: "mock/agent",
  description: "Does nothing, for a while, and fails now and then",
  version: VERSION,
  command: { argv: program("programs/mock.ts"), env, graceSeconds: 1 },
});

export const devloopAgents = [planner, dev, tester, verifier, testRunner, openWorkspace, closeWorkspace, mock];
