/** Rules of v1 Secrets. Source: kubernetes v1.36.3 pkg/apis/core/validation, registry/core/secret. */
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { base64Bytes, DATA_BYTES_MAX, IMMUTABLE_WHEN_SET } from './config-map.ts';
import { type FieldErrors, sortedMap } from './field-errors.ts';
import { checkConfigKey } from './formats.ts';
import { IMMUTABLE, subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, tableOf } from './tables.ts';

const NAMESPACED = { namespaced: true };
const ACCOUNT_NAME = 'kubernetes.io/service-account.name';

/** `stringData` is for writing only: it becomes data and wins over it. */
function absorbStringData(secret: Secret): void {
  if (secret.stringData === undefined) return;
  const added = Object.entries(secret.stringData).map(([key, text]) => [key, encodeBase64(text)]);
  secret.data = { ...secret.data, ...Object.fromEntries(added) };
  delete secret.stringData;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function utf8(text: string): number[] {
  return Array.from(text).flatMap((char) => {
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x80) return [code];
    if (code < 0x800) return [0xc0 | (code >> 6), 0x80 | (code & 0x3f)];
    const tail = [0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)];
    if (code < 0x10000) return [0xe0 | (code >> 12), ...tail];
    return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), ...tail];
  });
}

function encodeBase64(text: string): string {
  const bytes = utf8(text);
  let encoded = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b, c] = bytes.slice(i, i + 3);
    const word = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    const digits = [18, 12, 6, 0].map((shift) => ALPHABET.charAt((word >> shift) & 0x3f));
    const kept = c !== undefined ? 4 : b !== undefined ? 3 : 2;
    encoded += digits.slice(0, kept).join('').padEnd(4, '=');
  }
  return encoded;
}

function validate(e: FieldErrors, secret: Secret): void {
  validateMeta(e, secret.metadata, { ...NAMESPACED, name: subdomainName, coreFinalizers: true });
  const data = secret.data ?? {};
  let bytes = 0;
  for (const [key, value] of Object.entries(sortedMap(data))) {
    e.invalidEach(`data[${key}]`, key, checkConfigKey(key));
    bytes += base64Bytes(value);
  }
  if (bytes > DATA_BYTES_MAX) e.tooLong('data', DATA_BYTES_MAX);
  const need = (...keys: string[]): void => {
    for (const key of keys) if (data[key] === undefined) e.required(`data[${key}]`);
  };
  switch (secret.type) {
    case 'kubernetes.io/service-account-token':
      if ((secret.metadata.annotations?.[ACCOUNT_NAME] ?? '') === '') {
        e.required(`metadata.annotations[${ACCOUNT_NAME}]`);
      }
      return;
    case 'kubernetes.io/dockercfg':
      return validateJson(e, data, '.dockercfg');
    case 'kubernetes.io/dockerconfigjson':
      return validateJson(e, data, '.dockerconfigjson');
    case 'kubernetes.io/basic-auth':
      if (data['username'] === undefined && data['password'] === undefined) {
        need('username', 'password');
      }
      return;
    case 'kubernetes.io/ssh-auth':
      if ((data['ssh-privatekey'] ?? '') === '') e.required('data[ssh-privatekey]');
      return;
    case 'kubernetes.io/tls':
      return need('tls.crt', 'tls.key');
    default:
  }
}

function decodeBase64(text: string): string {
  const bytes: number[] = [];
  const digits = Array.from(text.replaceAll('=', '')).map((char) => ALPHABET.indexOf(char));
  for (let i = 0; i < digits.length; i += 4) {
    const part = digits.slice(i, i + 4);
    const word = [0, 1, 2, 3].reduce((sum, at) => (sum << 6) | (part[at] ?? 0), 0);
    bytes.push(...[16, 8, 0].slice(0, part.length - 1).map((shift) => (word >> shift) & 0xff));
  }
  // Only the shape of the JSON matters here: bytes beyond ASCII stand for themselves.
  return String.fromCharCode(...bytes);
}

function validateJson(e: FieldErrors, data: Readonly<Record<string, string>>, key: string): void {
  const value = data[key];
  if (value === undefined) return e.required(`data[${key}]`);
  const problem = jsonObjectProblem(decodeBase64(value));
  if (problem !== undefined) e.invalid(`data[${key}]`, '<secret contents redacted>', problem);
}

/** Why the text is no JSON object, in the words of Go's decoder for the common cases. */
function jsonObjectProblem(text: string): string | undefined {
  if (text.trim() === '') return 'unexpected end of JSON input';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const first = text.trim().charAt(0);
    if (/[[{"\d-]/.test(first)) return 'unexpected end of JSON input';
    const literal = ['null', 'true', 'false'].find((word) => word.startsWith(first));
    if (literal !== undefined) return literalProblem(text.trim(), literal);
    return `invalid character '${first}' looking for beginning of value`;
  }
  if (value === null || (typeof value === 'object' && !Array.isArray(value))) return undefined;
  const kind = Array.isArray(value) ? 'array' : typeof value;
  const go = kind === 'boolean' ? 'bool' : kind;
  return `json: cannot unmarshal ${go} into Go value of type map[string]interface {}`;
}

function literalProblem(text: string, literal: string): string {
  const at = Array.from(literal).findIndex((char, i) => text.charAt(i) !== char);
  if (text.charAt(at) === '') return 'unexpected end of JSON input';
  const found = `invalid character '${text.charAt(at)}' in literal ${literal}`;
  return `${found} (expecting '${literal.charAt(at)}')`;
}

function validateUpdate(e: FieldErrors, secret: Secret, old: Secret): void {
  validateMetaUpdate(e, secret.metadata, old.metadata, { coreFinalizers: true });
  if ((secret.type ?? '') !== (old.type ?? '')) e.invalid('type', secret.type ?? '', IMMUTABLE);
  if (old.immutable === true) {
    if (secret.immutable !== true) e.forbidden('immutable', IMMUTABLE_WHEN_SET);
    if (!sameValue(secret.data, old.data)) e.forbidden('data', IMMUTABLE_WHEN_SET);
  }
  validate(e, secret);
}

export const secretRules: ResourceRules<Secret> = {
  group: '',
  version: 'v1',
  resource: 'secrets',
  default(secret) {
    absorbStringData(secret);
    secret.type ||= 'Opaque';
  },
  validate: (secret) => collect((e) => validate(e, secret)),
  prepareForUpdate(secret, old) {
    // A body without type cannot mean to change it.
    if ((secret.type ?? '') === '') secret.type = old.type;
  },
  validateUpdate: (secret, old) =>
    collectUpdate(secret, old, NAMESPACED, (e) => validateUpdate(e, secret, old)),
  fieldLabels: ['type'],
  selectableFields: ({ type }) => ({ type: type ?? '' }),
  table: tableOf('Name,Type,Data,Age', ({ metadata, type, data }, nowMs) => [
    metadata.name,
    type ?? '',
    Object.keys(data ?? {}).length,
    age(metadata.creationTimestamp, nowMs),
  ]),
};
