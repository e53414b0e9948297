/** Copies text; the same action as a command line or as a request. */
import { useState } from "react";
import { curlOf, type Send } from "../api/client.ts";

export function Copy({
  text,
  children,
  title,
}: {
  text: string | (() => string);
  children: React.ReactNode;
  title?: string;
}) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "string" ? text : text());
    setDone(true);
    setTimeout(() => setDone(false), 1_200);
  };
  return (
    <button type="button" className="quiet" title={title ?? "Copy"} onClick={() => void copy()}>
      {done ? "Copied" : children}
    </button>
  );
}

/** `tenuto …` and `curl …` for what a button does; the second alone where the command line has no verb for it. */
export function CopyAs({ cli, path, send }: { cli?: string; path: string; send?: Send }) {
  return (
    <span className="copy-as">
      {cli !== undefined && (
        <Copy text={cli} title={cli}>
          Copy as CLI
        </Copy>
      )}
      <Copy text={() => curlOf(path, send)} title={curlOf(path, send)}>
        {cli === undefined ? "Copy as curl" : "curl"}
      </Copy>
    </span>
  );
}

/** ` -p name=value` for each param, as the command line reads it. */
export function paramArguments(params: Record<string, unknown>): string {
  return Object.entries(params)
    .map(([name, value]) => ` -p ${argument(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`)
    .join("");
}

/** As an argument of a shell. */
export function argument(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
