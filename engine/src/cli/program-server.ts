/** The commands of the server: `serve` and `tokens`. */
import { type Command, Option } from "commander";
import type { Execute } from "./program.ts";

type Start = (execute: Execute) => Promise<void>;

export function addServer(program: Command, start: Start): void {
  program
    .command("serve")
    .summary("Work, and offer API and dashboard in the browser.")
    .description("Work on whatever is started, and offer API and dashboard at http://127.0.0.1:4600, until stopped.")
    .option("--port <n>", "where it listens (default: 4600)")
    .option("--host <address>", "address that it binds (default: 127.0.0.1); others need TLS or --insecure")
    .option("--tls-cert <file>", "certificate, as PEM")
    .option("--tls-key <file>", "its private key, as PEM")
    .option("--insecure", "bind another address without TLS: a proxy in front of it encrypts")
    .option("--allow-host <name...>", "further names that browsers know it by")
    .option("--allow-commands", "templates that come over HTTP may run programs and read files of this machine")
    .option("--no-work", "only serve; other processes work")
    .option("--pipeline <file...>", "files with the code of the runs, where no configuration names them")
    .option("--concurrency <n>", "jobs at the same time (default: 10)")
    .option("--drain <time>", "how long Ctrl-C lets running work go on (default: 30s)")
    .action((options) => start(async (cli) => (await import("./commands/serve.ts")).serve(cli, options)));
  const tokens = program.command("tokens").description("Who may use the server: tokens and links to log in.");
  const role = () =>
    new Option("--role <role>", "what it allows (default: viewer)").choices(["viewer", "operator", "admin"]);
  tokens
    .command("list", { isDefault: true })
    .description("Tokens, the newest first; never their texts.")
    .action(() => start(async (cli) => (await import("./commands/tokens.ts")).tokensList(cli)));
  tokens
    .command("create <name>")
    .description("Make a token for a program or a person; its text is shown once.")
    .addOption(role())
    .option("--run <run>", "good for this run only")
    .option("--expires <time>", "for example 30d (default: 90d)")
    .action((name, options) =>
      start(async (cli) => (await import("./commands/tokens.ts")).tokensCreate(cli, name, options)),
    );
  tokens
    .command("link")
    .description("A link that logs a browser in, once, within ten minutes.")
    .addOption(new Option("--role <role>", "what it allows (default: admin)").choices(["viewer", "operator", "admin"]))
    .option("--name <name>", "who it is for (default: the user of this system)")
    .action((options) => start(async (cli) => (await import("./commands/tokens.ts")).tokensLink(cli, options)));
  tokens
    .command("revoke <token>")
    .description("Take a token back, at once, with the sessions that came from it.")
    .action((id) => start(async (cli) => (await import("./commands/tokens.ts")).tokensRevoke(cli, id)));
}
