/**
 * The name of a container image, as far as the API looks into it: whether it carries a tag or a digest,
 * which decides the default pull policy. Grammar: distribution/reference, "reference" rule.
 */

const DOMAIN_PART = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const DOMAIN = `(?:${DOMAIN_PART}(?:\\.${DOMAIN_PART})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const PATH_PART = '[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*';
const NAME = `(?:${DOMAIN}/)?${PATH_PART}(?:/${PATH_PART})*`;
const TAG = '[\\w][\\w.-]{0,127}';
const DIGEST = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';
const REFERENCE = new RegExp(`^${NAME}(?::(${TAG}))?(?:@(${DIGEST}))?$`);

/** True if the image means the tag `latest`, by name or because it has neither tag nor digest. */
export function meansLatest(image: string): boolean {
  const match = REFERENCE.exec(image);
  if (match === null || /^[a-f0-9]{64}$/.test(image)) return false;
  const [, tag, digest] = match;
  return tag === 'latest' || (tag === undefined && digest === undefined);
}

/** The pull policy of an image whose user set none. */
export function defaultPullPolicy(image: string | undefined): 'Always' | 'IfNotPresent' {
  return meansLatest(image ?? '') ? 'Always' : 'IfNotPresent';
}
