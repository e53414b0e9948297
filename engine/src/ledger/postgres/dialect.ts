/**
 * From the statements that all ledgers share to PostgreSQL's: numbered parameters, quoted names with capitals, and the few
 * functions that are called otherwise.
 *
 * Invariant: texts in quotes stay as they are; a statement is translated once.
 */

/** A literal, a quoted name, a parameter, or a name with capitals. */
const TOKEN = /'(?:[^']|'')*'|"[^"]*"|\?|\b[a-z]+[A-Z]\w*\b/g;

const FUNCTIONS: readonly [RegExp, string][] = [
  [/\bjson_each\(\?\) (\w+)/g, "(SELECT n::bigint AS value FROM json_array_elements_text(?::json) AS n) $1"],
  [/\bjson_each\((\w+)\)/g, "json_each_text($1::json)"],
  [/\bjson_extract\((\w+), '\$\.(\w+)'\)/g, "($1::json ->> '$2')"],
  [/\binstr\(/g, "strpos("],
  [/ LIKE /g, " ILIKE "],
];

interface Translated {
  sql: string;
  /** Of the prepared statement; undefined when too many have been seen. */
  name: string | undefined;
}

const known = new Map<string, Translated>();
/** More texts than the engine has, apart from lists of many lengths. */
const MAX_NAMED = 400;

export function toPostgres(text: string): string {
  const sql = FUNCTIONS.reduce((rest, [from, to]) => rest.replaceAll(from, to), text);
  let parameters = 0;
  return sql.replaceAll(TOKEN, (token) => {
    if (token === "?") return `$${++parameters}`;
    return /^[a-z]/.test(token) ? `"${token}"` : token;
  });
}

/** The same with a name under which it may be prepared. */
export function translate(text: string): Translated {
  let found = known.get(text);
  if (found === undefined) {
    found = { sql: toPostgres(text), name: known.size < MAX_NAMED ? `read_${known.size}` : undefined };
    if (known.size < MAX_NAMED * 4) known.set(text, found);
  }
  return found;
}
