/** The people worth calling at a company: wanted titles only, each person once, at most five. */
import { emailIn } from "../parsers.ts";
import { textOf } from "./firmographics.ts";
import type { TitleTarget } from "./titles.ts";
import { DEFAULT_TARGETS, matchTitle } from "./titles.ts";

export interface Contact {
  name: string;
  title: string;
  email: string | null;
  phone: string | null;
  linkedin_url: string | null;
  source: string;
  priority: number;
}

/** A person as a provider gives it; nothing in it is sure to be there. */
export interface RawContact {
  name?: unknown;
  first_name?: unknown;
  last_name?: unknown;
  title?: unknown;
  email?: unknown;
  phone?: unknown;
  linkedin_url?: unknown;
  source: string;
}

export const MAX_CONTACTS = 5;
/** Companies of more people than this are asked about. */
export const MIN_EMPLOYEES = 50;

/** True for companies large enough to have such people; unknown size is not. */
export function qualifies(record: { readonly employee_count_min?: unknown }): boolean {
  return typeof record.employee_count_min === "number" && record.employee_count_min > MIN_EMPLOYEES;
}

/** The best contacts: sorted by priority, each mail address or name once, at most five. */
export function chooseContacts(
  raw: readonly RawContact[],
  targets: readonly TitleTarget[] = DEFAULT_TARGETS,
): Contact[] {
  const wanted = raw.flatMap((person) => {
    const contact = readContact(person, targets);
    return contact === null ? [] : [contact];
  });
  // Stable: the provider that was asked first, and its own order, decide between equals.
  wanted.sort((a, b) => a.priority - b.priority);
  const kept: Contact[] = [];
  for (const contact of wanted) {
    const known = kept.find((other) => isSamePerson(other, contact));
    if (known === undefined) kept.push(contact);
    else fillGaps(known, contact, kept);
  }
  return kept.slice(0, MAX_CONTACTS);
}

function readContact(person: RawContact, targets: readonly TitleTarget[]): Contact | null {
  const both = [textOf(person.first_name), textOf(person.last_name)].filter((part) => part !== null).join(" ");
  const name = textOf(person.name) ?? textOf(both);
  const title = textOf(person.title);
  const target = title === null ? null : matchTitle(title, targets);
  if (name === null || title === null || target === null) return null;
  return {
    name,
    title,
    email: emailIn(textOf(person.email) ?? ""),
    phone: textOf(person.phone),
    linkedin_url: textOf(person.linkedin_url),
    source: person.source,
    priority: target.priority,
  };
}

function isSamePerson(one: Contact, two: Contact): boolean {
  if (one.email !== null && two.email !== null) return one.email === two.email;
  return one.name.toLowerCase() === two.name.toLowerCase();
}

function fillGaps(known: Contact, more: Contact, kept: readonly Contact[]): void {
  // A shared mail address stays with the one who came with it.
  if (!kept.some(({ email }) => email !== null && email === more.email)) known.email ??= more.email;
  known.phone ??= more.phone;
  known.linkedin_url ??= more.linkedin_url;
}
