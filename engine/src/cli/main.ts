/**
 * The command line: `run(argv, io)` parses, carries one command out and gives the exit code.
 *
 * Invariants: (1) nothing here or in program.ts loads the engine; each command loads what it needs; (2) whatever a command
 * throws is told once, in one form, and leads to the exit code of its error code; (3) it never ends the process itself.
 */
import type { CommanderError } from "commander";
import { TenutoError } from "../core/errors.ts";
import { didYouMean } from "../core/names.ts";
import { EXIT, exitCodeOf, tellFailure } from "./failure.ts";
import type { CliIo } from "./io.ts";
import { Output } from "./output.ts";
import { buildProgram, type GlobalOptions } from "./program.ts";

/** What a command gets beside its own arguments. */
export interface Cli {
  io: CliIo;
  out: Output;
  options: GlobalOptions;
}

/** Carries out a command line (without node and script). Resolves to the exit code; never rejects. */
export async function run(argv: readonly string[], io: CliIo): Promise<number> {
  let code: number = EXIT.ok;
  const program = buildProgram(io, async (options, execute) => {
    const cli: Cli = { io, out: new Output(io, options), options };
    try {
      code = await execute(cli);
    } catch (error) {
      tellFailure(cli.out, error, io.env);
      code = exitCodeOf(error);
    }
  });
  try {
    // What every other group of commands understands: `tenuto help run` is `tenuto run --help`.
    const asked = argv[0] === "help" ? [...argv.slice(1), "--help"] : [...argv];
    await program.parseAsync(asked, { from: "user" });
  } catch (error) {
    code = usageFailure(error as CommanderError, argv, io);
  }
  await Promise.all([io.stdout.flush(), io.stderr.flush()]);
  return code;
}

/** What people look for under another name or in another group: `tenuto show` is `tenuto runs show`. */
const ELSEWHERE: Record<string, string> = {
  ls: "runs list",
  ps: "runs list",
  status: "runs list",
  start: "run",
  stop: "runs cancel",
  log: "logs",
  validate: "templates validate",
  verify: "artifacts verify",
};

function otherPlace(what: string, argv: readonly string[]): string {
  const [, word] = /^unknown command '(.*)'$/.exec(what) ?? [];
  const inRuns = ["list", "show", "watch", "cancel", "retry", "rerun", "rollback", "report"];
  const near = word === undefined ? null : didYouMean(word, [...inRuns, ...Object.keys(ELSEWHERE)]);
  if (near === null) return "`tenuto --help` and `tenuto COMMAND --help` show what there is.";
  const command = ELSEWHERE[near] ?? `runs ${near}`;
  const rest = argv.slice(argv.indexOf(word!) + 1).join(" ");
  return `Did you mean: ${`tenuto ${command} ${rest}`.trimEnd()}`;
}

/** Commander throws for `--help` and `--version` too, with exit code 0. */
function usageFailure(error: CommanderError, argv: readonly string[], io: CliIo): number {
  if (error.code === undefined || !error.code.startsWith("commander.")) {
    tellFailure(new Output(io, {}), error, io.env);
    return exitCodeOf(error);
  }
  // A group of commands alone, such as `tenuto runs`, shows its help and is no mistake.
  if (error.exitCode === 0 || error.code === "commander.help") return EXIT.ok;
  const [what, ...rest] = error.message.replace(/^error: /, "").split("\n");
  const meant = rest.join(" ").replaceAll(/[()]/g, "").trim();
  const known = new TenutoError("invalid_input", what!, {
    hint: meant === "" ? otherPlace(what!, argv) : meant,
  });
  tellFailure(new Output(io, { json: argv.includes("--json"), color: !argv.includes("--no-color") }), known, io.env);
  return EXIT.usage;
}
