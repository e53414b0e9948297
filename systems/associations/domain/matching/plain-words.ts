/**
 * Text as lower-case words of Latin letters and digits, whoever typed it: accents, ligatures and Cyrillic or Greek letters in one form.
 *
 * 1. A form is for comparing and finding, never for showing or storing.
 * 2. Other scripts stay as they are; nothing is dropped but signs.
 */

const SPECIAL_LETTERS: Readonly<Record<string, string>> = {
  ß: "ss",
  ø: "o",
  œ: "oe",
  æ: "ae",
  đ: "d",
  ð: "d",
  þ: "th",
  ł: "l",
  ı: "i",
};

const alphabet = (letters: string, latin: string) => {
  const parts = latin.split(" ");
  return [...letters].map((letter, at) => [letter, parts[at]!] as const);
};
/** Letters without a mark: NFKD has taken the marks of й, ё and ї away. */
const OTHER_ALPHABETS = new Map([
  ...alphabet(
    "абвгдежзиклмнопрстуфхцчшщыэюяіє",
    "a b v g d e zh z i k l m n o p r s t u f kh ts ch sh shch y e yu ya i e",
  ),
  ...alphabet("αβγδεζηθικλμνξοπρσςτυφχψω", "a v g d e z i th i k l m n x o p r s s t y f ch ps o"),
  ["ъ", ""],
  ["ь", ""],
]);

/** Lower-case words of letters and digits, accents folded, possessives joined to their word. */
export function plainWords(text: string): string[] {
  return latin(text.replace(/[®™©℠*]+/g, " "))
    .replace(/&amp;|&|\+/g, " and ")
    .replace(/\s*\\?\s*['’`´]\s*s\b/g, "s")
    .replace(/(?<=\p{L})['’`´.](?=\p{L})/gu, "")
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");
}

function latin(text: string): string {
  // Most text is plain; only the rest is looked at letter by letter.
  if (!/[^\x20-\x7e]/.test(text)) return text.toLowerCase();
  return text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/[ßøœæđðþłı]/g, (letter) => SPECIAL_LETTERS[letter]!)
    .replace(/[\u0370-\u045f]/g, (letter) => OTHER_ALPHABETS.get(letter) ?? letter);
}

/** Müller is Mueller and Muller, Ångström Aangstrom: one vowel for the ways to write one that has a mark. */
export function oneVowel(word: string): string {
  return word.length < 4 ? word : word.replace(/aa/g, "a").replace(/([aou])e/g, "$1");
}
