/**
 * The kernel's command line, as far as it speaks to the supervisor. Words of others are left alone.
 *
 *   bareboat.config=URL|BASE64    a configuration, or where to get one, for a machine that has none
 *   bareboat.secrets=URL          where to get the cluster's secrets; never the secrets themselves, for every
 *                                 process of the machine can read this line
 *   bareboat.links=NAME[,NAME]    virtual links that count as wired: a machine in namespaces has no others
 */
import { readFileSync } from 'node:fs';

export interface CommandLine {
  readonly config: { readonly url: string } | { readonly text: string } | undefined;
  readonly secretsUrl: string | undefined;
  readonly links: readonly string[];
  /** What cannot be understood, each with its word. */
  readonly problems: readonly string[];
}

/** Words are separated by blanks; of a word given twice the last counts. Pure. */
export function parseCommandLine(text: string): CommandLine {
  const values = new Map<string, string>();
  for (const word of text.trim().split(/\s+/)) {
    const equals = word.indexOf('=');
    if (equals > 0) values.set(word.slice(0, equals), word.slice(equals + 1));
  }
  const problems: string[] = [];
  const config = values.get('bareboat.config') ?? '';
  const secrets = values.get('bareboat.secrets') ?? '';
  const inline = isUrl(config) ? undefined : decodeBase64(config);
  if (config !== '' && !isUrl(config) && inline === undefined) {
    problems.push('bareboat.config: is neither a http(s) URL nor base64');
  }
  if (secrets !== '' && !isUrl(secrets)) {
    problems.push('bareboat.secrets: is no http(s) URL; secrets do not belong on this line');
  }
  const links = (values.get('bareboat.links') ?? '').split(',');
  return {
    config: isUrl(config) ? { url: config } : inline === undefined ? undefined : { text: inline },
    secretsUrl: isUrl(secrets) ? secrets : undefined,
    links: links.filter((name) => name !== ''),
    problems,
  };
}

export function readCommandLine(): CommandLine {
  return parseCommandLine(readFileSync('/proc/cmdline', 'utf8'));
}

function isUrl(text: string): boolean {
  return /^https?:\/\//.test(text) && URL.canParse(text);
}

/** Undefined when it is empty or no base64 (RFC 4648, either alphabet). */
function decodeBase64(text: string): string | undefined {
  if (text === '' || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, 'base64').toString('utf8');
}
