/**
 * The kernel's command line, as far as it speaks to the supervisor. Words of others are left alone.
 *
 *   bareboat.links=NAME[,NAME]   virtual links that count as wired: a machine in namespaces has no others
 */
import { readFileSync } from 'node:fs';

export interface CommandLine {
  readonly links: readonly string[];
}

/** Words are separated by blanks; of a word given twice the last counts. Pure. */
export function parseCommandLine(text: string): CommandLine {
  const values = new Map<string, string>();
  for (const word of text.trim().split(/\s+/)) {
    const equals = word.indexOf('=');
    if (equals > 0) values.set(word.slice(0, equals), word.slice(equals + 1));
  }
  const list = (values.get('bareboat.links') ?? '').split(',');
  return { links: list.filter((name) => name !== '') };
}

export function readCommandLine(): CommandLine {
  return parseCommandLine(readFileSync('/proc/cmdline', 'utf8'));
}
