/** `tenuto backup`: a consistent copy of the ledger, made while others write. */
import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { TenutoError } from "../../core/errors.ts";
import { EXIT } from "../failure.ts";
import { bytes } from "../figures.ts";
import type { Cli } from "../main.ts";
import { findPlace, shown, withLedger } from "../project.ts";

export async function backup(cli: Cli, file: string): Promise<number> {
  // A backup of the wrong ledger is none.
  await findPlace(cli);
  return await withLedger(cli, async (tenuto, place) => {
    const target = resolve(cli.io.cwd, file);
    if (!existsSync(dirname(target)))
      throw new TenutoError("not_found", `there is no folder ${dirname(target)}`, {
        hint: "Make it, or give another place: folders are not made here.",
      });
    await tenuto.engine.parts.ledger.backup(target);
    const size = statSync(target).size;
    cli.out.document("backup", { file: target, bytes: size });
    cli.out.data(`${shown(cli, target)}  ${bytes(size)}`);
    cli.out.say(`Artifacts and logs are files: copy ${shown(cli, place.home)}/artifacts and logs as well.`);
    return EXIT.ok;
  });
}
