/** The program of a job: its command line, how it ended, and the names of what its environment holds; no values. */
import type { Job } from "../api/client.ts";
import { argument, Copy } from "../parts/copy.tsx";
import { Facts } from "../parts/screen.tsx";

interface Declared {
  argv?: unknown[];
  env?: Record<string, unknown>;
  passEnv?: string[];
  cwd?: string;
}

function commandOf({ spec }: Job): Declared | null {
  if (typeof spec !== "object" || spec === null || !("command" in spec)) return null;
  const { command } = spec as { command?: Declared | null };
  return command ?? null;
}

/** Its exit code or signal, as the last attempt says. */
function endOf(job: Job): string {
  const last = job.attempts.at(-1);
  if (last === undefined || last.state === "running") return "–";
  if (last.state === "completed") return "0";
  const details = last.error?.details ?? {};
  const { exitCode, signal } = details as { exitCode?: unknown; signal?: unknown };
  if (typeof signal === "string") return `ended by ${signal}`;
  return typeof exitCode === "number" ? String(exitCode) : `none: ${last.state}`;
}

export function CommandOf({ job }: { job: Job }) {
  const command = commandOf(job);
  if (command === null || !Array.isArray(command.argv)) return null;
  const line = command.argv.map((part) => argument(typeof part === "string" ? part : JSON.stringify(part))).join(" ");
  const names = [...Object.keys(command.env ?? {}), ...(command.passEnv ?? [])].sort();
  return (
    <section>
      <h3>Command</h3>
      <pre className="text" role="region" aria-label="Command line" tabIndex={0}>
        {line}
      </pre>
      <Facts
        list={[
          [
            "Exit code",
            <span key="x" className="num">
              {endOf(job)}
            </span>,
          ],
          ...(command.cwd === undefined ? [] : ([["Folder", <code key="f">{command.cwd}</code>]] as const)),
          [
            "Environment",
            names.length === 0 ? (
              "nothing of its own"
            ) : (
              <code key="e">{names.map((name) => `${name}=[masked]`).join(" ")}</code>
            ),
          ],
        ]}
      />
      <p>
        <Copy text={line}>Copy the command line</Copy>
      </p>
    </section>
  );
}
