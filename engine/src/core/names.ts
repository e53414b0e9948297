/**
 * Names that people give: which ones are accepted, and what they probably meant.
 *
 * Owner: core. One grammar for stages, jobs, pipelines, limiters and run ids, so that every name is safe as a file
 * name, in a URL, in a log line and in a placeholder.
 */

/** Stages, jobs, pipelines, run ids: 1 to 100 of letters, digits, `.`, `_` and `-`, starting with a letter or digit. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
export const NAME_RULE = "1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit";

const AGENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\/[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
export const AGENT_NAME_RULE = "layer/name, for example extraction/html_parser";

export function isName(value: string): boolean {
  return NAME.test(value);
}

export function isAgentName(value: string): boolean {
  return AGENT_NAME.test(value);
}

/** The known name nearest to `given`, or null if none is near enough to be meant. Looks at no more than 10,000. */
export function didYouMean(given: string, known: Iterable<string>): string | null {
  const wanted = given.slice(0, 100).toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.floor(wanted.length / 3) + 1;
  let looked = 0;
  for (const name of known) {
    if (++looked > 10_000) break;
    if (Math.abs(name.length - wanted.length) >= bestDistance) continue;
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** A sentence for a hint: `did you mean "x"?`, or what there is. */
export function suggest(given: string, known: readonly string[], noun: string): string {
  const near = didYouMean(given, known);
  if (near !== null) return `Did you mean "${near}"?`;
  if (known.length === 0) return `No ${noun} is declared.`;
  const shown = known.slice(0, 12).join(", ");
  return `Known: ${shown}${known.length > 12 ? `, and ${known.length - 12} more` : ""}.`;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  let beforePrevious = previous;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) cost = Math.min(cost, beforePrevious[j - 2]! + 1);
      row.push(cost);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length]!;
}
