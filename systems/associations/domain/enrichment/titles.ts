/**
 * Which job titles are wanted, and how much: by whole words, in any order, within one title of several.
 *
 * 1. "Coordinator" is no COO, "Vice President" is no President, "Product Owner" no Owner, the CEO's assistant not the CEO.
 * 2. Long and short forms are one: Vice President of Information Technology is VP IT.
 */

export interface TitleTarget {
  title: string;
  /** 1 is wanted most. */
  priority: number;
}

export const DEFAULT_TARGETS: readonly TitleTarget[] = [
  ...["CIO", "VP IT", "IT Director", "ERP Manager", "COO", "VP Operations"].map((title) => ({ title, priority: 1 })),
  ...["CFO", "Controller", "CEO", "President", "Owner"].map((title) => ({ title, priority: 2 })),
  ...["Plant Manager", "VP Manufacturing"].map((title) => ({ title, priority: 3 })),
];

/** Phrases for which there is a short form, the longest first. */
const SHORT_FORMS: readonly (readonly [RegExp, string])[] = [
  [/\bchief information( and technology)? officer\b/g, "cio"],
  [/\bchief operat(ing|ions) officer\b/g, "coo"],
  [/\bchief financial officer\b/g, "cfo"],
  [/\bchief executive( officer)?\b/g, "ceo"],
  [/\b((executive|senior|sr|exec) )?vice[ -]?president\b|\b[se]?vp\b/g, "vp"],
  [/\bv p\b/g, "vp"],
  [/\binformation (technology|technologies|systems)\b|\bmis\b/g, "it"],
  [/\benterprise resource planning\b/g, "erp"],
  [/\b(comptroller)\b/g, "controller"],
  [/\b(ops|operation)\b/g, "operations"],
  [/\b(mgr|mngr)\b/g, "manager"],
  [/\b(dir|head)\b/g, "director"],
  [/\b(mfg|production)\b/g, "manufacturing"],
  [/\b(factory|site|works) (?=manager)/g, "plant "],
  [/\b(proprietor|co owner|coowner)\b/g, "owner"],
];

/** Words after which a title is somebody else's, or not held any more. */
const NOT_THE_HOLDER =
  /\b(assistant|secretary|aide|support|intern|trainee|former|formerly|ex|retired|past|deputy|associate|adviser|advisor|consultant|recruiter)\b/;
/** Owners of other things than the company. */
const OTHER_OWNER =
  /\b(product|process|project|system|data|account|scrum|service|application|content|home|channel) owner\b/;

/** The words of each title in a text such as "President & CEO". */
export function titleWords(text: string): Set<string>[] {
  return text
    .toLowerCase()
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .replace(/(?<=\b\p{L})\.(?=\p{L}\b|\s|$)/gu, "")
    .split(/[,;|/+&]|\s[-–—]\s|\band\b(?!\s+(?:technology|systems|administration)\b)/)
    .map((part) => {
      const plain = part.replace(/[^\p{L}\p{N}]+/gu, " ").trim();
      if (NOT_THE_HOLDER.test(plain) || OTHER_OWNER.test(plain)) return "";
      return SHORT_FORMS.reduce((form, [pattern, short]) => form.replace(pattern, short), plain);
    })
    .filter((part) => part !== "")
    .map((part) => new Set(part.split(" ").filter((word) => !/^(of|the|for|in|at|&)$/.test(word))));
}

/** The best target that a title meets, or null. */
export function matchTitle(text: string, targets: readonly TitleTarget[] = DEFAULT_TARGETS): TitleTarget | null {
  const held = titleWords(text);
  // "VP, Operations": what stands behind the comma belongs to the rank before it.
  const joined = joinedRank(text);
  let best: TitleTarget | null = null;
  for (const target of targets) {
    const [wanted] = titleWords(target.title);
    if (wanted === undefined || (best !== null && best.priority <= target.priority)) continue;
    if ([...held, ...joined].some((words) => isThat(words, wanted))) best = target;
  }
  return best;
}

function isThat(words: ReadonlySet<string>, wanted: ReadonlySet<string>): boolean {
  for (const word of wanted) if (!words.has(word)) return false;
  return true;
}

/** Rank and field on both sides of a comma or dash: "Vice President, Operations", "Director - IT". */
function joinedRank(text: string): Set<string>[] {
  const [rank, field] = text.split(/,|\s[-–—]\s/);
  if (rank === undefined || field === undefined) return [];
  const [one] = titleWords(rank);
  const [two] = titleWords(field);
  if (one === undefined || two === undefined) return [];
  const isRank = one.size === 1 && ["vp", "director", "manager"].some((word) => one.has(word));
  return isRank ? [new Set([...one, ...two])] : [];
}
