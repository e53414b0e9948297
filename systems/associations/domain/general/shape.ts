/**
 * Where the records of a directory stand, as data: found once on a page with many entries, used again on every page that follows.
 *
 * Invariants: a shape names tags, and classes only where all entries have them, so random class names do no harm; applying a
 * shape to the page it was found on gives the same entries again.
 */

export type Shape =
  /** Each entry is one element: all with this path of tags from the body, and this class where one is given. */
  | { kind: "elements"; path: string; className: string | null }
  /** Entries follow each other among the children of one element; each begins with `starter`. */
  | { kind: "runs"; path: string; starter: string };

export interface Block {
  /** One element, or several that follow each other. */
  nodes: any[];
}

/** Tags from below the body down to the node. */
export function pathOf(node: any): string {
  const names: string[] = [];
  for (let at = node; at !== null && at !== undefined && at.type === "tag" && at.name !== "body"; at = at.parent)
    names.unshift(at.name === "tbody" || at.name === "thead" ? "" : at.name);
  return names.filter((name) => name !== "").join(">");
}

export function classesOf(node: any): string[] {
  return (node.attribs?.class ?? "").split(/\s+/).filter((word: string) => word !== "");
}

/** All elements below `root` by their path. */
export function elementsByPath(root: any, skip: (node: any) => boolean): Map<string, any[]> {
  const found = new Map<string, any[]>();
  const visit = (node: any, path: string): void => {
    for (const child of node.children ?? []) {
      if (child.type !== "tag" || skip(child)) continue;
      const own =
        child.name === "tbody" || child.name === "thead" ? path : path === "" ? child.name : `${path}>${child.name}`;
      const list = found.get(own);
      if (list === undefined) found.set(own, [child]);
      else list.push(child);
      visit(child, own);
    }
  };
  if (root !== null) visit(root, "");
  return found;
}

/** The entries that a shape describes on a page; `again`: a page like the one it was found on, perhaps with a single entry. `byPath` as `elementsByPath` gives it for the page's body. */
export function applyShape(shape: Shape, byPath: ReadonlyMap<string, any[]>, { again = false } = {}): Block[] {
  const elements = byPath.get(shape.path) ?? [];
  if (shape.kind === "elements") {
    const { className } = shape;
    return tablesOrBodies(elements)
      .filter((node) => className === null || classesOf(node).includes(className))
      .map((node) => ({ nodes: [node] }));
  }
  return elements.flatMap((parent) => runsOf(parent, shape.starter, { again }));
}

/** A table and its body have one path: where each record has a body of its own, those are meant, else the tables. */
function tablesOrBodies(nodes: readonly any[]): any[] {
  const bodies = nodes.filter(({ name }) => name === "tbody");
  const tables = nodes.filter(({ name }) => name === "table");
  if (bodies.length === 0 || tables.length === 0) return [...nodes];
  return bodies.length > tables.length * 1.5 ? bodies : tables;
}

/** What a child can be called when it begins an entry: its tag, with a class, or with its first element. */
export function startersOf(node: any): string[] {
  if (node.type !== "tag") return [];
  const first = (node.children ?? []).find(
    (child: any) => child.type === "tag" || (child.type === "text" && child.data.trim() !== ""),
  );
  const inner = first?.type === "tag" && first.name !== "br" ? [`${node.name}>${first.name}`] : [];
  return [node.name, ...classesOf(node).map((word) => `${node.name}.${word}`), ...inner];
}

/** These stand between entries, and belong to none. */
export const DIVIDERS: ReadonlySet<string> = new Set(["br+br", "br", "hr"]);

/** The children of an element, cut before each starter; `br+br`, `br` and `hr` divide, and are dropped. */
export function runsOf(parent: any, starter: string, { again = false } = {}): Block[] {
  const runs: Block[] = [];
  const dividing = DIVIDERS.has(starter);
  let run: any[] | null = dividing ? [] : null;
  let divided = !dividing;
  const close = () => {
    if (run?.some(hasContent)) runs.push({ nodes: run });
  };
  const children = (parent.children ?? []).filter(
    (node: any) => node.type === "tag" || (node.type === "text" && node.data.trim() !== ""),
  );
  const rank = headingRank(starter);
  for (let at = 0; at < children.length; at++) {
    const node = children[at];
    const divides =
      starter === "hr" || starter === "br"
        ? node.name === starter
        : starter === "br+br"
          ? node.name === "br" && children[at + 1]?.name === "br"
          : false;
    if (divides) {
      close();
      run = [];
      divided = true;
    } else if (!dividing && startersOf(node).includes(starter)) {
      close();
      run = [node];
    } else if (run !== null && endsRun(node, rank)) {
      close();
      run = null;
    } else run?.push(node);
  }
  close();
  // Children that nothing divides are not one entry, but anything.
  return divided || again ? runs : [];
}

/** A heading of a higher rank begins another section: it is not part of the entry before it. */
function endsRun(node: any, rank: number): boolean {
  const own = headingRank(node.name ?? "");
  return own > 0 && own < rank;
}

function headingRank(starter: string): number {
  const level = /^h([1-6])\b/.exec(starter)?.[1];
  return level === undefined ? (DIVIDERS.has(starter) ? 0 : 7) : Number(level);
}

function hasContent(node: any): boolean {
  if (node.type === "text") return node.data.trim() !== "";
  return node.name !== "br" && node.name !== "hr";
}
