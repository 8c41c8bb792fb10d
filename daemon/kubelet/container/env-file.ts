/**
 * Environment files (fileKeyRef, KEP-3721): a subset of POSIX shell. `NAME='value'`, the value taken
 * literally and over several lines if need be; blanks before the name, comments and blank lines are
 * ignored. A blank behind `=` makes the value empty. Pure.
 */

/** Not what the format allows; says where. */
export class EnvFileError extends Error {
  override readonly name = 'EnvFileError';
}

/** The value of `key`, or undefined. Throws EnvFileError for a line before it that is none. */
export function envFileValue(text: string, key: string): string | undefined {
  const lines = text.replace(/\n$/, '').split('\n');
  for (let index = 0; index < lines.length; index++) {
    const line = (lines[index] ?? '').replace(/^[ \t]+/, '');
    if (line === '' || line.startsWith('#')) continue;
    const [, name, value] = /^([^=]*[^= \t])=(.*)$/s.exec(line) ?? [];
    if (name === undefined || value === undefined) throw invalid(index, "expected NAME='value'");
    if (/^[ \t]/.test(value)) {
      if (name === key) return '';
      continue;
    }
    if (!value.startsWith("'")) throw invalid(index, 'value must be enclosed in single quotes');
    const start = index;
    let rest = value.slice(1);
    while (!rest.includes("'")) {
      index++;
      if (index >= lines.length) throw invalid(start, 'unclosed single quote');
      rest += `\n${lines[index]}`;
    }
    const quote = rest.indexOf("'");
    if (!/^[ \t]*(#.*)?$/.test(rest.slice(quote + 1))) {
      throw invalid(index, 'unexpected content after closing quote');
    }
    if (name === key) return rest.slice(0, quote);
  }
  return undefined;
}

function invalid(index: number, why: string): EnvFileError {
  return new EnvFileError(`line ${index + 1}: ${why}`);
}
