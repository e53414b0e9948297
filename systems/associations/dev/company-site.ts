/** A real list of companies, served as a directory in one of several shapes: for measuring the extraction, never for its tests. */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { escapeHtml } from "../fixtures/site.ts";

export const DEFAULT_CSV = join(import.meta.dirname, "../../../../shared/data/us-companies/breweries.csv");
export const PAGE_STYLES = ["query", "offset", "path", "next", "numbers"] as const;
export const MARKUPS = ["dl", "table", "classes", "lines", "microdata"] as const;
export const SHAPES = ["detail", "list"] as const;

export interface Company {
  id: string;
  name: string;
  street: string;
  city: string;
  state: string;
  postal_code: string;
  country: string;
  phone: string;
  website: string;
  longitude: string;
  latitude: string;
}

export interface CompanySiteOptions {
  pages?: (typeof PAGE_STYLES)[number];
  markup?: (typeof MARKUPS)[number];
  shape?: (typeof SHAPES)[number];
  pageSize?: number;
  port?: number;
}

/** The US companies of a CSV file; null when the file is not there. */
export function readCompanies(path: string): Company[] | null {
  if (!existsSync(path)) return null;
  const rows: Record<string, string>[] = parse(readFileSync(path), { columns: true, bom: true });
  return rows
    .filter((row) => row.country === "United States")
    .map((row) => ({
      id: row.id ?? "",
      name: row.name ?? "",
      street: row.address_1 ?? "",
      city: row.city ?? "",
      state: row.state_province ?? "",
      postal_code: row.postal_code ?? "",
      country: row.country ?? "",
      phone: row.phone ?? "",
      website: row.website_url ?? "",
      longitude: row.longitude ?? "",
      latitude: row.latitude ?? "",
    }));
}

/** Serves the companies on loopback. */
export async function serveCompanies(companies: Company[], options: CompanySiteOptions = {}) {
  const { pages = "query", markup = "dl", shape = "detail", pageSize = 50, port = 0 } = options;
  const byPath = new Map(companies.map((company) => [detailPath(company), company]));
  const last = Math.ceil(companies.length / pageSize);
  const requests = new Map<string, number>();

  const body = (path: string): string | null => {
    const { pathname, searchParams } = new URL(path, "http://x.test");
    if (pathname === "/robots.txt") return "User-agent: *\nAllow: /\n";
    const at = pageNumber(pathname, searchParams, pageSize);
    if (at !== null) {
      if (at < 1 || at > last) return null;
      const listed = companies.slice((at - 1) * pageSize, at * pageSize);
      const entries = listed.map((company) => (shape === "list" ? card(company, markup) : line(company)));
      const list = `<div class="member-directory">${entries.join("\n")}</div>`;
      return frame(
        "Member directory",
        `<h1>Member directory</h1><p>Showing ${(at - 1) * pageSize + 1}-${(at - 1) * pageSize + listed.length} of ${companies.length} companies</p>${list}${pager({ at, last, pages, pageSize })}`,
      );
    }
    const company = byPath.get(pathname);
    return company === undefined || shape === "list"
      ? null
      : frame(company.name, `<h1>${escapeHtml(company.name)}</h1>${details(company, markup)}`);
  };

  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    requests.set(path, (requests.get(path) ?? 0) + 1);
    const html = body(path);
    response.writeHead(html === null ? 404 : 200, {
      "content-type": path === "/robots.txt" ? "text/plain" : "text/html; charset=utf-8",
    });
    response.end(html ?? "not found");
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    directoryPath: "/directory",
    requests,
    detailPath,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function detailPath(company: Company): string {
  return `/listing/${company.id}`;
}

function pageNumber(pathname: string, query: URLSearchParams, pageSize: number): number | null {
  const inPath = /^\/directory\/page\/(\d+)$/.exec(pathname);
  if (inPath !== null) return Number(inPath[1]);
  if (pathname !== "/directory") return null;
  if (query.has("offset")) return Math.floor(Number(query.get("offset")) / pageSize) + 1;
  // The cursor of `next` is opaque on purpose.
  if (query.has("cursor")) return Number.parseInt(query.get("cursor")!.slice(1), 36);
  return Number(query.get("page") ?? "1");
}

function pager({ at, last, pages, pageSize }: { at: number; last: number; pages: string; pageSize: number }): string {
  const link = (to: number) => {
    if (pages === "path") return `/directory/page/${to}`;
    if (pages === "offset") return `/directory?offset=${(to - 1) * pageSize}`;
    if (pages === "next") return `/directory?cursor=c${to.toString(36)}`;
    return `/directory?page=${to}`;
  };
  if (pages === "next") return at < last ? `<a rel="next" href="${link(at + 1)}">Next</a>` : "";
  const around = [at - 2, at - 1, at, at + 1, at + 2].filter((to) => to >= 1 && to <= last);
  const numbers = around
    .map((to) => (to === at ? `<span class="current">${to}</span>` : `<a href="${link(to)}">${to}</a>`))
    .join(" ");
  const next = at < last && pages !== "numbers" ? `<a class="next" href="${link(at + 1)}">Next ›</a>` : "";
  return `<nav class="pagination">${numbers} ${next}</nav>`;
}

function line(company: Company): string {
  return `<div class="row"><a href="${detailPath(company)}">${escapeHtml(company.name)}</a> <em>${escapeHtml(company.city)}, ${escapeHtml(company.state)}</em></div>`;
}

function card(company: Company, markup: string): string {
  return `<div class="directory-item"><h3>${escapeHtml(company.name)}</h3>${details(company, markup)}</div>`;
}

function details(company: Company, markup: string): string {
  const street = escapeHtml(company.street);
  const city = escapeHtml(company.city);
  const phone = company.phone.replace(/^(\d{3})(\d{3})(\d{4})$/, "($1) $2-$3");
  const site =
    company.website &&
    `<a href="${escapeHtml(company.website)}">${escapeHtml(company.website.replace(/^https?:\/\//i, ""))}</a>`;
  const last = `${city}, ${company.state} ${company.postal_code}`;
  const place = street ? `${street}<br>${last}` : last;
  const map = company.latitude
    ? `<div class="map" data-lat="${company.latitude}" data-lng="${company.longitude}"></div>`
    : "";
  const rows: [string, string][] = [
    ["Address", place],
    ["Country", company.country],
    ["Phone", phone],
    ["Website", site],
  ];
  const given = rows.filter(([, value]) => value !== "");
  if (markup === "table") {
    const split: [string, string][] = [
      ["Street", street],
      ["City", city],
      ["State", company.state],
      ["Zip Code", company.postal_code],
      ...given.slice(1),
    ];
    return `<table>${split
      .filter(([, value]) => value !== "")
      .map(([label, value]) => `<tr><th>${label}</th><td>${value}</td></tr>`)
      .join("")}</table>${map}`;
  }
  if (markup === "classes") {
    return `<p class="address">${street ? `<span class="street">${street}</span><br>` : ""}<span class="city">${city}</span>, <span class="state">${company.state}</span> <span class="zip">${company.postal_code}</span></p>${phone && `<p class="phone">${phone}</p>`}${site && `<p class="website">${site}</p>`}${map}`;
  }
  if (markup === "lines")
    return `<p>${given.map(([label, value]) => `<strong>${label}:</strong> ${value}`).join("<br>")}</p>${map}`;
  if (markup === "microdata") {
    const prop = (name: string, value: string) => (value === "" ? "" : `<span itemprop="${name}">${value}</span> `);
    return `<div itemprop="address" itemscope itemtype="https://schema.org/PostalAddress">${prop("streetAddress", street)}${prop("addressLocality", city)}${prop("addressRegion", company.state)}${prop("postalCode", company.postal_code)}${prop("addressCountry", company.country)}</div>${prop("telephone", phone)}${company.website && `<a itemprop="url" href="${escapeHtml(company.website)}">site</a>`}${company.latitude && `<div itemprop="geo" itemscope itemtype="https://schema.org/GeoCoordinates"><meta itemprop="latitude" content="${company.latitude}"><meta itemprop="longitude" content="${company.longitude}"></div>`}`;
  }
  return `<dl>${given.map(([label, value]) => `<dt>${label}</dt><dd>${value}</dd>`).join("")}</dl>${map}`;
}

function frame(title: string, main: string): string {
  return `<!doctype html><html><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head><body><header><nav><a href="/directory">Directory</a> <a href="/about">About</a></nav></header>
<main>${main}</main><footer>Call the office: <a href="tel:8005550100">(800) 555-0100</a> · <a href="https://host.example">Hosting</a></footer></body></html>`;
}
