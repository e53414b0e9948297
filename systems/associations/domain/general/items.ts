/** The list items that a schema names. */
import type { Page, Scope } from "../page.ts";
import { mayMatch } from "../page.ts";
import type { Schema } from "../schema.ts";
import { select } from "../selectors.ts";

/**
 * The list items of a page under this schema; empty for a page of one member. One match of a general guess is as likely the box
 * around a single member; `least` 1 where the directory is known to have such items.
 */
export function listItems(page: Page, schema: Schema, least = schema.ownList ? 1 : 2): Scope[] {
  const container = page.$(schema.listContainer);
  for (const selector of schema.listItem) {
    if (selector.css !== null && !mayMatch(page, selector.css)) continue;
    const nodes = select(page, container, selector, Number.POSITIVE_INFINITY).flatMap((match) =>
      "node" in match ? [match.node] : [],
    );
    const known = new Set(nodes);
    // Nested matches would be counted twice: the outermost one is the item.
    const outer = nodes.filter((node) => {
      for (let at = node.parent; at; at = at.parent) if (known.has(at)) return false;
      return true;
    });
    if (outer.length >= least) return outer.map((node) => page.$(node));
  }
  return [];
}
