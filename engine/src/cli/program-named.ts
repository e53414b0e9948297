/** Commands about what is kept in the ledger under a name: templates and schedules; and the options of a start. */
import { type Command, Option } from "commander";
import type { Execute } from "./program.ts";

type Start = (execute: Execute) => Promise<void>;

const collect = (value: string, before: string[]): string[] => [...before, value];

/** What a start by hand and a schedule share. */
export function withStartOptions(command: Command): Command {
  return command
    .option("-p, --param <name=value>", "a param; may be repeated", collect, [])
    .option("--params <file>", "params from a JSON or YAML file; - reads stdin")
    .option("--exclude-stage <stage>", "leave this stage out; may be repeated", collect, [])
    .option(
      "--exclude-job <job>",
      "leave this job out; what needs it needs what it needed; may be repeated",
      collect,
      [],
    )
    .addOption(new Option("--priority <priority>", "of the run").choices(["high", "normal", "low"]));
}

/** Options of `tenuto run` and `tenuto templates start`. */
export function withRunOptions(command: Command): Command {
  return withStartOptions(command)
    .option("--dry-run", "run it, but plan the jobs that change something outside; if none says so, as --plan")
    .option("--plan", "check everything, show what would be started, start nothing")
    .option("--idempotency-key <key>", "two starts with one key are one run")
    .option("--concurrency <n>", "jobs at the same time (default: 10)")
    .option("--drain <time>", "how long Ctrl-C lets running work go on (default: 30s)")
    .option("--timeout <time>", "stop watching after that time (exit code 6); the run stays resumable")
    .option("--wait", "stay while only a person's decision is missing, instead of ending with exit code 8")
    .option("--detach", "start it and leave the work to a worker");
}

export function addTemplates(program: Command, start: Start): void {
  const templates = program.command("templates").description("Check pipeline files; keep pipelines in the ledger.");
  templates
    .command("validate <file>")
    .description("Check a pipeline's file; mistakes are shown with line and column.")
    .action((file) => start(async (cli) => (await import("./commands/templates.ts")).templatesValidate(cli, file)));
  const stored = () => import("./commands/templates-stored.ts");
  templates
    .command("push <pipeline>")
    .description("Store a pipeline of a file or the configuration; it gets a new version if it has changed.")
    .option("--note <text>", "kept with the version")
    .action((given, options) => start(async (cli) => (await stored()).templatesPush(cli, given, options)));
  templates
    .command("list", { isDefault: true })
    .description("Stored templates.")
    .action(() => start(async (cli) => (await stored()).templatesList(cli)));
  templates
    .command("show <name>")
    .description("Stages and jobs of a template; with --json its whole document.")
    .option("--number <n>", "this version instead of the present one")
    .action((name, options) => start(async (cli) => (await stored()).templatesShow(cli, name, options)));
  templates
    .command("versions <name>")
    .description("All versions of a template, the newest first.")
    .action((name) => start(async (cli) => (await stored()).templatesVersions(cli, name)));
  withRunOptions(
    templates
      .command("start <name>")
      .description("Run a template until it ends, as `tenuto run` does.")
      .option("--number <n>", "this version instead of the present one"),
  ).action((name, options) => start(async (cli) => (await stored()).templatesStart(cli, name, options)));
  templates
    .command("remove <name>")
    .description("Take a template's name away; refused while schedules start it.")
    .action((name) => start(async (cli) => (await stored()).templatesRemove(cli, name)));
}

export function addSchedules(program: Command, start: Start): void {
  const schedules = program.command("schedules").description("Start pipelines by themselves, by cron expressions.");
  const commands = () => import("./commands/schedules.ts");
  withStartOptions(
    schedules
      .command("add <name> <pipeline>")
      .description("Start a pipeline or template whenever a cron expression comes up.")
      .requiredOption("--cron <expression>", 'five fields, for example "0 2 * * *": 02:00 each day')
      .option("--zone <zone>", "time zone of the expression, for example Europe/Berlin (default: UTC)"),
  )
    .addOption(
      new Option("--missed <policy>", "times at which nobody was there (default: last)").choices([
        "skip",
        "last",
        "all",
      ]),
    )
    .option("--cap <n>", "with --missed all: at most this many (default: 100)")
    .option("--disabled", "store it without starting anything")
    .action((name, pipeline, options) =>
      start(async (cli) => (await commands()).schedulesAdd(cli, name, pipeline, options)),
    );
  schedules
    .command("list", { isDefault: true })
    .description("Schedules, with their next time.")
    .action(() => start(async (cli) => (await commands()).schedulesList(cli)));
  schedules
    .command("show <name>")
    .description("A schedule, its next times and its last runs.")
    .action((name) => start(async (cli) => (await commands()).schedulesShow(cli, name)));
  schedules
    .command("next <name>")
    .description("The next times of a schedule.")
    .option("--count <n>", "this many (default: 5)")
    .action((name, options) => start(async (cli) => (await commands()).schedulesNext(cli, name, options)));
  schedules
    .command("trigger <name>")
    .description("Start its pipeline now, beside its times; leaves the work to a worker.")
    .action((name) => start(async (cli) => (await commands()).schedulesTrigger(cli, name)));
  schedules
    .command("enable <name>")
    .description("Go on from now; what came while it was disabled is not made up for.")
    .action((name) => start(async (cli) => (await commands()).schedulesEnable(cli, name, true)));
  schedules
    .command("disable <name>")
    .description("Start nothing any more until it is enabled.")
    .action((name) => start(async (cli) => (await commands()).schedulesEnable(cli, name, false)));
  schedules
    .command("remove <name>")
    .description("Forget a schedule; the runs that it started stay.")
    .action((name) => start(async (cli) => (await commands()).schedulesRemove(cli, name)));
}

export function addMcp(program: Command, start: Start): void {
  program
    .command("mcp")
    .summary("Offer runs to an MCP client.")
    .description(
      "An MCP server over stdin and stdout: list, start, watch, decide, retry and cancel runs, read logs and artifacts.",
    )
    .option("--read-only", "only tools that change nothing")
    .option("--work", "work on runs in this process as well")
    .option("--pipeline <file...>", "files with pipelines, where no configuration names them")
    .action((options) => start(async (cli) => (await import("./commands/mcp.ts")).mcp(cli, options)));
}
