/**
 * `$(NAME)` expansion of commands, arguments, environment values and subPathExpr, as Kubernetes
 * defines it: `$$` is a dollar that does not begin a reference, an unknown name stays as written.
 */

export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char !== '$' || i + 1 >= text.length) {
      out += char;
      continue;
    }
    const next = text.charAt(i + 1);
    if (next === '$') {
      out += '$';
      i++;
      continue;
    }
    const end = next === '(' ? text.indexOf(')', i + 2) : -1;
    if (end === -1) {
      // Not a reference, or one without an end: the two characters stand as they are.
      out += `$${next}`;
      i++;
      continue;
    }
    const name = text.slice(i + 2, end);
    out += lookup(name) ?? `$(${name})`;
    i = end;
  }
  return out;
}

/** As `expand`, but an unknown name is an error: subPathExpr must not name a literal `$(X)`. */
export function expandStrict(text: string, values: ReadonlyMap<string, string>): string {
  const missing = new Set<string>();
  const result = expand(text, (name) => {
    const value = values.get(name);
    if (value === undefined) missing.add(name);
    return value;
  });
  if (missing.size > 0)
    throw new Error(`missing value for ${JSON.stringify([...missing].join(','))}`);
  return result;
}
