/** `tenuto backup`: a consistent copy of the ledger, made while others write. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { EXIT } from "../failure.ts";
import { bytes } from "../figures.ts";
import type { Cli } from "../main.ts";
import { findPlace, shown, withLedger } from "../project.ts";

export async function backup(cli: Cli, file: string): Promise<number> {
  // A backup of the wrong ledger is none.
  await findPlace(cli);
  return await withLedger(cli, async (tenuto, place) => {
    const target = resolve(cli.io.cwd, file);
    await tenuto.engine.parts.ledger.backup(target);
    const size = statSync(target).size;
    cli.out.document("backup", { file: target, bytes: size });
    cli.out.data(`${shown(cli, target)}  ${bytes(size)}`);
    cli.out.say(`Artifacts and logs are files: copy ${shown(cli, place.home)}/artifacts and logs as well.`);
    return EXIT.ok;
  });
}
