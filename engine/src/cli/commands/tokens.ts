/** `tenuto tokens list|create|link|revoke`: who may use the server. */
import { isLive } from "../../core/access.ts";
import { Access } from "../../http/index.ts";
import { time } from "../documents.ts";
import { EXIT } from "../failure.ts";
import { parseDuration, shortStamp } from "../figures.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { recallAddress } from "../serving.ts";
import { table } from "../table.ts";
import { userName } from "./serve.ts";

type Role = "viewer" | "operator" | "admin";

export async function tokensList(cli: Cli): Promise<number> {
  return await withLedger(cli, async ({ engine }) => {
    const { ledger } = engine.parts;
    const rows = await ledger.tokens(ledger.now());
    const now = ledger.now();
    cli.out.document("tokens", {
      tokens: rows.map(({ id, kind, name, role, run, createdAt, expiresAt, revokedAt }) => ({
        id,
        kind,
        name,
        role,
        run,
        createdAt: time(createdAt),
        expiresAt: time(expiresAt),
        revokedAt: time(revokedAt),
      })),
    });
    if (rows.length === 0) cli.out.say("No tokens yet: tenuto tokens create NAME.");
    else
      cli.out.data(
        ...table(
          [
            { title: "TOKEN" },
            { title: "KIND" },
            { title: "FOR", shrink: true },
            { title: "ROLE" },
            { title: "UNTIL (UTC)" },
            { title: "VALID" },
          ],
          rows.map((row) => [
            row.id,
            row.kind,
            row.run === null ? row.name : `${row.name} (${row.run})`,
            row.role,
            row.expiresAt === null ? "" : shortStamp(row.expiresAt),
            isLive(row, now) ? "yes" : "no",
          ]),
          cli.out.paint,
          cli.out.width,
        ),
      );
    return EXIT.ok;
  });
}

export async function tokensCreate(
  cli: Cli,
  name: string,
  options: { role?: Role; run?: string; expires?: string },
): Promise<number> {
  return await withLedger(cli, async ({ engine, client }) => {
    const run = options.run === undefined ? null : (await client.run(options.run)).id;
    const { row, text } = await new Access(engine.parts.ledger).mint({
      name,
      role: options.role ?? "viewer",
      run,
      ...(options.expires === undefined ? {} : { forMs: parseDuration(options.expires, "--expires") }),
    });
    cli.out.document("token", { id: row.id, name, role: row.role, run, expiresAt: time(row.expiresAt), token: text });
    cli.out.data(text);
    cli.out.say(`Token ${row.id} for ${name}, ${row.role}; it is shown only now.`);
    return EXIT.ok;
  });
}

export async function tokensLink(cli: Cli, options: { role?: Role; name?: string }): Promise<number> {
  return await withLedger(cli, async ({ engine }, place) => {
    const { text } = await new Access(engine.parts.ledger).mint({
      kind: "login",
      name: options.name ?? userName(),
      role: options.role ?? "admin",
    });
    const url = recallAddress(place.home);
    const link = `${url ?? "http://127.0.0.1:4600"}/login#${text}`;
    cli.out.document("login", { link });
    cli.out.data(link);
    if (url === null) cli.out.say("No server runs for this home: start one with `tenuto serve`.");
    return EXIT.ok;
  });
}

export async function tokensRevoke(cli: Cli, id: string): Promise<number> {
  return await withLedger(cli, async ({ engine }) => {
    const row = await new Access(engine.parts.ledger).revoke(id);
    cli.out.document("token", { id: row.id, revokedAt: time(row.revokedAt) });
    cli.out.data(`Token ${row.id} for ${row.name} is no longer valid`);
    return EXIT.ok;
  });
}
