/**
 * Names of certificate signers (`example.com/name`) and domain-prefixed keys.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation/names.go.
 */
import { type FieldErrors, goQuote } from './field-errors.ts';
import { byteLength, checkDnsLabel, checkDnsSubdomain, checkQualifiedName } from './formats.ts';

const DOMAIN_MAX = 253;
/** Domain, `/`, namespace, `.`, name. */
const NAME_MAX = DOMAIN_MAX + 1 + 63 + 1 + 253;

export function isKubernetesSigner(name: string): boolean {
  const host = name.split('/')[0] ?? '';
  return host === 'kubernetes.io' || host.endsWith('.kubernetes.io');
}

export function validateSignerName(e: FieldErrors, field: string, name: string): void {
  if (name === '') return e.required(field);
  const [domain = '', path = '', ...rest] = name.split('/');
  if (!name.includes('/') || rest.length > 0) {
    const detail =
      "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return e.invalid(field, name, detail);
  }
  if (byteLength(domain) > DOMAIN_MAX) e.tooLong(field, DOMAIN_MAX);
  const labels = domain.split('.');
  firstBadPart(e, field, { whole: domain, parts: labels, check: checkDnsLabel });
  if (labels.length < 2) {
    const detail = 'should be a domain with at least two segments separated by dots';
    e.invalid(field, domain, detail);
  }
  firstBadPart(e, field, { whole: path, parts: path.split('.'), check: checkDnsSubdomain });
  if (byteLength(name) > NAME_MAX) e.tooLong(field, NAME_MAX);
}

function firstBadPart(
  e: FieldErrors,
  field: string,
  what: {
    readonly whole: string;
    readonly parts: readonly string[];
    readonly check: (part: string) => string[];
  },
): void {
  for (const part of what.parts) {
    const messages = what.check(part);
    for (const message of messages) {
      e.invalid(field, what.whole, `validating label ${goQuote(part)}: ${message}`);
    }
    if (messages.length > 0) return;
  }
}

export function validateDomainPrefixedKey(e: FieldErrors, field: string, key: string): void {
  if (key === '') return e.required(field);
  const messages = checkQualifiedName(key);
  e.invalidEach(field, key, messages);
  if (messages.length === 0 && !key.includes('/')) {
    e.invalid(field, key, 'must be a domain-prefixed key (such as "acme.io/foo")');
  }
}
