/**
 * Formats of names and small values: DNS labels and subdomains, label keys and values, ports,
 * environment and config keys, percentages, IP addresses and CIDRs. Each check returns its complaints
 * (none = good) in upstream's words, because they are shown to users inside a Status.
 * Source: apimachinery v0.36.3 pkg/util/validation and pkg/api/validate/content.
 */

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const UNDERSCORE_LABEL = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const UNDERSCORE_SUBDOMAIN = `${UNDERSCORE_LABEL}(\\.${UNDERSCORE_LABEL})*`;
const DNS1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const WILDCARD_SUBDOMAIN = `\\*\\.${SUBDOMAIN}`;
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${QUALIFIED})?`;
const CONFIG_KEY = '[-._a-zA-Z0-9]+';
const C_IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*';
const PERCENT = '[0-9]+%';
const HTTP_HEADER = '[-A-Za-z0-9]+';

const whole = (pattern: string): RegExp => new RegExp(`^${pattern}$`);
const LABEL_RE = whole(LABEL);
const SUBDOMAIN_RE = whole(SUBDOMAIN);
const UNDERSCORE_SUBDOMAIN_RE = whole(UNDERSCORE_SUBDOMAIN);
const DNS1035_RE = whole(DNS1035);
const WILDCARD_RE = whole(WILDCARD_SUBDOMAIN);
const QUALIFIED_RE = whole(QUALIFIED);
const LABEL_VALUE_RE = whole(LABEL_VALUE);
const CONFIG_KEY_RE = whole(CONFIG_KEY);
const C_IDENTIFIER_RE = whole(C_IDENTIFIER);
const PERCENT_RE = whole(PERCENT);
const HTTP_HEADER_RE = whole(HTTP_HEADER);

/** The sentence for a value that misses its regular expression. */
export function patternMessage(
  message: string,
  pattern: string,
  examples: readonly string[],
): string {
  const shown = examples.map((example) => `'${example}', `).join(' or ');
  const lead = examples.length === 0 ? '' : `e.g. ${shown}`;
  return `${message} (${lead}regex used for validation is '${pattern}')`;
}

const tooManyBytes = (max: number): string => `must be no more than ${max} bytes`;
const tooManyCharacters = (max: number): string => `must be no more than ${max} characters`;
export const rangeMessage = (low: number, high: number): string =>
  `must be between ${low} and ${high}, inclusive`;

function subdomainMessage(): string {
  return patternMessage(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    SUBDOMAIN,
    ['example.com'],
  );
}

/** RFC 1123 label, at most 63 characters. */
export function checkDnsLabel(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 63) messages.push(tooManyCharacters(63));
  if (LABEL_RE.test(value)) return messages;
  if (SUBDOMAIN_RE.test(value)) messages.push('must not contain dots');
  else {
    messages.push(
      patternMessage(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        LABEL,
        ['my-name', '123-abc'],
      ),
    );
  }
  return messages;
}

/** RFC 1123 subdomain, at most 253 characters. */
export function checkDnsSubdomain(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 253) messages.push(tooManyCharacters(253));
  if (!SUBDOMAIN_RE.test(value)) messages.push(subdomainMessage());
  return messages;
}

export function checkDnsSubdomainWithUnderscore(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 253) messages.push(tooManyCharacters(253));
  if (!UNDERSCORE_SUBDOMAIN_RE.test(value)) {
    messages.push(
      patternMessage(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
        UNDERSCORE_SUBDOMAIN,
        ['example.com'],
      ),
    );
  }
  return messages;
}

export function checkWildcardSubdomain(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 253) messages.push(tooManyCharacters(253));
  if (!WILDCARD_RE.test(value)) {
    messages.push(
      patternMessage(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        WILDCARD_SUBDOMAIN,
        ['*.example.com'],
      ),
    );
  }
  return messages;
}

/** RFC 1035 label: as RFC 1123, but starts with a letter. */
export function checkDns1035Label(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 63) messages.push(tooManyCharacters(63));
  if (!DNS1035_RE.test(value)) {
    messages.push(
      patternMessage(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        DNS1035,
        ['my-name', 'abc-123'],
      ),
    );
  }
  return messages;
}

const QUALIFIED_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** `name` or `prefix/name`: keys of labels and annotations, finalizers, resource names. */
export function checkQualifiedName(value: string): string[] {
  const messages: string[] = [];
  const parts = value.split('/');
  const pattern = patternMessage(QUALIFIED_TEXT, QUALIFIED, ['MyName', 'my.name', '123-abc']);
  if (parts.length > 2) {
    return [
      `a valid label key ${pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const name = parts.at(-1) ?? '';
  const prefix = parts.length === 2 ? parts[0] : undefined;
  if (prefix === '') messages.push('prefix part must be non-empty');
  else if (prefix !== undefined) {
    if (byteLength(prefix) > 253) messages.push(`prefix part ${tooManyBytes(253)}`);
    if (!SUBDOMAIN_RE.test(prefix)) messages.push(`prefix part ${subdomainMessage()}`);
  }
  if (name === '') messages.push('name part must be non-empty');
  else if (byteLength(name) > 63) messages.push(`name part ${tooManyBytes(63)}`);
  if (!QUALIFIED_RE.test(name)) messages.push(`name part ${pattern}`);
  return messages;
}

export function checkLabelValue(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 63) messages.push(tooManyBytes(63));
  if (!LABEL_VALUE_RE.test(value)) {
    messages.push(
      patternMessage(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        LABEL_VALUE,
        ['MyValue', 'my_value', '12345'],
      ),
    );
  }
  return messages;
}

/** Names that may stand in a URL path: RBAC objects and others without a DNS rule. */
export function checkPathSegment(value: string, prefix = false): string[] {
  if (!prefix && (value === '.' || value === '..')) return [`may not be '${value}'`];
  return ['/', '%']
    .filter((part) => value.includes(part))
    .map((part) => `may not contain '${part}'`);
}

export function checkPortNumber(port: number): string[] {
  return port >= 1 && port <= 65535 ? [] : [rangeMessage(1, 65535)];
}

export function checkPortName(name: string): string[] {
  const messages: string[] = [];
  if (byteLength(name) > 15) messages.push(tooManyCharacters(15));
  if (!/^[-a-z0-9]+$/.test(name)) {
    messages.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(name)) messages.push('must contain at least one letter (a-z)');
  if (name.includes('--')) messages.push('must not contain consecutive hyphens');
  if (name.startsWith('-') || name.endsWith('-')) {
    messages.push('must not begin or end with a hyphen');
  }
  return messages;
}

function checkNoParentPrefix(value: string): string[] {
  if (value === '.' || value === '..') return [`must not be '${value}'`];
  return value.startsWith('..') ? ["must not start with '..'"] : [];
}

/** Names of environment variables: any printable ASCII but `=` (relaxed since 1.32). */
export function checkEnvName(value: string): string[] {
  const messages: string[] = [];
  if (value === '') messages.push('environment variable name must be non-empty');
  if (!/^[\x20-\x3c\x3e-\x7e]*$/.test(value)) {
    messages.push(
      "a valid environment variable name must consist only of printable ASCII characters other than '='",
    );
  }
  return messages;
}

/** Keys of ConfigMaps and Secrets. */
export function checkConfigKey(value: string): string[] {
  const messages: string[] = [];
  if (byteLength(value) > 253) messages.push(tooManyCharacters(253));
  if (!CONFIG_KEY_RE.test(value)) {
    messages.push(
      patternMessage(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        CONFIG_KEY,
        ['key.name', 'KEY_NAME', 'key-name'],
      ),
    );
  }
  return [...messages, ...checkNoParentPrefix(value)];
}

export function checkCIdentifier(value: string): string[] {
  if (C_IDENTIFIER_RE.test(value)) return [];
  return [
    patternMessage(
      "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
      C_IDENTIFIER,
      ['my_name', 'MY_NAME', 'MyName'],
    ),
  ];
}

export function checkPercent(value: string): string[] {
  if (PERCENT_RE.test(value)) return [];
  return [
    patternMessage(
      "a valid percent string must be a numeric string followed by an ending '%'",
      PERCENT,
      ['1%', '93%'],
    ),
  ];
}

export function checkHttpHeaderName(value: string): string[] {
  if (HTTP_HEADER_RE.test(value)) return [];
  return [
    patternMessage(
      "a valid HTTP header must consist of alphanumeric characters or '-'",
      HTTP_HEADER,
      ['X-Header-Name'],
    ),
  ];
}

/** Bytes of the UTF-8 form. */
export function byteLength(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) length += code >= 0x800 && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
  }
  return length;
}
