/**
 * Messages handed to a program, as JSON on its standard input.
 *
 * Invariants: (1) no shell; (2) the program sees the engine's PATH, HOME, LANG, TZ and TMPDIR and nothing else of its
 * environment; (3) it is a process group of its own, of which nothing is left when an attempt is over; (4) exit code 0 means
 * taken, 75 and any other code that it is tried again.
 */
import { spawn } from "node:child_process";
import { TenutoError } from "../core/errors.ts";
import type { Message } from "../ports/notifier.ts";

const PASSED = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SystemRoot"];
const TAIL_BYTES = 2_000;

export function runProgram(
  argv: readonly string[],
  message: Message,
  signal: AbortSignal,
  parts: { env: Readonly<Record<string, string | undefined>>; cwd?: string },
): Promise<void> {
  const [program, ...args] = argv as [string, ...string[]];
  const { env, cwd } = parts;
  const passed = Object.fromEntries(PASSED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...passed, TENUTO_NOTIFICATION: message.id },
      detached: process.platform !== "win32",
      stdio: ["pipe", "pipe", "pipe"],
      windowsHide: true,
    });
    let tail = "";
    let over = false;
    const end = (error: TenutoError | null) => {
      if (over) return;
      over = true;
      signal.removeEventListener("abort", abort);
      endGroup(child.pid);
      if (error === null) resolve();
      else reject(error);
    };
    const problem = (text: string) =>
      new TenutoError("agent_error", `${program} ${text}${tail.trim() === "" ? "" : `: ${tail.trim()}`}`, {
        category: "retryable",
      });
    const abort = () => end(problem("was stopped: it took too long"));
    signal.addEventListener("abort", abort);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        tail = (tail + chunk.toString("utf8")).slice(-TAIL_BYTES);
      });
    child.on("error", (error) =>
      end(problem(`can't be started (${(error as NodeJS.ErrnoException).code ?? error.message})`)),
    );
    child.on("exit", (code, by) =>
      end(code === 0 ? null : problem(by === null ? `ended with ${code}` : `was ended by ${by}`)),
    );
    child.stdin.on("error", () => {});
    child.stdin.end(`${JSON.stringify(message)}\n`);
    if (signal.aborted) abort();
  });
}

/** What the program has left behind in its group. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
  } catch {
    // Nothing of it is left.
  }
}
