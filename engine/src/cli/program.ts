/**
 * The commands, their options and their help: the whole surface of the command line on one page.
 *
 * Invariant: this file loads nothing but the parser; what a command does is imported when it is called.
 */
import { Command, Option } from "commander";
import type { CliIo } from "./io.ts";
import type { Cli } from "./main.ts";
import { addMcp, addSchedules, addTemplates, withRunOptions } from "./program-named.ts";
import { addServer } from "./program-server.ts";
import { TENUTO_VERSION } from "./version.ts";

export interface GlobalOptions {
  home?: string;
  database?: string;
  config?: string;
  json?: boolean;
  quiet?: boolean;
  /** False with `--no-color`. */
  color?: boolean;
}

export type Execute = (cli: Cli) => Promise<number>;
type Runner = (options: GlobalOptions, execute: Execute) => Promise<void>;

const EXAMPLES = `
Examples:
  tenuto init                                a configuration and a first pipeline
  tenuto run hello -p name=World             run it and watch
  tenuto run ./crawl.yaml --params in.json   run a file
  tenuto runs show latest                    what happened, job by job
  tenuto resume                              go on with all that was interrupted

Exit codes: 0 ok, 1 run failed, 2 usage, 3 not found, 4 ledger or disk, 5 conflict,
            6 timeout, 7 cancelled, 8 waits for a person's approval,
            9 a pipeline's code threw where nobody awaits it, 130 Ctrl-C, 143 terminated`;

/** The parser with every command. `runner` is called once, with what the command line asked for. */
export function buildProgram(io: CliIo, runner: Runner): Command {
  const program = new Command("tenuto");
  program
    .description("Durable pipelines: functions, programs and agents, from one process on.")
    .version(TENUTO_VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .option("--home <folder>", "folder of ledger, artifacts and logs (default: .tenuto)")
    .option("--database <place>", "the ledger: a file or a postgres: URL (default: TENUTO_DATABASE, else in the home)")
    .option("--config <path>", "configuration (default: tenuto.config.mts here)")
    .option("--json", "one JSON document on stdout")
    .option("-q, --quiet", "say nothing but errors")
    .option("--no-color", "no colours (also NO_COLOR; FORCE_COLOR forces them)")
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, helpWidth: helpWidth(io), subcommandTerm: termOf })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stdout.write(text),
      outputError: () => {},
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  const start = (execute: Execute) => runner(program.opts(), execute);
  addStarting(program, start);
  addRuns(program, start);
  addReading(program, start);
  addServer(program, start);
  addUpkeep(program, start);
  return program;
}

type Start = (execute: Execute) => Promise<void>;

function helpWidth(io: CliIo): number {
  return io.stdout.isTTY ? Math.min(io.stdout.columns, 100) : 80;
}

/** A command in the list of commands: its options are told in its own help. */
function termOf(command: Command): string {
  const args = command.registeredArguments.map((arg) => (arg.required ? `<${arg.name()}>` : `[${arg.name()}]`));
  return [command.name(), ...args].join(" ");
}

const collect = (value: string, before: string[]): string[] => [...before, value];

const WORK_OPTIONS = {
  concurrency: () => new Option("--concurrency <n>", "jobs at the same time (default: 10)"),
  drain: () => new Option("--drain <time>", "how long Ctrl-C lets running work go on (default: 30s)"),
  pipeline: () =>
    new Option("--pipeline <file...>", "files with the code of the runs, where no configuration names them"),
};

function addStarting(program: Command, start: Start): void {
  program.commandsGroup("Start:");
  program
    .command("init [folder]")
    .summary("Write a configuration and a first pipeline.")
    .description("Write a configuration and a first pipeline; nothing that is there is changed.")
    .action((folder) => start(async (cli) => (await import("./commands/init.ts")).init(cli, folder)));
  withRunOptions(
    program
      .command("run <pipeline>")
      .summary("Run a pipeline or a file until it ends.")
      .description(
        "Run a pipeline of the configuration, a file (FILE, or FILE#NAME) or a stored template, and watch it until it ends.",
      ),
  ).action((pipeline, options) =>
    start(async (cli) => (await import("./commands/run.ts")).runPipeline(cli, pipeline, options)),
  );
  addDecisions(program, start);
  addSpawn(program, start);
  program
    .command("resume [run]")
    .summary("Go on with everything that is open.")
    .description("Go on with everything that is open in the ledger until it ends; with RUN, until that one has ended.")
    .option("--timeout <time>", "with RUN: stop watching after that time (exit code 6)")
    .option("--wait", "stay while only a person's decision is missing, instead of ending with exit code 8")
    .addOption(WORK_OPTIONS.pipeline())
    .addOption(WORK_OPTIONS.concurrency())
    .addOption(WORK_OPTIONS.drain())
    .action((id, options) => start(async (cli) => (await import("./commands/resume.ts")).resume(cli, id, options)));
  program
    .command("worker")
    .description("Work on whatever is started, until stopped.")
    .addOption(WORK_OPTIONS.pipeline())
    .addOption(WORK_OPTIONS.concurrency())
    .addOption(WORK_OPTIONS.drain())
    .option("--agents <pattern...>", "only these agents, for example extraction/*")
    .action((options) => start(async (cli) => (await import("./commands/worker.ts")).worker(cli, options)));
}

function addSpawn(program: Command, start: Start): void {
  program
    .command("spawn [agent]")
    .summary("Inside a job: add a child to its run, and wait for it.")
    .description(
      "For programs that run as jobs: add a child to the run, wait for its end, print how it ended. What a job may spawn is declared with spawns.",
    )
    .option("--like <job>", "a declared job of the pipeline to run again, instead of an agent")
    .option("--key <key>", "names the child below this job; a key that was used gives the child that is there")
    .option("--input <json>", "its input")
    .option("--stage <stage>", "its stage (default: that of this job)")
    .option("--reason <text>", "why; the child finds it as context.reason")
    .option("--no-allow-failure", "a child that fails makes the run fail")
    .action((agent, options) =>
      start(async (cli) => (await import("./commands/spawn.ts")).spawnChild(cli, agent, options)),
    );
}

function addDecisions(program: Command, start: Start): void {
  const decision = (name: "approve" | "reject", summary: string) =>
    program
      .command(`${name} <approval>`)
      .summary(summary)
      .description(`${summary} APPROVAL is its id, or a run that waits for exactly one.`)
      .option("--reason <text>", "kept with the decision")
      .option("--by <name>", "who decides (default: the user of this system)")
      .option("--hash <sha256>", "of what was looked at: refused if it shows something else by now");
  decision("approve", "Let a job that waits for a person go on.")
    .option("--edit <json>", "put this JSON in the place of what was shown; @FILE reads a file")
    .action((id, options) =>
      start(async (cli) => (await import("./commands/approvals.ts")).decide(cli, id, true, options)),
    );
  decision("reject", "Say no: the job that waits for a person fails.").action((id, options) =>
    start(async (cli) => (await import("./commands/approvals.ts")).decide(cli, id, false, options)),
  );
  const approvals = program.command("approvals").description("What waits for a person's decision.");
  approvals
    .command("list", { isDefault: true })
    .description("Open approvals, the oldest first.")
    .option("--run <run>", "only of this run, decided ones among them")
    .option("--all", "decided ones as well")
    .action((options) => start(async (cli) => (await import("./commands/approvals.ts")).approvalsList(cli, options)));
  approvals
    .command("show <approval>")
    .description("What is to be decided, whole. APPROVAL is its id, or a run that waits for exactly one.")
    .action((id) => start(async (cli) => (await import("./commands/approvals.ts")).approvalsShow(cli, id)));
}

function addRuns(program: Command, start: Start): void {
  program.commandsGroup("Look and act:");
  const runs = program.command("runs").description("List, show, watch, cancel, retry, rerun, roll back, report.");
  runs
    .command("list")
    .description("Runs, the newest first.")
    .option("--state <state...>", "only runs in these states")
    .option("--pipeline <name>", "only runs of this pipeline")
    .option("--limit <n>", "at most this many", "20")
    .option("--before <run>", "only runs older than this one")
    .action((options) => start(async (cli) => (await import("./commands/runs-list.ts")).runsList(cli, options)));
  runs
    .command("show <run>")
    .description("A run's stages and jobs. RUN is an id, the beginning of one, or `latest`.")
    .option("--checkpoint", "the checkpoint document: where the run stands, and whether it can be resumed")
    .option("--items <states>", "list items in these states, for example failed,skipped")
    .option("--job <job>", "only this job")
    .option("--limit <n>", "at most this many jobs or items", "50")
    .action((id, options) =>
      start(async (cli) => (await import("./commands/runs-show.ts")).runsShow(cli, id, options)),
    );
  runs
    .command("watch <run>")
    .description("Follow a run that another process works on, until it ends.")
    .option("--timeout <time>", "stop watching after that time (exit code 6)")
    .action((id, options) =>
      start(async (cli) => (await import("./commands/runs-watch.ts")).runsWatch(cli, id, options)),
    );
  runs
    .command("cancel <run>")
    .description("Cancel a run, and wait until nothing of it is left running.")
    .option("--reason <text>", "kept with the run")
    .option("--detach", "only ask for it")
    .action((id, options) =>
      start(async (cli) => (await import("./commands/runs-cancel.ts")).runsCancel(cli, id, options)),
    );
  addAgain(runs, start);
}

/** Runs that follow from a run. */
function addAgain(runs: Command, start: Start): void {
  runs
    .command("retry <run>")
    .description("Reopen a failed or cancelled run; only what did not complete runs again.")
    .option("--job <job>", "only this job and what was skipped because of it; may be repeated", collect, [])
    .option("--items <job:list>", "only these items of a fan-out, as in pages:3,7-9; may be repeated", collect, [])
    .option("--detach", "reopen it and leave the work to a worker")
    .option("--timeout <time>", "stop watching after that time (exit code 6); the run stays resumable")
    .option("--wait", "stay while only a person's decision is missing, instead of ending with exit code 8")
    .addOption(WORK_OPTIONS.pipeline())
    .addOption(WORK_OPTIONS.concurrency())
    .addOption(WORK_OPTIONS.drain())
    .action((id, options) => start(async (cli) => (await import("./commands/resume.ts")).retry(cli, id, options)));
  runs
    .command("rerun <run>")
    .summary("Start a new run like it, or go again from a job.")
    .description(
      "Start a new run of the same pipeline with the same params. With --from, what that job does not touch is answered from the old run.",
    )
    .option("--from <job>", "the first job to run again")
    .option("--input <json>", "another input for that job: JSON, or @FILE")
    .option("-p, --param <name=value>", "another value for a param; may be repeated", collect, [])
    .option("--params <file>", "other values from a JSON or YAML file; - reads stdin")
    .option("--exclude-stage <stage>", "leave this stage out; may be repeated", collect, [])
    .option("--exclude-job <job>", "leave this job out; may be repeated", collect, [])
    .option("--detach", "start it and leave the work to a worker")
    .option("--timeout <time>", "stop watching after that time (exit code 6); the run stays resumable")
    .option("--wait", "stay while only a person's decision is missing, instead of ending with exit code 8")
    .addOption(WORK_OPTIONS.concurrency())
    .addOption(WORK_OPTIONS.drain())
    .action((id, options) =>
      start(async (cli) => (await import("./commands/runs-rerun.ts")).runsRerun(cli, id, options)),
    );
  runs
    .command("rollback <run>")
    .summary("Undo what a run did, by its compensations.")
    .description(
      "Undo what a run did: a run of its own carries out the compensations, in the reverse order of completion.",
    )
    .option("--detach", "start it and leave the work to a worker")
    .addOption(WORK_OPTIONS.pipeline())
    .addOption(WORK_OPTIONS.concurrency())
    .addOption(WORK_OPTIONS.drain())
    .action((id, options) =>
      start(async (cli) => (await import("./commands/runs-rollback.ts")).runsRollback(cli, id, options)),
    );
  runs
    .command("report <run>")
    .description("A report on a run, whatever its state.")
    .addOption(new Option("--format <format>", "of the report").choices(["md", "html", "json"]))
    .option("-o, --output <file>", "write it there instead of to stdout")
    .action((id, options) =>
      start(async (cli) => (await import("./commands/runs-report.ts")).runsReport(cli, id, options)),
    );
}

function addReading(program: Command, start: Start): void {
  program
    .command("logs <run> [job]")
    .summary("Log lines of a run, the engine's among them.")
    .description("Log lines of a run, those of the engine among them.")
    .option("-f, --follow", "go on until the run ends")
    .option("--level <level>", "the least that is shown: info, warning, error")
    .option("--raw", "the bytes that commands wrote, instead of log lines")
    .option("--attempt <n>", "with --raw: this attempt instead of the last")
    .option("--item <n>", "with --raw: this item of a fan-out")
    .action((id, job, options) =>
      start(async (cli) => (await import("./commands/logs.ts")).logs(cli, id, job, options)),
    );
  const artifacts = program
    .command("artifacts")
    .description("List, get and verify what runs have stored, and follow it.");
  artifacts
    .command("list <run>")
    .description("Artifacts of a run.")
    .action((id) => start(async (cli) => (await import("./commands/artifacts.ts")).artifactsList(cli, id)));
  artifacts
    .command("get <artifact> [name]")
    .description("The bytes of an artifact: by its hash (or the beginning of it), or by RUN and NAME.")
    .option("-o, --output <file>", "write them there instead of to stdout")
    .action((id, name, options) =>
      start(async (cli) => (await import("./commands/artifacts.ts")).artifactsGet(cli, id, name, options)),
    );
  artifacts
    .command("lineage <artifact> [name]")
    .description("Where an artifact comes from and who used it: by its hash, or by RUN and NAME.")
    .action((id, name) =>
      start(async (cli) => (await import("./commands/artifacts-lineage.ts")).artifactsLineage(cli, id, name)),
    );
  artifacts
    .command("verify [run]")
    .description("Read all objects, or those of a run, and compare them with their hashes.")
    .action((id) => start(async (cli) => (await import("./commands/artifacts.ts")).artifactsVerify(cli, id)));
  const agents = program.command("agents").description("Agents of the configuration.");
  agents
    .command("list", { isDefault: true })
    .description("Agents that this configuration knows.")
    .action(() => start(async (cli) => (await import("./commands/agents.ts")).agentsList(cli)));
  addTemplates(program, start);
  addSchedules(program, start);
  addMcp(program, start);
}

function addUpkeep(program: Command, start: Start): void {
  program.commandsGroup("Keep in order:");
  program
    .command("prune")
    .summary("Remove runs that ended long ago.")
    .description("Remove runs that ended long ago, with their logs and workspaces.")
    .requiredOption("--older-than <time>", "for example 30d")
    .option("--dry-run", "only say what would go")
    .action((options) => start(async (cli) => (await import("./commands/prune.ts")).prune(cli, options)));
  program
    .command("backup <file>")
    .summary("Copy the ledger while others work with it.")
    .description("Copy the ledger as it is now, while others work with it.")
    .action((file) => start(async (cli) => (await import("./commands/backup.ts")).backup(cli, file)));
  program
    .command("migrate")
    .summary("Bring the ledger to this Tenuto's schema.")
    .description(
      "Bring the ledger to the schema of this Tenuto; a backup is made before. With --from and --to: move a ledger with its artifacts and logs from a file to PostgreSQL, or back.",
    )
    .option("--plan", "only show what would be done")
    .option("--from <place>", "move a whole ledger: a file or a postgres: URL")
    .option("--to <place>", "where it goes; must be empty")
    .action((options) => start(async (cli) => (await import("./commands/migrate.ts")).migrate(cli, options)));
  program
    .command("doctor")
    .summary("Look for what is wrong.")
    .description("Look for what is wrong: Node, SQLite, home, ledger, artifacts, leftovers, disk.")
    .option("--security", "look at what of the security list can be seen here, each check by its id")
    .action((options) => start(async (cli) => (await import("./commands/doctor.ts")).doctor(cli, options)));
}
