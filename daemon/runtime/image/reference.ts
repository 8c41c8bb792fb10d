/**
 * Image references: `[registry/]path[:tag][@digest]`, normalised as the docker client does (a first
 * component without dot, colon or `localhost` belongs to docker.io; a single path gets `library/`).
 * Grammar: github.com/distribution/reference. Pure.
 */
import { RuntimeError } from '../port.ts';

export interface Reference {
  /** `docker.io`, `registry.k8s.io`, `localhost:5000` */
  readonly registry: string;
  /** `library/busybox` */
  readonly path: string;
  readonly tag: string | undefined;
  /** `sha256:<64 hex digits>` */
  readonly digest: string | undefined;
}

const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[a-f0-9]{64}$/;
const NAME_LENGTH_MAX = 255;

export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Throws RuntimeError INVALID_IMAGE_NAME. A reference without tag and digest gets `latest`. */
export function parseReference(text: string): Reference {
  const fail = (why: string): RuntimeError =>
    new RuntimeError('INVALID_IMAGE_NAME', `invalid image name ${JSON.stringify(text)}: ${why}`);
  let rest = text;
  let digest: string | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!DIGEST.test(digest)) throw fail('malformed digest');
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) throw fail('malformed tag');
  }
  const { registry, path } = splitRegistry(rest);
  if (!DOMAIN.test(registry)) throw fail('malformed registry name');
  if (/^[a-f0-9]{64}$/.test(rest)) throw fail('64 hex digits are an image id');
  if (path !== path.toLowerCase()) throw fail('repository name must be lowercase');
  if (!PATH.test(path)) throw fail('malformed repository name');
  if (registry.length + path.length + 1 > NAME_LENGTH_MAX) throw fail('too long');
  return { registry, path, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest };
}

function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isRegistry =
    /[.:]/.test(first) || first === 'localhost' || (first !== '' && first !== first.toLowerCase());
  let registry = isRegistry ? first : 'docker.io';
  let path = isRegistry ? name.slice(slash + 1) : name;
  if (registry === 'index.docker.io') registry = 'docker.io';
  if (registry === 'docker.io' && !path.includes('/')) path = `library/${path}`;
  return { registry, path };
}

/** `docker.io/library/busybox` */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.path}`;
}

/** The whole normalised text. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${repositoryName(reference)}${tag}${digest}`;
}
