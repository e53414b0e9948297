/**
 * A page cut down to what selectors are written from: its elements, classes and texts, without scripts, pictures and styles.
 *
 * Invariant: what is left keeps its place, so a selector that finds something here finds it on the page.
 */
import type { Page } from "./page.ts";

const MAX_CHARS = 60_000;
const MAX_TEXT = 160;
const KEPT = /^(class|id|href|itemprop|itemtype|itemscope|rel|role|title|alt|data-[\w-]+|aria-label)$/;
const LEFT_OUT = new Set(["script", "style", "svg", "noscript", "template", "iframe", "link", "meta", "object"]);

/** HTML of the page, cut off where it becomes too long. */
export function sampleOf(page: Page): string {
  let html = "";
  const visit = (node: any): void => {
    if (html.length > MAX_CHARS) return;
    if (node.type === "text") {
      const text = node.data.replace(/\s+/g, " ");
      html += encoded(text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text);
    } else if (node.type === "tag" && !LEFT_OUT.has(node.name)) {
      html += `<${node.name}${attributesOf(node)}>`;
      for (const child of node.children ?? []) visit(child);
      html += `</${node.name}>`;
    }
  };
  for (const node of page.$("body").toArray()) visit(node);
  return html.length > MAX_CHARS ? `${html.slice(0, MAX_CHARS)}<!-- the page goes on -->` : html;
}

function attributesOf(node: any): string {
  return Object.entries(node.attribs as Record<string, string>)
    .filter(([name]) => KEPT.test(name))
    .map(([name, value]) => ` ${name}="${encoded(value.slice(0, MAX_TEXT)).replaceAll('"', "&quot;")}"`)
    .join("");
}

function encoded(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
