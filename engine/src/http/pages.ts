/**
 * Files of the dashboard, read once at the start; without a dashboard, a page to log in and a list of what there is.
 *
 * Owner: http. Invariant: what can be asked for is what was read, so that no path leads anywhere else; nothing here holds data.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

export interface Page {
  body: Uint8Array;
  type: string;
  immutable: boolean;
  etag: string;
  /** The body packed with gzip, made once when it is first asked for; null where that is not worth it. */
  packed(): Promise<Uint8Array | null>;
}

const pack = promisify(gzip);
const LEAST_BYTES = 1_024;

function pageOf(body: Uint8Array, type: string, immutable: boolean): Page {
  const worth = body.length >= LEAST_BYTES && /^(text\/|application\/(json|manifest)|image\/svg)/.test(type);
  let packed: Promise<Uint8Array | null> | null = worth ? null : Promise.resolve(null);
  return {
    body,
    type,
    immutable,
    etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
    packed: () => (packed ??= pack(body, { level: 9 })),
  };
}

const MOST_FILES = 2_000;

/** The pages below a folder; its `index.html` stands for all paths that are no file, as the dashboard makes them up. */
export function pagesOf(folder: string | null): (path: string) => Page | null {
  const pages = new Map<string, Page>();
  if (folder !== null) collect(folder, "", pages);
  const index = pages.get("/index.html") ?? null;
  for (const [path, page] of REFERENCE) pages.set(path, page);
  if (index === null) for (const [path, page] of PLAIN) pages.set(path, page);
  return (path) => {
    const known = pages.get(path);
    if (known !== undefined) return known;
    if (path === "/") return index ?? pages.get("/login") ?? null;
    const own = !/^\/(api|hooks|assets|healthz|readyz|metrics)(\/|$)/.test(path);
    return own && extname(path) === "" ? index : null;
  };
}

function collect(folder: string, below: string, pages: Map<string, Page>): void {
  for (const name of readdirSync(join(folder, below)).sort()) {
    const path = `${below}/${name}`;
    const file = join(folder, path);
    if (statSync(file).isDirectory()) collect(folder, path, pages);
    else if (pages.size < MOST_FILES)
      pages.set(
        path,
        pageOf(readFileSync(file), TYPES[extname(name)] ?? "application/octet-stream", /^\/assets\//.test(path)),
      );
  }
}

const plain = (type: string, text: string): Page => pageOf(new TextEncoder().encode(text), type, false);

/** The token comes in the fragment, which no browser sends and no log holds. */
const LOGIN_JS = `const say = (text) => { document.querySelector("p").textContent = text; };
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const look = () => fetch("/api/session").then((answer) => answer.ok ? answer.json() : null);
const open = token === "" ? look() : fetch("/api/session", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ token }),
}).then((answer) => answer.ok ? answer.json() : null);
open.then((who) => say(who === null
  ? "This link was used already, or has run out. Make another with: tenuto tokens link"
  : "You are logged in as " + who.name + ", " + who.role + ". This package has no dashboard; the API is described at /api/openapi.json."));
`;

const LOGIN_HTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tenuto</title><script src="/login.js" defer></script></head>
<body><h1>Tenuto</h1><p>One moment.</p></body></html>
`;

/** The operations for people to read: made in the browser from the description, with the session of whoever looks. */
const REFERENCE_JS = `const add = (parent, tag, text) => {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
};
const resolve = (schema, all) => schema && schema.$ref ? all[schema.$ref.split("/").pop()] : schema;
const show = (description) => {
  const all = description.components.schemas;
  const main = document.querySelector("main");
  main.textContent = "";
  let tag = "";
  for (const [path, methods] of Object.entries(description.paths)) for (const [method, operation] of Object.entries(methods)) {
    if (operation.tags[0] !== tag) add(main, "h2", tag = operation.tags[0]);
    const details = add(main, "details", "");
    add(details, "summary", method.toUpperCase() + " " + path + "  " + operation.summary);
    add(details, "p", operation.operationId + ". " + operation.description);
    for (const one of operation.parameters)
      add(details, "p", one.in + " " + one.name + (one.required ? " (required)" : "") + ": " + JSON.stringify(resolve(one.schema, all)));
    const body = operation.requestBody && operation.requestBody.content["application/json"].schema;
    if (body) add(details, "pre", "body " + JSON.stringify(resolve(body, all), null, 2));
    const good = Object.entries(operation.responses).find(([status]) => status[0] === "2");
    const json = good[1].content && good[1].content["application/json"];
    add(details, "pre", "answers " + good[0] + (json ? " " + JSON.stringify(resolve(json.schema, all), null, 2) : ""));
  }
};
fetch("/api/openapi.json").then((answer) => answer.ok ? answer.json().then(show)
  : add(document.querySelector("main"), "p", "Log in first: tenuto tokens link."));
`;

const REFERENCE_HTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tenuto API</title><script src="/reference.js" defer></script></head>
<body><h1>Tenuto API</h1><main></main></body></html>
`;

const REFERENCE: ReadonlyMap<string, Page> = new Map([
  ["/reference", plain("text/html; charset=utf-8", REFERENCE_HTML)],
  ["/reference.js", plain("text/javascript; charset=utf-8", REFERENCE_JS)],
]);

const PLAIN: ReadonlyMap<string, Page> = new Map([
  ["/login", plain("text/html; charset=utf-8", LOGIN_HTML)],
  ["/login.js", plain("text/javascript; charset=utf-8", LOGIN_JS)],
]);
